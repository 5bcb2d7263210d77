"""The broker port: what the live trader asks of a venue, in values that no client library leaks through.

Reads return values or raise :class:`~trader_sdk.contract.errors.BrokerError` (E801 the venue refused, E802 it could
not be reached, E803 it answered something else); ``evidence["kind"]`` is a :class:`RefusalKind` or an
:class:`UnknownCause`. A failed read is never an empty answer.

Writes never raise for what the venue or the network did: every order ends as one of three values, and only
:class:`Accepted` and :class:`Refused` are known outcomes. After :class:`Unknown` the order may or may not live;
look it up by its ``client_order_id`` before anything else.

All methods may be called from any thread, block at most the endpoint's total deadline a request, and read time from
injected clocks.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from trader_sdk.broker.status import STATUS_RANKS, OrderStatus, merge_status, parse_status
from trader_sdk.broker.views import (
    AccountView,
    AssetView,
    ClockView,
    FillView,
    OrderView,
    PositionView,
    SessionView,
    Side,
    StreamEvent,
    StreamHealth,
    StreamKind,
    StreamName,
    TradeUpdateView,
)
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import UsageError
from trader_sdk.contract.timeframe import Timeframe

__all__ = [
    "STATUS_RANKS",
    "Accepted",
    "AccountView",
    "AssetView",
    "BrokerPort",
    "CancelOutcome",
    "CancelRequested",
    "ClockView",
    "EventSink",
    "FillView",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "OrderView",
    "PositionView",
    "Priority",
    "RefusalKind",
    "Refused",
    "SessionView",
    "Side",
    "StreamEvent",
    "StreamHandle",
    "StreamHealth",
    "StreamKind",
    "StreamName",
    "Submission",
    "TimeInForce",
    "TradeUpdateView",
    "Unknown",
    "UnknownCause",
    "disagreements",
    "merge_status",
    "parse_status",
]

CLIENT_ORDER_ID: Final = re.compile(r"[A-Za-z0-9-]{1,48}")


class OrderType(StrEnum):
    """Order types that the trader uses."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """How long an order works; ``OPG`` and ``CLS`` join the opening and closing auctions."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class Priority(StrEnum):
    """Who goes first when the request budget is short, most urgent first."""

    CANCEL = "cancel"
    FLATTEN = "flatten"
    ORDER = "order"
    BY_ID = "by_id"
    RECONCILE = "reconcile"
    DATA = "data"


_NEEDS_LIMIT: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
_NEEDS_STOP: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order to send; it cannot be built without the id that makes its outcome findable.

    Args:
        client_order_id: 1 to 48 characters of ``[A-Za-z0-9-]``, unique for ever in the account.
        symbol: As the venue writes it, ``AAPL`` or ``BTC/USD``.
        side: Buy or sell.
        qty: Shares or coins, positive; exactly one of qty and notional.
        notional: Account currency, positive.
        type: Market, limit, stop or stop limit.
        time_in_force: DAY by default.
        limit_price: Quote currency; required by limit types, forbidden otherwise.
        stop_price: Quote currency; required by stop types, forbidden otherwise.
        extended_hours: Whether a limit/day order may execute outside the regular session.
        priority: ORDER, or FLATTEN for an order that closes in an emergency.

    Raises:
        UsageError: Any field contradicts another; nothing was sent.
    """

    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal | None = None
    notional: Decimal | None = None
    type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.DAY
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    extended_hours: bool = False
    priority: Priority = Priority.ORDER

    def __post_init__(self) -> None:
        faults = _request_faults(self)
        if faults:
            raise UsageError("USAGE", "the order is not valid: " + "; ".join(faults), where=self.client_order_id)


def _request_faults(request: OrderRequest) -> list[str]:
    amounts = {"qty": request.qty, "notional": request.notional}
    prices = {"limit_price": request.limit_price, "stop_price": request.stop_price}
    needed = {"limit_price": request.type in _NEEDS_LIMIT, "stop_price": request.type in _NEEDS_STOP}
    checks = [
        (not CLIENT_ORDER_ID.fullmatch(request.client_order_id), "client_order_id must be 1-48 of [A-Za-z0-9-]"),
        (not request.symbol, "symbol is empty"),
        (sum(amount is not None for amount in amounts.values()) != 1, "exactly one of qty and notional is needed"),
        *((prices[name] is None and need, f"{request.type} needs {name}") for name, need in needed.items()),
        *((prices[name] is not None and not need, f"{request.type} takes no {name}") for name, need in needed.items()),
        *(
            (value is not None and not (value.is_finite() and value > 0), f"{name} must be positive and finite")
            for name, value in {**amounts, **prices}.items()
        ),
    ]
    return [text for wrong, text in checks if wrong]


_COMPARED: Final = ("symbol", "side", "qty", "notional", "type", "time_in_force", "limit_price", "stop_price")


def disagreements(request: OrderRequest, order: OrderView) -> tuple[str, ...]:
    """Return the names of the fields in which ``order`` is not what ``request`` (already quantised) asked for.

    Anything but an empty answer is an alarm: the venue holds an order that nobody decided.
    """
    return tuple(name for name in _COMPARED if getattr(order, name) != getattr(request, name))


class RefusalKind(StrEnum):
    """Why an order certainly does not live."""

    BUYING_POWER = "BUYING_POWER"
    INSUFFICIENT_QTY = "INSUFFICIENT_QTY"
    WASH_TRADE = "WASH_TRADE"
    DUPLICATE_CLIENT_ORDER_ID = "DUPLICATE_CLIENT_ORDER_ID"
    NOT_TRADABLE = "NOT_TRADABLE"
    NOT_SHORTABLE = "NOT_SHORTABLE"
    NOT_CANCELABLE = "NOT_CANCELABLE"
    NOT_FOUND = "NOT_FOUND"
    RATE_LIMITED = "RATE_LIMITED"  # the venue said 429; extras may hold retry_after_seconds
    RATE_BUDGET = "RATE_BUDGET"  # our own budget is spent; nothing was sent
    NOT_SENT = "NOT_SENT"  # no connection came about; nothing was sent
    AUTH = "AUTH"
    FORBIDDEN = "FORBIDDEN"
    INVALID = "INVALID"


class UnknownCause(StrEnum):
    """Why it is not known whether the venue did what was asked."""

    TIMEOUT = "TIMEOUT"
    CONNECTION = "CONNECTION"
    SERVER_ERROR = "SERVER_ERROR"
    REDIRECT = "REDIRECT"
    BAD_BODY = "BAD_BODY"
    UNEXPECTED_STATUS = "UNEXPECTED_STATUS"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took the order, in the state it reported at once (which may already be filled or rejected)."""

    order: OrderView


