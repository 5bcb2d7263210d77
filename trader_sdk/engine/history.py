"""Whole histories: the engine that is worth its preparation, in blocks whose memory does not grow with the history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.engines import Engine
from trader_sdk.engine.lanes import LaneTail
from trader_sdk.engine.overlap_save import BLOCKS_AT_ONCE, OverlapSave
from trader_sdk.engine.ties import NEAR_TIE, dense_logits, near_ties, rounding, window_energy

WORTH_FILTERING: Final = 512
"""Windows from which building the filter's spectrum, as dear as 300 dense windows, pays."""
_SEGMENT: Final = 413
_AT_ONCE: Final = 256


class SplitPolicy(Protocol):
    """A policy whose first layer is evaluated for a whole history at once, apart from the account columns."""

    def market_sums(self, market: Floats) -> Floats:
        """Return (T - window + 1, hidden), the market part of the first layer for each full window of (T, 53)."""

    def logits_from_sums(self, sums: Floats, account: Floats) -> Floats:
        """Return logits (n, n_actions) from market parts (n, hidden) and account columns (n, k)."""


class HistoryEngine:
    """A policy over histories: the filter where it pays, the policy's own arithmetic elsewhere.

    Args:
        policy: Whose sums.
        n_windows: About how many windows will be asked for.
        at_once: Most segments at once.
    """

    def __init__(self, policy: DensePolicy, n_windows: int, *, at_once: int = BLOCKS_AT_ONCE) -> None:
        self.policy, self._window, self._filter = policy, policy.window, None
        if n_windows >= WORTH_FILTERING:
            self._filter = OverlapSave(policy, n_windows, at_once=at_once)

    @property
    def engine(self) -> Engine:
        """Return which engine computes the sums."""
        return Engine.DENSE if self._filter is None else Engine.OVERLAP_SAVE

    def ties(self, market: Floats) -> NDArray[np.float64]:
        """Return how close two best logits count as tied in each window of (T, 53) whose sums were computed."""
        least = NEAR_TIE if self._filter is None else max(NEAR_TIE, self._filter.rounding)
        ties: NDArray[np.float64] = np.maximum(least, rounding(self.policy, window_energy(market, self._window)))
        return ties

    @property
    def whole(self) -> int:
        """Return how many windows of one segment are computed best."""
        return _SEGMENT if self._filter is None else self._filter.whole

    def blocks(self, market: Floats) -> Iterator[tuple[int, Floats]]:
        """Yield the sums of a history (T, 53) in order, as (first window, (n, hidden)), a few thousand windows each."""
        count, step = len(market) - self._window + 1, BLOCKS_AT_ONCE * self.whole
        for first in range(0, count, step):
            rows = market[first : min(first + step, count) + self._window - 1]
            yield first, (self._filter or self.policy).market_sums(rows)

    def segment_sums(self, segments: Floats) -> Floats:
        """Return (L - window + 1, n, hidden) of many short histories (n, L, 53); valid until the next call."""
        if self._filter is not None:
            return self._filter.segment_sums(segments)
        return np.stack([self.policy.market_sums(segment) for segment in segments], axis=1)


def history_logits(policy: DensePolicy, market: Floats, account: Floats) -> tuple[Floats, Engine]:
    """Return the logits of every full window, and the engine that computed them.

    Args:
        policy: Decides.
        market: float32 (T, 53), T >= window.
        account: float32 (T - window + 1, n_account), the account columns of each decision.

    Returns:
        float32 (T - window + 1, n_actions). Where two best logits are nearly tied, those of whole observations.
    """
    engine = HistoryEngine(policy, len(account))
    logits = np.empty((len(account), policy.n_actions), dtype=np.float32)
    tail = LaneTail([policy], _AT_ONCE)
    for start, sums in engine.blocks(market):
        for first in range(0, len(sums), _AT_ONCE):
            part = slice(start + first, start + min(first + _AT_ONCE, len(sums)))
            logits[part] = tail.logits(sums[first : first + _AT_ONCE], account[part])
            _decide_ties(
                policy, engine, market[part.start : part.stop + policy.window - 1], account[part], logits[part]
            )
    return logits, engine.engine


def _decide_ties(policy: DensePolicy, engine: HistoryEngine, market: Floats, account: Floats, logits: Floats) -> None:
    tied = np.flatnonzero(near_ties(logits, engine.ties(market)))
    if len(tied):
        windows = market[tied[:, None] + np.arange(policy.window)]
        logits[tied] = dense_logits(policy, windows, account[tied])
