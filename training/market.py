"""Bars as training reads them: one shared feature matrix, and the prices beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.blocks import MIN_WINDOW_BARS, PURGE_BARS, Blocks, split_blocks
from trader_sdk.archive.walk import Prices
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.data import complete_windows

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

MIN_TRAIN_BARS: Final = 200
_MORE_BARS: Final = "Give more bars; a run with seven windows needs about 2,500."


class HistoryProvider(Protocol):
    """The part of a feature provider that training needs."""

    def history(self, bars: Bars) -> NDArray[np.float32]:
        """Return (T - L, 53), row i for bar i + L."""


@dataclass(frozen=True)
class Market:
    """One symbol's bars from the first one that has features.

    Attributes:
        bars: What the features were computed from, warm-up included.
        features: float32 (T, 53), read-only; row i belongs to ``bars.at(warm_up + i)``.
        warm_up: Bars before the first row.
    """

    bars: Bars
    features: NDArray[np.float32]
    warm_up: int

    @classmethod
    def build(cls, bars: Bars, provider: HistoryProvider) -> Market:
        """Compute the features of ``bars`` once."""
        features = np.ascontiguousarray(provider.history(bars))
        features.setflags(write=False)
        return cls(bars, features, len(bars) - len(features))

    @cached_property
    def prices(self) -> Prices:
        """Return starts, opens, closes and where the trader decides, aligned with ``features``."""
        return Prices.of(self.bars, self.warm_up, self._complete)

    @cached_property
    def whole(self) -> Bools:
        """Return bool (T,): whether no bar is missing in the window that ends with each row."""
        return self._complete[self.warm_up :]

    @cached_property
    def _complete(self) -> Bools:
        return complete_windows(self.bars)

    def steps_ahead(self, block: range) -> Ints:
        """Return int64 (len(block),): how many bars follow each row in the block before one is missing.

        A row whose own window misses a bar has none: the trader does not stand there.
        """
        whole = self.whole[block.start : block.stop]
        # The last row of the stretch that each row belongs to is the one before the next row that is not whole.
        places = np.arange(len(block))
        broken = np.flatnonzero(~whole)
        ends = np.append(broken, len(block))[np.searchsorted(broken, places)] - 1
        return np.where(whole, ends - places, 0)

    def volatility(self, block: range) -> float:
        """Return the standard deviation of the log returns over the rows of ``block``, a bar."""
        return float(np.diff(np.log(self.prices.close[block.start : block.stop])).std())


def blocks_of(market: Market, spec: ModelSpec, sizes: tuple[int, int, int] | None, n_windows: int) -> Blocks:
    """Cut a market's rows into TRAIN, SELECT and GATE.

    Args:
        market: The market.
        spec: The first ``spec.window - 1`` rows only fill the first window.
        sizes: Rows of each block, TRAIN as many as are left up to its size; None for 40/20/40.
        n_windows: Windows of SELECT and of GATE.

    Raises:
        DataError: A block would be too small to mean anything.
    """
    first, rows = spec.window - 1, len(market.features)
    where = f"{market.bars.symbol} {market.bars.timeframe}"
    held_out = sizes[1] + sizes[2] if sizes is not None else 0
    left = rows - first - 2 * PURGE_BARS - held_out
    if left < 1:
        raise DataError(
            "BARS",
            "too few bars: warm-up, purges and held-out blocks leave none to train on",
            where=where,
            found=len(market.bars),
            remedy=_MORE_BARS,
        )
    if sizes is not None:
        sizes = (min(sizes[0], left), sizes[1], sizes[2])
    blocks = split_blocks(rows, warm_up=first, sizes=sizes)
    windows = n_windows * MIN_WINDOW_BARS  # TRAIN is walked in windows too, for the in-sample figures
    least = {"train": max(MIN_TRAIN_BARS, windows), "select": windows, "gate": windows}
    for name, minimum in least.items():
        rows = getattr(blocks, name)
        usable = int(market.whole[rows.start : rows.stop].sum())
        if usable < minimum:
            gaps = f", {len(rows) - usable} bars near a gap left out" if usable < len(rows) else ""
            raise DataError(
                "BARS",
                f"too few bars for the {name.upper()} block after warm-up and purge{gaps}",
                where=where,
                expected=f">= {minimum}",
                found=usable,
                remedy=_MORE_BARS,
            )
    return blocks
