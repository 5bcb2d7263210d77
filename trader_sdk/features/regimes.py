"""Four Markov chains with fixed constants, filtered over the newest bars: which regime is this?

Each chain has three states and sees one number a bar. A state emits a normal number around its centre; a chain stays
in its state with a fixed probability. The filter starts from equal probabilities ``FILTER_BARS`` bars ago, so its
memory is finite.

Source:
    Hamilton (1989), A new approach to the economic analysis of nonstationary time series: the filter of section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.features.arithmetic import Value
from trader_sdk.features.lookback import Lookback

Floats = NDArray[np.float64]

FILTER_BARS: Final = 60
STAY: Final = 0.94
MOVE: Final = (1.0 - STAY) / 2.0
CENTRES: Final = np.array([-1.25, 0.0, 1.25])
OBSERVATION_LIMIT: Final = 3.0
OBSERVATION_MEMORY: Final = 200
VOLATILITY_FLOOR: Final = 1e-6
_ROWS_AT_ONCE: Final = 4_096  # keeps the filter's arrays in cache


def volatility(back: Lookback, n: int) -> Value:
    """Return the root mean square log return of the newest ``n`` bars, at least the floor."""
    return back.larger(back.root(back.total("return_squared", n) / n), VOLATILITY_FLOOR)


def momentum(back: Lookback, n: int, volatility_bars: int) -> Value:
    """Return the log return over ``n`` bars in units of what a random walk would move."""
    moved = back.now("log_close") - back.now("log_close", n)
    return moved / (volatility(back, volatility_bars) * math.sqrt(n))


def _volatility_level(back: Lookback) -> Value:
    return 2.5 * back.log(volatility(back, 10) / volatility(back, 100))


CHAINS: Final[Mapping[str, Callable[[Lookback], Value]]] = MappingProxyType(
    {
        "volatility": _volatility_level,
        "trend": lambda back: momentum(back, 50, 50),
        "momentum": lambda back: momentum(back, 10, 50),
        "macro": lambda back: momentum(back, 200, 200),
    }
)
STATES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "volatility": ("calm", "normal", "turbulent"),
        "trend": ("down", "flat", "up"),
        "momentum": ("down", "flat", "up"),
        "macro": ("down", "flat", "up"),
    }
)
REGIME_SERIES: Final = tuple(f"{chain}_{state}" for chain in CHAINS for state in STATES[chain])


def likelihoods(observations: Floats) -> Floats:
    """Return how likely each state makes its chain's observation.

    Args:
        observations: float64 (4, n), one row a chain.

    Returns:
        float64 (4, 3, n), at most 1.
    """
    seen = np.minimum(np.maximum(observations, -OBSERVATION_LIMIT), OBSERVATION_LIMIT)
    distance = seen[:, None, :] - CENTRES[None, :, None]
    likely: Floats = np.exp(-0.5 * (distance * distance))
    return likely


def filter_history(likely: Floats) -> Floats:
    """Return the probability of each state at each bar.

    Args:
        likely: float64 (4, 3, T).

    Returns:
        float64 (12, T), chains and states in the order of :data:`REGIME_SERIES`; 0 before the filter's memory is full.
    """
    length = likely.shape[-1]
    result = np.zeros((likely.shape[0] * likely.shape[1], length))
    for first in range(FILTER_BARS - 1, length, _ROWS_AT_ONCE):
        last = min(first + _ROWS_AT_ONCE, length)
        weight = np.full((*likely.shape[:2], last - first), 1.0 / 3.0)
        for lag in range(FILTER_BARS - 1, -1, -1):
            weight = _step(weight, likely[:, :, first - lag : last - lag])
        result[:, first:last] = _normalised(weight).reshape(-1, last - first)
    return result


def filter_newest(likely: Floats) -> Floats:
    """Return the probability of each state of many symbols at their newest bars.

    Args:
        likely: float64 (FILTER_BARS, 4, 3, N), newest first.

    Returns:
        float64 (12, N), as :func:`filter_history`.
    """
    weight = np.full(likely.shape[1:], 1.0 / 3.0)
    for lag in range(FILTER_BARS - 1, -1, -1):
        weight = _step(weight, likely[lag])
    return _normalised(weight).reshape(len(REGIME_SERIES), -1)


@dataclass(frozen=True, slots=True, eq=False)
class RegimeFilter:
    """The same filter, one bar at a time: as many filters in flight as it has memory, each started a bar later.

    Attributes:
        weights: float64 (4, 3, FILTER_BARS), one filter a column.
        oldest: Which of them finishes with the next bar.
    """

    weights: Floats
    oldest: int

    @classmethod
    def start(cls) -> RegimeFilter:
        """Return filters that have seen no bar."""
        return cls(np.full((len(CHAINS), 3, FILTER_BARS), 1.0 / 3.0), 0)

    def after(self, likely: Floats) -> tuple[RegimeFilter, Floats]:
        """Return the filters after a bar with likelihoods (4, 3, 1), and its probabilities (12,).

        The probabilities are those of :func:`filter_history` once ``FILTER_BARS`` bars were seen.
        """
        # Every filter in flight takes the bar; the oldest has now seen all of its memory and starts over.
        weights = _step(self.weights, likely)
        finished = weights[:, :, self.oldest].copy()
        weights[:, :, self.oldest] = 1.0 / 3.0
        return RegimeFilter(weights, (self.oldest + 1) % FILTER_BARS), _normalised(finished).reshape(-1)


def _step(weight: Floats, likely: Floats) -> Floats:
    """Advance unnormalised weights (4, 3, n) by one bar: every state keeps STAY and gets MOVE from both others."""
    total = weight[:, 0] + weight[:, 1] + weight[:, 2]
    # 60 bars shrink a weight to 1e-120 at worst, far from underflow: one normalisation at the end is enough.
    moved: Floats = ((STAY - MOVE) * weight + (MOVE * total)[:, None]) * likely
    return moved


def _normalised(weight: Floats) -> Floats:
    total = weight[:, 0] + weight[:, 1] + weight[:, 2]
    share: Floats = weight / total[:, None]
    return share
