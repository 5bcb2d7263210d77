"""What goes into the engine (commands of clients and of the market) and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

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


class Act(StrEnum):
    """What somebody other than the client does: the venue, or a hand with the same account.

    ``cancel``, ``reject``, ``fill`` and ``pend_cancel`` befall every open order of a symbol, ``replace`` the oldest.
    """

    CANCEL = "cancel"
    REJECT = "reject"
    FILL = "fill"
    PEND_CANCEL = "pend_cancel"
    REPLACE = "replace"
    HALT = "halt"
    PAUSE = "pause"
    BAND = "band"
    RESUME = "resume"
    UNTRADABLE = "untradable"
    ORDER = "order"
    SPLIT = "split"
    CASH = "cash"
    THIN = "thin"
    BLOCK = "block"
    UNBLOCK = "unblock"
    DELIST = "delist"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class Intervene:
    """Something happens to the account that its client did not ask for.

    Attributes:
        amount: Units of an order, a fill or a replacement, the ratio of a split, the half width of a band, money.
        side: Of an order by hand.
        price: Limit of an order by hand or of a replacement.
        into: New name of a renamed symbol.
    """

    act: Act
    symbol: str = ""
    amount: Decimal | None = None
    side: str | None = None
    price: Decimal | None = None
    into: str = ""


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


Input = Submit | Cancel | Replace | Configure | Intervene | SessionOpened | BarsOpened | BarsTraded | SessionClosed


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


@dataclass(frozen=True, slots=True)
class Intervened:
    """Something other than an order changed without the client's doing."""

    act: Act
    symbol: str
    at: int
    amount: Decimal | None = None
    into: str = ""


Event = OrderChanged | Refused | BorrowCharged | Configured | Intervened
