"""Cells of a file to numbers and times; faults are collected, each with its lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND, Timeframe
from trader_sdk.data.calendar import day_start_ns

Int64 = NDArray[np.int64]
Value = TypeVar("Value", int, float)


def parse_numbers(cells: Sequence[Any], lines: Int64, name: str, faults: list[str]) -> NDArray[np.float64]:
    """Return a column of finite numbers; what is not one is added to ``faults``."""
    return np.array(_parsed(cells, lines, _finite, f"{name} is not a finite number", faults), np.float64)


def parse_times(cells: Sequence[Any], lines: Int64, timeframe: Timeframe, calendar: str, faults: list[str]) -> Int64:
    """Return a column of bar starts, ns UTC; naive times and text that is no time are added to ``faults``."""

    def start(cell: Any) -> int:
        return _start_ns(cell, timeframe, calendar)

    expected = "an RFC 3339 time with a zone" + ("" if timeframe.is_intraday else " or a date")
    return np.array(_parsed(cells, lines, start, f"time is not {expected}", faults), np.int64)


def order_faults(t: Int64, lines: Int64, timeframe: Timeframe) -> list[str]:
    """Return what is wrong with the order and the distance of bar starts."""
    step = np.diff(t)
    # Where daylight saving time begins, two midnights are 23 hours apart.
    shortest = (timeframe.seconds - (0 if timeframe.is_intraday else 3_600)) * NANOSECONDS_PER_SECOND
    found = (
        ("time repeats", step == 0),
        ("time goes backwards", step < 0),
        (f"bars are closer than {timeframe}", (step > 0) & (step < shortest)),
    )
    return [f"{what} at line {int(lines[1:][mask][0])} ({int(mask.sum())} lines)" for what, mask in found if mask.any()]


def _parsed(
    cells: Sequence[Any], lines: Int64, parse: Callable[[Any], Value], complaint: str, faults: list[str]
) -> list[Value]:
    values: list[Value] = []
    wrong: list[int] = []
    for index, cell in enumerate(cells):
        try:
            values.append(parse(cell))
        except (ValueError, TypeError, OverflowError):
            wrong.append(index)
    if wrong:
        first = wrong[0]
        faults.append(f"{complaint} at line {int(lines[first])}: {cells[first]!r:.40} ({len(wrong)} lines)")
    return values


def _finite(cell: Any) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _start_ns(cell: Any, timeframe: Timeframe, calendar: str) -> int:
    if isinstance(cell, int):
        return cell
    if isinstance(cell, str):
        text = cell.strip()
        if text.isascii() and text.isdecimal() and len(text) > 8:  # eight digits are an ISO date
            return int(text)
        cell = datetime.fromisoformat(text) if len(text) > 10 else date.fromisoformat(text)
    if isinstance(cell, datetime):
        if cell.tzinfo is None:
            raise ValueError("no zone")
        return ((cell - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)) * 1_000
    if isinstance(cell, date) and not timeframe.is_intraday:
        return day_start_ns(cell, calendar)
    raise ValueError("no time of day")
