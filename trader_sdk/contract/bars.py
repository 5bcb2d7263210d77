"""Bars as values: columnar, UTC, validated once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe


class DataKind(StrEnum):
    """Whether bars came from a market or from a generator; simulated is said in every artefact."""

    REAL = "real"
    SIMULATED = "simulated"


class Bar(NamedTuple):
    """One closed bar.

    ``t`` is the bar's start in nanoseconds since the epoch, UTC (a daily bar starts at midnight New York, as
    Alpaca's do). Prices are in the quote currency, volume in units of the asset.
    """

    symbol: str
    t: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Bars:
    """Consecutive closed bars of one symbol, oldest first.

    Args:
        symbol: As the venue writes it in orders, for example ``AAPL`` or ``BTC/USD``.
        timeframe: Length of each bar.
        t: int64 (T,), bar starts in nanoseconds since the epoch, UTC, strictly increasing.
        open, high, low, close: float64 (T,), positive and finite.
        volume: float64 (T,), finite and not negative.
        kind: Real or simulated.
        feed: Where volumes come from (``vendored``, ``iex``, ``sip``, ``simulated``).
        adjustment: ``raw``, ``split``, ``dividend`` or ``all``.
        calendar: ``XNYS`` or ``24/7``.

    Raises:
        DataError: Any row is invalid; the first faults of every sort are named together.
    """

    symbol: str
    timeframe: Timeframe
    t: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    kind: DataKind
    feed: str
    adjustment: str
    calendar: str = "XNYS"

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise DataError("BARS", "; ".join(faults), where=f"{self.symbol} {self.timeframe}")
        for name in ("t", "open", "high", "low", "close", "volume"):
            getattr(self, name).setflags(write=False)

    def __len__(self) -> int:
        return len(self.t)

    def at(self, index: int) -> Bar:
        """Return bar ``index`` as a value."""
        return Bar(
            self.symbol,
            int(self.t[index]),
            float(self.open[index]),
            float(self.high[index]),
            float(self.low[index]),
            float(self.close[index]),
            float(self.volume[index]),
        )

    def slice(self, start: int, stop: int) -> Bars:
        """Return bars ``start`` (inclusive) to ``stop`` (exclusive); the arrays are shared."""
        part = slice(start, stop)
        return replace(
            self,
            t=self.t[part],
            open=self.open[part],
            high=self.high[part],
            low=self.low[part],
            close=self.close[part],
            volume=self.volume[part],
        )

    @cached_property
    def digest(self) -> str:
        """Return ``sha256:<hex>`` over symbol, timeframe, kind, feed, adjustment and every number."""
        head = "|".join((self.symbol, self.timeframe, self.kind, self.feed, self.adjustment, self.calendar))
        sha = hashlib.sha256(head.encode())
        sha.update(np.ascontiguousarray(self.t, dtype="<i8").tobytes())
        for column in (self.open, self.high, self.low, self.close, self.volume):
            sha.update(np.ascontiguousarray(column, dtype="<f8").tobytes())
        return f"sha256:{sha.hexdigest()}"


def _faults(bars: Bars) -> list[str]:
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    lengths = {len(bars.t), *(len(column) for column in columns.values())}
    if len(lengths) != 1:
        return [f"columns differ in length: {sorted(lengths)}"]
    found = [(f"{name} is not finite", ~np.isfinite(column)) for name, column in columns.items()]
    found += [(f"{name} is not positive", columns[name] <= 0) for name in ("open", "high", "low", "close")]
    found += [
        ("volume is negative", columns["volume"] < 0),
        ("high is below low", columns["high"] < columns["low"]),
        ("open lies outside low..high", (columns["open"] < columns["low"]) | (columns["open"] > columns["high"])),
        ("close lies outside low..high", (columns["close"] < columns["low"]) | (columns["close"] > columns["high"])),
        ("time repeats", np.concatenate([[False], np.diff(bars.t) == 0])),
        ("time goes backwards", np.concatenate([[False], np.diff(bars.t) < 0])),
    ]
    return [f"{what} at row {int(np.argmax(mask))} ({int(mask.sum())} rows)" for what, mask in found if mask.any()]
