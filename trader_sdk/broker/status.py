"""Order states as the venue names them, and the one rule by which two reports of an order become one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class OrderStatus(StrEnum):
    """State of an order at the venue.

    The names are Alpaca's own. ``UNKNOWN_OPEN`` is ours: a state this release does not know, taken as working, because
    an order that may still fill must never be forgotten; the venue's own word stays in ``OrderView.raw_status``.
    """

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    PENDING_REVIEW = "pending_review"
    HELD = "held"
    NEW = "new"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    PENDING_REPLACE = "pending_replace"
    PENDING_CANCEL = "pending_cancel"
    UNKNOWN_OPEN = "unknown_open"
    PARTIALLY_FILLED = "partially_filled"
    CALCULATED = "calculated"
    DONE_FOR_DAY = "done_for_day"
    REPLACED = "replaced"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    FILLED = "filled"

    @property
    def rank(self) -> int:
        """Return how far the order has come; see :data:`STATUS_RANKS`."""
        return STATUS_RANKS[self]

    @property
    def is_terminal(self) -> bool:
        """Return whether the venue will do nothing more with the order."""
        return self.rank == TERMINAL_RANK


TERMINAL_RANK: Final = 4

STATUS_RANKS: Final[Mapping[OrderStatus, int]] = MappingProxyType(
    {
        OrderStatus.PENDING_NEW: 0,
        OrderStatus.ACCEPTED: 1,
        OrderStatus.ACCEPTED_FOR_BIDDING: 1,
        OrderStatus.PENDING_REVIEW: 1,
        OrderStatus.HELD: 1,
        OrderStatus.NEW: 2,
        OrderStatus.STOPPED: 2,
        OrderStatus.SUSPENDED: 2,
        OrderStatus.PENDING_REPLACE: 2,
        OrderStatus.PENDING_CANCEL: 2,
        OrderStatus.UNKNOWN_OPEN: 2,
        OrderStatus.PARTIALLY_FILLED: 3,
        OrderStatus.CALCULATED: 3,
        OrderStatus.DONE_FOR_DAY: 3,
        OrderStatus.REPLACED: TERMINAL_RANK,
        OrderStatus.CANCELED: TERMINAL_RANK,
        OrderStatus.EXPIRED: TERMINAL_RANK,
        OrderStatus.REJECTED: TERMINAL_RANK,
        OrderStatus.FILLED: TERMINAL_RANK,
    }
)
"""How far an order has come: 0 sent, 1 received, 2 working, 3 working with fills, 4 terminal.

Reports arrive out of order and from several sources, so a rank never goes back (:func:`merge_status`).
"""


def parse_status(text: str) -> OrderStatus:
    """Return the status that the venue's word names, ``UNKNOWN_OPEN`` for a word of a newer venue.

    Example:
        >>> parse_status("filled"), parse_status("quantum_superposed")
        (<OrderStatus.FILLED: 'filled'>, <OrderStatus.UNKNOWN_OPEN: 'unknown_open'>)
    """
    try:
        return OrderStatus(text)
    except ValueError:
        return OrderStatus.UNKNOWN_OPEN


def merge_status(known: OrderStatus, seen: OrderStatus) -> OrderStatus:
    """Return the status after a further report: a higher rank wins, an equal one gives way unless it is terminal.

    Filled quantity merges apart from it, as the maximum over all reports: a terminal status is final, a larger fill
    that arrives after it still counts.

    Example:
        >>> merge_status(OrderStatus.FILLED, OrderStatus.NEW)
        <OrderStatus.FILLED: 'filled'>
        >>> merge_status(OrderStatus.PENDING_CANCEL, OrderStatus.NEW)
        <OrderStatus.NEW: 'new'>
        >>> merge_status(OrderStatus.CANCELED, OrderStatus.FILLED)
        <OrderStatus.FILLED: 'filled'>
    """
    if seen.rank != known.rank:
        return max(known, seen, key=STATUS_RANKS.__getitem__)
    if known.is_terminal:
        return OrderStatus.FILLED if OrderStatus.FILLED in (known, seen) else known
    return seen
