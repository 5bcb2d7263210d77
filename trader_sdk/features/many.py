"""Many symbols' observations: one vectorised step a bar close instead of one provider a symbol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.features.market import check_bars, finished_rows, history_series, market_features, series_rows
from trader_sdk.features.own import require_own_schema
from trader_sdk.features.provider import check_bar, not_newer, observation_of
from trader_sdk.features.schema import REQUIRED_HISTORY, FeatureSchema
from trader_sdk.features.series import OHLCV
from trader_sdk.features.universe import Step, UniverseState
from trader_sdk.features.window import Columns, NewestOfMany, bar_values, bars_from, with_bar

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]


class SymbolProvider:
    """One symbol of a universe, as a provider of its own; made by the universe.

    Args:
        universe: Who computes.
        symbol: Whose bars.
    """

    def __init__(self, universe: UniverseProvider, symbol: str) -> None:
        self._universe, self.symbol = universe, symbol

    @property
    def schema(self) -> FeatureSchema:
        """Return what the columns mean."""
        return self._universe.schema

    @property
    def required_history(self) -> int:
        """Return how many bars one observation needs."""
        return REQUIRED_HISTORY

    @property
    def ready(self) -> bool:
        """Return whether the window is full."""
        return len(self._universe.window(self.symbol)) == self.schema.window

    @property
    def row(self) -> Rows | None:
        """Return the newest bar's row, float32 (53,), None before the first; for ``DecisionStream.push``."""
        rows = self._universe.window(self.symbol)
        return rows[-1].copy() if len(rows) else None

    @property
    def window(self) -> Rows:
        """Return the rows of the window, float32 (at most 100, 53), oldest first."""
        return self._universe.window(self.symbol).copy()

    @property
    def bars(self) -> Bars:
        """Return the bars that can change the window, oldest first."""
        return self._universe.bars(self.symbol)

    def push(self, bar: Bar) -> None:
        """Take a closed bar, newer than the last; as dear as a bar of every symbol at once.

        Raises:
            DataError: The bar is invalid, of another symbol or not newer; nothing changed.
        """
        self._require_own(bar.symbol)
        self._universe.push_many([bar])

    def revise(self, bar: Bar) -> None:
        """Take a bar whatever its time, as ``UniverseProvider.revise``.

        Raises:
            DataError: The bar is invalid or of another symbol; nothing changed.
        """
        self._require_own(bar.symbol)
        self._universe.revise(bar)

    def restart(self, bars: Bars) -> None:
        """Forget every bar and take these, oldest first.

        Raises:
            DataError: Bars of another timeframe, calendar or symbol.
        """
        self._require_own(bars.symbol)
        self._universe.start(bars)

    def extend(self, bars: Bars) -> None:
        """Take many bars, oldest first; much faster where they are the first.

        Raises:
            DataError: Bars of another timeframe, calendar or symbol, or older than what was seen.
        """
        self._require_own(bars.symbol)
        if not self._universe.bars_seen(self.symbol):
            self._universe.start(bars)
            return
        for index in range(len(bars)):
            self._universe.push_many([bars.at(index)])

    def observe(self, account: NDArray[np.float32] | None = None) -> Rows:
        """Return the current observation, float32 (obs_dim,).

        Raises:
            ActionError: E405 for account columns of another number or that are not finite.
            DataError: The window is not full.
        """
        return observation_of(self._universe.window(self.symbol), account, self.schema)

    def history(self, bars: Bars) -> Rows:
        """Return the market columns, float32 (T - L, 53); row i is bar i + L."""
        return market_features(bars, self.schema)

    def _require_own(self, symbol: str) -> None:
        if symbol != self.symbol:
            raise DataError("BARS", f"the bar is of another symbol than {self.symbol}", where=symbol)


