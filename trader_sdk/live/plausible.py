"""Which bars are believed: the shape of one bar, and its price beside those before it."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from trader_sdk.contract.bars import Bar

JUMP_SIGMAS: Final = 20.0
"""A move from close to close beyond so many standard deviations of the latest moves is doubted."""
LEAST_JUMP: Final = 0.10
"""Log return up to which nothing is doubted, however quiet the market was."""
_MOVES: Final = 100
_FEWEST_MOVES: Final = 20


def misshapen(bar: Bar) -> str | None:
    """Return what is wrong with a bar by itself, None if nothing is.

    Example:
        >>> misshapen(Bar("AAPL", 0, 10.0, 9.0, 11.0, 10.0, 1.0))
        'high is below low'
    """
    if (
        0.0 < bar.low <= bar.open <= bar.high < math.inf
        and bar.low <= bar.close <= bar.high
        and 0 < bar.volume < math.inf
    ):
        return None  # as nearly always
    prices = (bar.open, bar.high, bar.low, bar.close)
    if not all(math.isfinite(value) and value > 0 for value in prices):
        return "a price is not positive and finite"
    if not (math.isfinite(bar.volume) and bar.volume > 0):
        return "nothing was traded"
    if bar.high < bar.low:
        return "high is below low"
    inside = bar.low <= min(bar.open, bar.close) and max(bar.open, bar.close) <= bar.high
    return None if inside else "open or close lies outside low to high"


class PriceLevel:
    """Where a symbol's price has been, and whether a new bar fits to it."""

    def __init__(self) -> None:
        self._closes: deque[float] = deque(maxlen=_MOVES + 1)
        self._judged: tuple[Bar, str | None] | None = None

    def note(self, bar: Bar) -> None:
        """Take a bar that was believed."""
        self._closes.append(bar.close)
        self._judged = None

    def doubt(self, bar: Bar) -> str | None:
        """Return why a bar is not believed, None if it is."""
        # A bar is asked about when it arrives, before its history is read anew, and when it is taken.
        if self._judged is None or self._judged[0] is not bar:
            self._judged = bar, self._doubt(bar)
        return self._judged[1]

    def _doubt(self, bar: Bar) -> str | None:
        shape = misshapen(bar)
        if shape is not None or not self._closes:
            return shape
        level = self._closes[-1]
        jump = max(abs(math.log(price / level)) for price in (bar.open, bar.close))
        if jump <= LEAST_JUMP or jump <= self._bound():
            return None
        return f"the price jumped from {level:g} to {bar.close:g}"

    def _bound(self) -> float:
        if len(self._closes) <= _FEWEST_MOVES:
            return math.log(2.0)
        moves = np.diff(np.log(np.fromiter(self._closes, np.float64)))
        return max(LEAST_JUMP, JUMP_SIGMAS * float(moves.std()))
