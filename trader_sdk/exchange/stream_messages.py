"""What the market data stream says: bars, trading halts, price bands, and prices as quotes and trades."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgpack

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND
from trader_sdk.exchange.account import far_side
from trader_sdk.exchange.events import Act, Intervened
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import Side

_QUOTED_SIZE: Final = 100.0
_STATUS: Final[Mapping[Act, Mapping[str, str]]] = {
    Act.HALT: {"sc": "H", "sm": "Trading Halt", "rc": "T12", "rm": "Halt - Additional Information Requested"},
    Act.PAUSE: {"sc": "P", "sm": "Volatility Trading Pause", "rc": "LUDP", "rm": "Volatility Trading Pause"},
    Act.RESUME: {"sc": "T", "sm": "Trading", "rc": "", "rm": ""},
}
"""Trading statuses as tape C tells them; what they tell is an act's key here."""


def told_of(state: VenueState, event: Intervened) -> dict[str, Any] | None:
    """Return what the stream says of something that happened at the venue; None where it says nothing."""
    if event.act is Act.BAND:
        return band_message(event, *state.bands[event.symbol])
    return status_message(event) if event.act in _STATUS else None


def bar_message(kind: str, bar: Bar) -> dict[str, Any]:
    """Return a bar as the stream sends it; ``kind`` is ``b``, ``u`` or ``d``."""
    return {
        "T": kind,
        "S": bar.symbol,
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
        "t": msgpack_time(bar.t),
        "n": None,
        "vw": None,
    }


def status_message(event: Intervened) -> dict[str, Any]:
    """Return a trading halt, a pause for volatility, or the end of either, as the stream sends it."""
    return {"T": "s", "S": event.symbol, **_STATUS[event.act], "t": msgpack_time(event.at), "z": "C"}


def band_message(event: Intervened, down: Decimal, up: Decimal) -> dict[str, Any]:
    """Return limit up and limit down (LULD) of a symbol as the stream sends them."""
    bounds = {"u": float(up), "d": float(down), "i": "B"}
    return {"T": "l", "S": event.symbol, **bounds, "t": msgpack_time(event.at), "z": "C"}


def price_messages(state: VenueState, symbol: str) -> dict[str, dict[str, Any]]:
    """Return a price that moved as a quote and as a trade, by channel."""
    mark = state.marks[symbol]
    moment = msgpack_time(mark.at)
    return {
        "quotes": {"T": "q", "S": symbol, "t": moment, **quote_values(state, symbol)},
        "trades": {
            "T": "t",
            "S": symbol,
            "t": moment,
            "i": 0,
            "x": "V",
            "p": float(mark.price),
            "s": 1.0,
            "c": ["@"],
            "z": "C",
        },
    }


def quote_values(state: VenueState, symbol: str) -> dict[str, Any]:
    """Return bid and ask around the last price, half a spread away each; ``t`` is left to the caller."""
    price, costs = state.marks[symbol].price, state.terms.costs_of(state.assets[symbol])
    return {
        "bx": "V",
        "bp": float(far_side(price, Side.SELL, costs)),
        "bs": _QUOTED_SIZE,
        "ax": "V",
        "ap": float(far_side(price, Side.BUY, costs)),
        "as": _QUOTED_SIZE,
        "c": ["R"],
        "z": "C",
    }


def msgpack_time(at: int) -> msgpack.Timestamp:
    """Return nanoseconds UTC as msgpack's timestamp extension, which clients insist on."""
    seconds, nanos = divmod(at, NANOSECONDS_PER_SECOND)
    return msgpack.Timestamp(seconds, nanos)
