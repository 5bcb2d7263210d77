"""How much of a good result is luck: probabilistic and deflated Sharpe ratios, track records, overfitting. Pure.

Returns are per bar and net of costs; Sharpe ratios are not annualised. None means that there is too little to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_BARS: Final = 60
"""Fewer bars say nothing about a Sharpe ratio's third and fourth moments."""
EULER_GAMMA: Final = 0.5772156649015329
PBO_BLOCKS: Final = 10
_NORMAL: Final = NormalDist()
_NO_DEVIATION: Final = 1e-15


@dataclass(frozen=True, slots=True)
class Moments:
    """What a Sharpe ratio's distribution depends on.

    Attributes:
        n_bars: Returns it was measured on.
        sharpe: Mean over deviation, a bar.
        skew: Third standardised moment.
        kurtosis: Fourth standardised moment; 3 for a normal distribution.
    """

    n_bars: int
    sharpe: float
    skew: float
    kurtosis: float

    @classmethod
    def of(cls, returns: Floats) -> Moments | None:
        """Return the moments of ``returns`` (T,); None for fewer than 60 of them, or where nothing deviates."""
        if len(returns) < MIN_BARS:
            return None
        deviation = float(returns.std(ddof=1))
        if deviation <= _NO_DEVIATION:
            return None
        centred = returns - returns.mean()
        spread = float(np.sqrt(np.mean(centred**2)))
        return cls(
            len(returns),
            float(returns.mean()) / deviation,
            float(np.mean(centred**3)) / spread**3,
            float(np.mean(centred**4)) / spread**4,
        )

    @property
    def variance_factor(self) -> float:
        """Return the variance of the estimated Sharpe ratio times ``n_bars - 1``."""
        return max(1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2, 1e-12)


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above ``benchmark``.

    Source:
        Bailey, Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier, equation 11.

    Example:
        >>> daily = Moments(1250, 2.5 / 250**0.5, -3.0, 10.0)
        >>> round(probabilistic_sharpe(daily, 0.1132), 3)
        0.9
    """
    z = (moments.sharpe - benchmark) * math.sqrt(moments.n_bars - 1) / math.sqrt(moments.variance_factor)
    return _NORMAL.cdf(z)


def minimum_track_record(moments: Moments, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Return how many bars a Sharpe ratio of these moments needs to be above ``benchmark``; infinite if it is not.

    Source:
        Bailey, Lopez de Prado (2012), equation 13; the example is theirs: 2.73 years for a daily Sharpe of 2 over 1.

    Example:
        >>> normal = Moments(1, 2 / 252**0.5, 0.0, 3.0)
        >>> round(minimum_track_record(normal, 1 / 252**0.5) / 252, 2)
        2.73
    """
    if moments.sharpe <= benchmark:
        return math.inf
    return 1.0 + moments.variance_factor * (_NORMAL.inv_cdf(confidence) / (moments.sharpe - benchmark)) ** 2


