"""Feature providers: who turns bars into observations, and what every one of them promises."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ActionError, ConfigError, DataError
from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.features.schema import REQUIRED_HISTORY, FeatureSchema

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


def observation_of(rows: Rows, account: NDArray[np.float32] | None, schema: FeatureSchema) -> Rows:
    """Return a window's rows and the account columns as one observation, float32 (obs_dim,).

    Raises:
        ActionError: E405 for account columns of another number or that are not finite.
        DataError: The window is not full.
    """
    if len(rows) < schema.window:
        raise DataError(
            "BARS",
            "the window is not full",
            where="observe",
            expected=f"{REQUIRED_HISTORY} bars",
            found=f"{len(rows)} rows of {schema.window}",
            remedy="Push more history first; `ready` says when.",
        )
    columns = account_columns_of(account, schema.n_account)
    observation = np.empty((schema.window, schema.n_features), np.float32)
    observation[:, :MARKET_FEATURES] = rows
    observation[:, MARKET_FEATURES:] = columns
    return observation.reshape(-1)


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


def check_bar(bar: Bar, last: Bar | None) -> None:
    """Refuse a bar that no market has, or one of another symbol than the last.

    Raises:
        DataError: What is wrong with it.
    """
    prices = (bar.open, bar.high, bar.low, bar.close)
    if not all(math.isfinite(price) and price > 0 for price in prices):
        fault = "a price is not a positive number"
    elif not (math.isfinite(bar.volume) and bar.volume >= 0):
        fault = "the volume is not a number from 0 on"
    elif not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        fault = "open or close lies outside low..high"
    elif last is not None and bar.symbol != last.symbol:
        fault = f"the bar is of another symbol than {last.symbol}"
    else:
        return
    raise DataError("BARS", fault, where=bar.symbol, found=bar)


def not_newer(bar: Bar) -> DataError:
    """Return the refusal of a bar that does not follow the last one."""
    return DataError(
        "BARS",
        "the bar is not newer than the last",
        where=bar.symbol,
        found=bar,
        remedy="`revise` takes corrected and late bars.",
    )
