"""Feature providers: who turns bars into observations. Ours, and the protocol for everybody else's."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ActionError, ConfigError, ContractError, DataError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.features.market import market_features
from trader_sdk.features.schema import REQUIRED_HISTORY, FeatureSchema, schema_of_sets
from trader_sdk.features.streaming import MarketState

Rows = NDArray[np.float32]

DEFAULT_PROVIDER: Final = "trader_sdk.features:Ohlcv53Provider"


@runtime_checkable
class FeatureProvider(Protocol):
    """Turns the closed bars of one symbol into observations. One instance serves one symbol."""

    @property
    def schema(self) -> FeatureSchema:
        """Return what the columns mean."""

    @property
    def required_history(self) -> int:
        """Return how many bars one observation needs."""

    def push(self, bar: Bar) -> None:
        """Take a closed bar, newer than the last.

        Raises:
            DataError: The bar is invalid or not newer; nothing changed.
        """

    @property
    def ready(self) -> bool:
        """Return whether the window is full; until then the reason is WARMING_UP."""

    def observe(self, account: NDArray[np.float32] | None = None) -> Rows:
        """Return the current observation, float32 (obs_dim,): oldest bar first, row-major by time.

        Args:
            account: float32 (0 | 3 | 6,), the sleeve's columns now, broadcast along the window; None where the model
                has none.

        Raises:
            ActionError: E405 for account columns of another number or that are not finite.
            DataError: The window is not full.
        """

    def history(self, bars: Bars) -> Rows:
        """Return the market columns, float32 (T - L, 53), L = required_history - window; row i is bar i + L."""


ProviderFactory: TypeAlias = Callable[..., FeatureProvider]


class Ohlcv53Provider:
    """The package's own columns, bar by bar.

    Args:
        schema: One that :func:`~trader_sdk.features.schema.build_schema` makes.
        history: Bars to start from, as if each had been pushed, only faster.

    Raises:
        ContractError: E309 if these are not the columns of this package.
    """

    def __init__(self, schema: FeatureSchema, history: Bars | None = None) -> None:
        if not is_own_schema(schema):
            raise ContractError(
                "E309",
                "these features are not the package's own",
                where="feature schema",
                expected="the columns and versions of this release",
                found=schema.sha256,
                remedy="Give the provider that the model was trained with: --features MODULE:Provider.",
            )
        self._schema = schema
        self._state = MarketState(schema)
        # Twice the window, so that the newest rows always form one slice.
        self._rows = np.zeros((2 * schema.window, MARKET_FEATURES), np.float32)
        self._end = 0
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
        return self._end >= self._schema.window

    @property
    def row(self) -> Rows | None:
        """Return the newest bar's row, float32 (53,), None before the first; for ``DecisionStream.push``."""
        return self._rows[self._end - 1].copy() if self._end else None

    @property
    def window(self) -> Rows:
        """Return the rows of the window, float32 (at most 100, 53), oldest first."""
        return self._rows[max(self._end - self._schema.window, 0) : self._end].copy()

    def push(self, bar: Bar) -> None:
        """Take a closed bar, newer than the last.

        Raises:
            DataError: The bar is invalid, of another symbol or not newer; nothing changed.
        """
        _check_bar(bar, self._last)
        row = self._state.push(bar)
        self._last = bar
        if row is not None:
            self._append(row)

    def extend(self, bars: Bars) -> None:
        """Take many bars at once; equal to pushing each, and much faster for the first ``required_history``.

        Raises:
            DataError: Bars of another timeframe, calendar or symbol, or older than what was seen.
        """
        first = 0
        if self._last is None and len(bars) >= REQUIRED_HISTORY:
            first = len(bars)
            known = bars.slice(first - REQUIRED_HISTORY, first)
            rows = market_features(known, self._schema)
            self._state = MarketState(self._schema, known)
            self._rows[: len(rows)] = rows
            self._end = len(rows)
            self._last = bars.at(first - 1)
        for index in range(first, len(bars)):
            self.push(bars.at(index))

    def observe(self, account: NDArray[np.float32] | None = None) -> Rows:
        """Return the current observation, float32 (obs_dim,).

        Raises:
            ActionError: E405 for account columns of another number or that are not finite.
            DataError: The window is not full.
        """
        if not self.ready:
            raise DataError(
                "BARS",
                "the window is not full",
                where="observe",
                expected=f"{self.required_history} bars",
                found=f"{self._end} rows of {self._schema.window}",
                remedy="Push more history first; `ready` says when.",
            )
        columns = account_columns_of(account, self._schema.n_account)
        observation = np.empty((self._schema.window, self._schema.n_features), np.float32)
        observation[:, :MARKET_FEATURES] = self._rows[self._end - self._schema.window : self._end]
        observation[:, MARKET_FEATURES:] = columns
        return observation.reshape(-1)

    def history(self, bars: Bars) -> Rows:
        """Return the market columns, float32 (T - L, 53); row i is bar i + L."""
        return market_features(bars, self._schema)

    def _append(self, row: Rows) -> None:
        if self._end == len(self._rows):
            keep = self._schema.window - 1
            self._rows[:keep] = self._rows[-keep:]
            self._end = keep
        self._rows[self._end] = row
        self._end += 1


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


def account_columns_of(account: NDArray[np.float32] | None, n_account: int) -> Rows:
    """Return the account columns, checked: float32 (n_account,), finite.

    Raises:
        ActionError: E405.
    """
    columns = np.zeros(0, np.float32) if account is None else np.asarray(account, np.float32).reshape(-1)
    if len(columns) != n_account or not np.isfinite(columns).all():
        raise ActionError(
            "E405",
            "the account columns do not fit the model",
            where="observe(account)",
            expected=f"{n_account} finite numbers",
            found=f"{columns.tolist()}",
        )
    return columns


def load_provider(target: str) -> ProviderFactory:
    """Return what ``package.module:Provider`` names: called without arguments, it makes a provider.

    Args:
        target: Importable module, a colon, and the name of a class or function in it. Where the model's checkpoint
            holds ``constants``, it is called with ``constants=...``.

    Raises:
        ConfigError: Not of that form, not importable, or not callable.

    Example:
        >>> load_provider(DEFAULT_PROVIDER).__name__
        'Ohlcv53Provider'
    """
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise _no_provider("a provider is named MODULE:NAME", target)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise _no_provider(f"the module cannot be imported: {error}", target) from error
    factory: Any = getattr(module, name, None)
    if not callable(factory):
        raise _no_provider(f"{module_name} has nothing callable of the name {name}", target)
    made: ProviderFactory = factory
    return made


def _no_provider(message: str, target: str) -> ConfigError:
    return ConfigError(
        "CONFIG",
        message,
        where="features",
        expected="package.module:Provider",
        found=target,
        remedy="Name an importable provider; the folder it lies in must be on PYTHONPATH.",
    )


def _check_bar(bar: Bar, last: Bar | None) -> None:
    prices = (bar.open, bar.high, bar.low, bar.close)
    if not all(math.isfinite(price) and price > 0 for price in prices):
        fault = "a price is not a positive number"
    elif not (math.isfinite(bar.volume) and bar.volume >= 0):
        fault = "the volume is not a number from 0 on"
    elif not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        fault = "open or close lies outside low..high"
    elif last is not None and bar.symbol != last.symbol:
        fault = f"the bar is of another symbol than {last.symbol}"
    elif last is not None and bar.t <= last.t:
        fault = "the bar is not newer than the last"
    else:
        return
    raise DataError("BARS", fault, where=bar.symbol, found=bar)
