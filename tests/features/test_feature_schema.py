"""The schema: its hash is the identity of the columns' code and of the bars they are made of."""

import json
import subprocess
import sys

import pytest

from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.errors import ConfigError, ContractError, UsageError, VersionError
from trader_sdk.features import FEATURE_SETS, build_schema, is_own_schema, schema_from

BARS = {"calendar": "XNYS", "feed": "sip", "adjustment": "split"}


def test_schema_has_the_hash_it_always_had() -> None:
    """Models state this hash: a change of a name, an order or a version is seen here first."""
    schema = build_schema("2.7.0", "1Day", **BARS)
    assert schema.sha256 == "sha256:8ec82d3290c7726b8326aafd37f832e0e85eca78fe8ce894a78f56a44da3cf40"


def test_schema_survives_a_checkpoint_with_its_hash() -> None:
    """Plain data out, the same schema in, lists or tuples."""
    schema = build_schema("2.7.0", "1Min", **BARS)
    assert schema_from(json.loads(canonical_json(schema.document()))) == schema
    assert schema_from(schema.document()).sha256 == schema.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"timeframe": "5Min"},
        {"calendar": "24/7"},
        {"feed": "iex"},
        {"adjustment": "raw"},
        {"window": 50},
        {"versions": (2, *[1] * 58)},
        {"names": ("other", *build_schema("2.7.0", "1Min", **BARS).names[1:])},
    ],
)
def test_schema_hash_changes_with_everything_it_states(change: dict[str, object]) -> None:
    """No two kinds of features share an identity."""
    schema = build_schema("2.7.0", "1Min", **BARS)
    assert schema_from({**schema.document(), **change}).sha256 != schema.sha256


@pytest.mark.parametrize(("version", "obs_dim"), [("2.3.0", 5300), ("2.4.0", 5600), ("2.6.0", 5600), ("2.7.0", 5900)])
def test_schema_is_as_wide_as_its_model_version(version: str, obs_dim: int) -> None:
    """Account and sizing columns come with the versions that have them."""
    schema = build_schema(version, "1Day", **BARS)
    assert (schema.obs_dim, schema.n_features - schema.n_account) == (obs_dim, 53)


def test_own_schema_is_told_from_another() -> None:
    """A later formula version or a foreign group is not ours."""
    schema = build_schema("2.7.0", "1Day", **BARS)
    assert is_own_schema(schema)
    assert not is_own_schema(schema_from({**schema.document(), "versions": [2, *schema.versions[1:]]}))
    assert not is_own_schema(schema_from({**schema.document(), "feature_sets": ["foreign@1"]}))


@pytest.mark.parametrize(
    "change", [{"extra": 1}, {"names": "abc"}, {"versions": [1]}, {"timeframe": None}, {"window": "100"}]
)
def test_an_unreadable_schema_is_refused(change: dict[str, object]) -> None:
    """Unknown fields and wrong types are E309, with the field in the message."""
    document = {**build_schema("2.7.0", "1Day", **BARS).document(), **change}
    with pytest.raises(ContractError) as caught:
        schema_from(document)
    assert caught.value.code == "E309"


def test_build_schema_refuses_what_it_does_not_know() -> None:
    """Version, calendar and timeframe are closed sets."""
    with pytest.raises(VersionError):
        build_schema("9.9.9", "1Day", **BARS)
    with pytest.raises(ConfigError):
        build_schema("2.7.0", "1Day", calendar="XLON", feed="sip", adjustment="split")
    with pytest.raises(UsageError):
        build_schema("2.7.0", "2Day", **BARS)


def test_formula_versions_are_those_of_the_table() -> None:
    """The schema states the table's versions in the table's order."""
    columns = [column for name in ("ohlcv53@1", "account3@1", "sizing3@1") for column in FEATURE_SETS[name]]
    schema = build_schema("2.7.0", "1Day", **BARS)
    assert schema.versions == tuple(column.version for column in columns)


def test_importing_the_package_does_not_import_features_or_pydantic() -> None:
    """A bot that only decides on its own observations pays for neither."""
    program = "import sys, trader_sdk; print([m for m in ('pydantic', 'trader_sdk.features') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"
