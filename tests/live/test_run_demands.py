"""What `trader run` may ask of a model beyond its approval: signature, age, pins, recalls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.signatures import add_signature
from trader_sdk.signing import PrivateKey, canonical_bytes, generate_key, sign, write_key_pair

Ask = Callable[..., Any]
BARS = ("--max-bars", "3")


@pytest.fixture
def run(ask: Ask, tmp_path: Path, make_archive: Callable[..., Path]) -> Callable[..., Any]:
    """Return a function that runs three bars of a fresh archive with one AAPL model."""
    archive = make_archive()

    def go(*arguments: object) -> Any:
        return ask(tmp_path / "state", "run", "--archive", str(archive), *BARS, *map(str, arguments))

    go.archive = archive  # type: ignore[attr-defined]  # the tests look into it
    return go


def signed_by(archive: Path, key: PrivateKey) -> None:
    """Sign every verdict of an archive."""
    reader = ArchiveReader(archive)
    for ref in reader.state.verdicts.values():
        add_signature(reader.root, sign(canonical_bytes(reader.judged(ref).verdict), key))


def test_run_trades_only_what_an_accepted_key_signed(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsigned is E104 and exit 3 in both modes; signed it trades, by a file or by the environment's keys."""
    key = generate_key()
    pair = write_key_pair(tmp_path / "keys", key)
    for strict in (0, 1):
        refused = run("--require-signature", pair.public, "--strict-version", strict)
        assert (refused.code, "E104" in refused.stderr) == (3, True)
    signed_by(run.archive, key)
    assert run("--require-signature", pair.public).code == 0
    monkeypatch.setenv("TRADER_PUBLIC_KEYS", pair.public.read_text("utf-8"))
    assert run("--require-signature", "env").code == 0
    other = write_key_pair(tmp_path / "other", generate_key())
    assert run("--require-signature", other.public).code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("--require-signature", "env"),
        ("--require-signature", "absent.pub"),
        ("--pins", "absent.toml"),
        ("--recalls", "absent.toml"),
        ("--max-model-age", "0"),
    ],
    ids=" ".join,
)
def test_run_refuses_demands_that_cannot_be_read(run: Any, arguments: tuple[str, ...]) -> None:
    """A demand that cannot be made is exit 2 and one line, never a run without it."""
    refused = run(*arguments)
    assert refused.code == 2
    assert len(refused.stderr.strip().splitlines()) == 1


def test_run_calls_an_old_model_stale(run: Any) -> None:
    """W706: a note that trades in warn mode, a refusal in strict."""
    assert run("--max-model-age", 30).code == 0
    refused = run("--max-model-age", 30, "--strict-version", 1)
    assert (refused.code, "W706" in refused.stderr) == (4, True)
    assert run("--max-model-age", 40_000, "--strict-version", 1).code == 0


def test_run_refuses_what_was_recalled_or_pinned_otherwise(run: Any, tmp_path: Path) -> None:
    """By a recalls file E505; a pin that contradicts the file E301; both in warn mode."""
    (digest,) = {one.sha256 for ref in ArchiveReader(run.archive).state.verdicts.values()
                 for one in ArchiveReader(run.archive).judged(ref).verdict.subjects[:1]}  # fmt: skip
    file = tmp_path / "recalls.toml"
    file.write_text(f'[[recall]]\nsha256 = "{digest}"\nwho = "ann"\nwhy = "trained on a leak"\n', "utf-8")
    refused = run("--recalls", file)
    assert (refused.code, "ann: trained on a leak" in refused.stderr) == (4, True)
    file.write_text('[[recall]]\nversion = "2.3.0"\nwho = "ann"\nwhy = "old"\n', "utf-8")
    assert run("--recalls", file).code == 0


def test_pinned_features_let_a_silent_model_trade(ask: Ask, tmp_path: Path, make_archive: Callable[..., Path]) -> None:
    """A model that states no features is E309 until a pin asserts whose they are."""
    from trader_sdk.approved import load_approved
    from trader_sdk.features.schema import build_schema

    archive = make_archive(states_features=False)
    arguments = ("run", "--archive", str(archive), *BARS)
    refused = ask(tmp_path / "state", *arguments)
    assert (refused.code, "E309" in refused.stderr) == (4, True)
    schema = build_schema("2.7.0", "1Day", calendar="XNYS", feed="vendored", adjustment="split")
    pins = tmp_path / "trader-pins.toml"
    pins.write_text(
        f'[[pin]]\nsha256 = "{load_approved(archive, "AAPL").sha256}"\nfeature_schema = "{schema.sha256}"\n'
        'who = "ann"\nwhy = "her own run"\n',
        "utf-8",
    )
    traded = ask(tmp_path / "state", *arguments, "--pins", str(pins))
    assert (traded.code, traded.last["bars"]) == (0, 3)
