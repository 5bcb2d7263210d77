"""What one bar and the bar before it say: the series that every column looks back on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features.clock import local_clock

Floats = NDArray[np.float64]

OHLCV: Final = ("open", "high", "low", "close", "volume")
TIE: Final = 1e-9
"""Prices closer than this share of the close are equal: rounding must not decide which way a bar counts."""
SERIES_MEMORY: Final = 2
"""Bars before the newest one that a series looks at."""


def bar_series(
    t: NDArray[np.int64], columns: Mapping[str, Floats], timeframe: Timeframe, calendar: str
) -> dict[str, Floats]:
    """Return the series of consecutive bars.

    Args:
        t: int64 (T,), bar starts, ns UTC.
        columns: ``open, high, low, close, volume``, float64 (T,) each.
        timeframe: Length of the bars.
        calendar: ``XNYS`` or ``24/7``.

    Returns:
        float64 (T,) each. The first two entries stand in for bars that are not there, and are not to be used.
    """
    log_price = {name: np.log(columns[name]) for name in OHLCV[:4]}
    before = {name: _previous(columns[name]) for name in ("high", "low", "close")}
    returns = log_price["close"] - _previous(log_price["close"])
    return {
        **columns,
        **local_clock(t, calendar, intraday=timeframe.is_intraday),
        **{f"log_{name}": values for name, values in log_price.items()},
        "return": returns,
        "return_squared": returns * returns,
        "return_product": returns * _previous(returns),
        "gap": log_price["open"] - _previous(log_price["close"]),
        "log_range": log_price["high"] - log_price["low"],
        **_directional(columns, before),
        **_flows(columns),
    }


def _previous(values: Floats) -> Floats:
    return np.concatenate([values[:1], values[:-1]])


def _directional(now: Mapping[str, Floats], before: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return Wilder's inputs, in price units."""
    change = now["close"] - before["close"]
    rise, fall = now["high"] - before["high"], before["low"] - now["low"]
    tie = TIE * now["close"]
    return {
        "gain": np.maximum(change, 0.0),
        "loss": np.maximum(-change, 0.0),
        "true_range": np.maximum(now["high"], before["close"]) - np.minimum(now["low"], before["close"]),
        "plus_movement": np.where((rise > fall + tie) & (rise > 0.0), rise, 0.0),
        "minus_movement": np.where((fall > rise + tie) & (fall > 0.0), fall, 0.0),
    }


def _flows(now: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return typical price and the flows of volume, in price or volume units."""
    typical = (now["high"] + now["low"] + now["close"]) / 3.0
    step = typical - _previous(typical)
    tie = TIE * now["close"]
    traded = typical * now["volume"]
    width = now["high"] - now["low"]
    location = ((now["close"] - now["low"]) - (now["high"] - now["close"])) / np.where(width > 0.0, width, 1.0)
    return {
        "typical": typical,
        "traded": traded,
        "inflow": np.where(step > tie, traded, 0.0),
        "outflow": np.where(step < -tie, traded, 0.0),
        "accumulation": location * now["volume"],
    }
