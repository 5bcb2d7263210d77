"""Gaps: what is missing, what is foreign, and which windows are whole."""

from dataclasses import replace

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import find_gaps, get_calendar, has_window_gap, load_bars, whole_windows

CALENDAR = get_calendar("XNYS")
COLUMNS = ("t", "open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def minutes() -> Bars:
    """Return two sessions and a bit."""
    return load_bars("planted:bars=1000", "SIM", "1Min")


def without(bars: Bars, *rows: int) -> Bars:
    """Return the bars without some rows."""
    return replace(bars, **{name: np.delete(getattr(bars, name), rows) for name in COLUMNS})


def test_nights_and_weekends_are_no_gaps(minutes: Bars) -> None:
    """Whole sessions in a row miss nothing."""
    assert find_gaps(minutes.t, Timeframe.MIN_1, CALENDAR).summary() == "no gaps"


def test_a_missing_minute_is_found(minutes: Bars) -> None:
    """The missing start is named."""
    gaps = find_gaps(without(minutes, 500).t, Timeframe.MIN_1, CALENDAR)
    assert gaps.missing.tolist() == [int(minutes.t[500])]
    assert "1 missing" in gaps.summary()


def test_a_bar_outside_the_sessions_is_foreign(minutes: Bars) -> None:
    """A minute before the open belongs to no session."""
    early = np.concatenate([[minutes.t[0] - 60 * 10**9], minutes.t[:10]])
    assert find_gaps(early, Timeframe.MIN_1, CALENDAR).foreign.tolist() == [int(early[0])]


def test_a_gap_blocks_until_it_has_left_the_window(minutes: Bars) -> None:
    """With 100 bars after the gap the window is whole again."""
    broken = without(minutes, 500).t
    assert [has_window_gap(broken[:stop], Timeframe.MIN_1, CALENDAR) for stop in (500, 501, 599, 600)] == [
        False,
        True,
        True,
        False,
    ]


def test_whole_windows_agree_with_the_live_rule(minutes: Bars) -> None:
    """The rule over a history is the live rule at every bar."""
    broken = without(minutes, 300, 301, 700)
    whole = whole_windows(broken, CALENDAR)
    assert not whole[:99].any()
    for row in range(99, len(broken)):
        assert whole[row] == (not has_window_gap(broken.t[: row + 1], Timeframe.MIN_1, CALENDAR))


@pytest.mark.parametrize("length", [0, 1, 98, 99])
def test_fewer_bars_than_a_window_make_no_whole_window(minutes: Bars, length: int) -> None:
    """A short history is an answer, not a crash."""
    whole = whole_windows(minutes.slice(0, length), CALENDAR)
    assert len(whole) == length
    assert not whole.any()
