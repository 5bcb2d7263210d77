"""Clients' JSON and query strings as typed requests; what cannot be understood comes back as a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, TypeVar

from trader_sdk.exchange.events import Configure, Replace
from trader_sdk.exchange.rejections import Rejection, invalid, unprocessable
from trader_sdk.exchange.sessions import nanoseconds
from trader_sdk.exchange.values import OrderId, OrderRequest, OrderType, PositionIntent, Side, TimeInForce

_Choice = TypeVar("_Choice", bound=StrEnum)
_MOST_DIGITS: Final = 30
_UNSUPPORTED: Final = ("trail_price", "trail_percent", "take_profit", "stop_loss", "legs", "ratio_qty")


class Unreadable(Exception):  # noqa: N818 - a refusal on its way to the client, not an error of ours
    """A request that cannot be understood; carries the refusal to send back."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.message)
        self.rejection = rejection


def parse_body(body: bytes) -> dict[str, Any]:
    """Return a request's JSON object, its numbers as exact decimals.

    Raises:
        Unreadable: Not JSON, or not an object.
    """
    try:
        data = json.loads(body, parse_float=_number, parse_int=_number, parse_constant=_number)
    except (ValueError, RecursionError) as error:
        raise Unreadable(invalid("request body format is invalid")) from error
    if not isinstance(data, dict):
        raise Unreadable(invalid("request body format is invalid"))
    return data


def _number(text: str) -> Decimal:
    """Return a JSON number exactly; one of absurd size would cost more to handle than any request is worth."""
    exact = Decimal(text)
    if not exact.is_finite() or abs(exact.adjusted()) > _MOST_DIGITS:
        raise ValueError("a number out of range")
    return exact


def parse_order(data: Mapping[str, Any], *, default_id: str) -> OrderRequest:
    """Return the order that a POST body asks for.

    Args:
        data: The body's object; numbers may be strings.
        default_id: The client order id when the client gives none.

    Raises:
        Unreadable: A field is missing or of the wrong kind, or asks for what this venue does not have.
    """
    unsupported = [name for name in _UNSUPPORTED if data.get(name) is not None]
    if data.get("order_class") not in (None, "", "simple"):
        unsupported.append(f"order_class {data['order_class']}")
    if unsupported:
        raise Unreadable(unprocessable(f"the embedded exchange does not have {', '.join(unsupported)}"))
    kind = "type" if data.get("type") is not None else "order_type"
    intent = data.get("position_intent")
    return OrderRequest(
        symbol=_text(data, "symbol").upper(),
        side=_choice(Side, data, "side"),
        type=_choice(OrderType, data, kind),
        time_in_force=_choice(TimeInForce, data, "time_in_force"),
        client_order_id=default_id if data.get("client_order_id") is None else _text(data, "client_order_id"),
        qty=parse_decimal(data, "qty"),
        notional=parse_decimal(data, "notional"),
        limit_price=parse_decimal(data, "limit_price"),
        stop_price=parse_decimal(data, "stop_price"),
        extended_hours=data.get("extended_hours") is True,
        position_intent=None if intent is None else _choice(PositionIntent, data, "position_intent"),
    )


def parse_replace(data: Mapping[str, Any], order_id: str, *, default_id: str) -> Replace:
    """Return the replacement that a PATCH body asks for.

    Raises:
        Unreadable: A field is of the wrong kind.
    """
    if data.get("trail") is not None:
        raise Unreadable(unprocessable("the embedded exchange does not have trailing stops"))
    tif = data.get("time_in_force")
    return Replace(
        order_id=OrderId(order_id),
        client_order_id=default_id if data.get("client_order_id") is None else _text(data, "client_order_id"),
        qty=parse_decimal(data, "qty"),
        limit_price=parse_decimal(data, "limit_price"),
        stop_price=parse_decimal(data, "stop_price"),
        time_in_force=None if tif is None else _choice(TimeInForce, data, "time_in_force").value,
    )


def parse_configuration(data: Mapping[str, Any]) -> Configure:
    """Return the account settings that a PATCH body changes."""
    known = ("no_shorting", "suspend_trade", "fractional_trading")
    return Configure(**{name: data[name] for name in known if isinstance(data.get(name), bool)})


def parse_time(text: str) -> int:
    """Return a date or RFC 3339 time as nanoseconds UTC; a time without zone is UTC.

    Raises:
        Unreadable: It is neither.

    Example:
        >>> parse_time("1970-01-01T00:00:01.5Z")
        1500000000
    """
    head, dot, rest = text.strip().replace(" ", "+").partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    try:
        moment = datetime.fromisoformat(head + (rest[digits:] if dot else ""))
    except ValueError as error:
        raise Unreadable(invalid(f"invalid time: {text}")) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return nanoseconds(moment) + int(rest[:digits].ljust(9, "0")[:9] or 0)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(invalid(f"{name} is required"))
    return value


def _choice(kind: type[_Choice], data: Mapping[str, Any], name: str) -> _Choice:
    text = _text(data, name)
    try:
        return kind(text)
    except ValueError as error:
        raise Unreadable(invalid(f"invalid {name}: {text}")) from error


def parse_decimal(data: Mapping[str, Any], name: str) -> Decimal | None:
    """Return a field as an exact number, given as a number or as text; None when it is missing.

    Raises:
        Unreadable: It is no number, or none of a size that trades.
    """
    value = data.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | Decimal):
        raise Unreadable(invalid(f"{name} must be a number"))
    try:
        exact = Decimal(value)
    except InvalidOperation as error:
        raise Unreadable(invalid(f"{name} must be a number")) from error
    if not exact.is_finite() or abs(exact.adjusted()) > 15:
        raise Unreadable(invalid(f"{name} is out of range"))
    return exact
