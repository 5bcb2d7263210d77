"""Minutes to longer bars, aligned to the session."""

from dataclasses import replace

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import PlantedMarket, aggregate, find_gaps, get_calendar, load_bars, planted_bars

MINUTE_NS = 60 * 10**9
LONGER = [Timeframe.MIN_5, Timeframe.MIN_15, Timeframe.MIN_30, Timeframe.HOUR_1, Timeframe.HOUR_4]


@pytest.fixture(scope="module")
def minutes() -> Bars:
    """Return whole sessions across the end of winter time."""
    bars = load_bars("planted:bars=20000", "SIM", "1Min")
    return bars.slice(46 * 390, 51 * 390)


@pytest.mark.parametrize("timeframe", LONGER)
def test_aggregated_bars_are_the_calendars_bars(minutes: Bars, timeframe: Timeframe) -> None:
    """Every bar of the sessions is there, daylight saving or not, and none else."""
    bars = aggregate(minutes, timeframe)
    assert not find_gaps(bars.t, timeframe, get_calendar("XNYS"))
    assert bars.volume.sum() == minutes.volume.sum()


@pytest.mark.parametrize("timeframe", LONGER)
def test_aggregated_bars_join_their_own_minutes(minutes: Bars, timeframe: Timeframe) -> None:
    """Open is the first minute's, close the last's, high, low and volume those of all of them."""
    bars = aggregate(minutes, timeframe)
    for row in (0, 1, len(bars) - 1):
        end = bars.t[row + 1] if row + 1 < len(bars) else np.iinfo(np.int64).max
        own = (minutes.t >= bars.t[row]) & (minutes.t < end)
        joined = (minutes.open[own][0], minutes.high[own].max(), minutes.low[own].min(), minutes.close[own][-1])
        assert joined == bars.at(row)[2:6]


def test_a_bar_that_is_still_open_is_not_returned(minutes: Bars) -> None:
    """Seven minutes make one bar of five; the tenth minute closes the second."""
    assert [len(aggregate(minutes.slice(0, n), Timeframe.MIN_5)) for n in (4, 5, 7, 9, 10)] == [0, 1, 1, 1, 2]


def test_a_barrier_closes_a_bar_whose_last_minutes_had_no_trade(minutes: Bars) -> None:
    """What is known until the bar's end is the bar, also without its last minute."""
    three = minutes.slice(0, 3)
    assert len(aggregate(three, Timeframe.MIN_5)) == 0
    assert len(aggregate(three, Timeframe.MIN_5, closed_at=int(minutes.t[0]) + 5 * MINUTE_NS)) == 1


def test_the_last_bar_of_an_early_close_is_short_and_closed() -> None:
    """At 13:00 the second bar of four hours never began and the first is closed."""
    day = load_bars("anchored:days=190", "AAPL", "1Min")
    lengths = np.unique(day.t // (86_400 * 10**9), return_counts=True)
    short = lengths[0][lengths[1] == 210][0]
    own = np.flatnonzero(day.t // (86_400 * 10**9) == short)
    bars = aggregate(day.slice(own[0], own[-1] + 1), Timeframe.HOUR_4)
    assert len(bars) == 1
    assert bars.close[0] == day.close[own[-1]]


def test_minutes_outside_the_sessions_are_left_out(minutes: Bars) -> None:
    """A trade before the open changes no bar."""
    early = replace(
        minutes.slice(0, 11), t=np.concatenate([[minutes.t[0] - MINUTE_NS], minutes.t[:10]]).astype(np.int64)
    )
    assert aggregate(early, Timeframe.MIN_5).open[0] == minutes.open[1]


def test_crypto_bars_count_from_midnight_utc() -> None:
    """A four-hour bar starts at 00:00, 04:00, ... UTC."""
    source = load_bars("planted:bars=600", "SIM", "1Min")
    t = np.arange(600) * MINUTE_NS + 1_609_632_000 * 10**9
    bars = aggregate(replace(source, t=t, calendar="24/7"), Timeframe.HOUR_4)
    assert (bars.t // (3_600 * 10**9) % 4 == 0).all()
    assert len(bars) == 2


@pytest.mark.parametrize("timeframe", [Timeframe.MIN_1, Timeframe.DAY_1])
def test_days_are_never_made_from_minutes(minutes: Bars, timeframe: Timeframe) -> None:
    """The venue's own daily bar holds auctions that minutes do not."""
    with pytest.raises(DataError, match="not made from minutes"):
        aggregate(minutes, timeframe)


def test_no_minutes_make_no_bars() -> None:
    """An empty history is an answer, not a crash."""
    assert len(aggregate(planted_bars(PlantedMarket(n_bars=10)).slice(0, 0), Timeframe.MIN_5)) == 0