@dataclass(frozen=True, slots=True)
class Refused:
    """The order certainly does not live.

    Args:
        kind: What to do about it is decided by this.
        http_status: None when nothing was sent.
        code: The venue's own code, for example 40310000.
        message: The venue's own text; shown, never matched on by callers.
        extras: Further fields of the reply (``buying_power``, ``available``, ``existing_order_id``, ...).
    """

    kind: RefusalKind
    http_status: int | None
    code: int | None
    message: str
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unknown:
    """The order may or may not live: look it up by ``client_order_id``, never send it again unasked."""

    cause: UnknownCause
    detail: str = ""


Submission: TypeAlias = Accepted | Refused | Unknown
"""Outcome of sending an order."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The venue took the request; the order is done only when a report says so."""


CancelOutcome: TypeAlias = CancelRequested | Refused | Unknown
"""Outcome of asking for a cancel; ``Refused(NOT_CANCELABLE)`` means that the order is past it (it may have filled)."""

EventSink: TypeAlias = Callable[[StreamEvent], None]
"""Takes a stamped frame in the stream's own thread; it must only enqueue."""


class StreamHandle(Protocol):
    """Two running streams."""

    def health(self) -> tuple[StreamHealth, ...]:
        """Return the state of each stream."""

    def orders_held(self) -> AbstractContextManager[None]:
        """Let order events wait, a second at most, while orders are sent; none is lost."""

    def close(self) -> None:
        """Stop both streams and their threads within a few seconds; safe to call twice."""


class BrokerPort(Protocol):
    """What the live trader needs from a venue."""

    @property
    def name(self) -> str:
        """Return ``alpaca-paper``, ``alpaca-live`` or ``local``."""

    def twin(self) -> BrokerPort:
        """Return a second port to the same account, with connections and a request budget of its own."""

    @property
    def requests_left(self) -> int | None:
        """Return how many requests may go at once now, None where the venue sets no limit."""

    def clock(self) -> ClockView:
        """Return the venue's time and session state."""

    def calendar(self, start: dt.date, end: dt.date) -> tuple[SessionView, ...]:
        """Return the sessions from ``start`` to ``end``, both inclusive."""

    def account(self) -> AccountView:
        """Return the account."""

    def assets(self, symbols: Sequence[str]) -> Mapping[str, AssetView]:
        """Return what the venue knows of ``symbols``; an unknown symbol is absent."""

    def positions(self) -> tuple[PositionView, ...]:
        """Return all open positions."""

    def open_orders(self) -> tuple[OrderView, ...]:
        """Return every order that may still fill, oldest first, however many pages they take."""

    def orders_since(self, after: dt.datetime) -> tuple[OrderView, ...]:
        """Return every order submitted after ``after`` in any state, oldest first."""

    def order_by_client_id(self, client_order_id: str) -> OrderView | None:
        """Return the order with our id, None if the venue says that there is none."""

    def order_by_id(self, broker_order_id: str) -> OrderView | None:
        """Return the order with the venue's id, None if the venue says that there is none."""

    def announce(self, requests: Sequence[OrderRequest]) -> None:
        """Make ready what is submitted next, so that no order waits longer than it must; nothing is sent."""

    def submit(self, request: OrderRequest) -> Submission:
        """Send ``request`` at most once, whatever happens.

        Off-grid amounts are rounded as :func:`trader_sdk.broker.quantise.quantised` does; call that first, so that
        what is journalled is what is sent.
        """

    def cancel(self, broker_order_id: str) -> CancelOutcome:
        """Ask once for the cancel of an order."""

    def fills_since(self, after: dt.datetime) -> tuple[FillView, ...]:
        """Return every execution after ``after``, oldest first: the authoritative ledger."""

    def histories(
        self,
        symbols: Sequence[str],
        timeframe: Timeframe,
        start: dt.datetime,
        end: dt.datetime,
        *,
        adjustment: str = "split",
    ) -> Mapping[str, Bars]:
        """Return the closed bars of each symbol, maybe none, that start within ``start`` to ``end``, both inclusive."""

    def latest_bars(self, symbols: Sequence[str]) -> Mapping[str, Bar]:
        """Return the last closed minute bar of each symbol that has one."""

    def stream(self, symbols: Sequence[str], sink: EventSink) -> StreamHandle:
        """Start the order stream and the bar stream of ``symbols``; both are lossy hints beside the reads."""

    def close(self) -> None:
        """Release connections; the port cannot be used afterwards."""
