"""Bar by bar: what older bars contribute is summed before the newest arrives, so that little is left to do then."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.packed import aligned_empty
from trader_sdk.engine.tail import SmallLayers
from trader_sdk.engine.ties import NEAR_TIE, rounding


class Continuation(StrEnum):
    """How a window continues the one that a stream holds."""

    NEXT = "next"
    """One bar later: only the newest row is new."""
    SAME = "same"
    """The same bars once more."""
    OTHER = "other"
    """Anything else: the first window, a missing or revised bar, rows that change after their bar closed."""


class PolicyStream:
    """Holds one symbol's window and the sums that it contributes to the first layer.

    Not safe to share between threads. Memory: the rows of two windows and the newest row's weights (0.2 MB at 512
    units); the other weights are the policy's own, and its packed part is shared by every stream of the policy.

    Args:
        policy: A policy with at least the market columns in each row.

    Attributes:
        is_summed: Whether :meth:`logits` needs no more than the newest row, the account and the small layers.
        tie: Distance of two best logits, relative to the largest, below which a whole observation should decide.
    """

    def __init__(self, policy: DensePolicy) -> None:
        packed, window = policy.packed, policy.window
        self._weight, self._bias = policy.layers[0][0], packed.bias
        self._older_bars = window - 1
        # Twice the window, so that the newest window is always one slice and rows move only once a window; the row
        # after the newest is zeros, which stands for the bar that is to come.
        self._rows = np.zeros((2 * window + 1, policy.obs_dim // window), dtype=np.float32)
        self._market = self._rows[:, :MARKET_FEATURES]
        self._flat = self._rows.reshape(-1)
        self._end = 0
        self._first, self._now, self._next = _with_sums(packed.first)
        self._is_ahead = self.is_summed = False
        self._layers = SmallLayers(policy)
        self._policy, self.tie, self._next_tie = policy, NEAR_TIE, NEAR_TIE

    @property
    def ready(self) -> bool:
        """Return whether a full window is held."""
        return self._end > self._older_bars

    @property
    def held(self) -> int:
        """Return how many rows of the window are held."""
        return min(self._end, self._older_bars + 1)

    @property
    def window(self) -> Floats:
        """Return the rows held, float32 (at most window, 53), oldest first; a view."""
        return self._market[self._end - self.held : self._end]

    def reset(self) -> None:
        """Forget every row."""
        self._end, self._is_ahead, self.is_summed = 0, False, False

    def prepare(self) -> None:
        """Do before a bar closes what can be done: sum the older rows, and read the weights that will be read then.

        Sums nothing twice; called again just before the close, it brings the packed weights back into the caches.
        """
        self._sum_ahead()
        if self._is_ahead:
            self._multiply()

    def push(self, row: Floats) -> None:
        """Add the row of a bar that has closed, float32 (53,)."""
        if not self._is_ahead:
            self._sum_ahead()
        self._now, self._next = self._next, self._now
        self._now.market[:] = row
        self.is_summed, self._is_ahead, self.tie = self._is_ahead, False, self._next_tie
        if self._end + 1 >= len(self._rows):
            self._move_to_front()
        self._market[self._end] = row
        self._end += 1

    def logits(self, account: Floats) -> Floats:
        """Return the logits (n_actions,) of the window held with these account columns (n_account,).

        The array is reused: valid until the next call of any method.
        """
        self._now.account[:] = account
        return self._multiply()

    def continuation(self, window: Floats) -> Continuation:
        """Return how ``window``, float32 (window, 53), continues what is held."""
        if self._end >= self._older_bars:
            newest = self._market[self._end - self._older_bars : self._end]
            if bool((newest == window[:-1]).all()):
                return Continuation.NEXT
        if self.ready and bool((self._market[self._end - len(window) : self._end] == window).all()):
            return Continuation.SAME
        return Continuation.OTHER

    def hold(self, window: Floats) -> None:
        """Hold ``window``, float32 (window, 53), without summing anything yet: :attr:`is_summed` is false."""
        self.reset()
        self._market[: len(window)] = window
        self._end = len(window)

    def _multiply(self) -> Floats:
        self._now.inputs.dot(self._first, self._layers.sums)
        return self._layers.run()

    def _sum_ahead(self) -> None:
        if self._is_ahead or self._end < self._older_bars:
            return
        if self._end + 1 >= len(self._rows):
            self._move_to_front()
        self._rows[self._end] = 0.0
        width = self._rows.shape[1]
        older = self._flat[(self._end - self._older_bars) * width : (self._end + 1) * width]
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.add(self._weight.dot(older), self._bias, out=self._next.sums)
            # A sum that overflowed would spoil the products of the other turn's row too, where its input is 0.
            self._is_ahead = bool(sums.dot(sums) < np.inf)
            self._next_tie = max(NEAR_TIE, float(rounding(self._policy, older.dot(older))))
        if not self._is_ahead:
            sums[:] = 0.0

    def _move_to_front(self) -> None:
        kept = self._older_bars + 1
        self._rows[:kept] = self._rows[self._end - kept : self._end].copy()
        self._end = kept


class _Turn(NamedTuple):
    # Inputs of the first layer, and views of them: the newest row, the account, and a one that picks the row of sums.
    # Two take turns: while one decides, the sums for the next bar are made beside it.
    inputs: Floats
    market: Floats
    account: Floats
    sums: Floats


def _with_sums(first: Floats) -> tuple[Floats, _Turn, _Turn]:
    """Return the first layer's weights with two further rows, where the older bars' sums stand, and their turns."""
    rows, hidden0 = first.shape
    weight = aligned_empty((rows + 2, hidden0))
    weight[:rows], weight[rows:] = first, 0.0
    return weight, _turn(weight, rows, 0), _turn(weight, rows, 1)


def _turn(weight: Floats, rows: int, which: int) -> _Turn:
    inputs = np.zeros(rows + 2, dtype=np.float32)
    inputs[rows + which] = 1.0
    return _Turn(inputs, inputs[:MARKET_FEATURES], inputs[MARKET_FEATURES:rows], weight[rows + which])
