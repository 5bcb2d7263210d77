"""The 53 market columns of a whole history at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features.arithmetic import ArrayArithmetic, Value
from trader_sdk.features.clock import local_clock
from trader_sdk.features.columns import LONGEST_SESSION, MARKET_COLUMNS, MEMORY, Column, Group
from trader_sdk.features.formulas import WILDER_MEMORY, directional_index
from trader_sdk.features.lookback import History, Lookback
from trader_sdk.features.regimes import (
    CHAINS,
    OBSERVATION_MEMORY,
    REGIME_SERIES,
    filter_history,
    likelihoods,
)
from trader_sdk.features.schema import FeatureSchema
from trader_sdk.features.series import OHLCV, bar_series

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

_ROWS_AT_ONCE: Final = 4_096  # keeps a block's series in cache, and memory bounded whatever the length
_LOWS: Final = np.array([column.low for column in MARKET_COLUMNS])
_HIGHS: Final = np.array([column.high for column in MARKET_COLUMNS])


def market_features(bars: Bars, schema: FeatureSchema) -> Rows:
    """Compute the market columns of every bar that has enough bars before it.

    Args:
        bars: T consecutive closed bars of the schema's timeframe and calendar.
        schema: Whose columns; the account columns of a schema are not per bar and not computed here.

    Returns:
        float32 (T - L, 53), L = :data:`~trader_sdk.features.columns.MEMORY`; row i is bar i + L and depends on bars
        i..i + L alone. Empty where there are no more than L bars.

    Raises:
        DataError: Bars of another timeframe or calendar, or prices so far apart that float64 overflows.
    """
    check_bars(bars, schema)
    rows = np.empty((max(len(bars) - MEMORY, 0), len(MARKET_COLUMNS)), np.float32)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        block = bars.slice(first, first + MEMORY + _ROWS_AT_ONCE)
        rows[first : first + _ROWS_AT_ONCE] = series_rows(history_series(block, schema), schema, bars.symbol)
    return rows


def series_rows(series: Mapping[str, Floats], schema: FeatureSchema, symbol: str) -> Rows:
    """Return the rows, float32 (max(T - L, 0), 53), of the series of T bars."""
    rows = np.empty((max(len(series["close"]) - MEMORY, 0), len(MARKET_COLUMNS)))
    if not len(rows):
        return rows.astype(np.float32)
    back = History(series, MEMORY)
    for index, formula in enumerate(column_formulas(schema.bar_timeframe)):
        rows[:, index] = formula(back)
    return finished_rows(rows, symbol)


def history_series(bars: Bars, schema: FeatureSchema) -> dict[str, Floats]:
    """Return every series of a history, float64 (T,) each; derived ones are 0 until their own memory is full."""
    columns = {name: np.ascontiguousarray(getattr(bars, name)) for name in OHLCV}
    series = bar_series(columns, _previous, ArrayArithmetic())
    series |= local_clock(bars.t, schema.calendar, intraday=schema.bar_timeframe.is_intraday)
    series["session_age"] = _session_ages(series["day"])
    series["directional_index"] = _prefixed(series, WILDER_MEMORY, directional_index)
    observed = {
        f"observed_{chain}": _prefixed(series, OBSERVATION_MEMORY, observe) for chain, observe in CHAINS.items()
    }
    regimes = filter_history(likelihoods(np.stack(list(observed.values()))))
    return {**series, **observed, **dict(zip(REGIME_SERIES, regimes, strict=True))}


def _previous(_: str, values: Floats) -> Floats:
    return np.concatenate([values[:1], values[:-1]])


def _prefixed(series: Mapping[str, Floats], memory: int, formula: Callable[[Lookback], Value]) -> Floats:
    result = np.zeros(len(series["close"]))
    if len(result) > memory:
        result[memory:] = formula(History(series, memory))
    return result


def _session_ages(day: Floats) -> Floats:
    """Return how many bars ago each bar's session began, at most what session columns look back on."""
    index = np.arange(len(day))
    starts = np.where(np.diff(day, prepend=np.nan) != 0.0, index, 0)
    return np.minimum(index - np.maximum.accumulate(starts), LONGEST_SESSION - 1).astype(np.float64)


def column_formulas(timeframe: Timeframe) -> tuple[Callable[[Lookback], Value], ...]:
    """Return the formula of each market column; intraday columns of daily bars are 0."""
    return tuple(_formula(column, timeframe) for column in MARKET_COLUMNS)


def _formula(column: Column, timeframe: Timeframe) -> Callable[[Lookback], Value]:
    if column.compute is None or (column.group is Group.INTRADAY and not timeframe.is_intraday):
        return lambda _: 0.0
    return column.compute


def finished_rows(rows: Floats, symbol: str) -> Rows:
    """Return values clipped to their columns' ranges, as float32; refuse what is not finite."""
    if not np.isfinite(rows).all():
        bad = sorted({MARKET_COLUMNS[index].name for index in np.argwhere(~np.isfinite(rows))[:, -1]})
        raise not_finite(symbol, ", ".join(bad))
    clipped: Rows = np.minimum(np.maximum(rows, _LOWS), _HIGHS).astype(np.float32)
    return clipped


def not_finite(symbol: str, found: str) -> DataError:
    """Return the refusal of bars whose features are no numbers."""
    return DataError(
        "BARS",
        "prices or volumes are too far apart to compute features",
        where=symbol,
        expected="finite features",
        found=found,
        remedy="Look at the newest bars of this symbol; such numbers are no market's.",
    )


def check_bars(bars: Bars, schema: FeatureSchema) -> None:
    """Refuse bars of another timeframe or calendar than a schema's.

    Raises:
        DataError: They are.
    """
    for name, found, wanted in (
        ("timeframe", str(bars.timeframe), schema.timeframe),
        ("calendar", bars.calendar, schema.calendar),
    ):
        if found != wanted:
            raise DataError(
                "BARS",
                f"bars of another {name} than the features'",
                where=bars.symbol,
                expected=wanted,
                found=found,
                remedy=f"Use bars of {name} {wanted}.",
            )
