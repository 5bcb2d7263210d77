"""The market columns of many symbols in one step: what as many providers compute, to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.features.across import LEAST_WIDTH, Across, SymbolsRing
from trader_sdk.features.arithmetic import ArrayArithmetic
from trader_sdk.features.clock import local_clock
from trader_sdk.features.columns import LONGEST_SESSION, MARKET_COLUMNS, MEMORY
from trader_sdk.features.depth import ring_depths
from trader_sdk.features.formulas import WILDER_MEMORY, directional_index
from trader_sdk.features.market import column_formulas
from trader_sdk.features.regimes import (
    CHAINS,
    FILTER_BARS,
    OBSERVATION_MEMORY,
    REGIME_SERIES,
    filter_newest,
    likelihoods,
)
from trader_sdk.features.schema import FeatureSchema
from trader_sdk.features.series import OHLCV, bar_series
from trader_sdk.features.window import Columns

Floats = NDArray[np.float64]

_ARRAYS: Final = ArrayArithmetic()
_LAST: Final = (*OHLCV, "log_close", "return", "typical", "day", "session_age")
"""What the next bar must know of the bar before it."""
_LIKELY: Final = "likely"
_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Step:
    """What new bars of some symbols give, before it is settled that they count.

    Attributes:
        columns: Whose bars.
        t: int64 (n,), when they began, ns UTC.
        ready: Those of them that have a row.
        rows: float64 (len(ready), 53), not clipped.
        now: The bars' series, float64 (width,) each.
    """

    columns: Columns
    t: NDArray[np.int64]
    ready: Columns
    rows: Floats
    now: Mapping[str, Floats]


class UniverseState:
    """The newest bars of many symbols: push a bar of each, or of some, and get their rows.

    A symbol is a column of every array, and columns know nothing of each other.

    Args:
        schema: Timeframe and calendar of the bars.
        width: How many symbols there is room for.

    Attributes:
        count: int64 (width,), bars that were kept of each symbol.
        newest_t: int64 (width,), when the last of them began.
    """

    def __init__(self, schema: FeatureSchema, width: int) -> None:
        self._schema = schema
        self._formulas = column_formulas(schema.bar_timeframe)
        self.width = max(width, LEAST_WIDTH)
        depths = ring_depths(schema.bar_timeframe)
        self._rings = {name: SymbolsRing(depth, self.width) for name, depth in depths.items()}
        self._rings[_LIKELY] = SymbolsRing(FILTER_BARS, self.width, (len(CHAINS), 3))
        self._last = {name: np.ones(self.width) for name in _LAST}
        self.count = np.zeros(self.width, np.int64)
        self.newest_t = np.full(self.width, _NEVER)

    def look(self, columns: Columns, t: NDArray[np.int64], bars: Floats) -> Step:
        """Compute what new bars of some symbols give; :meth:`keep` settles that they count.

        Args:
            columns: intp (n,), whose bars, each once.
            t: int64 (n,), bar starts, ns UTC, newer than each symbol's last.
            bars: float64 (n, 5), open, high, low, close, volume.
        """
        with np.errstate(all="ignore"):  # a symbol without enough bars computes what nobody reads
            now = self._own_series(columns, t, bars)
            for name, ring in self._rings.items():
                ring.offer(now.get(name, 0.0))
            back = Across(now, self._rings)
            self._look_back(now, back)
            ready = columns[self.count[columns] >= MEMORY]
            rows = self._rows(back, ready) if len(ready) else np.empty((0, len(MARKET_COLUMNS)))
        return Step(columns, t, ready, rows, now)

    def keep(self, step: Step) -> None:
        """Settle that the bars of the step count."""
        present = np.zeros(self.width, np.bool_)
        present[step.columns] = True
        absent = np.flatnonzero(~present)
        for ring in self._rings.values():
            ring.keep(absent)
        self._last = {name: np.where(present, step.now[name], self._last[name]) for name in _LAST}
        self.count += present
        self.newest_t[step.columns] = step.t

    def put(self, column: int, t: NDArray[np.int64], series: Mapping[str, Floats]) -> None:
        """Replace what is known of one symbol by the series of its bars, float64 (T,) each, T >= 1, that began at t."""
        observed = np.stack([series[f"observed_{chain}"][-FILTER_BARS:] for chain in CHAINS])
        likely = np.moveaxis(likelihoods(observed), -1, 0)
        for name, ring in self._rings.items():
            ring.put(column, (likely if name == _LIKELY else series[name])[::-1])
        for name, values in self._last.items():
            values[column] = series[name][-1]
        self.count[column], self.newest_t[column] = len(t), t[-1]

    def widen(self, more: int) -> None:
        """Make room for more symbols."""
        for ring in self._rings.values():
            ring.widen(more)
        self._last = {name: np.concatenate([values, np.ones(more)]) for name, values in self._last.items()}
        self.count = np.concatenate([self.count, np.zeros(more, np.int64)])
        self.newest_t = np.concatenate([self.newest_t, np.full(more, _NEVER)])
        self.width += more

    def _own_series(self, columns: Columns, t: NDArray[np.int64], bars: Floats) -> dict[str, Floats]:
        """Return the series that each bar and the one before it say; symbols without a bar repeat their last."""
        now = {name: self._last[name].copy() for name in OHLCV}
        for index, values in enumerate(now.values()):
            values[columns] = bars[:, index]
        known = self.count > 0
        series = bar_series(now, lambda name, values: np.where(known, self._last[name], values), _ARRAYS)
        series |= self._clock(columns, t)
        same_session = known & (series["day"] == self._last["day"])
        older = np.minimum(self._last["session_age"] + 1.0, LONGEST_SESSION - 1.0)
        series["session_age"] = np.where(same_session, older, 0.0)
        return series

    def _clock(self, columns: Columns, t: NDArray[np.int64]) -> dict[str, Floats]:
        times, which = np.unique(t, return_inverse=True)  # most symbols' bars start together
        clock = local_clock(times, self._schema.calendar, intraday=self._schema.bar_timeframe.is_intraday)
        said = {}
        for name, values in clock.items():
            said[name] = np.zeros(self.width)
            said[name][columns] = values[which]
        return said

    def _look_back(self, now: dict[str, Floats], back: Across) -> None:
        """Add the series that look back themselves."""
        now["directional_index"] = np.where(self.count >= WILDER_MEMORY, directional_index(back), 0.0)
        self._rings["directional_index"].offer(now["directional_index"])
        seen = np.stack([np.where(self.count >= OBSERVATION_MEMORY, observe(back), 0.0) for observe in CHAINS.values()])
        self._rings[_LIKELY].offer(likelihoods(seen))
        now.update(zip(REGIME_SERIES, filter_newest(self._rings[_LIKELY].recent(FILTER_BARS)), strict=True))

    def _rows(self, back: Across, columns: Columns) -> Floats:
        rows = np.empty((len(self._formulas), self.width))
        for index, formula in enumerate(self._formulas):
            rows[index] = formula(back)
        return np.ascontiguousarray(rows[:, columns].T)
