"""Local time of bars: New York for XNYS, UTC for 24/7. Daylight saving is the time zone database's affair."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND
from trader_sdk.features.arithmetic import Arithmetic, ArrayArithmetic, FloatArithmetic, Value

Floats = NDArray[np.float64]

CALENDARS: Final = ("XNYS", "24/7")
_HOUR_NS: Final = 3_600 * NANOSECONDS_PER_SECOND
_DAY_SECONDS: Final = 86_400
_NEW_YORK_OPEN_SECONDS: Final = 34_200.0  # 09:30
_NEW_YORK_SESSION_SECONDS: Final = 23_400.0  # 09:30 to 16:00


def local_clock(t: NDArray[np.int64], calendar: str, *, intraday: bool) -> Mapping[str, Floats]:
    """Return what the clock on the wall says at each bar's start.

    Args:
        t: int64 (T,), ns UTC.
        calendar: ``XNYS`` or ``24/7``.
        intraday: Whether bars are shorter than a session; a daily bar's progress is 0.

    Returns:
        float64 (T,) each: ``day`` (local date as days since 1970), ``progress`` (share of the regular session or of
        the UTC day that has passed, 0 to 1; an early close ends it early), ``weekday`` (0 is Monday),
        ``year_progress`` and ``month_progress`` (0 to below 1).
    """
    seconds = t // NANOSECONDS_PER_SECOND + _offsets(t, calendar)
    days = seconds // _DAY_SECONDS
    progress = _progress(seconds % _DAY_SECONDS, calendar, ArrayArithmetic()) if intraday else np.zeros(len(t))
    return {"progress": progress, **_date(days)}


@lru_cache(maxsize=1 << 10)  # symbols ask about the same bars
def bar_clock(t: int, calendar: str, *, intraday: bool) -> Mapping[str, float]:
    """Return :func:`local_clock` of one bar's start, as single numbers."""
    offset = 0 if calendar == "24/7" else _new_york_offset(t // _HOUR_NS)
    day, second = divmod(t // NANOSECONDS_PER_SECOND + offset, _DAY_SECONDS)
    return {"progress": _progress(second, calendar, FloatArithmetic()) if intraday else 0.0, **_single_date(day)}


def _progress(second_of_day: Value, calendar: str, of: Arithmetic) -> Value:
    if calendar == "24/7":
        return second_of_day / float(_DAY_SECONDS)
    passed = (second_of_day - _NEW_YORK_OPEN_SECONDS) / _NEW_YORK_SESSION_SECONDS
    return of.smaller(of.larger(passed, 0.0), 1.0)


def _date(days: NDArray[np.int64]) -> dict[str, Floats]:
    dates = days.astype("datetime64[D]")
    return {
        "day": days.astype(np.float64),
        "weekday": ((days + 3) % 7).astype(np.float64),
        "year_progress": _elapsed(dates, "Y"),
        "month_progress": _elapsed(dates, "M"),
    }


@lru_cache(maxsize=1 << 5)
def _single_date(day: int) -> Mapping[str, float]:
    return {name: float(values[0]) for name, values in _date(np.array([day])).items()}


def _elapsed(dates: NDArray[np.datetime64], unit: str) -> Floats:
    """Return the share of the year (``Y``) or month (``M``) that had passed when the day began."""
    period = dates.astype(f"datetime64[{unit}]")
    first, after = period.astype("datetime64[D]"), (period + 1).astype("datetime64[D]")
    share: Floats = (dates - first).astype(np.int64) / (after - first).astype(np.int64)
    return share


def _offsets(t: NDArray[np.int64], calendar: str) -> NDArray[np.int64]:
    if calendar == "24/7":
        return np.zeros(len(t), np.int64)
    # A zone changes its offset on a whole hour of UTC.
    return np.array([_new_york_offset(hour) for hour in (t // _HOUR_NS).tolist()], np.int64)


@lru_cache(maxsize=1 << 17)
def _new_york_offset(hour: int) -> int:
    offset = datetime.fromtimestamp(hour * 3_600, UTC).astimezone(_new_york()).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


@lru_cache(maxsize=1)
def _new_york() -> ZoneInfo:
    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError as error:
        raise ConfigError(
            "CONFIG",
            "the time zone America/New_York is unknown on this system",
            where="time zone database",
            remedy="Install the system's tzdata package, or `pip install tzdata`.",
        ) from error
