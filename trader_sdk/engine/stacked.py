"""Many symbols on one bar: models of one shape side by side, or one model for all, in a handful of products.

What is left to do at bar close is small for each symbol; done symbol by symbol, most of the time would go into calls.
One model for many symbols is a matrix product; a model each is a product a symbol, over weights that lie one behind
the other and are read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.tail import MANY_IN_PLACE, BatchLayers
from trader_sdk.engine.ties import EPSILON, NEAR_TIE, dense_logits, near_ties

Places = NDArray[np.int64]
_WINDOWS_AT_ONCE: Final = 64


class Rings:
    """The newest rows of many symbols, each with a pace of its own.

    Args:
        count: Symbols.
        window: Bars of a window.
    """

    def __init__(self, count: int, window: int) -> None:
        self.window = window
        # Twice the window, so that rows move only once a window.
        self._rows = np.zeros((count, 2 * window, MARKET_FEATURES), dtype=np.float32)
        self.held = np.zeros(count, dtype=np.int64)
        self._end = np.zeros(count, dtype=np.int64)
        self._coming: tuple[Places, Floats] | None = None

    def push(self, which: Places, rows: Floats) -> None:
        """Add a row (m, 53) to each of the symbols at ``which``; its memory is the caller's again afterwards."""
        self._store()
        for place in which[self._end[which] == 2 * self.window].tolist():
            kept = self.window - 1
            self._rows[place, :kept] = self._rows[place, -kept:]
            self._end[place] = kept
        # Rows lie far apart, a symbol's own behind one another: they are put there when nobody waits for a decision.
        self._coming = (which, rows.copy())
        self._end[which] += 1
        self.held[which] = np.minimum(self.held[which] + 1, self.window)

    def hold(self, place: int, rows: Floats) -> None:
        """Hold these rows (at most window, 53) of one symbol instead of what was held."""
        self._store()
        self._rows[place, : len(rows)] = rows
        self._end[place] = self.held[place] = len(rows)

    def newest(self, place: int, count: int) -> Floats:
        """Return the newest rows of one symbol, (count, 53), oldest first; a view."""
        self._store()
        end = int(self._end[place])
        return self._rows[place, end - count : end]

    def _store(self) -> None:
        if self._coming is None:
            return
        (which, rows), self._coming = self._coming, None
        ends = self._end[which] - 1
        if len(which) == len(self._rows) and int(ends.min()) == int(ends.max()):
            self._rows[:, ends[0]] = rows  # all in step, as nearly always: no scattering
        else:
            self._rows[which, ends] = rows


class SharedLayers:
    """One model for many symbols: matrix products; the full weights are shared, not copied.

    Args:
        policy: Decides for all.
        count: Symbols.

    Attributes:
        inputs: float32 (count, 53 + n_account), to be filled: the newest row and the account columns.
        older: float32 (count, hidden0), to be filled: what :meth:`sums` gave for the older rows.
    """

    def __init__(self, policy: DensePolicy, count: int) -> None:
        self._policy, self._rest = policy, BatchLayers(policy, count)
        self._first = policy.packed.first if self._rest.scale == 1 else policy.packed.first * self._rest.scale
        self.window, self.n_account = policy.window, policy.n_account
        self.inputs = np.zeros((count, len(self._first)), dtype=np.float32)
        self.older = np.zeros((count, self._first.shape[1]), dtype=np.float32)

    def sums(self, which: Places, windows: Floats) -> Floats:
        """Return the first layer's sums, bias included and scaled, of windows (m, window, n_features)."""
        weight, bias = self._policy.layers[0]
        sums: Floats = windows.reshape(len(which), -1) @ weight.T
        sums += bias
        sums *= self._rest.scale
        return sums

    def logits(self) -> Floats:
        """Return the logits of every symbol, (count, n_actions); reused by the next call."""
        sums = self._rest.sums
        np.matmul(self.inputs, self._first, out=sums)
        sums += self.older
        return self._rest.run(len(sums))


class OwnLayers:
    """A model for each symbol, all of one shape: products over weights that lie behind one another.

    Memory: what is left at bar close is copied, a twentieth of the weights (0.65 MB a model at 512-256); the full
    weights stay where they were.

    Args:
        policies: One a symbol, of the same :attr:`DensePolicy.packed_shapes` and activation.

    Attributes:
        inputs: float32 (count, 53 + n_account), to be filled: the newest row and the account columns.
        older: float32 (count, hidden0), to be filled: what :meth:`sums` gave for the older rows.
    """

    def __init__(self, policies: Sequence[DensePolicy]) -> None:
        first, count = policies[0], len(policies)
        self._policies = policies
        self.window, self.n_account = first.window, first.n_account
        self._activate = MANY_IN_PLACE[first.activation]
        self._first = _stack([np.concatenate([_newest(p), p.account_weight], axis=1).T for p in policies])
        # Rows by output: dot products over whole rows read memory a quarter faster than products by vector.
        self._rest = [_stack([policy.layers[layer][0] for policy in policies]) for layer in range(1, len(first.layers))]
        self._biases = [_stack([p.layers[layer][1] for p in policies]) for layer in range(1, len(first.layers))]
        widths = [len(bias) for _, bias in first.layers]
        self.inputs = np.zeros((count, self._first.shape[1]), dtype=np.float32)
        self.older = np.zeros((count, widths[0]), dtype=np.float32)
        self._values = [np.empty((count, width), dtype=np.float32) for width in widths]

    def sums(self, which: Places, windows: Floats) -> Floats:
        """Return the first layer's sums, bias included, of windows (m, window, n_features) of symbols at ``which``."""
        layers = [self._policies[place].layers[0] for place in which.tolist()]
        flat = windows.reshape(len(windows), -1)
        return np.stack([weight.dot(row) + bias for (weight, bias), row in zip(layers, flat, strict=True)])

    def logits(self) -> Floats:
        """Return the logits of every symbol, (count, n_actions); reused by the next call."""
        values = self._values[0]
        np.matmul(self.inputs[:, None], self._first, out=values[:, None])
        values += self.older
        with np.errstate(over="ignore"):
            for weight, bias, out in zip(self._rest, self._biases, self._values[1:], strict=True):
                self._activate(values, values)
                np.vecdot(weight, values[:, None], out=out)
                out += bias
                values = out
        return values


