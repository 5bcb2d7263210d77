"""Providers and the observation builder: what is observed, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import ActionError, ConfigError, ContractError, DataError
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.features import (
    DEFAULT_PROVIDER,
    FeatureProvider,
    FeatureSchema,
    ObservationBuilder,
    Ohlcv53Provider,
    load_provider,
    market_features,
)
from trader_sdk.model import NativeModelWrapper

SchemaOf = Callable[..., FeatureSchema]
GOLDEN = Path(__file__).parents[2] / "compat" / "golden" / "2.7.0" / "checkpoint.pt"


@pytest.fixture
def provider(daily: Bars, schema_of: SchemaOf) -> Ohlcv53Provider:
    """Return a provider that is ready."""
    return Ohlcv53Provider(schema_of(daily), daily.slice(0, 700))


def model_of(**fields: Any) -> SimpleNamespace:
    """Return a model with some metadata."""
    return SimpleNamespace(
        metadata=MappingProxyType(fields), model_spec=MODEL_SPECS["2.7.0"], sha256="sha256:" + "ab" * 32
    )


def test_the_default_provider_is_a_feature_provider(provider: Ohlcv53Provider) -> None:
    """Ours keeps the public protocol."""
    assert isinstance(provider, FeatureProvider)
    assert load_provider(DEFAULT_PROVIDER) is Ohlcv53Provider


def test_an_observation_is_row_major_by_time_with_the_account_broadcast(provider: Ohlcv53Provider, daily: Bars) -> None:
    """index = t * n_features + f, oldest bar first; account columns repeat along the window."""
    account = np.arange(6, dtype=np.float32) / 10
    observation = provider.observe(account)
    assert observation.shape == (5900,)
    assert observation.dtype == np.float32
    window = market_features(daily.slice(0, 700), provider.schema)[-100:]
    for time in (0, 57, 99):
        row = observation[time * 59 : (time + 1) * 59]
        np.testing.assert_array_equal(row[:53], window[time])
        np.testing.assert_array_equal(row[53:], account)


@pytest.mark.parametrize(("version", "n_account"), [("2.3.0", 0), ("2.4.0", 3), ("2.7.0", 6)])
def test_an_observation_is_as_wide_as_the_model_version(
    daily: Bars, schema_of: SchemaOf, version: str, n_account: int
) -> None:
    """Versions without account columns take none."""
    provider = Ohlcv53Provider(schema_of(daily, version), daily.slice(0, 600))
    observation = provider.observe(np.zeros(n_account, np.float32) if n_account else None)
    assert observation.shape == (MODEL_SPECS[version].obs_dim,)


@pytest.mark.parametrize("account", [None, np.zeros(3), np.zeros(7), np.full(6, np.nan), np.full(6, np.inf)])
def test_wrong_account_columns_are_refused(provider: Ohlcv53Provider, account: np.ndarray | None) -> None:
    """A short, long or non-finite account is E405, never padded."""
    with pytest.raises(ActionError) as caught:
        provider.observe(account)
    assert caught.value.code == "E405"


def test_an_observation_is_a_copy(provider: Ohlcv53Provider) -> None:
    """A caller that writes into it changes nothing that follows."""
    before = provider.observe(np.zeros(6, np.float32))
    provider.observe(np.zeros(6, np.float32))[:] = 9.0
    provider.window[:] = 9.0
    assert provider.row is not None
    provider.row[:] = 9.0
    np.testing.assert_array_equal(provider.observe(np.zeros(6, np.float32)), before)


def test_observing_before_the_window_is_full_is_refused(daily: Bars, schema_of: SchemaOf) -> None:
    """Warming up is a state to ask for, not an observation of zeros."""
    provider = Ohlcv53Provider(schema_of(daily), daily.slice(0, 450))
    assert not provider.ready
    with pytest.raises(DataError, match="window is not full"):
        provider.observe(np.zeros(6, np.float32))


@pytest.mark.parametrize(
    "change",
    [
        {"close": float("nan")},
        {"open": -1.0},
        {"low": 0.0},
        {"volume": -1.0},
        {"volume": float("inf")},
        {"high": 0.001},
        {"symbol": "IBM"},
        {"t": 0},
    ],
)
def test_a_bad_bar_is_refused_and_changes_nothing(
    provider: Ohlcv53Provider, daily: Bars, change: dict[str, Any]
) -> None:
    """After the refusal the right bar is taken as if nothing had happened."""
    before = provider.window
    with pytest.raises(DataError):
        provider.push(daily.at(700)._replace(**change))
    np.testing.assert_array_equal(provider.window, before)
    provider.push(daily.at(700))
    np.testing.assert_array_equal(provider.window, market_features(daily.slice(0, 701), provider.schema)[-100:])


def test_the_same_bar_twice_is_refused(provider: Ohlcv53Provider, daily: Bars) -> None:
    """A bar counts once."""
    with pytest.raises(DataError, match="not newer"):
        provider.push(daily.at(699))


def test_columns_of_another_release_are_refused(daily: Bars, schema_of: SchemaOf) -> None:
    """A schema with another formula version has no provider here."""
    schema = schema_of(daily)
    other = schema.model_copy(update={"versions": (2, *schema.versions[1:])})
    with pytest.raises(ContractError) as caught:
        Ohlcv53Provider(other)
    assert caught.value.code == "E309"


def test_a_model_with_our_schema_gets_our_provider(daily: Bars, schema_of: SchemaOf) -> None:
    """The file's own schema decides timeframe, calendar, feed and adjustment."""
    schema = schema_of(daily)
    model = model_of(feature_schema=schema.document(), feature_schema_sha256=schema.sha256)
    builder = ObservationBuilder.for_model(model)
    assert builder.schema == schema
    builder.extend(daily.slice(0, 600))
    assert builder.ready
    assert builder.observe(np.zeros(6, np.float32)).shape == (5900,)