def expected_max_sharpe(variance: float, n_trials: int) -> float:
    """Return the best Sharpe ratio to be expected of so many trials without any skill.

    Args:
        variance: Of the trials' Sharpe ratios.
        n_trials: Independent trials, at least 1; one trial is not selected from anything.

    Source:
        Bailey, Lopez de Prado (2014), The Deflated Sharpe Ratio, equation 1; the example is theirs.

    Example:
        >>> round(expected_max_sharpe(0.5 / 250, 100), 4)
        0.1132
    """
    if n_trials <= 1:
        return 0.0
    first, second = _NORMAL.inv_cdf(1.0 - 1.0 / n_trials), _NORMAL.inv_cdf(1.0 - 1.0 / (n_trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(moments: Moments, others: Floats, n_trials: int) -> float:
    """Return the probability that a Sharpe ratio is better than the luck of the best of ``n_trials``.

    Args:
        moments: Of the one that is judged.
        others: Sharpe ratios of the other trials that were measured on the same bars, (N,); they say how widely trials
            spread. The judged one is none of them: its own edge must not count as the others' luck.
        n_trials: How many were ever tried, failed and dropped ones too.

    Example:
        >>> daily = Moments(1250, 2.5 / 250**0.5, -3.0, 10.0)
        >>> spread = np.array([-1.0, 1.0]) * (0.5 / 250) ** 0.5 / 2**0.5
        >>> round(deflated_sharpe(daily, spread, 100), 3)
        0.9
    """
    # Trials without skill spread by at least the error of an estimate; few or equal ones show less by accident.
    floor = 1.0 / (moments.n_bars - 1)
    spread = float(np.var(others, ddof=1)) if len(others) > 1 else 0.0
    return probabilistic_sharpe(moments, expected_max_sharpe(max(spread, floor), n_trials))


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What choosing the best of a set on one half of the bars is worth on the other half.

    Attributes:
        probability: Share of the splits in which the chosen one is below the median of the other half.
        n_splits: How many splits were looked at.
        loss_probability: Share of them in which it lost money there.
    """

    probability: float
    n_splits: int
    loss_probability: float


def backtest_overfitting(returns: Floats, n_blocks: int = PBO_BLOCKS) -> Overfitting | None:
    """Return the probability of backtest overfitting by combinatorially symmetric cross-validation.

    Args:
        returns: (T, N) net returns of N variants on the same bars.
        n_blocks: Even number of blocks of time; every half of them is looked at.

    Returns:
        None for fewer than two variants, or blocks of fewer than ten bars.

    Source:
        Bailey, Borwein, Lopez de Prado, Zhu (2017), The Probability of Backtest Overfitting, section 2.
    """
    length, count = returns.shape
    size = length // n_blocks
    if count < 2 or size < 10:
        return None
    blocks = returns[: size * n_blocks].reshape(n_blocks, size, count)
    sums, squares = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    halves = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    inside, outside = _sharpes(sums, squares, halves, size), _sharpes(sums, squares, _others(halves, n_blocks), size)
    chosen, rows = inside.argmax(axis=1), np.arange(len(halves))
    found = outside[rows, chosen]
    # Ties share their place, as variants that never trade do.
    below = (outside < found[:, None]).sum(axis=1) + 0.5 * ((outside == found[:, None]).sum(axis=1) - 1)
    rank = (below + 1.0) / (count + 1.0)
    return Overfitting(float(np.mean(rank <= 0.5)), len(halves), float(np.mean(found < 0.0)))


def _others(halves: NDArray[np.int64], n_blocks: int) -> NDArray[np.int64]:
    return np.array([sorted(set(range(n_blocks)) - set(half)) for half in halves.tolist()])


def _sharpes(sums: Floats, squares: Floats, halves: NDArray[np.int64], size: int) -> Floats:
    n = size * halves.shape[1]
    mean = sums[halves].sum(axis=1) / n
    variance = np.maximum(squares[halves].sum(axis=1) / n - mean**2, 0.0)
    ratio: Floats = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > _NO_DEVIATION**2)
    return ratio


def in_blocks(returns: Floats, most: int) -> Floats:
    """Return (T, ...) as sums of equal blocks, at most ``most``; bars that fill no block at the start are left out.

    Example:
        >>> in_blocks(np.array([9.0, 1.0, 2.0, 3.0, 4.0]), 3).tolist()
        [3.0, 7.0]
    """
    size = -(-len(returns) // most)
    if size == 1:
        return returns
    count = len(returns) // size
    blocked: Floats = returns[len(returns) - count * size :].reshape(count, size, *returns.shape[1:]).sum(axis=1)
    return blocked


def interval_of_mean(
    returns: Floats, *, confidence: float = 0.95, reps: int = 500, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return lower and upper ends of the mean of each column of (T, N), by a moving block bootstrap.

    Source:
        Kuensch (1989); blocks of the cube root of T.
    """
    length = len(returns)
    size = max(1, round(length ** (1 / 3)))
    total = np.concatenate([np.zeros((1, returns.shape[1])), np.cumsum(returns, axis=0)])
    moving = (total[size:] - total[:-size]) / size
    picks = np.random.default_rng(seed).integers(0, len(moving), (reps, max(1, length // size)))
    means = np.stack([moving[pick].mean(axis=0) for pick in picks])
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return low, high
