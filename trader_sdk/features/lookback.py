"""Looking back over series: one vocabulary, once for a whole history and once for the newest bar.

Both forms add in the same order, newest bar first, so that their results are equal to the last bit. (numpy's own sums
pick an order by shape and stride, and running totals carry rounding from bars long gone.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LONGEST_TOTAL: Final = 200
# A whole history gives arrays, the newest bar numpy scalars; every formula is written for both.
Value: TypeAlias = Any


class Lookback(Protocol):
    """Named series seen from one bar, or from each bar of a history. ``n`` counts bars, the current one included."""

    def now(self, name: str, lag: int = 0) -> Value:
        """Return the series ``lag`` bars ago."""

    def total(self, name: str, n: int) -> Value:
        """Return the sum over the newest ``n`` bars."""

    def highest(self, name: str, n: int) -> Value:
        """Return the maximum over the newest ``n`` bars."""

    def lowest(self, name: str, n: int) -> Value:
        """Return the minimum over the newest ``n`` bars."""

    def since_highest(self, name: str, n: int) -> Value:
        """Return how many bars ago the maximum of the newest ``n`` bars was, the latest one on a tie."""

    def since_lowest(self, name: str, n: int) -> Value:
        """Return how many bars ago the minimum of the newest ``n`` bars was, the latest one on a tie."""

    def weighted(self, name: str, weights: Floats) -> Value:
        """Return the sum of ``weights[k]`` times the series ``k`` bars ago."""

    def spread(self, name: str, n: int) -> tuple[Value, Value]:
        """Return mean and mean square of the newest ``n`` bars' distance from the current one."""

    def absolute_deviation(self, name: str, n: int) -> tuple[Value, Value]:
        """Return the mean of the newest ``n`` bars and their mean absolute distance from it."""

    def session_first(self, name: str) -> Value:
        """Return the series at the first bar of the current session."""

    def session_total(self, name: str) -> Value:
        """Return the sum over the current session so far."""

    def session_highest(self, name: str) -> Value:
        """Return the maximum over the current session so far."""

    def session_lowest(self, name: str) -> Value:
        """Return the minimum over the current session so far."""


class History:
    """Look back from every bar of a history but the first ``start``.

    Args:
        series: float64 (T,) each; ``session_age`` counts bars since the session's first.
        start: Bars that are only looked back on. Results have T - start entries.
    """

    def __init__(self, series: Mapping[str, Floats], start: int) -> None:
        self._series = series
        self._start = start
        self._length = len(next(iter(series.values())))
        self._totals: dict[str, dict[int, Floats]] = {}

    def now(self, name: str, lag: int = 0) -> Value:
        """Return the series ``lag`` bars ago."""
        return self._series[name][self._start - lag : self._length - lag]

    def total(self, name: str, n: int) -> Value:
        """Return the sum over the newest ``n`` bars."""
        known = self._totals.setdefault(name, {1: self.now(name)})
        if n not in known:
            done = max(size for size in known if size < n)
            running = known[done].copy()
            for lag in range(done, n):
                running += self.now(name, lag)
            known[n] = running
        return known[n]

    def highest(self, name: str, n: int) -> Value:
        """Return the maximum over the newest ``n`` bars."""
        return self._extreme(np.maximum, name, n)

    def lowest(self, name: str, n: int) -> Value:
        """Return the minimum over the newest ``n`` bars."""
        return self._extreme(np.minimum, name, n)

    def since_highest(self, name: str, n: int) -> Value:
        """Return how many bars ago the maximum of the newest ``n`` bars was, the latest one on a tie."""
        return self._age(np.greater, name, n)

    def since_lowest(self, name: str, n: int) -> Value:
        """Return how many bars ago the minimum of the newest ``n`` bars was, the latest one on a tie."""
        return self._age(np.less, name, n)

    def weighted(self, name: str, weights: Floats) -> Value:
        """Return the sum of ``weights[k]`` times the series ``k`` bars ago."""
        running = weights[0] * self.now(name)
        product = np.empty_like(running)
        for lag in range(1, len(weights)):
            np.multiply(self.now(name, lag), weights[lag], out=product)
            running += product
        return running

    def spread(self, name: str, n: int) -> tuple[Value, Value]:
        """Return mean and mean square of the newest ``n`` bars' distance from the current one."""
        current = self.now(name)
        distance, square = np.zeros_like(current), np.zeros_like(current)
        for lag in range(1, n):
            step = self.now(name, lag) - current
            distance += step
            square += step * step
        return distance / n, square / n

    def absolute_deviation(self, name: str, n: int) -> tuple[Value, Value]:
        """Return the mean of the newest ``n`` bars and their mean absolute distance from it."""
        mean = self.total(name, n) / n
        running = np.abs(self.now(name) - mean)
        for lag in range(1, n):
            running += np.abs(self.now(name, lag) - mean)
        return mean, running / n

    def session_first(self, name: str) -> Value:
        """Return the series at the first bar of the current session."""
        rows = np.arange(self._start, self._length) - self.now("session_age").astype(np.int64)
        return self._series[name][rows]

    def session_total(self, name: str) -> Value:
        """Return the sum over the current session so far."""
        return self._session(np.add, name)

    def session_highest(self, name: str) -> Value:
        """Return the maximum over the current session so far."""
        return self._session(np.maximum, name)

    def session_lowest(self, name: str) -> Value:
        """Return the minimum over the current session so far."""
        return self._session(np.minimum, name)

    def _extreme(self, pick: np.ufunc, name: str, n: int) -> Floats:
        running: Floats = self.now(name).copy()
        for lag in range(1, n):
            pick(running, self.now(name, lag), out=running)
        return running

    def _age(self, beats: np.ufunc, name: str, n: int) -> Floats:
        best = self.now(name).copy()
        age: Floats = np.zeros_like(best)
        for lag in range(1, n):
            candidate = self.now(name, lag)
            better = beats(candidate, best)
            best[better] = candidate[better]
            age[better] = lag
        return age

    def _session(self, combine: np.ufunc, name: str) -> Floats:
        age = self.now("session_age")
        running: Floats = self.now(name).copy()
        for lag in range(1, int(age.max(initial=0.0)) + 1):
            combine(running, self.now(name, lag), out=running, where=age >= lag)
        return running


