"""What goes into the engine (commands of clients and of the market) and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from trader_sdk.exchange.lifecycle import OrderEventKind
from trader_sdk.exchange.rejections import Rejection
from trader_sdk.exchange.values import Fill, Order, OrderId, OrderRequest


@dataclass(frozen=True, slots=True)
class Submit:
    """A client sends an order."""

    request: OrderRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """A client cancels one order."""

    order_id: OrderId


@dataclass(frozen=True, slots=True)
class Replace:
    """A client replaces a working order; None keeps the old value."""

    order_id: OrderId
    client_order_id: str
    qty: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str | None = None


@dataclass(frozen=True, slots=True)
class Configure:
    """A client changes account settings; only the given ones change."""

    no_shorting: bool | None = None
    suspend_trade: bool | None = None
    fractional_trading: bool | None = None


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The equity session begins; the opening auction follows with :class:`BarsOpened`."""

    session_close: int


@dataclass(frozen=True, slots=True)
class Opening:
    """The first trade of a bar, and how much may trade in it."""

    symbol: str
    price: Decimal
    liquidity: Decimal


@dataclass(frozen=True, slots=True)
class BarsOpened:
    """Bars begin: queued orders trade at their opening prices."""

    openings: tuple[Opening, ...]
    is_auction: bool = False


@dataclass(frozen=True, slots=True)
class BarRange:
    """Where a bar's price went after its open."""

    symbol: str
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass(frozen=True, slots=True)
class BarsTraded:
    """Bars end: resting orders trade inside their ranges."""

    ranges: tuple[BarRange, ...]


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The equity session ends: closing auction, then day orders expire."""


Input = Submit | Cancel | Replace | Configure | SessionOpened | BarsOpened | BarsTraded | SessionClosed


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order took one step; ``order`` is its state after it."""

    kind: OrderEventKind
    at: int
    order: Order
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A command was refused and nothing changed."""

    rejection: Rejection


@dataclass(frozen=True, slots=True)
class BorrowCharged:
    """Stock borrowed over a session's end cost money."""

    symbol: str
    at: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Configured:
    """The account's settings changed."""

    at: int


Event = OrderChanged | Refused | BorrowCharged | Configured
