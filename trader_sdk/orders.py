"""The life of an order as a total transition table, and the merge of what several sources say of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND

_ZERO = Decimal(0)


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for a buy and -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """Order types that the trader sends."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(StrEnum):
    """How long the venue keeps an order: the session, or its opening auction alone."""

    DAY = "day"
    OPG = "opg"
    GTC = "gtc"


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order as it was decided, durable before it is sent.

    Attributes:
        client_order_id: Ours, deterministic, at most 48 characters.
        symbol: As the venue writes it.
        bar_at: Start of the bar it was decided on, nanoseconds since the epoch, UTC.
        leg: ``e`` for the entry or exit that the action asks for.
        attempt: Grows only after a proven end with zero fill.
        side: Buy or sell.
        qty: Units, positive, quantised to the asset's rules.
        order_type: Market or limit.
        time_in_force: DAY, OPG or GTC.
        limit_price: Quantised to the tick; None for market orders.
        decision_price: Close of the bar, account currency.
        send_at: Earliest moment the venue may see it.
        fresh_until: Latest moment it may be sent.
    """

    client_order_id: str
    symbol: str
    bar_at: int
    leg: str
    attempt: int
    side: Side
    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None
    decision_price: Decimal
    send_at: datetime
    fresh_until: datetime

    @property
    def signed_qty(self) -> Decimal:
        """Return units, negative for a sell."""
        return self.qty * self.side.sign

    @property
    def worst_price(self) -> Decimal:
        """Return the price at which exposure is reserved: the limit, else the decision price."""
        return self.limit_price or self.decision_price


class OrderStatus(StrEnum):
    """Where an order is in its life; in the order of :data:`RANK`."""

    PLANNED = "PLANNED"
    INTENT = "INTENT"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    ACKED = "ACKED"
    LIVE = "LIVE"
    PARTIAL = "PARTIAL"
    REFUSED = "REFUSED"
    ABANDONED = "ABANDONED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    FILLED = "FILLED"


RANK: Final[Mapping[OrderStatus, int]] = MappingProxyType({status: rank for rank, status in enumerate(OrderStatus)})
"""Status only ever climbs this ladder. UNKNOWN stands below ACKED: any evidence of the venue resolves it."""

TERMINAL: Final = frozenset(
    {
        OrderStatus.REFUSED,
        OrderStatus.ABANDONED,
        OrderStatus.EXPIRED,
        OrderStatus.CANCELED,
        OrderStatus.REPLACED,
        OrderStatus.FILLED,
    }
)
IN_DOUBT: Final = frozenset({OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN})
"""Orders whose existence at the venue is not proven either way."""


class OrderEvent(StrEnum):
    """What can happen to an order, by us or by the venue."""

    COMMITTED = "committed"
    SENT = "sent"
    TIMED_OUT = "timed_out"
    ACKNOWLEDGED = "acknowledged"
    WORKING = "working"
    FILLED_PART = "filled_part"
    FILLED_ALL = "filled_all"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    EXPIRY = "expiry"
    CANCELLATION = "cancellation"
    REPLACEMENT = "replacement"


EVENT_STATUS: Final[Mapping[OrderEvent, OrderStatus]] = MappingProxyType(
    {
        OrderEvent.COMMITTED: OrderStatus.INTENT,
        OrderEvent.SENT: OrderStatus.SENDING,
        OrderEvent.TIMED_OUT: OrderStatus.UNKNOWN,
        OrderEvent.ACKNOWLEDGED: OrderStatus.ACKED,
        OrderEvent.WORKING: OrderStatus.LIVE,
        OrderEvent.FILLED_PART: OrderStatus.PARTIAL,
        OrderEvent.FILLED_ALL: OrderStatus.FILLED,
        OrderEvent.DENIED: OrderStatus.REFUSED,
        OrderEvent.NOT_FOUND: OrderStatus.ABANDONED,
        OrderEvent.EXPIRY: OrderStatus.EXPIRED,
        OrderEvent.CANCELLATION: OrderStatus.CANCELED,
        OrderEvent.REPLACEMENT: OrderStatus.REPLACED,
    }
)

_SEEN_BY_VENUE: Final = frozenset({OrderStatus.ACKED, OrderStatus.LIVE, OrderStatus.PARTIAL})


def _next_status(status: OrderStatus, event: OrderEvent) -> OrderStatus:
    wanted = EVENT_STATUS[event]
    if status in TERMINAL:
        # The venue's fills outlive its own end of an order (a cancel that lost the race), and a tombstone.
        return OrderStatus.FILLED if event is OrderEvent.FILLED_ALL else status
    if event is OrderEvent.NOT_FOUND and status in _SEEN_BY_VENUE:
        return status  # it was seen there: a failed look-up proves nothing
    return wanted if RANK[wanted] > RANK[status] else status


TRANSITIONS: Final[Mapping[tuple[OrderStatus, OrderEvent], OrderStatus]] = MappingProxyType(
    {(status, event): _next_status(status, event) for status in OrderStatus for event in OrderEvent}
)
"""Every status under every event; a test prints and pins the table."""


@dataclass(frozen=True, slots=True)
class OrderState:
    """What is known of one order.

    Attributes:
        status: Where it is in its life.
        filled_qty: Units filled so far, the maximum over all sources.
        filled_avg_price: Average price of those units, None before the first.
        broker_order_id: The venue's id, once known.
        detail: The venue's own words about a refusal, or its raw status.
    """

    status: OrderStatus = OrderStatus.PLANNED
    filled_qty: Decimal = _ZERO
    filled_avg_price: Decimal | None = None
    broker_order_id: str | None = None
    detail: str = ""

    @property
    def is_terminal(self) -> bool:
        """Return whether nothing but a larger fill can still change it."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What one source says of an order at one moment: a reply, a stream event, a row of a list."""

    event: OrderEvent
    filled_qty: Decimal = _ZERO
    filled_avg_price: Decimal | None = None
    broker_order_id: str | None = None
    detail: str = ""


