"""Minutes to longer intraday bars: the one function, aligned to the session's open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND, Timeframe
from trader_sdk.data.calendar import Calendar, get_calendar


def aggregate(
    minutes: Bars, timeframe: Timeframe, *, calendar: Calendar | None = None, closed_at: int | None = None
) -> Bars:
    """Aggregate minutes to bars that count from their session's open.

    A bar starts at ``open + k * timeframe`` and ends at the next start or at the session's close, so the last bar of a
    session may be short. Minutes outside the sessions are left out. A bar without any minute does not exist. Only
    closed bars are returned.

    Args:
        minutes: 1Min bars.
        timeframe: 5Min to 4Hour. Daily bars are the venue's own and never made from minutes.
        calendar: The market's sessions; the bars' own by default.
        closed_at: Until when the minutes are known, ns UTC; by default the end of the last minute.

    Returns:
        The closed bars, oldest first; possibly none.

    Raises:
        DataError: Not minutes, or a timeframe that is not made from minutes.
    """
    if minutes.timeframe is not Timeframe.MIN_1 or timeframe in (Timeframe.MIN_1, Timeframe.DAY_1):
        raise DataError(
            "BARS",
            "these bars are not made from minutes",
            where=f"aggregate {minutes.symbol}",
            expected="1Min bars to 5Min..4Hour",
            found=f"{minutes.timeframe} to {timeframe}",
            remedy="Read daily bars from their own source.",
        )
    opens, closes = (calendar or get_calendar(minutes.calendar)).session_bounds(minutes.t)
    inside = opens >= 0
    kept = _take(minutes, np.flatnonzero(inside))
    step = timeframe.seconds * NANOSECONDS_PER_SECOND
    starts = opens[inside] + (kept.t - opens[inside]) // step * step
    first = np.flatnonzero(np.diff(starts, prepend=-1))
    known_until = _end_of_last(minutes) if closed_at is None else closed_at
    ends = np.minimum(starts[first] + step, closes[inside][first])
    closed = int(np.searchsorted(ends, known_until, "right"))
    return _reduce(kept, starts, first, timeframe).slice(0, closed)


def _end_of_last(minutes: Bars) -> int:
    return int(minutes.t[-1]) + Timeframe.MIN_1.seconds * NANOSECONDS_PER_SECOND if len(minutes) else 0


def _take(bars: Bars, rows: NDArray[np.int64]) -> Bars:
    names = ("t", "open", "high", "low", "close", "volume")
    return replace(bars, **{name: getattr(bars, name)[rows] for name in names})


def _reduce(minutes: Bars, starts: NDArray[np.int64], first: NDArray[np.int64], timeframe: Timeframe) -> Bars:
    if not len(first):
        return replace(minutes, timeframe=timeframe)
    last = np.append(first[1:], len(minutes)) - 1
    return replace(
        minutes,
        timeframe=timeframe,
        t=starts[first],
        open=minutes.open[first],
        high=np.maximum.reduceat(minutes.high, first),
        low=np.minimum.reduceat(minutes.low, first),
        close=minutes.close[last],
        volume=np.add.reduceat(minutes.volume, first),
    )
