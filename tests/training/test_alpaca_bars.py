"""Bars from Alpaca's data service, played by the embedded exchange over loopback: fetched once, kept, trained on."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from trader_sdk.cli import build_app
from trader_sdk.cli import run_app as run_trader
from trader_sdk.cli.data_fetch import within_sessions
from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import get_calendar, load_bars
from trader_sdk.data.sources import asked_of
from trader_sdk.exchange import AssetSetup, ExchangeSetup, LocalExchange
from training.arguments import bars_of
from training.cli import run_app

SLOT = ["--symbol", "AAPL", "--timeframe", "1Min"]
KEYS = ("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_API_SECRET", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY")


def minutes(*extra: int) -> Bars:
    """Return whole sessions of random minutes, and those that start at ``extra`` ns."""
    first, last = datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 3, 21, tzinfo=UTC)
    t = get_calendar("XNYS").bars_between(first, last, Timeframe.MIN_1)
    t = np.sort(np.concatenate([t, np.array(extra, np.int64)]))
    close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.001, len(t)))).round(4)
    open_ = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    volume, kind = np.full(len(t), 1_000.0), DataKind.SIMULATED
    return Bars("AAPL", Timeframe.MIN_1, t, open_, high, low, close, volume, kind, "simulated", "split")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExchange]:
    """Return a running exchange that has these minutes behind it."""
    bars = minutes()
    setup = ExchangeSetup(run_id="fetch", assets=(AssetSetup.of(bars),), start_ns=int(bars.t[-5]))
    with LocalExchange(tmp_path_factory.mktemp("venue") / "state", setup, {"AAPL": bars}) as running:
        yield running


@pytest.fixture
def source(exchange: LocalExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a source on that exchange, with its keys and an empty cache in the environment."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRADER_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ALPACA_API_KEY", exchange.key)
    monkeypatch.setenv("ALPACA_SECRET_KEY", exchange.secret)
    return f"alpaca:start=2024-03-04,end=2024-03-20,url={exchange.data_url}"


def training(source: str, folder: Path) -> list[str]:
    """Return the arguments of a run that is as short as a run can be."""
    short = ["--hidden", "4", "--total-steps", "8192", "--json", "1"]
    return ["run", "--data", source, *SLOT, "--out", str(folder), "--archive", str(folder.parent / "archive"), *short]


def test_training_fetches_bars_once_and_goes_on_without_the_venue(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run fetches and says that it is simulated; whoever reads the bars afterwards needs neither venue nor keys."""
    assert run_app(training(source, tmp_path / "one")) == 0
    (verdict,) = json.loads(capsys.readouterr().out.splitlines()[-1])["verdicts"]
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    bars = bars_of(source, "AAPL", "1Min", None)
    assert verdict["data"]["digest"] == bars.digest
    assert verdict["data"]["kind"] == "simulated"
    assert (len(bars), bars.adjustment) == (13 * 390 - 5, "split")


def test_what_was_traded_outside_the_sessions_is_left_out_and_counted() -> None:
    """Alpaca gives minutes before the open and after the close; the trader decides on none of them."""
    plain = minutes()
    before, after = int(plain.t[0]) - 10 * 60 * 10**9, int(plain.t[389]) + 60 * 10**9
    kept, outside = within_sessions(minutes(before, after))
    assert outside == 2
    assert kept.t.tolist() == plain.t.tolist()


def test_fetch_refuses_without_keys_in_one_line_and_keeps_nothing(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both doors name the variables; no run, no cache."""
    monkeypatch.delenv("ALPACA_API_KEY")
    monkeypatch.delenv("ALPACA_SECRET_KEY")
    assert run_trader(build_app(["data"]), ["data", "fetch", source, *SLOT]) == 2
    assert run_app(training(source, tmp_path / "run")) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert all("ALPACA_API_KEY and ALPACA_SECRET_KEY" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_fetch_says_when_the_venue_refuses_the_keys(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 6, one line, and the secret is not in it."""
    monkeypatch.setenv("ALPACA_SECRET_KEY", "not-the-secret")
    assert run_app(training(source, tmp_path / "run")) == 6
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "not-the-secret" not in error
    assert not (tmp_path / "cache").exists()


def test_longer_bars_are_made_of_minutes_as_live_ones_are(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Hours count from the session's open; what was traded before it is in none of them."""
    assert run_trader(build_app(["data"]), ["data", "fetch", source, "--symbol", "AAPL", "--timeframe", "1Hour"]) == 0
    assert "SIMULATED AAPL 1Hour, 91 bars" in capsys.readouterr().out
    bars = load_bars(source, "AAPL", "1Hour")
    assert (bars.t[0] // (60 * 10**9)) % (24 * 60) == 14 * 60 + 30


def test_fetched_file_that_changed_is_refused_until_it_is_fetched_again(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that is not what was fetched is no data."""
    fetch = ["data", "fetch", source, *SLOT]
    assert run_trader(build_app(["data"]), fetch) == 0
    assert "5065 bars" in capsys.readouterr().out
    path = asked_of(source, "AAPL", "1Min").path
    whole = path.read_bytes()
    path.with_name(path.name.removesuffix(".csv.gz") + ".json").write_text('{"digest": "sha256:other"}')
    with pytest.raises(DataError, match="not what was fetched"):
        load_bars(source, "AAPL", "1Min")
    assert run_trader(build_app(["data"]), [*fetch, "--again", "1"]) == 0
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "source",
    [
        "alpaca",
        "alpaca:start=2024-03-04",
        "alpaca:start=2024-03-04,end=2024-03-01",
        "alpaca:start=2024-03-04,end=soon",
        "alpaca:start=2024-03-04,end=2024-03-05,feed=otc",
        "alpaca:start=2024-03-04,end=2024-03-05,colour=blue",
        "alpaca:start=2024-03-04,end=2024-03-05,url=http://example.com",
        "alpaca:start=2024-03-04,end=2999-01-01",
    ],
)
def test_fetch_refuses_a_source_that_cannot_be(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing and unknown settings, days in the wrong order or not over yet, a venue that is not on loopback."""
    monkeypatch.setenv("TRADER_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ALPACA_API_KEY", "key")
    monkeypatch.setenv("ALPACA_SECRET_KEY", "secret")
    assert run_trader(build_app(["data"]), ["data", "fetch", source, *SLOT]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "cache").exists()
