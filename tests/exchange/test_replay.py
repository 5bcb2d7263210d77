from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.exchange.config import MARKET_FILE
from trader_sdk.exchange.market import Market
from trader_sdk.exchange.replay import Instant, Phase, Replay
from trader_sdk.exchange.sessions import SessionBook, new_york, standard_session
from trader_sdk.exchange.testing import (
    FIRST_DAY,
    crypto_bars,
    daily_bars,
    market_of,
    minute_bars,
    rising,
    weekdays,
)


def replay_of(*series: Bars, history: int) -> Replay:
    """Return the replay of some bars after the first's history."""
    market = market_of({bars.symbol: bars for bars in series})
    return Replay(market, int(series[0].t[history]), Decimal("0.1"))


def instants(replay: Replay) -> list[Instant]:
    """Return the whole timeline."""
    return [replay.instant(index) for index in range(len(replay))]


def test_daily_replay_walks_through_each_day() -> None:
    """Evening, open, close, final, day after day; the bar is released with final."""
    replay = replay_of(daily_bars("AAPL", rising(4)), history=2)
    steps = [(f"{new_york(step.at):%d %H:%M}", step.phase.value, len(step.released)) for step in instants(replay)]
    assert steps == [
        ("04 19:00", "evening", 0),
        ("05 09:30", "open", 0),
        ("05 16:00", "close", 0),
        ("05 16:05", "final", 1),
        ("05 19:00", "evening", 0),
        ("06 09:30", "open", 0),
        ("06 16:00", "close", 0),
        ("06 16:05", "final", 1),
    ]
    assert f"{new_york(replay.begins_at):%d %H:%M}" == "04 16:05"


def test_minute_replay_ends_a_bar_and_opens_the_next_at_once() -> None:
    """One instant a minute; the session opens before the first and closes with the last."""
    replay = replay_of(minute_bars("AAPL", rising(391, step=0.01)), history=388)
    steps = instants(replay)
    assert [step.phase for step in steps] == [Phase.BAR, Phase.CLOSE, Phase.OPEN, Phase.BAR]
    assert [len(step.released) for step in steps] == [1, 1, 0, 1]
    assert [type(one).__name__ for one in steps[0].inputs] == ["BarsTraded", "BarsOpened"]
    assert [type(one).__name__ for one in steps[1].inputs] == ["BarsTraded", "SessionClosed"]
    assert [type(one).__name__ for one in steps[2].inputs] == ["SessionOpened", "BarsOpened"]


def test_replay_that_starts_inside_a_session_begins_with_its_bar_open() -> None:
    """The session runs already and the first replayed bar can be traded at its open."""
    replay = replay_of(minute_bars("AAPL", rising(10)), history=5)
    assert replay.begins_at == int(minute_bars("AAPL", rising(10)).t[5])
    assert [type(one).__name__ for one in replay.initial_inputs()] == ["SessionOpened", "BarsOpened"]


def test_nothing_is_released_before_it_is_final() -> None:
    """No bar is visible before its end, and each replayed bar is released exactly once, in order."""
    for bars, history in ((daily_bars("AAPL", rising(6)), 2), (minute_bars("AAPL", rising(800, step=0.01)), 100)):
        replay = replay_of(bars, history=history)
        track = replay.market.tracks["AAPL"]
        released = [bar.t for step in instants(replay) for bar in step.released]
        assert released == [int(t) for t in bars.t[history:]]
        assert (track.visible_at >= track.ends_at).all()
        assert (track.ends_at > track.opens_at).all()


def test_symbol_without_a_bar_has_no_part_in_the_instant() -> None:
    """A missing minute of one symbol leaves the other alone."""
    whole = minute_bars("AAPL", rising(5))
    keep = np.array([0, 1, 3, 4])
    gappy = Bars(
        "MSFT",
        whole.timeframe,
        *(getattr(whole, name)[keep] for name in ("t", "open", "high", "low", "close", "volume")),
        kind=whole.kind,
        feed=whole.feed,
        adjustment=whole.adjustment,
    )
    replay = replay_of(whole, gappy, history=1)
    assert [sorted(bar.symbol for bar in step.released) for step in instants(replay)] == [
        ["AAPL", "MSFT"],
        ["AAPL"],
        ["AAPL", "MSFT"],
        ["AAPL", "MSFT"],
    ]


def test_crypto_replay_has_no_sessions() -> None:
    """Minutes follow each other over midnight."""
    replay = replay_of(crypto_bars("BTC/USD", rising(1_442, start=20_000)), history=1_438)
    assert [step.phase for step in instants(replay)] == [Phase.BAR] * 4
    assert replay.initial_inputs()


def test_half_day_ends_early() -> None:
    """A session that closes at 13:00 moves close and final three hours ahead."""
    days = weekdays(3)
    whole, half = standard_session(days[0]), standard_session(days[1])
    short = type(half)(half.opens_at, half.closes_at - 3 * 3_600_000_000_000)
    bars = daily_bars("AAPL", rising(2))
    replay = Replay(Market({"AAPL": bars}, SessionBook([whole, short])), int(bars.t[1]), Decimal("0.1"))
    assert [f"{new_york(step.at):%H:%M}" for step in instants(replay)] == ["19:00", "09:30", "13:00", "13:05"]


def test_market_survives_its_file(tmp_path: Path) -> None:
    """What is loaded is what was saved, to the last bit."""
    market = market_of({"AAPL": daily_bars("AAPL", rising(4)), "MSFT": daily_bars("MSFT", rising(4, start=30.1))})
    market.save(tmp_path / MARKET_FILE)
    assert Market.load(tmp_path / MARKET_FILE).digest == market.digest


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_market_that_is_no_market_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    """A damaged file is named, not half read."""
    path = tmp_path / MARKET_FILE
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a market"):
        Market.load(path)


def test_bar_outside_the_sessions_is_a_data_error() -> None:
    """A minute at night or a daily bar on a holiday cannot be replayed."""
    sessions = SessionBook([standard_session(FIRST_DAY)])
    with pytest.raises(DataError, match="without a session"):
        _ = Market({"AAPL": daily_bars("AAPL", rising(2))}, sessions).tracks
    with pytest.raises(DataError, match="outside the trading sessions"):
        _ = Market({"AAPL": minute_bars("AAPL", rising(391, step=0.1))}, sessions).tracks


def test_two_timeframes_are_a_data_error() -> None:
    """A venue replays one timeframe."""
    bars = {"AAPL": daily_bars("AAPL", rising(2)), "MSFT": minute_bars("MSFT", rising(2))}
    with pytest.raises(DataError, match="exactly one timeframe"):
        Market(bars, SessionBook([]))
