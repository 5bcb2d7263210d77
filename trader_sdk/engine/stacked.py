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
from trader_sdk.engine.packed import pack
from trader_sdk.engine.tail import IN_PLACE

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

    def push(self, which: Places, rows: Floats) -> None:
        """Add a row (m, 53) to each of the symbols at ``which``."""
        for place in which[self._end[which] == 2 * self.window].tolist():
            kept = self.window - 1
            self._rows[place, :kept] = self._rows[place, -kept:]
            self._end[place] = kept
        self._rows[which, self._end[which]] = rows
        self._end[which] += 1
        self.held[which] = np.minimum(self.held[which] + 1, self.window)

    def hold(self, place: int, rows: Floats) -> None:
        """Hold these rows (at most window, 53) of one symbol instead of what was held."""
        self._rows[place, : len(rows)] = rows
        self._end[place] = self.held[place] = len(rows)

    def newest(self, place: int, count: int) -> Floats:
        """Return the newest rows of one symbol, (count, 53), oldest first; a view."""
        end = int(self._end[place])
        return self._rows[place, end - count : end]


class StackedLayers:
    """The weights of policies of one shape, and the products of all their symbols.

    Memory: one model for all symbols shares its packed weights; models of their own are copied behind one another, a
    twentieth of their weights each (0.65 MB at 512-256), and hold their full weights where they were.

    Args:
        policies: One for all symbols, or one a symbol, all of the same :attr:`DensePolicy.packed_shapes`.
        count: Symbols.
    """

    def __init__(self, policies: Sequence[DensePolicy], count: int) -> None:
        self._policies = policies
        first = policies[0]
        self._activate = IN_PLACE[first.activation]
        self.window, self.n_account = first.window, first.n_account
        is_shared = len(policies) == 1
        self._weights = (first.packed.first, *first.packed.rest) if is_shared else _stack(policies)
        lead = (count,) if is_shared else (count, 1)
        self._inputs = np.zeros((*lead, MARKET_FEATURES + self.n_account), dtype=np.float32)
        self._older = np.zeros((*lead, len(first.layers[0][1])), dtype=np.float32)
        # Each later layer reads (values, 1): the last input is the bias row's.
        self._hidden = [np.ones((*lead, weight.shape[-2]), dtype=np.float32) for weight in self._weights[1:]]
        self._logits = np.empty((*lead, first.n_actions), dtype=np.float32)
        self.inputs = self._inputs.reshape(count, -1)
        """float32 (count, 53 + n_account), to be filled: the newest row and the account columns."""
        self.older = self._older.reshape(count, -1)
        """float32 (count, hidden0), to be filled: what :meth:`sums` gave for the older rows."""

    def sums(self, which: Places, windows: Floats) -> Floats:
        """Return the first layer's sums, bias included, of windows (m, window, n_features) of symbols at ``which``."""
        flat = windows.reshape(len(windows), -1)
        if len(self._policies) == 1:
            weight, bias = self._policies[0].layers[0]
            sums: Floats = flat @ weight.T
            return np.add(sums, bias, out=sums)
        layers = [self._policies[place].layers[0] for place in which.tolist()]
        return np.stack([weight.dot(row) + bias for (weight, bias), row in zip(layers, flat, strict=True)])

    def dense(self, place: int, rows: Floats) -> Floats:
        """Return the logits of one symbol's whole observation (window, n_features)."""
        policy = self._policies[0 if len(self._policies) == 1 else place]
        logits: Floats = policy.logits(rows.reshape(1, -1))[0]
        return logits

    def logits(self) -> Floats:
        """Return the logits of every symbol, (count, n_actions); reused by the next call."""
        outs = [hidden[..., :-1] for hidden in self._hidden] + [self._logits]
        np.matmul(self._inputs, self._weights[0], out=outs[0])
        outs[0] += self._older
        for values, inputs, weight, out in zip(outs, self._hidden, self._weights[1:], outs[1:], strict=False):
            self._activate(values)
            np.matmul(inputs, weight, out=out)
        return self._logits.reshape(len(self.inputs), -1)


class StackedStreams:
    """Streams of many symbols whose policies have one shape, decided together.

    Not safe to share between threads.

    Args:
        policies: One for all symbols, or one a symbol, all of one shape and activation.
        count: Symbols.
    """

    def __init__(self, policies: Sequence[DensePolicy], count: int) -> None:
        self.layers = StackedLayers(policies, count)
        self.rings = Rings(count, self.layers.window)
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
        """Add the rows (m, 53) of bars that have closed to the symbols at ``which``, each at most once."""
        late = which[~self.is_ahead[which]]
        self._sum(late[self.rings.held[late] >= self.layers.window - 1])
        if len(which) == len(self._ahead) and bool(self.is_ahead.all()):
            self.layers.older[:] = self._ahead
        else:
            self.layers.older[which] = self._ahead[which]
        self.is_summed[which] = self.is_ahead[which]
        self.is_ahead[which] = False
        self.layers.inputs[which, :MARKET_FEATURES] = rows
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
        for place in np.flatnonzero(self.ready & ~self.is_summed).tolist():
            rows = self._window(place, self.layers.window)
            rows[:, MARKET_FEATURES:] = account[place]
            logits[place] = self.layers.dense(place, rows)
        return logits

    def _sum(self, which: Places) -> None:
        for first in range(0, len(which), _WINDOWS_AT_ONCE):
            some = which[first : first + _WINDOWS_AT_ONCE]
            windows = np.stack([self._window(place, self.layers.window - 1) for place in some.tolist()])
            self._ahead[some] = self.layers.sums(some, windows)
            self.is_ahead[some] = np.isfinite(self._ahead[some]).all(axis=1)

    def _window(self, place: int, count: int) -> Floats:
        # Rows that are not there yet are zeros: the bar that is to come, and the account columns.
        rows = np.zeros((self.layers.window, self.layers.inputs.shape[1]), dtype=np.float32)
        rows[:count, :MARKET_FEATURES] = self.rings.newest(place, count)
        return rows


def _stack(policies: Sequence[DensePolicy]) -> tuple[Floats, ...]:
    """Return each packed layer of all policies behind one another, (count, inputs, outputs)."""
    shapes = policies[0].packed_shapes
    stacked = tuple(np.empty((len(policies), *shape), dtype=np.float32) for shape in shapes)
    for place, policy in enumerate(policies):
        newest = policy.by_bar[:, -1, :MARKET_FEATURES]
        packed = pack(newest, policy.account_weight, policy.layers)
        for layer, part in zip(stacked, (packed.first, *packed.rest), strict=True):
            layer[place] = part
    return stacked