class Latest:
    """Look back from the newest bar alone.

    Args:
        view: Gives a series newest bar first, float64 (depth,).
        age: Bars since the session's first bar.
    """

    def __init__(self, view: Callable[[str], Floats], age: int) -> None:
        self._view = view
        self._in_session = slice(0, age + 1)
        self._totals: dict[str, Floats] = {}

    def now(self, name: str, lag: int = 0) -> Value:
        """Return the series ``lag`` bars ago."""
        return self._view(name)[lag]

    def total(self, name: str, n: int) -> Value:
        """Return the sum over the newest ``n`` bars."""
        running = self._totals.get(name)
        if running is None or len(running) < n:
            # One running sum serves every window of a series.
            running = self._totals[name] = np.add.accumulate(self._view(name)[: max(n, _LONGEST_TOTAL)])
        return running[n - 1]

    def highest(self, name: str, n: int) -> Value:
        """Return the maximum over the newest ``n`` bars."""
        return self._view(name)[:n].max()

    def lowest(self, name: str, n: int) -> Value:
        """Return the minimum over the newest ``n`` bars."""
        return self._view(name)[:n].min()

    def since_highest(self, name: str, n: int) -> Value:
        """Return how many bars ago the maximum of the newest ``n`` bars was, the latest one on a tie."""
        return np.float64(self._view(name)[:n].argmax())

    def since_lowest(self, name: str, n: int) -> Value:
        """Return how many bars ago the minimum of the newest ``n`` bars was, the latest one on a tie."""
        return np.float64(self._view(name)[:n].argmin())

    def weighted(self, name: str, weights: Floats) -> Value:
        """Return the sum of ``weights[k]`` times the series ``k`` bars ago."""
        return np.add.accumulate(weights * self._view(name)[: len(weights)])[-1]

    def spread(self, name: str, n: int) -> tuple[Value, Value]:
        """Return mean and mean square of the newest ``n`` bars' distance from the current one."""
        values = self._view(name)[:n]
        step = values - values[0]
        return np.add.accumulate(step)[-1] / n, np.add.accumulate(step * step)[-1] / n

    def absolute_deviation(self, name: str, n: int) -> tuple[Value, Value]:
        """Return the mean of the newest ``n`` bars and their mean absolute distance from it."""
        mean = self.total(name, n) / n
        return mean, np.add.accumulate(np.abs(self._view(name)[:n] - mean))[-1] / n

    def session_first(self, name: str) -> Value:
        """Return the series at the first bar of the current session."""
        return self._view(name)[self._in_session.stop - 1]

    def session_total(self, name: str) -> Value:
        """Return the sum over the current session so far."""
        return np.add.accumulate(self._view(name)[self._in_session])[-1]

    def session_highest(self, name: str) -> Value:
        """Return the maximum over the current session so far."""
        return self._view(name)[self._in_session].max()

    def session_lowest(self, name: str) -> Value:
        """Return the minimum over the current session so far."""
        return self._view(name)[self._in_session].min()
