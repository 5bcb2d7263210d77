"""Stamping: assertions go into a new file, never against what the file itself says."""

from pathlib import Path

import pytest

from trader_sdk import NativeModelWrapper, ObservationBuilder, SdkError
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.compatibility import Mode

LEGACY = Path(__file__).parents[2] / "compat" / "golden" / "legacy"
PROVIDER = "trader_sdk.features:Ohlcv53Provider"


def legacy_file(n_actions: int) -> Path:
    """Return a golden without metadata that loads in warn mode."""
    for path in sorted(LEGACY.rglob("*.pt")):
        try:
            model = NativeModelWrapper(path)
        except SdkError:
            continue
        if model.metadata.get("model_version") is None and model.model_spec.n_actions == n_actions:
            return path
    raise AssertionError("no such golden")


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


def test_stamp_cures_features_not_proven(tmp_path: Path) -> None:
    """The line that E309 prints works: the same policy, now with features that the live trader accepts."""
    path = legacy_file(3)
    before = NativeModelWrapper(path)
    with pytest.raises(SdkError) as refused:
        ObservationBuilder.for_model(before)
    assert refused.value.code == "E309"
    version = before.model_version.split("|")[-1]
    code = trader(
        "compat", "stamp", path, "--features", PROVIDER, "--model-version", version,
        "--activation", "tanh", "--symbol", "AAPL", "--out", tmp_path,
    )  # fmt: skip
    after = NativeModelWrapper(tmp_path / path.name)
    assert code == 0
    assert (after.policy_sha256, after.model_version) == (before.policy_sha256, version)
    assert [finding.code for finding in after.report.refusals(Mode.STRICT)] == ["W311"]
    assert ObservationBuilder.for_model(after).schema.names[0]


def test_stamp_asks_which_version_when_several_fit(tmp_path: Path) -> None:
    """An ambiguous file is not stamped by guess."""
    ambiguous = next(path for path in sorted(LEGACY.rglob("*.pt")) if _version_of(path) == "2.4.0|2.5.0|2.6.0")
    assert trader("compat", "stamp", ambiguous, "--features", PROVIDER, "--out", tmp_path) == 4
    assert list(tmp_path.iterdir()) == []


def _version_of(path: Path) -> str:
    try:
        return NativeModelWrapper(path).model_version
    except SdkError:
        return ""


def test_stamp_refuses_what_the_file_contradicts_and_what_exists(tmp_path: Path) -> None:
    """A stated activation stands, and no file is overwritten."""
    golden = next((Path(__file__).parents[2] / "compat" / "golden" / "2.7.0").glob("*.pt"))
    stated = NativeModelWrapper(golden).activation
    other = "relu" if stated == "tanh" else "tanh"
    assert trader("compat", "stamp", golden, "--activation", other, "--out", tmp_path) == 4
    assert list(tmp_path.iterdir()) == []
    (tmp_path / golden.name).write_bytes(b"mine")
    assert trader("compat", "stamp", golden, "--out", tmp_path) == 2
    assert (tmp_path / golden.name).read_bytes() == b"mine"
