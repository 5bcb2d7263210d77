"""Simulated minutes inside real days."""

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.data import find_gaps, get_calendar, load_bars, vendored_bars
from trader_sdk.data.anchored import anchored_bars

DAY_NS = 86_400 * 10**9


def days_of(minutes: Bars) -> list[Bars]:
    """Return the minutes of each day."""
    first = np.flatnonzero(np.diff(minutes.t // DAY_NS, prepend=-1))
    return [minutes.slice(start, stop) for start, stop in zip(first, [*first[1:], len(minutes)], strict=True)]


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT", "GOOG", "FB"])
def test_anchored_minutes_reproduce_every_day_exactly(symbol: str) -> None:
    """Each day's open, high, low, close and volume come out to the last bit."""
    daily = vendored_bars(symbol)
    days = days_of(anchored_bars(daily, n_days=190))
    assert len(days) == 190
    for offset, minutes in enumerate(days):
        day = daily.at(len(daily) - 190 + offset)
        made = (minutes.open[0], minutes.high.max(), minutes.low.min(), minutes.close[-1], minutes.volume.sum())
        assert made == (day.open, day.high, day.low, day.close, day.volume)


def test_anchored_minutes_are_simulated_and_lie_in_sessions() -> None:
    """They are labelled, have no gap, and an early close has 210 of them."""
    minutes = load_bars("anchored:days=190", "AAPL", "1Min")
    assert minutes.kind is DataKind.SIMULATED
    assert not find_gaps(minutes.t, minutes.timeframe, get_calendar("XNYS"))
    assert sorted({len(day) for day in days_of(minutes)}) == [210, 390]


def test_an_anchored_day_does_not_depend_on_the_range_it_is_asked_in() -> None:
    """The newest day is the same whether two days are made or five."""
    two, five = (load_bars(f"anchored:days={days}", "IBM", "1Min") for days in (2, 5))
    np.testing.assert_array_equal(two.close[-390:], five.close[-390:])


def test_anchored_minutes_have_a_volume_of_u_shape() -> None:
    """Open and close are busier than noon."""
    volume = np.array([day.volume for day in days_of(load_bars("anchored:days=60", "MSFT", "1Min")) if len(day) == 390])
    mean = volume.mean(axis=0)
    assert min(mean[:30].mean(), mean[-30:].mean()) > 1.5 * mean[180:210].mean()


def test_anchored_minutes_refuse_bars_that_are_not_daily() -> None:
    """Minutes cannot be anchored on minutes."""
    with pytest.raises(DataError, match="daily bars only"):
        anchored_bars(load_bars("planted:bars=400", "SIM", "1Min"))