class UniverseProvider:
    """The package's own columns of many symbols of one schema, equal to one ``Ohlcv53Provider`` each to the last bit.

    A bar close is one :meth:`push_many`; symbols without a bar keep their past. From a few dozen symbols on that is
    cheaper than separate providers, and at hundreds many times.

    Args:
        schema: One that :func:`~trader_sdk.features.schema.build_schema` makes.
        symbols: Those to make room for; others can be added.

    Raises:
        ContractError: E309 if these are not the columns of this package.

    Example:
        >>> from trader_sdk.features import build_schema
        >>> schema = build_schema("2.7.0", "1Min", calendar="24/7", feed="sip", adjustment="split")
        >>> universe = UniverseProvider(schema, ["BTC/USD", "ETH/USD"])
        >>> universe.push_many([Bar(symbol, 0, 9.0, 9.5, 8.5, 9.2, 10.0) for symbol in universe.symbols])
        {}
        >>> universe.of("BTC/USD").ready
        False
    """

    def __init__(self, schema: FeatureSchema, symbols: Iterable[str] = ()) -> None:
        require_own_schema(schema)
        names = tuple(symbols)
        self.schema = schema
        self._state = state = UniverseState(schema, len(names))
        self._rows = NewestOfMany(schema.window, state.width, (MARKET_FEATURES,), np.float32)
        # Older bars can change no row of the window.
        self._t = NewestOfMany(REQUIRED_HISTORY, state.width, (), np.int64)
        self._bars = NewestOfMany(REQUIRED_HISTORY, state.width, (len(OHLCV),), np.float64)
        self._column_of: dict[str, int] = {}
        for name in names:
            self.add(name)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return whose bars are taken."""
        return tuple(self._column_of)

    def of(self, symbol: str) -> SymbolProvider:
        """Return one symbol's provider, a view of the universe.

        Raises:
            DataError: The universe does not hold the symbol.
        """
        self._column(symbol)
        return SymbolProvider(self, symbol)

    def add(self, symbol: str) -> SymbolProvider:
        """Hold one more symbol, at any time, and return its provider; :meth:`start` gives it a past.

        Raises:
            DataError: The universe holds it already.
        """
        if symbol in self._column_of:
            raise DataError("BARS", "the universe holds this symbol already", where=symbol)
        if len(self._column_of) == self._state.width:
            more = self._state.width
            for grown in (self._state, self._rows, self._t, self._bars):
                grown.widen(more)
        self._column_of[symbol] = len(self._column_of)
        return SymbolProvider(self, symbol)

    def start(self, bars: Bars) -> None:
        """Start one symbol over from its bars, as if only they had been pushed; the others are not touched.

        Raises:
            DataError: Bars of another timeframe or calendar, or of a symbol that is not held; nothing changed.
        """
        check_bars(bars, self.schema)
        column = self._column(bars.symbol)
        if not len(bars):
            return
        known = bars.slice(max(len(bars) - REQUIRED_HISTORY, 0), len(bars))
        series = history_series(known, self.schema)
        rows = series_rows(series, self.schema, bars.symbol)
        self._state.put(column, known.t, series)
        self._rows.fill(column, rows)
        self._t.fill(column, known.t)
        self._bars.fill(column, bar_values(known))

    def extend(self, histories: Sequence[Bars]) -> None:
        """Take many bars of many symbols: the newest of each at last, the one before it at last but one, and so on.

        Raises:
            DataError: Bars of another timeframe or calendar, or as :meth:`push_many`; bars before the faulty one were
                taken.
        """
        for bars in histories:
            check_bars(bars, self.schema)
        for back in range(max(map(len, histories), default=0), 0, -1):
            self.push_many([bars.at(len(bars) - back) for bars in histories if len(bars) >= back])

    def push_many(self, bars: Sequence[Bar]) -> dict[str, Rows]:
        """Take a closed bar of each of some symbols, newer than the symbol's last.

        Returns:
            By symbol the new row, float32 (53,), where more than L bars were seen; for ``DecisionStreams.push``.

        Raises:
            DataError: A bar is invalid, not newer, or of a symbol that is not held, or two are of one symbol; nothing
                changed.
        """
        symbols, rows = self.rows_of(bars)
        return dict(zip(symbols, rows, strict=True))

    def rows_of(self, bars: Sequence[Bar]) -> tuple[list[str], Rows]:
        """Take bars as :meth:`push_many` does, and return the new rows as one array.

        Returns:
            The symbols that have a row, in the order of ``bars``, and their rows, float32 (n, 53).

        Raises:
            DataError: As :meth:`push_many`.
        """
        if not bars:
            return [], np.empty((0, MARKET_FEATURES), np.float32)
        columns = np.array(self._columns(bars), np.intp)
        t = np.array([bar.t for bar in bars], np.int64)
        values = np.array([bar[2:] for bar in bars], np.float64)
        self._check(bars, columns, t, values)
        step = self._state.look(columns, t, values)
        rows = self._finished(step)
        self._state.keep(step)
        self._t.append(columns, t)
        self._bars.append(columns, values)
        self._rows.append(step.ready, rows)
        if len(step.ready) == len(bars):
            return [bar.symbol for bar in bars], rows
        ready = set(step.ready.tolist())
        return [bar.symbol for bar, column in zip(bars, columns.tolist(), strict=True) if column in ready], rows

    def revise(self, bar: Bar) -> None:
        """Take a bar whatever its time: a new one, a correction, or one that comes late.

        All but a new one start the symbol over from the newest ``required_history`` bars; one so old that it can
        change no row of the window changes nothing.

        Raises:
            DataError: The bar is invalid or of a symbol that is not held; nothing changed.
        """
        column = self._column(bar.symbol)
        if bar.t > self._state.newest_t[column]:
            self.push_many([bar])
            return
        check_bar(bar, None)
        bars = with_bar(self._t.of(column), self._bars.of(column), bar, self.schema, REQUIRED_HISTORY)
        if bars is not None:
            self.start(bars)

    def bars_seen(self, symbol: str) -> int:
        """Return how many bars were taken of a symbol."""
        return int(self._state.count[self._column(symbol)])

    def window(self, symbol: str) -> Rows:
        """Return a symbol's rows, float32 (at most 100, 53), oldest first, not copied."""
        return self._rows.of(self._column(symbol))

    def bars(self, symbol: str) -> Bars:
        """Return the bars of a symbol that can change its window, oldest first: at most ``required_history``."""
        column = self._column(symbol)
        return bars_from(symbol, self._t.of(column), self._bars.of(column), self.schema)

    def _column(self, symbol: str) -> int:
        column = self._column_of.get(symbol)
        if column is None:
            raise DataError("BARS", "a symbol that the universe does not hold", where=symbol, remedy="`add` it first.")
        return column

    def _columns(self, bars: Sequence[Bar]) -> list[int]:
        held = self._column_of
        try:
            return [held[bar.symbol] for bar in bars]
        except KeyError:
            return [self._column(bar.symbol) for bar in bars]  # says which one is not held

    def _check(self, bars: Sequence[Bar], columns: Columns, t: NDArray[np.int64], values: Floats) -> None:
        """Refuse what :func:`check_bar` refuses; it is asked for the words where something is wrong."""
        if len(set(columns.tolist())) < len(columns):
            raise DataError("BARS", "two bars of one symbol at once", where="push_many", expected="one bar a symbol")
        open_, high, low, close, volume = values.T
        good = np.isfinite(values).all(axis=1) & (values[:, :4] > 0.0).all(axis=1) & (volume >= 0.0)
        good &= (low <= np.minimum(open_, close)) & (np.maximum(open_, close) <= high)
        for index in np.flatnonzero(~good).tolist():
            check_bar(bars[index], None)
        for index in np.flatnonzero(t <= self._state.newest_t[columns]).tolist():
            raise not_newer(bars[index])

    def _finished(self, step: Step) -> Rows:
        wrong = np.isin(list(self._column_of.values()), step.ready[~np.isfinite(step.rows).all(axis=1)])
        return finished_rows(step.rows, ", ".join(np.array(self.symbols)[wrong]))
