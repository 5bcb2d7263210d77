"""Looking back over series: one vocabulary, once for a whole history and once for the newest bar.

Both forms add in the same order, newest bar first, so that their results are equal to the last bit. (numpy's own sums
pick an order by shape and stride, and running totals carry rounding from bars long gone.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.features.arithmetic import Arithmetic, ArrayArithmetic, FloatArithmetic, Value

Floats = NDArray[np.float64]
_LONGEST_TOTAL: Final = 200
_LONGEST_SPREAD: Final = 100


class Lookback(Arithmetic, Protocol):
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


class History(ArrayArithmetic):
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
        self._weighted: dict[tuple[str, int], Floats] = {}

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
        key = name, id(weights)  # weights are constants of their modules
        if key not in self._weighted:
            running = weights[0] * self.now(name)
            product = np.empty_like(running)
            for lag in range(1, len(weights)):
                np.multiply(self.now(name, lag), weights[lag], out=product)
                running += product
            self._weighted[key] = running
        return self._weighted[key]

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


class Latest(FloatArithmetic):
    """Look back from the newest bar alone.

    Args:
        now: The bar's own series, and those written while looking back.
        recent: Gives the newest ``n`` values of a series, newest first: float64 (n,).
    """

    def __init__(self, now: Mapping[str, float], recent: Callable[[str, int], Floats]) -> None:
        self._now = now
        self._recent = recent
        self._session = int(now["session_age"]) + 1
        self._sums: dict[str, Floats] = {}
        self._weighted: dict[tuple[str, int], float] = {}
        self._spreads: dict[str, tuple[Floats, Floats]] = {}

    def now(self, name: str, lag: int = 0) -> Value:
        """Return the series ``lag`` bars ago."""
        return self._recent(name, lag + 1).item(lag) if lag else self._now[name]

    def total(self, name: str, n: int) -> Value:
        """Return the sum over the newest ``n`` bars."""
        # One running sum serves every window of a series.
        sums = self._sums.get(name)
        if sums is None or len(sums) < n:
            sums = self._sums[name] = np.add.accumulate(self._recent(name, max(n, _LONGEST_TOTAL)))
        return sums.item(n - 1)

    def highest(self, name: str, n: int) -> Value:
        """Return the maximum over the newest ``n`` bars."""
        return float(np.maximum.reduce(self._recent(name, n)))

    def lowest(self, name: str, n: int) -> Value:
        """Return the minimum over the newest ``n`` bars."""
        return float(np.minimum.reduce(self._recent(name, n)))

    def since_highest(self, name: str, n: int) -> Value:
        """Return how many bars ago the maximum of the newest ``n`` bars was, the latest one on a tie."""
        return float(self._recent(name, n).argmax())

    def since_lowest(self, name: str, n: int) -> Value:
        """Return how many bars ago the minimum of the newest ``n`` bars was, the latest one on a tie."""
        return float(self._recent(name, n).argmin())

    def weighted(self, name: str, weights: Floats) -> Value:
        """Return the sum of ``weights[k]`` times the series ``k`` bars ago."""
        key = name, id(weights)
        if key not in self._weighted:
            self._weighted[key] = _in_order(weights * self._recent(name, len(weights)))
        return self._weighted[key]

    def spread(self, name: str, n: int) -> tuple[Value, Value]:
        """Return mean and mean square of the newest ``n`` bars' distance from the current one."""
        if name not in self._spreads:
            step = self._recent(name, _LONGEST_SPREAD) - self._now[name]
            self._spreads[name] = np.add.accumulate(step), np.add.accumulate(step * step)
        distance, square = self._spreads[name]
        return distance.item(n - 1) / n, square.item(n - 1) / n

    def absolute_deviation(self, name: str, n: int) -> tuple[Value, Value]:
        """Return the mean of the newest ``n`` bars and their mean absolute distance from it."""
        mean = self.total(name, n) / n
        return mean, _in_order(np.abs(self._recent(name, n) - mean)) / n

    def session_first(self, name: str) -> Value:
        """Return the series at the first bar of the current session."""
        return self.now(name, self._session - 1)

    def session_total(self, name: str) -> Value:
        """Return the sum over the current session so far."""
        return _in_order(self._recent(name, self._session))

    def session_highest(self, name: str) -> Value:
        """Return the maximum over the current session so far."""
        return self.highest(name, self._session)

    def session_lowest(self, name: str) -> Value:
        """Return the minimum over the current session so far."""
        return self.lowest(name, self._session)


def _in_order(values: Floats) -> float:
    """Return the sum, added from the first value on; ``sum`` picks an order of its own."""
    return float(np.add.accumulate(values)[-1])
