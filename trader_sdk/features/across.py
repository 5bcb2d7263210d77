"""Looking back from the newest bars of many symbols at once: the vocabulary of ``lookback`` over arrays of symbols."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trader_sdk.features.arithmetic import ArrayArithmetic, Value
from trader_sdk.features.window import Columns

Floats = NDArray[np.float64]
LEAST_WIDTH = 2
"""Symbols a ring has room for at least: a sum down a single column is numpy's to order, beside others it is not."""


class SymbolsRing:
    """The newest values of one series of many symbols, newest first.

    Values are first offered, then kept: what looks back sees them before it is settled that they count.

    Args:
        depth: How many values are looked back on.
        width: How many symbols there is room for.
        inner: Shape of one value.
    """

    def __init__(self, depth: int, width: int, inner: tuple[int, ...] = ()) -> None:
        self.depth = depth
        # Twice as long as needed and filled backwards: the newest values always form one slice.
        self._values = np.zeros((2 * depth, *inner, width))
        self._front = depth

    def offer(self, values: Floats | float) -> None:
        """Write the values that come next, float64 (*inner, width), instead of any on offer."""
        if self._front == 0:
            self._values[self.depth :] = self._values[: self.depth]
            self._front = self.depth
        self._values[self._front - 1] = values

    def recent(self, n: int) -> Floats:
        """Return the newest ``n`` values, newest first, beginning with those on offer: float64 (n, *inner, width)."""
        return self._values[self._front - 1 : self._front - 1 + n]

    def keep(self, absent: Columns) -> None:
        """Settle that the values on offer count, but for symbols without a bar: theirs stay where they were."""
        front, depth = self._front, self.depth
        if len(absent):
            self._values[front - 1 : front - 1 + depth, ..., absent] = self._values[front : front + depth, ..., absent]
        self._front -= 1

    def put(self, column: int, newest_first: Floats) -> None:
        """Replace one symbol's past, float64 (n, *inner); what is older than ``depth`` is left out."""
        kept = newest_first[: self.depth]
        self._values[self._front : self._front + len(kept), ..., column] = kept

    def widen(self, more: int) -> None:
        """Make room for more symbols."""
        room = np.zeros((*self._values.shape[:-1], more))
        self._values = np.concatenate([self._values, room], axis=-1)


class Across(ArrayArithmetic):
    """Look back from the newest bar of each symbol.

    Args:
        now: The bars' own series, and those written while looking back: float64 (N,) each.
        rings: The series that are looked back on, with the newest bars on offer.
    """

    def __init__(self, now: Mapping[str, Floats], rings: Mapping[str, SymbolsRing]) -> None:
        self._now = now
        self._rings = rings
        self._known: dict[tuple[object, ...], Value] = {}

    def now(self, name: str, lag: int = 0) -> Value:
        """Return the series ``lag`` bars ago."""
        return self._recent(name, lag + 1)[lag] if lag else self._now[name]

    def total(self, name: str, n: int) -> Value:
        """Return the sum over the newest ``n`` bars."""
        key = name, n
        if key not in self._known:
            self._known[key] = np.add.reduce(self._recent(name, n), axis=0)
        return self._known[key]

    def highest(self, name: str, n: int) -> Value:
        """Return the maximum over the newest ``n`` bars."""
        return np.maximum.reduce(self._recent(name, n), axis=0)

    def lowest(self, name: str, n: int) -> Value:
        """Return the minimum over the newest ``n`` bars."""
        return np.minimum.reduce(self._recent(name, n), axis=0)

    def since_highest(self, name: str, n: int) -> Value:
        """Return how many bars ago the maximum of the newest ``n`` bars was, the latest one on a tie."""
        return self._recent(name, n).argmax(axis=0).astype(np.float64)

    def since_lowest(self, name: str, n: int) -> Value:
        """Return how many bars ago the minimum of the newest ``n`` bars was, the latest one on a tie."""
        return self._recent(name, n).argmin(axis=0).astype(np.float64)

    def weighted(self, name: str, weights: Floats) -> Value:
        """Return the sum of ``weights[k]`` times the series ``k`` bars ago."""
        key = name, id(weights)  # weights are constants of their modules
        if key not in self._known:
            self._known[key] = np.add.reduce(weights[:, None] * self._recent(name, len(weights)), axis=0)
        return self._known[key]

    def spread(self, name: str, n: int) -> tuple[Value, Value]:
        """Return mean and mean square of the newest ``n`` bars' distance from the current one."""
        step = self._recent(name, n) - self._now[name]
        return np.add.reduce(step, axis=0) / n, np.add.reduce(step * step, axis=0) / n

    def absolute_deviation(self, name: str, n: int) -> tuple[Value, Value]:
        """Return the mean of the newest ``n`` bars and their mean absolute distance from it."""
        mean = self.total(name, n) / n
        return mean, np.add.reduce(np.abs(self._recent(name, n) - mean), axis=0) / n

    def session_first(self, name: str) -> Value:
        """Return the series at the first bar of the current session."""
        age = self._now["session_age"].astype(np.intp)
        return self._recent(name, int(age.max()) + 1)[age, np.arange(len(age))]

    def session_total(self, name: str) -> Value:
        """Return the sum over the current session so far."""
        return np.add.reduce(self._session(name, 0.0), axis=0)

    def session_highest(self, name: str) -> Value:
        """Return the maximum over the current session so far."""
        return np.maximum.reduce(self._session(name, -np.inf), axis=0)

    def session_lowest(self, name: str) -> Value:
        """Return the minimum over the current session so far."""
        return np.minimum.reduce(self._session(name, np.inf), axis=0)

    def _recent(self, name: str, n: int) -> Floats:
        return self._rings[name].recent(n)

    def _session(self, name: str, neutral: float) -> Floats:
        """Return the values of the longest session; ``neutral`` where a symbol's own began later."""
        age = self._now["session_age"]
        values = self._recent(name, int(age.max()) + 1)
        if (age == age[0]).all():
            return values
        key = ("in session",)
        if key not in self._known:
            self._known[key] = np.arange(len(values))[:, None] <= age
        return np.where(self._known[key], values, neutral)
