"""What one bar and the bar before it say: the series that every column looks back on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from trader_sdk.features.arithmetic import Arithmetic, Value

OHLCV: Final = ("open", "high", "low", "close", "volume")
TIE: Final = 1e-9
"""Prices closer than this share of the close are equal: rounding must not decide which way a bar counts."""


def bar_series(
    columns: Mapping[str, Value], previous: Callable[[str, Value], Value], of: Arithmetic
) -> dict[str, Value]:
    """Return the series of bars.

    Args:
        columns: ``open, high, low, close, volume``, of one bar or of many.
        previous: Given a series' name and values, returns those of the bar before; before the first bar, its own.
        of: Arithmetic of such values.

    Returns:
        The series. The first two bars stand in for bars that are not there, and theirs are not to be used.
    """
    log_price = {f"log_{name}": of.log(columns[name]) for name in OHLCV[:4]}
    log_close = log_price["log_close"]
    close_before = previous("log_close", log_close)
    returns = log_close - close_before
    return {
        **columns,
        **log_price,
        "return": returns,
        "return_squared": returns * returns,
        "return_product": returns * previous("return", returns),
        "gap": log_price["log_open"] - close_before,
        "log_range": log_price["log_high"] - log_price["log_low"],
        **_directional(columns, {name: previous(name, columns[name]) for name in ("high", "low", "close")}, of),
        **_flows(columns, previous, of),
    }


def _directional(now: Mapping[str, Value], before: Mapping[str, Value], of: Arithmetic) -> dict[str, Value]:
    """Return Wilder's inputs, in price units."""
    change = now["close"] - before["close"]
    rise, fall = now["high"] - before["high"], before["low"] - now["low"]
    tie = TIE * now["close"]
    return {
        "gain": of.larger(change, 0.0),
        "loss": of.larger(-change, 0.0),
        "true_range": of.larger(now["high"], before["close"]) - of.smaller(now["low"], before["close"]),
        "plus_movement": of.where((rise > fall + tie) & (rise > 0.0), rise, 0.0),
        "minus_movement": of.where((fall > rise + tie) & (fall > 0.0), fall, 0.0),
    }


def _flows(now: Mapping[str, Value], previous: Callable[[str, Value], Value], of: Arithmetic) -> dict[str, Value]:
    """Return typical price and the flows of volume, in price or volume units."""
    typical = (now["high"] + now["low"] + now["close"]) / 3.0
    step = typical - previous("typical", typical)
    tie = TIE * now["close"]
    traded = typical * now["volume"]
    width = now["high"] - now["low"]
    location = ((now["close"] - now["low"]) - (now["high"] - now["close"])) / of.where(width > 0.0, width, 1.0)
    return {
        "typical": typical,
        "traded": traded,
        "inflow": of.where(step > tie, traded, 0.0),
        "outflow": of.where(step < -tie, traded, 0.0),
        "accumulation": location * now["volume"],
    }
