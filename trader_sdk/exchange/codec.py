"""Commands and events as JSON lines for the venue's log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from trader_sdk.exchange.events import (
    BorrowCharged,
    Cancel,
    Configure,
    Configured,
    Event,
    Intervene,
    Intervened,
    OrderChanged,
    Refused,
    Replace,
    Submit,
)


@dataclass(frozen=True, slots=True)
class Advance:
    """The market's time moves on to ``to`` (nanoseconds UTC), through every instant until then."""

    to: int


Command = Submit | Cancel | Replace | Configure | Intervene | Advance

_TYPES: Final[Mapping[str, type[Command]]] = {
    "submit": Submit,
    "cancel": Cancel,
    "replace": Replace,
    "configure": Configure,
    "intervene": Intervene,
    "advance": Advance,
}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}
_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {}


def command_name(command: Command) -> str:
    """Return the word that the log has for a command."""
    return _NAMES[type(command)]


def encode_command(command: Command) -> dict[str, Any]:
    """Return a command as plain JSON data."""
    name = command_name(command)
    return {"type": name, **_adapter(name).dump_python(command, mode="json", exclude_none=True)}


def decode_command(data: Mapping[str, Any]) -> Command:
    """Return the command that :func:`encode_command` wrote.

    Raises:
        KeyError: Unknown type.
        ValueError: The fields do not fit the type.
    """
    fields = dict(data)
    name = fields.pop("type")
    command: Command = _adapter(name).validate_python(fields)
    return command


def _adapter(name: str) -> TypeAdapter[Any]:
    if name not in _ADAPTERS:
        _ADAPTERS[name] = TypeAdapter(_TYPES[name])
    return _ADAPTERS[name]


def encode_event(event: Event) -> dict[str, Any]:
    """Return what an auditor needs of an event, as plain JSON data."""
    match event:
        case OrderChanged():
            return _order_event(event)
        case Refused():
            rejection = event.rejection
            return {"event": "refused", "status": rejection.http_status, **rejection.body()}
        case BorrowCharged():
            return {"event": "borrow_charged", "at": event.at, "symbol": event.symbol, "amount": str(event.amount)}
        case Configured():
            return {"event": "configured", "at": event.at}
        case Intervened():
            amount = None if event.amount is None else str(event.amount)
            changed = {"act": event.act.value, "symbol": event.symbol, "amount": amount}
            return {"event": "intervened", "at": event.at, **changed} | ({"into": event.into} if event.into else {})


def _order_event(event: OrderChanged) -> dict[str, Any]:
    order, fill = event.order, event.fill
    data: dict[str, Any] = {
        "event": event.kind.value,
        "at": event.at,
        "order_id": order.id,
        "client_order_id": order.request.client_order_id,
        "symbol": order.symbol,
        "side": order.request.side.value,
        "status": order.status.value,
        "filled_qty": str(order.filled_qty),
    }
    if fill is not None:
        data["fill"] = {
            "execution_id": fill.execution_id,
            "qty": str(fill.qty),
            "price": str(fill.price),
            "fee": str(fill.fee),
            "fee_currency": fill.fee_currency,
            "position_qty": str(fill.position_qty),
        }
    return data


def dump_line(record: Mapping[str, Any]) -> bytes:
    """Return one record as a line of JSON."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
