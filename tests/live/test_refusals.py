"""Bad input and models that may not trade: one typed line each, the documented exit code, nothing started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Ask = Callable[..., Any]
KEYS = {"ALPACA_API_KEY": "PKTESTKEY", "ALPACA_SECRET_KEY": "planted-secret"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--paper", "2"),
        ("--paper", "0"),
        ("--paper", "0", "--confirm-live", "1234"),
        ("--paper", "0", "--broker", "local"),
        ("--broker", "moon"),
        ("--broker", "alpaca"),
        ("--timeframe", "7Min"),
        ("--symbols", "AA PL"),
        ("--symbols", "AAPL,AAPL"),
        ("--max-bars", "0"),
        ("--follow", "everybody"),
        ("--require", "some"),
        ("--no-such-flag", "1"),
    ],
    ids=" ".join,
)
def test_run_refuses_wrong_arguments_with_exit_2(ask: Ask, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Wrong arguments end with 2, one line on stderr, and no state folder."""
    result = ask(tmp_path / "state", "run", *arguments)
    assert result.code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--paper", "0"),
        ("--paper", "0", "--confirm-live", "1234"),
        ("--paper", "1"),
        ("--paper", "1", "--archive", "somewhere", "--market", "real-daily"),
    ],
    ids=" ".join,
)
def test_run_with_keys_refuses_before_it_calls_anybody(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """With keys, a missing confirmation or archive is exit 2; the demo never trades on Alpaca, no key is shown."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    result = ask(tmp_path / "state", "run", *arguments)
    assert result.code == 2
    assert not any(secret in result.stderr + result.stdout for secret in KEYS.values())
    assert not (tmp_path / "state").exists()


def test_run_refuses_a_missing_archive(ask: Ask, tmp_path: Path) -> None:
    """No archive at the path is E608, exit 5, and the last event says so."""
    result = ask(tmp_path / "state", "run", "--archive", str(tmp_path / "nowhere"))
    assert result.code == 5
    assert "E608" in result.stderr
    assert (result.last["event"], result.last["exit_code"], result.last["fills"]) == ("run_finished", 5, 0)


def test_refused_start_leaves_nothing_behind(ask: Ask, tmp_path: Path) -> None:
    """Started again and again by a supervisor, a run that cannot begin does not fill the disk with demo archives."""
    assert ask(tmp_path, "run", "--symbols", "NONE").code == 5
    assert [path.name for path in (tmp_path / "paper-local").iterdir()] == ["journal.lock"]


def test_run_without_a_deployable_model_exits_5(ask: Ask, tmp_path: Path, daily_archive: Path) -> None:
    """Only a REVIEW model is asked for: nothing is left, in both modes."""
    for strict in ("0", "1"):
        result = ask(tmp_path, "run", "--archive", str(daily_archive), "--symbols", "IBM", "--strict-version", strict)
        assert result.code == 5
        assert "E601" in result.stderr


def test_strict_run_refuses_when_one_requested_symbol_has_no_model(
    ask: Ask, tmp_path: Path, daily_archive: Path
) -> None:
    """Strict does not skip: an unknown symbol beside a good one is exit 5."""
    asked = ("run", "--archive", str(daily_archive), "--symbols", "AAPL,TSLA", "--strict-version", "1")
    result = ask(tmp_path, *asked)
    assert result.code == 5
    assert "TSLA" in result.stderr


def test_warn_run_skips_a_symbol_without_a_model(ask: Ask, tmp_path: Path, daily_archive: Path) -> None:
    """Warn trades the rest and keeps the refusal in the journal."""
    result = ask(tmp_path, "run", "--archive", str(daily_archive), "--symbols", "AAPL,TSLA", "--once", "1")
    assert result.code == 0, result.stderr
    assert [event["symbol"] for event in result.named("model_refused")] == ["TSLA"]
    assert result.last["decisions"] == 1


@pytest.mark.parametrize("strict", ["0", "1"])
def test_run_refuses_a_model_without_features_and_prints_the_cure(
    ask: Ask, tmp_path: Path, make_archive: Callable[..., Path], strict: str
) -> None:
    """Features are never assumed: E309 in both modes, with the command that asserts them."""
    archive = make_archive(states_features=False)
    result = ask(tmp_path / "state", "run", "--archive", str(archive), "--strict-version", strict)
    assert result.code == 4
    assert "E309" in result.stderr
    assert "trader compat stamp" in result.stderr


@pytest.mark.parametrize("end", ["2013-03-01", None])
def test_run_refuses_to_show_a_model_its_own_past(
    ask: Ask, tmp_path: Path, make_archive: Callable[..., Path], end: str | None
) -> None:
    """No bars after the model's data, or data that ends nobody knows where: E705, exit 5."""
    result = ask(tmp_path / "state", "run", "--archive", str(make_archive(end=end)))
    assert result.code == 5
    assert "E705" in result.stderr


def test_run_refuses_bytes_that_were_not_judged(ask: Ask, tmp_path: Path, make_archive: Callable[..., Path]) -> None:
    """A model file that was changed after its verdict is E602, exit 5."""
    archive = make_archive()
    (model,) = archive.glob("*/models/*.safetensors")
    model.write_bytes(model.read_bytes()[:-1] + b"\x01")
    result = ask(tmp_path / "state", "run", "--archive", str(archive), "--strict-version", "1")
    assert result.code == 5
    assert "E602" in result.stderr


def test_run_refuses_market_data_that_is_not_valid(ask: Ask, tmp_path: Path, daily_archive: Path) -> None:
    """A file that is no bars ends with 2 and one line."""
    file = tmp_path / "bars.csv"
    file.write_text("symbol,t,open\nAAPL,2012-07-02,nan\n")
    result = ask(tmp_path / "state", "run", "--archive", str(daily_archive), "--market", str(file))
    assert result.code == 2
    assert len(result.stderr.strip().splitlines()) == 1
