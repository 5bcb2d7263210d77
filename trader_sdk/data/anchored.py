"""Simulated minutes inside real days: each day's open, high, low, close and volume come out exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data.calendar import XNYS, get_calendar
from trader_sdk.data.draws import normals, uniforms
from trader_sdk.data.simulators import session_progress

Floats = NDArray[np.float64]
ANCHORED_DAYS: Final = 160


def anchored_bars(daily: Bars, *, seed: int = 7, n_days: int = ANCHORED_DAYS) -> Bars:
    """Simulate the minutes of real days.

    A day's path is a chain of Brownian bridges from its open over both extremes to its close, kept between low and
    high. Volume is U-shaped over the session and sums to the day's.

    Args:
        daily: Real daily bars of a New York stock.
        seed: Same seed and day, same minutes, whatever the range.
        n_days: How many of the newest days to simulate.

    Returns:
        1Min bars, labelled simulated; early closes have fewer.

    Raises:
        DataError: The bars are not daily ones of New York, or a volume is not a whole number.
    """
    if daily.timeframe is not Timeframe.DAY_1 or daily.calendar != XNYS or n_days < 1:
        raise DataError(
            "BARS",
            "minutes can be anchored on New York's daily bars only",
            where=f"anchored {daily.symbol}",
            expected=f"1Day bars on {XNYS}, days >= 1",
            found=f"{daily.timeframe} bars on {daily.calendar}, days={n_days}",
        )
    first = max(len(daily) - n_days, 0)
    days = [_minutes_of_day(daily.at(index), seed) for index in range(first, len(daily))]
    open_, high, low, close, volume = np.concatenate([columns for _, columns in days], axis=1)
    return Bars(
        symbol=daily.symbol,
        timeframe=Timeframe.MIN_1,
        t=np.concatenate([starts for starts, _ in days]),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        kind=DataKind.SIMULATED,
        feed="simulated",
        adjustment=daily.adjustment,
        calendar=XNYS,
    )


def _minutes_of_day(day: Bar, seed: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the day's minute starts (n,) and its columns open, high, low, close, volume (5, n)."""
    start = datetime.fromtimestamp(day.t // 10**9, UTC)
    starts = get_calendar(XNYS).bars_between(start, start + timedelta(days=1), Timeframe.MIN_1)
    if not len(starts):
        raise DataError("BARS", "no session on this day", where=f"anchored {day.symbol}", found=start.date())
    count = len(starts)
    # One stream a day, named by its date, so that a day does not depend on the range it is asked in.
    chance = uniforms(seed, day.t // (86_400 * 10**9), count + 1, 8)
    path, high_at, low_at = _path(day, chance)
    open_, close = path[:-1], path[1:]
    wick = 0.25 * np.log(day.high / day.low) / np.sqrt(count)
    high = np.maximum(open_, close) * np.exp(wick * np.abs(normals(chance[1:, 2], chance[1:, 3])))
    low = np.minimum(open_, close) * np.exp(-wick * np.abs(normals(chance[1:, 4], chance[1:, 5])))
    high, low = np.minimum(high, day.high), np.maximum(low, day.low)
    high[high_at], low[low_at] = day.high, day.low
    volume = _spread(day, session_progress(starts), normals(chance[1:, 6], chance[1:, 7]))
    return starts, np.stack([open_, high, low, close, volume])


def _path(day: Bar, chance: Floats) -> tuple[Floats, int, int]:
    """Return n + 1 prices from open to close, and the minutes that hold the high and the low."""
    count = len(chance) - 1
    high_at = _extreme_minute(day.high, day, chance[0, 2], count)
    low_at = _extreme_minute(day.low, day, chance[0, 3], count)
    anchors = dict(sorted({0: day.open, high_at: day.high, low_at: day.low, count: day.close}.items()))
    if high_at == low_at:
        anchors = {0: day.open, count: day.close}
    bridge = _bridges(anchors, np.log(day.high / day.low), normals(chance[:, 0], chance[:, 1]))
    path = np.clip(np.exp(bridge), day.low, day.high)
    path[0], path[-1] = day.open, day.close
    # The extreme is touched in the minute that begins at its point; the last point belongs to the last minute.
    return path, min(high_at, count - 1), min(low_at, count - 1)


def _extreme_minute(price: float, day: Bar, chance: float, count: int) -> int:
    if price == day.open:
        return 0
    if price == day.close:
        return count
    return 1 + int(chance * (count - 2))


def _bridges(anchors: dict[int, float], day_range: float, noise: Floats) -> Floats:
    """Return a log path (n + 1,) through every anchor."""
    points = np.arange(len(noise))
    walk = np.cumsum(noise) * 0.6 * day_range / np.sqrt(len(noise))
    at = np.fromiter(anchors, np.int64)
    target = np.log(np.fromiter(anchors.values(), np.float64))
    # Subtracting the walk's own chord between anchors leaves a bridge that is zero at each of them.
    return np.asarray(np.interp(points, at, target) + walk - np.interp(points, at, walk[at]))


def _spread(day: Bar, progress: Floats, noise: Floats) -> Floats:
    """Return whole shares by minute that sum to the day's volume exactly."""
    if day.volume != np.rint(day.volume):
        raise DataError("BARS", "a day's volume is not whole", where=f"anchored {day.symbol}", found=day.volume)
    weight = (0.6 + 1.8 * (2.0 * progress - 1.0) ** 2) * np.exp(0.4 * noise)
    # Differences of a rounded running total lose no share.
    running = np.rint(day.volume * np.cumsum(weight) / np.sum(weight))
    return np.diff(running, prepend=0.0)
