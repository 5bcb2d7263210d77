"""Bars as Alpaca writes them (``t o h l c v``), in REST replies and in stream frames, become the contract's values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import BrokerError

Row = Mapping[str, Any]
_NUMBERS: Final = frozenset({float, int})
_LARGEST: Final = 2.0**63
"""Numbers below it need no closer look, whole ones included."""
_log: Final = structlog.get_logger(__name__)


def bar_from_wire(symbol: str, row: Row) -> Bar:
    """Return one bar of a REST reply or of the stream.

    Args:
        symbol: Whose bar it is.
        row: Its fields; ``t`` is RFC 3339 text or a msgpack timestamp.

    Raises:
        BrokerError: E803 if a field is missing or not a number. Plausibility is the reader's to judge.

    Example:
        >>> row = {"t": "2021-02-01T16:01:00Z", "o": 133.1, "h": 133.9, "l": 133.0, "c": 133.7, "v": 9876}
        >>> bar_from_wire("AAPL", row).t
        1612195260000000000
    """
    values: tuple[Any, ...] = row.get("o"), row.get("h"), row.get("l"), row.get("c"), row.get("v")
    # Hundreds of bars come at once: five plain numbers are taken as they are, anything else is looked at closely.
    if _NUMBERS.issuperset(map(type, values)) and all(-_LARGEST < value < _LARGEST for value in values):
        return Bar(symbol, _start(row), *map(float, values))
    return Bar(symbol, _start(row), *(_number(row, key) for key in "ohlcv"))


def _number(row: Row, key: str) -> float:
    return float(column([row], key)[0])


def stream_bar(raw: Row) -> Bar:
    """Return the bar of a ``b``, ``u`` or ``d`` message of the market data stream.

    Raises:
        BrokerError: E803 if a field is missing or not a number; quarantine the message.
    """
    symbol = raw.get("S")
    if not isinstance(symbol, str) or not symbol:
        raise BrokerError("E803", "a bar could not be read", where="S", expected="a symbol", found=symbol)
    return bar_from_wire(symbol, raw)


def price_band(raw: Row) -> tuple[str, Decimal, Decimal]:
    """Return symbol, limit down and limit up of an ``l`` message of the market data stream.

    Raises:
        BrokerError: E803 if a field is missing, or no band; quarantine the message.

    Example:
        >>> price_band({"S": "AAPL", "u": 105.0, "d": 95.0})
        ('AAPL', Decimal('95.0'), Decimal('105.0'))
    """
    symbol, down, up = raw.get("S"), _number(raw, "d"), _number(raw, "u")
    if not isinstance(symbol, str) or not 0 < down < up:
        raise BrokerError("E803", "a price band could not be read", where=str(symbol), found=f"{down} to {up}")
    return symbol, Decimal(str(down)), Decimal(str(up))


def column(rows: Sequence[Row], key: str) -> NDArray[np.float64]:
    """Return field ``key`` of every row as float64 (T,)."""
    try:
        values = np.array([row[key] for row in rows], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise BrokerError("E803", "bars could not be read", where=key, expected="a number in every bar") from error
    if not np.isfinite(values).all():  # null reads as NaN
        raise BrokerError("E803", "bars could not be read", where=key, expected="a finite number in every bar")
    return values


def possible(rows: Sequence[Row], *, where: str) -> list[Row]:
    """Return the rows that a market can print; one that it cannot is left out and logged, not the end of all.

    Args:
        rows: Bars of a reply.
        where: Whose, for the log.
    """
    kept = [row for row in rows if _is_possible(row)]
    if len(kept) < len(rows):
        left_out = [str(row.get("t")) for row in rows if not _is_possible(row)]
        _log.warning("bars_impossible", where=where, bars=left_out[:10], count=len(left_out))
    return kept


def _is_possible(row: Row) -> bool:
    values: list[Any] = [row.get(key) for key in "ohlcv"]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return False
    open_, high, low, close, volume = values
    inside = bool(0 < low <= min(open_, close) and max(open_, close) <= high)
    return inside and bool(volume >= 0)


def starts(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Return the bars' starts as int64 (T,), nanoseconds since the epoch, UTC."""
    return np.array([_start(row) for row in rows], dtype=np.int64)


def _start(row: Row) -> int:
    try:
        t = row["t"]
        if not isinstance(t, str):
            return int(t.to_unix_nano())
        if not t.endswith("Z"):
            raise ValueError("not UTC")
        return int(np.datetime64(t[:-1], "ns").astype(np.int64))
    except (KeyError, AttributeError, ValueError) as error:
        raise BrokerError("E803", "bars could not be read", where="t", expected="RFC 3339 UTC in every bar") from error