def merge(state: OrderState, report: OrderReport) -> OrderState:
    """Return ``state`` with ``report`` merged in: rank monotone, filled quantity the maximum over sources.

    Reports may come twice, late or in any order; the result is the same.

    Example:
        >>> filled = OrderReport(OrderEvent.FILLED_ALL, Decimal(3), Decimal(10))
        >>> late = OrderReport(OrderEvent.ACKNOWLEDGED)
        >>> merge(merge(OrderState(), filled), late).status
        <OrderStatus.FILLED: 'FILLED'>
    """
    more = report.filled_qty > state.filled_qty
    return replace(
        state,
        status=TRANSITIONS[state.status, report.event],
        filled_qty=report.filled_qty if more else state.filled_qty,
        filled_avg_price=report.filled_avg_price if more else state.filled_avg_price,
        broker_order_id=state.broker_order_id or report.broker_order_id,
        detail=report.detail or state.detail,
    )


@dataclass(frozen=True, slots=True)
class FillDelta:
    """The part of a cumulative fill that was not yet booked."""

    qty: Decimal
    price: Decimal
    cum_qty: Decimal


def fill_between(before: OrderState, after: OrderState) -> FillDelta | None:
    """Return what was filled between two states of one order, or None.

    The price of the new part follows from the two averages, so that the booked cost equals the venue's.
    """
    qty = after.filled_qty - before.filled_qty
    if qty <= 0 or after.filled_avg_price is None:
        return None
    paid = after.filled_qty * after.filled_avg_price - before.filled_qty * (before.filled_avg_price or _ZERO)
    return FillDelta(qty, paid / qty, after.filled_qty)


@dataclass(frozen=True, slots=True)
class OrderKey:
    """What makes an order one of a kind: its parts are hashed into the client order id."""

    account: str
    mode: str
    strategy: str
    epoch: int
    symbol: str
    bar_at: int
    leg: str = "e"
    attempt: int = 0


_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_NANOSECONDS_PER_MINUTE: Final = 60 * NANOSECONDS_PER_SECOND
MAX_CLIENT_ORDER_ID: Final = 48
PREFIX: Final = "lt1"


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
    return digits or "0"


def _letters(text: str, limit: int) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)[:limit]


def client_order_id(key: OrderKey) -> str:
    """Return ``lt1-<strategy>-<epoch>-<symbol>-<bar minute base36>-<leg><attempt>-<h8>``.

    Deterministic, at most 48 characters of [A-Za-z0-9-]. ``h8`` covers account, mode, strategy, symbol, bar, leg and
    attempt, so that two books never share an id whatever was cut from the readable part.

    Example:
        >>> client_order_id(OrderKey("a1", "PAPER-LOCAL", "main", 1, "BRK.B", 1_700_000_040_000_000_000))
        'lt1-main-1-BRKB-gva52-e0-63701431'
    """
    parts = (key.account, key.mode, key.strategy, key.symbol, str(key.bar_at), key.leg, str(key.attempt))
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:8]
    minute = _base36(key.bar_at // _NANOSECONDS_PER_MINUTE)
    head = f"{PREFIX}-{_letters(key.strategy, 6)}-{_base36(key.epoch)}-{_letters(key.symbol, 10)}"
    return f"{head}-{minute}-{key.leg}{key.attempt}-{digest}"


def is_ours(client_order_id_: str, strategy: str) -> bool:
    """Return whether an order at the venue carries our prefix and strategy."""
    return client_order_id_.startswith(f"{PREFIX}-{_letters(strategy, 6)}-")
