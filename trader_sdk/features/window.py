"""The newest values of a symbol, or of many, oldest first: the rows of an observation and the bars behind them."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars, DataKind
from trader_sdk.features.schema import FeatureSchema
from trader_sdk.features.series import OHLCV

Columns = NDArray[np.intp]
Number = TypeVar("Number", bound=np.generic)


class Newest(Generic[Number]):
    """The newest values of one symbol, oldest first and always one slice.

    Args:
        length: How many are kept.
        inner: Shape of one value.
        dtype: Its type.
    """

    def __init__(self, length: int, inner: tuple[int, ...], dtype: type[Number]) -> None:
        self.length = length
        # Twice as long as needed: room runs out, and values are moved, once in ``length`` times.
        self._values = np.zeros((2 * length, *inner), dtype)
        self._end = 0

    @property
    def values(self) -> NDArray[Number]:
        """Return at most ``length`` values, not copied."""
        return self._values[max(self._end - self.length, 0) : self._end]

    def append(self, value: object) -> None:
        """Take the newest value; the oldest leaves."""
        if self._end == len(self._values):
            keep = self.length - 1
            self._values[:keep] = self._values[-keep:]
            self._end = keep
        self._values[self._end] = value
        self._end += 1

    def amend(self, value: object) -> None:
        """Replace the newest value."""
        self._values[self._end - 1] = value

    def fill(self, values: NDArray[Number]) -> None:
        """Start over from at most ``length`` values."""
        self._values[: len(values)] = values
        self._end = len(values)


class NewestOfMany(Generic[Number]):
    """The newest values of many symbols, each as :class:`Newest`, taken many at a time.

    Args:
        length: How many are kept of a symbol.
        width: How many symbols there is room for.
        inner: Shape of one value.
        dtype: Its type.
    """

    def __init__(self, length: int, width: int, inner: tuple[int, ...], dtype: type[Number]) -> None:
        self.length = length
        self._values = np.zeros((width, 2 * length, *inner), dtype)
        self._end = np.zeros(width, np.intp)

    def of(self, column: int) -> NDArray[Number]:
        """Return at most ``length`` values of one symbol, not copied."""
        end = int(self._end[column])
        return self._values[column, max(end - self.length, 0) : end]

    def append(self, columns: Columns, values: NDArray[Number]) -> None:
        """Take the newest value of some symbols."""
        out_of_room = columns[self._end[columns] == self._values.shape[1]]
        if len(out_of_room):
            keep = self.length - 1
            self._values[out_of_room, :keep] = self._values[out_of_room, -keep:]
            self._end[out_of_room] = keep
        self._values[columns, self._end[columns]] = values
        self._end[columns] += 1

    def fill(self, column: int, values: NDArray[Number]) -> None:
        """Start one symbol over from at most ``length`` values."""
        self._values[column, : len(values)] = values
        self._end[column] = len(values)

    def widen(self, more: int) -> None:
        """Make room for more symbols."""
        self._values = np.concatenate([self._values, np.zeros((more, *self._values.shape[1:]), self._values.dtype)])
        self._end = np.concatenate([self._end, np.zeros(more, np.intp)])


def bar_values(bars: Bars) -> NDArray[np.float64]:
    """Return open, high, low, close and volume, float64 (T, 5)."""
    return np.stack([getattr(bars, name) for name in OHLCV], axis=1)


def with_bar(
    t: NDArray[np.int64], values: NDArray[np.float64], bar: Bar, schema: FeatureSchema, length: int
) -> Bars | None:
    """Return the newest bars with ``bar`` in its place, instead of the one of its time or between two.

    Args:
        t: int64 (T,), at most ``length`` bar starts, ns UTC.
        values: float64 (T, 5), their open, high, low, close and volume.
        bar: The bar.
        schema: What bars they are.
        length: How many bars matter.

    Returns:
        At most ``length`` bars; None where ``bar`` is too old to be one of them.
    """
    place = int(np.searchsorted(t, bar.t))
    if place == 0 and len(t) == length and t[0] != bar.t:
        return None
    after = place + int(place < len(t) and t[place] == bar.t)
    times = np.concatenate([t[:place], [bar.t], t[after:]])[-length:]
    columns = np.concatenate([values[:place], [bar[2:]], values[after:]])[-length:]
    return bars_from(bar.symbol, times, columns, schema)


def bars_from(symbol: str, t: NDArray[np.int64], values: NDArray[np.float64], schema: FeatureSchema) -> Bars:
    """Return bars from their starts, int64 (T,) ns UTC, and their five columns, float64 (T, 5)."""
    return Bars(
        symbol=symbol,
        timeframe=schema.bar_timeframe,
        t=t.copy(),
        kind=DataKind.REAL,  # nothing here asks for it
        feed=schema.feed,
        adjustment=schema.adjustment,
        calendar=schema.calendar,
        **{name: values[:, index].copy() for index, name in enumerate(OHLCV)},
    )
