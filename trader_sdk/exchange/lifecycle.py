"""The order status machine: every state against every event, written out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from trader_sdk.exchange.values import OrderStatus


class OrderEventKind(StrEnum):
    """What can happen to an order, in the words of Alpaca's ``trade_updates`` stream."""

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    DONE_FOR_DAY = "done_for_day"
    PENDING_REPLACE = "pending_replace"
    REPLACED = "replaced"


_LANDS_IN: Final[Mapping[OrderEventKind, OrderStatus]] = {
    OrderEventKind.PENDING_NEW: OrderStatus.PENDING_NEW,
    OrderEventKind.ACCEPTED: OrderStatus.ACCEPTED,
    OrderEventKind.NEW: OrderStatus.NEW,
    OrderEventKind.PARTIAL_FILL: OrderStatus.PARTIALLY_FILLED,
    OrderEventKind.FILL: OrderStatus.FILLED,
    OrderEventKind.PENDING_CANCEL: OrderStatus.PENDING_CANCEL,
    OrderEventKind.CANCELED: OrderStatus.CANCELED,
    OrderEventKind.EXPIRED: OrderStatus.EXPIRED,
    OrderEventKind.REJECTED: OrderStatus.REJECTED,
    OrderEventKind.DONE_FOR_DAY: OrderStatus.DONE_FOR_DAY,
    OrderEventKind.PENDING_REPLACE: OrderStatus.PENDING_REPLACE,
    OrderEventKind.REPLACED: OrderStatus.REPLACED,
}

# Columns in the order of OrderEventKind: "x" moves the order to the event's own state, "." cannot happen.
#                                            pn ac nw pf fi pc ca ex rj dd pr re
_TABLE: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.PENDING_NEW:                "x  x  x  .  .  x  x  x  x  .  .  .",
    OrderStatus.ACCEPTED:                   ".  x  x  .  .  x  x  x  x  .  x  x",
    OrderStatus.ACCEPTED_FOR_BIDDING:       ".  .  x  .  .  x  x  x  x  .  .  .",
    OrderStatus.PENDING_REVIEW:             ".  x  x  .  .  x  x  x  x  .  .  .",
    OrderStatus.NEW:                        ".  .  x  x  x  x  x  x  x  x  x  x",
    OrderStatus.HELD:                       ".  .  x  .  .  x  x  x  x  .  x  x",
    OrderStatus.PARTIALLY_FILLED:           ".  .  .  x  x  x  x  x  .  x  x  x",
    OrderStatus.STOPPED:                    ".  .  .  x  x  x  x  x  .  x  .  .",
    OrderStatus.SUSPENDED:                  ".  .  x  .  .  x  x  x  x  .  .  .",
    OrderStatus.CALCULATED:                 ".  .  .  .  .  .  x  x  .  .  .  .",
    OrderStatus.DONE_FOR_DAY:               ".  .  x  .  .  x  x  x  .  .  x  x",
    OrderStatus.PENDING_CANCEL:             ".  .  .  x  x  .  x  x  .  .  .  .",
    OrderStatus.PENDING_REPLACE:            ".  .  x  x  x  .  x  x  .  .  .  x",
    OrderStatus.FILLED:                     ".  .  .  .  .  .  .  .  .  .  .  .",
    OrderStatus.CANCELED:                   ".  .  .  .  .  .  .  .  .  .  .  .",
    OrderStatus.EXPIRED:                    ".  .  .  .  .  .  .  .  .  .  .  .",
    OrderStatus.REJECTED:                   ".  .  .  .  .  .  .  .  .  .  .  .",
    OrderStatus.REPLACED:                   ".  .  .  .  .  .  .  .  .  .  .  .",
}  # fmt: skip


def _read_table() -> Mapping[tuple[OrderStatus, OrderEventKind], OrderStatus | None]:
    cells: dict[tuple[OrderStatus, OrderEventKind], OrderStatus | None] = {}
    for status, row in _TABLE.items():
        for kind, cell in zip(OrderEventKind, row.split(), strict=True):
            cells[status, kind] = _LANDS_IN[kind] if cell == "x" else None
    return MappingProxyType(cells)


TRANSITIONS: Final = _read_table()


class IllegalTransition(AssertionError):  # noqa: N818 - a broken invariant of the engine, never a client's fault
    """The engine asked for a move that the table does not have."""


def transition(status: OrderStatus, kind: OrderEventKind) -> OrderStatus:
    """Return the state that ``kind`` takes an order in ``status`` to.

    Raises:
        IllegalTransition: The table has no such move; terminal states have none at all.

    Example:
        >>> transition(OrderStatus.NEW, OrderEventKind.PARTIAL_FILL)
        <OrderStatus.PARTIALLY_FILLED: 'partially_filled'>
    """
    after = TRANSITIONS[status, kind]
    if after is None:
        raise IllegalTransition(f"an order that is {status} cannot become {kind}")
    return after
