"""Deployment tier from five consecutive folds of the GATE block, on excess returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.gate import Tier

Floats = NDArray[np.float64]

N_FOLDS: Final = 5
LIVE_MIN_POSITIVE: Final = 4
LIVE_MAX_DEVIATION: Final = 2.0
PAPER_MIN_POSITIVE: Final = 3


@dataclass(frozen=True, slots=True)
class Fold:
    """One of five consecutive parts of the GATE block.

    Attributes:
        start_at, end_at: Bar starts of its first and last bar, nanoseconds UTC.
        net_return: Compounded net return, a fraction.
        sharpe: Mean over deviation of excess returns times the root of its bars; 0 without deviation.
        n_trades: Trades that ended in it.
    """

    start_at: int
    end_at: int
    net_return: float
    sharpe: float
    n_trades: int


def scaled_sharpe(returns: Floats) -> float:
    """Return mean / deviation (ddof 1) times the root of the count; 0 where nothing deviates."""
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    if deviation <= 1e-15:
        return 0.0
    return float(np.mean(returns)) / deviation * math.sqrt(len(returns))


def fold_returns(net: Floats, excess: Floats, start_at: NDArray[np.int64], trade_ends: NDArray[np.int64]) -> list[Fold]:
    """Cut a block into five folds.

    Args:
        net: (T,) net returns a bar.
        excess: (T,) excess returns a bar.
        start_at: int64 (T,) bar starts.
        trade_ends: int64 (n,) index of the bar on which each trade ended.

    Returns:
        Five folds in time order; the first take one bar more where T does not divide.
    """
    folds = []
    for rows in np.array_split(np.arange(len(net)), N_FOLDS):
        first, last = int(rows[0]), int(rows[-1])
        folds.append(
            Fold(
                start_at=int(start_at[first]),
                end_at=int(start_at[last]),
                net_return=float(np.prod(1.0 + net[rows]) - 1.0),
                sharpe=scaled_sharpe(excess[rows]),
                n_trades=int(((trade_ends >= first) & (trade_ends <= last)).sum()),
            )
        )
    return folds


def tier_of(sharpes: Sequence[float]) -> Tier:
    """Return how far a model may go.

    Args:
        sharpes: Sharpe of each of the five folds, scaled to the fold.

    Returns:
        LIVE for at least four positive folds whose Sharpes deviate by less than 2 (ddof 1), PAPER for at least
        three positive, RETRAIN for fewer, and for anything but five finite numbers.

    Example:
        >>> [tier_of(sharpes).value for sharpes in ([1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [])]
        ['LIVE', 'PAPER', 'RETRAIN']
    """
    if len(sharpes) != N_FOLDS or not all(math.isfinite(sharpe) for sharpe in sharpes):
        return Tier.RETRAIN
    positive = sum(sharpe > 0 for sharpe in sharpes)
    if positive >= LIVE_MIN_POSITIVE and float(np.std(sharpes, ddof=1)) < LIVE_MAX_DEVIATION:
        return Tier.LIVE
    return Tier.PAPER if positive >= PAPER_MIN_POSITIVE else Tier.RETRAIN
