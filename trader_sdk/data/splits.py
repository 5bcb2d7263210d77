"""Prices that jump like a split: what bars look like that nobody adjusted."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from trader_sdk.contract.bars import Bars
from trader_sdk.data.calendar import ALWAYS_OPEN

RATIOS: Final = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0)
"""New shares for an old one in nearly all splits; a reverse split is one over these."""
TOLERANCE: Final = 0.04
"""What a night may move the price beside the split."""
_SPLITTING: Final = ("split", "all")


class SplitJump(NamedTuple):
    """A bar whose open is ``1 / ratio`` of the close before it; below 1 the split was a reverse one."""

    row: int
    ratio: float


def split_jumps(bars: Bars) -> list[SplitJump]:
    """Return where the prices of shares jump like a split between two bars.

    A market that fell by half looks the same: this is a reason to look, and where bars say that they are adjusted no
    more than that.
    """
    if bars.calendar == ALWAYS_OPEN or len(bars) < 2:
        return []
    jump = bars.close[:-1] / bars.open[1:]
    found = []
    for row in np.flatnonzero(np.abs(np.log(jump)) > np.log(min(RATIOS)) - TOLERANCE).tolist():
        size = float(jump[row])
        near = min((*RATIOS, *(1.0 / ratio for ratio in RATIOS)), key=lambda ratio: abs(np.log(size / ratio)))
        if abs(np.log(size / near)) <= TOLERANCE:
            found.append(SplitJump(row + 1, near))
    return found


def states_splits(bars: Bars) -> bool:
    """Return whether the bars say that they are adjusted for splits."""
    return bars.adjustment in _SPLITTING