class StackedStreams:
    """Streams of many symbols whose policies have one shape, decided together.

    Not safe to share between threads.

    Args:
        policies: One for all symbols, or one a symbol, all of one shape and activation.
        count: Symbols.
    """

    def __init__(self, policies: Sequence[DensePolicy], count: int) -> None:
        self._policies = policies
        self.layers = SharedLayers(policies[0], count) if len(policies) == 1 else OwnLayers(policies)
        self.rings = Rings(count, self.layers.window)
        self._norms = np.resize([policy.first_norm for policy in policies], count)
        self._tie, self._next_tie = np.full(count, NEAR_TIE), np.full(count, NEAR_TIE)
        self._ahead = np.zeros_like(self.layers.older)
        self.is_ahead = np.zeros(count, dtype=np.bool_)
        """Whether the next window's older rows of each symbol were summed."""
        self.is_summed = np.zeros(count, dtype=np.bool_)
        """Whether the older rows of each symbol's window were summed; the others are decided on densely."""

    @property
    def ready(self) -> NDArray[np.bool_]:
        """Return which symbols hold a full window, (count,)."""
        full: NDArray[np.bool_] = self.rings.held == self.layers.window
        return full

    def prepare(self) -> None:
        """Sum what the rows so far will contribute to each symbol's next window, and read what will be read then."""
        older = self.layers.window - 1
        self._sum(np.flatnonzero(~self.is_ahead & (self.rings.held >= older)))
        self.layers.logits()

    def push(self, which: Places, rows: Floats) -> None:
        """Add the rows (m, 53) of bars that have closed to the symbols at ``which``, ascending, each at most once."""
        if not len(which):
            return
        late = which[~self.is_ahead[which]]
        self._sum(late[self.rings.held[late] >= self.layers.window - 1])
        at: Places | slice = which
        if len(which) == len(self._ahead):
            at = slice(None)
            self.layers.older, self._ahead = self._ahead, self.layers.older
        else:
            self.layers.older[at] = self._ahead[at]
        self.is_summed[at] = self.is_ahead[at]
        self._tie[at] = self._next_tie[at]
        self.is_ahead[at] = False
        self.layers.inputs[at, :MARKET_FEATURES] = rows
        self.rings.push(which, rows)

    def hold(self, place: int, rows: Floats) -> None:
        """Hold these rows (at most window, 53) of one symbol, as after warming up or a revised bar; none: forget it."""
        self.rings.hold(place, rows)
        self.is_ahead[place] = self.is_summed[place] = False

    def logits(self, account: Floats) -> Floats:
        """Return the logits (count, n_actions) with account columns (count, n_account); reused by the next call.

        Only the rows of symbols that are :attr:`ready` mean anything.
        """
        self.layers.inputs[:, MARKET_FEATURES:] = account
        logits = self.layers.logits()
        for place in np.flatnonzero(self.ready & (~self.is_summed | near_ties(logits, self._tie))).tolist():
            policy = self._policies[place % len(self._policies)]  # one of one, or the symbol's own
            window = self.rings.newest(place, self.layers.window)
            logits[place] = dense_logits(policy, window[None], account[place][None])[0]
        return logits

    def _sum(self, which: Places) -> None:
        for first in range(0, len(which), _WINDOWS_AT_ONCE):
            some = which[first : first + _WINDOWS_AT_ONCE]
            windows = np.stack([self._window(place, self.layers.window - 1) for place in some.tolist()])
            self._ahead[some] = self.layers.sums(some, windows)
            self.is_ahead[some] = np.isfinite(self._ahead[some]).all(axis=1)
            energy = np.square(windows, dtype=np.float64).sum(axis=(1, 2))
            self._next_tie[some] = np.maximum(NEAR_TIE, EPSILON * self._norms[some] * np.sqrt(energy))

    def _window(self, place: int, count: int) -> Floats:
        # Rows that are not there yet are zeros: the bar that is to come, and the account columns.
        rows = np.zeros((self.layers.window, self.layers.inputs.shape[1]), dtype=np.float32)
        rows[:count, :MARKET_FEATURES] = self.rings.newest(place, count)
        return rows


def _stack(parts: Sequence[Floats]) -> Floats:
    """Return equal shapes behind one another in one block of memory."""
    stacked = np.empty((len(parts), *parts[0].shape), dtype=np.float32)
    for place, part in enumerate(parts):
        stacked[place] = part
    return stacked


def _newest(policy: DensePolicy) -> Floats:
    return policy.by_bar[:, -1, :MARKET_FEATURES]