def test_a_model_without_a_schema_is_refused_with_the_line_that_cures_it() -> None:
    """E309 in both modes: 53 columns of somebody else are not ours."""
    with pytest.raises(ContractError) as caught:
        ObservationBuilder.for_model(model_of())
    assert caught.value.code == "E309"
    assert "trader compat stamp" in str(caught.value)
    assert "--features" in str(caught.value)
    assert "sha256:" + "ab" * 32 in str(caught.value)


def test_a_model_with_anothers_schema_is_refused(daily: Bars, schema_of: SchemaOf) -> None:
    """Neither our provider nor another one is taken for the one it was trained with."""
    schema = schema_of(daily)
    foreign = {**schema.document(), "names": [f"their_{name}" for name in schema.names]}
    with pytest.raises(ContractError, match="not the provider's"):
        ObservationBuilder.for_model(model_of(feature_schema=foreign))
    other = Ohlcv53Provider(schema_of(daily, "2.3.0"))
    with pytest.raises(ContractError, match="not the provider's"):
        ObservationBuilder.for_model(model_of(feature_schema=schema.document()), features=lambda: other)


def test_a_users_provider_is_taken_when_the_hash_is_the_models(daily: Bars, schema_of: SchemaOf) -> None:
    """The model's constants are handed to it."""
    schema = schema_of(daily)
    seen: dict[str, Any] = {}

    def make(**given: Any) -> FeatureProvider:
        seen.update(given)
        return Ohlcv53Provider(schema)

    model = model_of(feature_schema=schema.document(), constants={"mean": [1.0]})
    assert ObservationBuilder.for_model(model, features=make).schema == schema
    assert seen == {"constants": {"mean": [1.0]}}


def test_a_pin_may_assert_the_features_of_a_file_that_states_none(daily: Bars, schema_of: SchemaOf) -> None:
    """The asserted digest must be the provider's."""
    schema = schema_of(daily)
    builder = ObservationBuilder.for_model(
        model_of(), features=lambda: Ohlcv53Provider(schema), asserted_sha256=schema.sha256
    )
    assert builder.schema == schema
    with pytest.raises(ContractError):
        ObservationBuilder.for_model(model_of(), features=lambda: Ohlcv53Provider(schema), asserted_sha256="sha256:00")


def test_asserted_features_of_ours_need_no_provider_to_be_named(daily: Bars, schema_of: SchemaOf) -> None:
    """The digest tells which of this package's own schemas is meant; another's digest tells nothing."""
    schema = schema_of(daily)
    assert ObservationBuilder.for_model(model_of(), asserted_sha256=schema.sha256).schema == schema
    named = model_of(timeframe=schema.timeframe, feed=schema.feed)
    assert ObservationBuilder.for_model(named, asserted_sha256=schema.sha256).schema == schema
    with pytest.raises(ContractError, match="E309"):
        ObservationBuilder.for_model(model_of(), asserted_sha256="sha256:" + "0" * 64)


def test_asserted_features_never_replace_stated_ones(daily: Bars, schema_of: SchemaOf) -> None:
    """A person's word completes a file; against the file's own it is a conflict, E304."""
    schema = schema_of(daily)
    model = model_of(feature_schema=schema.document())
    assert ObservationBuilder.for_model(model, asserted_sha256=schema.sha256).schema == schema
    with pytest.raises(ContractError, match="E304"):
        ObservationBuilder.for_model(model, features=lambda: Ohlcv53Provider(schema), asserted_sha256="sha256:00")


def test_pin_of_a_loaded_model_reaches_its_observations(tmp_path: Path, daily: Bars, schema_of: SchemaOf) -> None:
    """From trader-pins.toml to the builder: without the pin E309, with it the asserted features."""
    schema = schema_of(daily)
    bare = NativeModelWrapper(GOLDEN)
    with pytest.raises(ContractError, match="E309"):
        ObservationBuilder.for_model(bare)
    pins = tmp_path / "trader-pins.toml"
    said = f'sha256 = "{bare.sha256}"\nfeature_schema = "{schema.sha256}"\nwho = "ann"\nwhy = "her own run"\n'
    pins.write_text(f"[[pin]]\n{said}", "utf-8")
    assert ObservationBuilder.for_model(NativeModelWrapper(GOLDEN, pins=pins)).schema == schema
    pins.write_text(f"[[pin]]\n{said}until = 2020-01-01\n", "utf-8")
    with pytest.raises(ContractError, match="E309"):
        ObservationBuilder.for_model(NativeModelWrapper(GOLDEN, pins=pins))


def test_features_of_another_width_than_the_model_are_refused(daily: Bars, schema_of: SchemaOf) -> None:
    """A model of 59 columns is not fed 53."""
    schema = schema_of(daily, "2.3.0")
    with pytest.raises(ContractError) as caught:
        ObservationBuilder.for_model(model_of(feature_schema=schema.document()))
    assert caught.value.code == "E302"


@pytest.mark.parametrize("target", ["", "module", "module:", ":Name", "no_such_module:X", "math:nothing", "math:pi"])
def test_an_unknown_provider_is_a_typed_error(target: str) -> None:
    """The form that is expected is in the message."""
    with pytest.raises(ConfigError, match=r"package\.module:Provider"):
        load_provider(target)
