"""Real daily bars that travel with the package: AAPL, IBM, MSFT, GOOG, FB up to 2013-03-01, adjusted for splits."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data.calendar import XNYS, day_start_ns

VENDORED_FILE: Final = "stocks.csv.gz"
VENDORED_SHA256: Final = "5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd"
VENDORED_SYMBOLS: Final = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


@dataclass(frozen=True, slots=True)
class Split:
    """New shares for each old one, from the open of ``first_day`` on."""

    first_day: date
    ratio: int


# Every split of the five symbols inside the file's range; the prices of the file are as they were traded.
SPLITS: Final[Mapping[str, tuple[Split, ...]]] = MappingProxyType(
    {
        "AAPL": (Split(date(2000, 6, 21), 2), Split(date(2005, 2, 28), 2)),
        "MSFT": (Split(date(2003, 2, 18), 2),),
    }
)


@lru_cache(maxsize=len(VENDORED_SYMBOLS))
def vendored_bars(symbol: str) -> Bars:
    """Return a symbol's real daily bars, adjusted for splits and for nothing else.

    Args:
        symbol: One of :data:`VENDORED_SYMBOLS`.

    Returns:
        Daily bars up to 2013-03-01 in the share count of that day: before a split prices are divided and volumes
        multiplied by its ratio. Dividends are not adjusted for.

    Raises:
        DataError: There are no vendored bars of that symbol.

    Source:
        trader_sdk/data/vendored/PROVENANCE.md

    Example:
        >>> bars = vendored_bars("AAPL")
        >>> len(bars), bars.kind.value, float(bars.close[-1])
        (3270, 'real', 430.47)
    """
    if symbol not in VENDORED_SYMBOLS:
        raise DataError(
            "BARS",
            "no vendored bars of this symbol",
            where="vendored",
            expected=", ".join(VENDORED_SYMBOLS),
            found=symbol,
            remedy="Choose one of those symbols, or name a file of your own bars.",
        )
    days, (opens, highs, lows, closes, volumes) = _raw_columns(symbol)
    factor = _split_factor(symbol, days)
    return Bars(
        symbol=symbol,
        timeframe=Timeframe.DAY_1,
        t=np.array([day_start_ns(day) for day in days], np.int64),
        open=opens / factor,
        high=highs / factor,
        low=lows / factor,
        close=closes / factor,
        volume=volumes * factor,
        kind=DataKind.REAL,
        feed="vendored",
        adjustment="split",
        calendar=XNYS,
    )


def _raw_columns(symbol: str) -> tuple[list[date], tuple[NDArray[np.float64], ...]]:
    packed = files("trader_sdk.data").joinpath("vendored", VENDORED_FILE).read_bytes()
    rows = csv.reader(gzip.decompress(packed).decode("ascii").splitlines())
    chosen = [row for row in rows if row[0] == symbol]
    numbers = np.array([row[2:7] for row in chosen], np.float64)
    return [date.fromisoformat(row[1]) for row in chosen], tuple(np.ascontiguousarray(numbers.T))


def _split_factor(symbol: str, days: list[date]) -> NDArray[np.float64]:
    """Return how many of today's shares one share of each day became."""
    factor = np.ones(len(days))
    for split in SPLITS.get(symbol, ()):
        factor[[day < split.first_day for day in days]] *= split.ratio
    return factor
