"""The package's own columns of one symbol, bar by bar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ContractError, DataError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.features.market import check_bars, market_features
from trader_sdk.features.provider import check_bar, not_newer, observation_of
from trader_sdk.features.schema import REQUIRED_HISTORY, FeatureSchema, schema_of_sets
from trader_sdk.features.series import OHLCV
from trader_sdk.features.streaming import MarketState
from trader_sdk.features.window import Newest, bar_values, with_bar

Rows = NDArray[np.float32]


class Ohlcv53Provider:
    """The package's own columns, bar by bar.

    Args:
        schema: One that :func:`~trader_sdk.features.schema.build_schema` makes.
        history: Bars to start from, as if each had been pushed, only faster.

    Raises:
        ContractError: E309 if these are not the columns of this package.
    """

    def __init__(self, schema: FeatureSchema, history: Bars | None = None) -> None:
        require_own_schema(schema)
        self._schema = schema
        self._state = MarketState(schema)
        self._rows = Newest(schema.window, (MARKET_FEATURES,), np.float32)
        # Older bars can change no row of the window.
        self._t = Newest(REQUIRED_HISTORY, (), np.int64)
        self._bars = Newest(REQUIRED_HISTORY, (len(OHLCV),), np.float64)
        self._last: Bar | None = None
        if history is not None:
            self.extend(history)

    @property
    def schema(self) -> FeatureSchema:
        """Return what the columns mean."""
        return self._schema

    @property
    def required_history(self) -> int:
        """Return how many bars one observation needs."""
        return REQUIRED_HISTORY

    @property
    def ready(self) -> bool:
        """Return whether the window is full."""
        return len(self._rows.values) == self._schema.window

    @property
    def row(self) -> Rows | None:
        """Return the newest bar's row, float32 (53,), None before the first; for ``DecisionStream.push``."""
        rows = self._rows.values
        return rows[-1].copy() if len(rows) else None

    @property
    def window(self) -> Rows:
        """Return the rows of the window, float32 (at most 100, 53), oldest first."""
        return self._rows.values.copy()

    def push(self, bar: Bar) -> None:
        """Take a closed bar, newer than the last.

        Raises:
            DataError: The bar is invalid, of another symbol or not newer; nothing changed.
        """
        check_bar(bar, self._last)
        if self._last is not None and bar.t <= self._last.t:
            raise not_newer(bar)
        self._take(bar)

    def revise(self, bar: Bar) -> None:
        """Take a bar whatever its time: a new one, a correction of one that was taken, or one that comes late.

        Correcting the newest bar costs as much as pushing it; an older one is put in its place and the window is
        computed anew. A bar so old that it can change no row of the window changes nothing.

        Raises:
            DataError: The bar is invalid or of another symbol; nothing changed.
        """
        last = self._last
        check_bar(bar, last)
        if last is None or bar.t > last.t:
            self._take(bar)
        elif bar.t < last.t or not self._replace_newest(last, bar):
            self._start_over(bar)

    def extend(self, bars: Bars) -> None:
        """Take many bars at once; equal to pushing each, and much faster where they are the first.

        Raises:
            DataError: Bars of another timeframe, calendar or symbol, or older than what was seen.
        """
        check_bars(bars, self._schema)
        if self._last is None and len(bars):
            self._start_from(bars.slice(max(len(bars) - REQUIRED_HISTORY, 0), len(bars)))
            return
        for index in range(len(bars)):
            self.push(bars.at(index))

    def observe(self, account: NDArray[np.float32] | None = None) -> Rows:
        """Return the current observation, float32 (obs_dim,).

        Raises:
            ActionError: E405 for account columns of another number or that are not finite.
            DataError: The window is not full.
        """
        return observation_of(self._rows.values, account, self._schema)

    def history(self, bars: Bars) -> Rows:
        """Return the market columns, float32 (T - L, 53); row i is bar i + L."""
        return market_features(bars, self._schema)

    def _take(self, bar: Bar) -> None:
        row = self._state.push(bar)
        self._last = bar
        self._t.append(bar.t)
        self._bars.append(bar[2:])
        if row is not None:
            self._rows.append(row)

    def _replace_newest(self, newest: Bar, bar: Bar) -> bool:
        """Push ``bar`` instead of the newest; False where the state before that one is not known."""
        if not self._state.undo():
            return False
        try:
            row = self._state.push(bar)
        except DataError:
            self._state.push(newest)
            raise
        self._last = bar
        self._bars.amend(bar[2:])
        if row is not None:
            self._rows.amend(row)
        return True

    def _start_over(self, bar: Bar) -> None:
        bars = with_bar(self._t.values, self._bars.values, bar, self._schema, REQUIRED_HISTORY)
        if bars is not None:
            self._start_from(bars)

    def _start_from(self, bars: Bars) -> None:
        self._state, rows = MarketState.of(bars, self._schema)
        self._last = bars.at(len(bars) - 1)
        self._t.fill(bars.t)
        self._bars.fill(bar_values(bars))
        self._rows.fill(rows)


def require_own_schema(schema: FeatureSchema) -> None:
    """Refuse columns that are not this release's.

    Raises:
        ContractError: E309.
    """
    if not is_own_schema(schema):
        raise ContractError(
            "E309",
            "these features are not the package's own",
            where="feature schema",
            expected="the columns and versions of this release",
            found=schema.sha256,
            remedy="Give the provider that the model was trained with: --features MODULE:Provider.",
        )


def is_own_schema(schema: FeatureSchema) -> bool:
    """Return whether this release computes exactly the columns of ``schema``."""
    try:
        own = schema_of_sets(
            schema.feature_sets,
            schema.timeframe,
            calendar=schema.calendar,
            feed=schema.feed,
            adjustment=schema.adjustment,
        )
    except KeyError:
        return False
    return own == schema
