"""How far back each series is looked at, asked of the formulas themselves: a ring holds that and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features.arithmetic import FloatArithmetic, Value
from trader_sdk.features.columns import LONGEST_SESSION
from trader_sdk.features.formulas import directional_index
from trader_sdk.features.lookback import Lookback
from trader_sdk.features.market import column_formulas
from trader_sdk.features.regimes import CHAINS


class _Asked(FloatArithmetic):
    """Notes what is asked and answers 1."""

    def __init__(self) -> None:
        self.depths: Counter[str] = Counter()

    def _note(self, name: str, n: int) -> float:
        self.depths[name] = max(self.depths[name], n)
        return 1.0

    def now(self, name: str, lag: int = 0) -> Value:
        return self._note(name, lag + 1)

    def total(self, name: str, n: int) -> Value:
        return self._note(name, n)

    highest = lowest = since_highest = since_lowest = total

    def weighted(self, name: str, weights: NDArray[np.float64]) -> Value:
        return self._note(name, len(weights))

    def spread(self, name: str, n: int) -> tuple[Value, Value]:
        return self._note(name, n), 1.0

    absolute_deviation = spread

    def session_first(self, name: str) -> Value:
        return self._note(name, LONGEST_SESSION)

    session_total = session_highest = session_lowest = session_first


def asked_depths(formulas: Iterable[Callable[[Lookback], Value]]) -> Mapping[str, int]:
    """Return how many of each series' newest values some formulas look at, the current one included.

    Example:
        >>> dict(asked_depths([lambda back: back.now("close") / back.highest("high", 14)]))
        {'close': 1, 'high': 14}
    """
    asked = _Asked()
    for formula in formulas:
        formula(asked)
    return asked.depths


@lru_cache(maxsize=len(Timeframe))
def ring_depths(timeframe: Timeframe) -> Mapping[str, int]:
    """Return every series that the columns look back on, and how many of its newest values they look at."""
    asked = asked_depths((*column_formulas(timeframe), directional_index, *CHAINS.values()))
    return MappingProxyType({name: depth for name, depth in asked.items() if depth > 1})
