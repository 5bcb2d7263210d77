"""The 53 market columns of the newest bar, from a ring of series: equal to the whole history's to the last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.features.arithmetic import FloatArithmetic
from trader_sdk.features.clock import bar_clock
from trader_sdk.features.columns import LONGEST_SESSION, MEMORY
from trader_sdk.features.depth import ring_depths
from trader_sdk.features.formulas import WILDER_MEMORY, directional_index
from trader_sdk.features.lookback import Latest
from trader_sdk.features.market import column_formulas, finished_rows, history_series, not_finite, series_rows
from trader_sdk.features.regimes import (
    CHAINS,
    FILTER_BARS,
    OBSERVATION_MEMORY,
    REGIME_SERIES,
    RegimeFilter,
    likelihoods,
)
from trader_sdk.features.schema import FeatureSchema
from trader_sdk.features.series import OHLCV, bar_series

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

_DEPTH: Final = MEMORY + 1
_FLOATS: Final = FloatArithmetic()


class SeriesRing:
    """The newest values of named series, newest first and side by side.

    A value is first offered, then kept: what looks back sees it before it is settled that it counts.

    Args:
        names: One a row.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._row_of = {name: row for row, name in enumerate(names)}
        # Twice as long as needed and filled backwards: the newest values always form one slice.
        self._values = np.zeros((len(names), 2 * _DEPTH))
        self._front = _DEPTH

    def offer(self, values: Mapping[str, float]) -> None:
        """Write the value that comes next, of every series that is named; the others begin as 0."""
        if self._front == 0:
            self._values[:, _DEPTH:] = self._values[:, :_DEPTH]
            self._front = _DEPTH
        self._values[:, self._front - 1] = [values.get(name, 0.0) for name in self._row_of]

    def amend(self, name: str, value: float) -> None:
        """Change what is offered of one series."""
        self._values[self._row_of[name], self._front - 1] = value

    def recent(self, name: str, n: int) -> Floats:
        """Return the newest ``n`` values, newest first, beginning with the one on offer."""
        values: Floats = self._values[self._row_of[name], self._front - 1 : self._front - 1 + n]
        return values

    def keep(self) -> None:
        """Settle that the values on offer count."""
        self._front -= 1

    def drop(self) -> None:
        """Take back the newest values that were kept; only once in a row."""
        self._front += 1

    def fill(self, series: Mapping[str, Floats]) -> None:
        """Take the newest values of every series at once, oldest first."""
        self._front = _DEPTH
        for name, row in self._row_of.items():
            newest = series[name][-_DEPTH:][::-1]
            self._values[row, _DEPTH : _DEPTH + len(newest)] = newest


@dataclass(frozen=True, slots=True)
class _Past:
    """What the next bar must know of the bars before it, beside the ring."""

    series: Mapping[str, float]
    regimes: RegimeFilter
    count: int


class MarketState:
    """The newest bars of one symbol: push a bar, get its row.

    Args:
        schema: Timeframe and calendar of the bars.
    """

    def __init__(self, schema: FeatureSchema) -> None:
        self._schema = schema
        self._intraday = schema.bar_timeframe.is_intraday
        self._formulas = column_formulas(schema.bar_timeframe)
        self._ring = SeriesRing(tuple(ring_depths(schema.bar_timeframe)))
        self._past = _Past({}, RegimeFilter.start(), 0)
        self._before: _Past | None = None

    @classmethod
    def of(cls, bars: Bars, schema: FeatureSchema) -> tuple[MarketState, Rows]:
        """Return the state as if each bar had been pushed, and the rows, float32 (max(T - L, 0), 53)."""
        state = cls(schema)
        if not len(bars):
            return state, np.empty((0, len(state._formulas)), np.float32)
        series = history_series(bars, schema)
        state._ring.fill(series)
        regimes = RegimeFilter.start()
        observed = np.stack([series[f"observed_{chain}"][-FILTER_BARS:] for chain in CHAINS])
        for likely in np.moveaxis(likelihoods(observed), -1, 0):
            regimes, _ = regimes.after(likely[:, :, None])
        state._past = _Past({name: values.item(-1) for name, values in series.items()}, regimes, len(bars))
        return state, series_rows(series, schema, bars.symbol)

    def push(self, bar: Bar) -> Rows | None:
        """Take a closed bar, newer than the last.

        Returns:
            float32 (53,), equal to the last row of :func:`market_features`; None while fewer than L + 1 bars were seen.

        Raises:
            DataError: As :func:`market_features`; nothing changed.
        """
        now = self._own_series(bar)
        self._ring.offer(now)
        back = Latest(now, self._ring.recent)
        try:
            regimes = self._look_back(now, back)
            row = self._row(back, bar.symbol) if self._past.count >= MEMORY else None
        except ZeroDivisionError as error:
            raise not_finite(bar.symbol, "a price of next to nothing") from error
        self._ring.keep()
        self._before, self._past = self._past, _Past(now, regimes, self._past.count + 1)
        return row

    def undo(self) -> bool:
        """Forget the bar that was pushed last; False, and nothing changed, where the one before it is not known."""
        if self._before is None:
            return False
        self._ring.drop()
        self._past, self._before = self._before, None
        return True

    def _own_series(self, bar: Bar) -> dict[str, float]:
        """Return the series that the bar and the one before it say."""
        last = self._past.series
        columns = {name: float(getattr(bar, name)) for name in OHLCV}
        now = bar_series(columns, last.get, _FLOATS)
        now.update(bar_clock(bar.t, self._schema.calendar, intraday=self._intraday))
        same_session = now["day"] == last.get("day")
        now["session_age"] = min(last["session_age"] + 1.0, LONGEST_SESSION - 1.0) if same_session else 0.0
        return now

    def _look_back(self, now: dict[str, float], back: Latest) -> RegimeFilter:
        """Add the series that look back themselves to ``now``, and return the filters after this bar."""
        count = self._past.count
        now["directional_index"] = directional_index(back) if count >= WILDER_MEMORY else 0.0
        self._ring.amend("directional_index", now["directional_index"])
        seen = [observe(back) if count >= OBSERVATION_MEMORY else 0.0 for observe in CHAINS.values()]
        regimes, shares = self._past.regimes.after(likelihoods(np.array([seen]).T))
        now.update(zip(REGIME_SERIES, shares.tolist(), strict=True))
        return regimes

    def _row(self, back: Latest, symbol: str) -> Rows:
        return finished_rows(np.array([formula(back) for formula in self._formulas]), symbol)
