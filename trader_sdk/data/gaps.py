"""Missing bars. Rule: a bar is never invented; a window that misses one is not traded on (WINDOW_GAP)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data.calendar import Calendar, get_calendar

Int64 = NDArray[np.int64]
OBSERVED_BARS: Final = 100
"""Bars of one observation: a gap matters until it has left them."""


@dataclass(frozen=True, slots=True)
class Gaps:
    """What a calendar says about the bars between the first and the last one.

    Attributes:
        missing: int64, starts of bars that should be there, ns UTC.
        foreign: int64, starts of bars that belong to no session or stand between two bars, ns UTC.
    """

    missing: Int64
    foreign: Int64

    def __bool__(self) -> bool:
        return bool(len(self.missing) or len(self.foreign))

    def summary(self) -> str:
        """Return one clause for a person: counts, and the first of each sort."""
        parts = [
            f"{len(starts)} {what}, first {time_text(int(starts[0]))}"
            for what, starts in (("missing", self.missing), ("outside the sessions", self.foreign))
            if len(starts)
        ]
        return "; ".join(parts) or "no gaps"


def find_gaps(t: Int64, timeframe: Timeframe, calendar: Calendar) -> Gaps:
    """Compare bar starts with the calendar's.

    Args:
        t: int64 (T,), bar starts in ns UTC, strictly increasing.
        timeframe: Length of the bars.
        calendar: The market's sessions.

    Returns:
        Missing and foreign bars between the first and the last start. A halt and a minute without a trade are missing
        bars like any other; a holiday, a night and the hours after an early close are not.
    """
    if not len(t):
        return Gaps(t, t)
    expected = calendar.bars_between(_utc(int(t[0])), _utc(int(t[-1])) + timedelta(microseconds=1), timeframe)
    return Gaps(np.setdiff1d(expected, t, assume_unique=True), np.setdiff1d(t, expected, assume_unique=True))


def has_window_gap(t: Int64, timeframe: Timeframe, calendar: Calendar, window: int = OBSERVED_BARS) -> bool:
    """Return whether the newest ``window`` bars miss one: the reason WINDOW_GAP."""
    return len(find_gaps(t[-window:], timeframe, calendar).missing) > 0


def whole_windows(bars: Bars, calendar: Calendar, window: int = OBSERVED_BARS) -> NDArray[np.bool_]:
    """Return, for each bar, whether the ``window`` bars that end with it are all there.

    Args:
        bars: T consecutive bars.
        calendar: The market's sessions.
        window: Bars of one observation.

    Returns:
        bool (T,); False too where fewer than ``window`` bars exist. The live rule applied to a whole history, so
        that training may leave out what live would not trade.
    """
    missing = find_gaps(bars.t, bars.timeframe, calendar).missing
    missing_before = np.searchsorted(missing, bars.t)
    whole = np.zeros(len(bars), np.bool_)
    if len(bars) < window:
        return whole
    whole[window - 1 :] = missing_before[window - 1 :] == missing_before[: len(bars) - window + 1]
    return whole


def complete_windows(bars: Bars, window: int = OBSERVED_BARS) -> NDArray[np.bool_]:
    """Return, for each bar, whether the trader would look at it: :func:`whole_windows` by the bars' own calendar.

    The first ``window - 1`` bars count as complete where none is missing: whoever reads them has its own history.

    Raises:
        ConfigError: The calendar is not known (exchange-calendars is not installed), or does not reach the bars.
    """
    missing = find_gaps(bars.t, bars.timeframe, get_calendar(bars.calendar)).missing
    if not len(missing):
        return np.ones(len(bars), np.bool_)
    before = np.searchsorted(missing, bars.t)
    first = np.maximum(np.arange(len(bars)) - window + 1, 0)
    whole: NDArray[np.bool_] = before == before[first]
    return whole


def time_text(ns: int) -> str:
    """Return a time in ns UTC as RFC 3339.

    Example:
        >>> time_text(0)
        '1970-01-01T00:00:00Z'
    """
    return _utc(ns).isoformat().replace("+00:00", "Z")


def _utc(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)
