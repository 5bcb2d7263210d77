"""The 53 market columns of the newest bar, from a ring of series: equal to the whole history's to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.features.columns import LONGEST_SESSION, MARKET_COLUMNS, MEMORY
from trader_sdk.features.formulas import WILDER_MEMORY, directional_index
from trader_sdk.features.lookback import Latest
from trader_sdk.features.market import column_value, finished_rows, history_series
from trader_sdk.features.regimes import (
    CHAINS,
    FILTER_BARS,
    OBSERVATION_MEMORY,
    REGIME_SERIES,
    RegimeFilter,
    likelihoods,
)
from trader_sdk.features.schema import FeatureSchema
from trader_sdk.features.series import OHLCV, SERIES_MEMORY, bar_series

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

_DEPTH: Final = MEMORY + 1


class SeriesRing:
    """The newest values of named series, newest first and side by side.

    Args:
        names: One a row.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._row_of = {name: row for row, name in enumerate(names)}
        # Twice as long as needed and filled backwards: the newest values always form one slice.
        self._values = np.zeros((len(names), 2 * _DEPTH))
        self._front = 2 * _DEPTH
        self.newest = self._values[:, self._front :]

    def push(self, values: Sequence[float]) -> None:
        """Take the newest value of the first series, as many as are given; the others begin as 0."""
        if self._front == 0:
            self._values[:, -_DEPTH + 1 :] = self._values[:, : _DEPTH - 1]
            self._front = _DEPTH + 1
        self._front -= 1
        self.newest = self._values[:, self._front : self._front + _DEPTH]
        self.newest[: len(values), 0] = values
        self.newest[len(values) :, 0] = 0.0

    def fill(self, series: Sequence[Floats]) -> None:
        """Take the newest values of every series at once, oldest first."""
        self._front = _DEPTH
        self.newest = self._values[:, _DEPTH:]
        for row, values in enumerate(series):
            newest = values[-_DEPTH:][::-1]
            self.newest[row, : len(newest)] = newest

    def series(self, name: str) -> Floats:
        """Return a series, newest first."""
        values: Floats = self.newest[self._row_of[name]]
        return values

    def write(self, name: str, value: float) -> None:
        """Set the newest value of a series."""
        self.newest[self._row_of[name], 0] = value


class MarketState:
    """The newest bars of one symbol: push a bar, get its row.

    Args:
        schema: Timeframe and calendar of the bars.
        history: Bars that were seen before; at least ``REQUIRED_HISTORY`` of them, or none.
    """

    def __init__(self, schema: FeatureSchema, history: Bars | None = None) -> None:
        self._timeframe, self._calendar = schema.bar_timeframe, schema.calendar
        self._regimes = RegimeFilter()
        self._ring: SeriesRing | None = None
        self._last_bars: list[Bar] = []
        self._session_age = 0
        self._count = 0
        if history is not None:
            self._remember(history, schema)

    def push(self, bar: Bar) -> Rows | None:
        """Take a closed bar, newer than the last.

        Returns:
            float32 (53,), equal to the last row of :func:`market_features`; None while fewer than L + 1 bars were seen.

        Raises:
            DataError: As :func:`market_features`.
        """
        ring = self._advanced(bar)
        back = Latest(ring.series, self._session_age)
        if self._count >= WILDER_MEMORY:
            ring.write("directional_index", directional_index(back))
        if self._count >= OBSERVATION_MEMORY:
            for chain, observe in CHAINS.items():
                ring.write(f"observed_{chain}", observe(back))
        self._filter(ring)
        self._count += 1
        if self._count <= MEMORY:
            return None
        row = np.array([column_value(column, back, self._timeframe) for column in MARKET_COLUMNS])
        return finished_rows(row, bar.symbol)

    def _advanced(self, bar: Bar) -> SeriesRing:
        """Add the bar's own series to the ring; those that look back are still 0."""
        bars = [*self._last_bars[-SERIES_MEMORY:], bar]
        columns = {name: np.array([getattr(item, name) for item in bars], np.float64) for name in OHLCV}
        series = bar_series(np.array([item.t for item in bars], np.int64), columns, self._timeframe, self._calendar)
        day = series["day"]
        same_session = len(bars) > 1 and day[-1] == day[-2]
        self._session_age = min(self._session_age + 1, LONGEST_SESSION - 1) if same_session else 0
        self._last_bars = bars
        if self._ring is None:
            self._ring = SeriesRing(_names(series))
        self._ring.push([*(values[-1] for values in series.values()), float(self._session_age)])
        return self._ring

    def _filter(self, ring: SeriesRing) -> None:
        first_regime = -3 * len(CHAINS)
        observed = ring.newest[first_regime - len(CHAINS) : first_regime, :1]
        ring.newest[first_regime:, 0] = self._regimes.push(likelihoods(observed))

    def _remember(self, history: Bars, schema: FeatureSchema) -> None:
        series = history_series(history, schema)
        self._ring = SeriesRing(tuple(series))
        self._ring.fill(list(series.values()))
        observed = np.stack([series[f"observed_{chain}"][-FILTER_BARS:] for chain in CHAINS])
        for likely in np.moveaxis(likelihoods(observed), -1, 0):
            self._regimes.push(likely[:, :, None])
        self._last_bars = [history.at(index) for index in range(len(history) - SERIES_MEMORY, len(history))]
        self._session_age = int(series["session_age"][-1])
        self._count = len(history)


def _names(series: dict[str, Floats]) -> tuple[str, ...]:
    """Return the order of :func:`history_series`: a bar's own series first, then those that look back."""
    observed = (f"observed_{chain}" for chain in CHAINS)
    return (*series, "session_age", "directional_index", *observed, *REGIME_SERIES)
