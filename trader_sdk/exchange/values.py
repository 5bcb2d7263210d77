"""The venue's nouns: assets, orders, fills, positions, marks; immutable, money Decimal, time int nanoseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Final, NewType

OrderId = NewType("OrderId", str)
ZERO: Final = Decimal(0)
QTY_QUANTUM: Final = Decimal("0.000000001")


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for a buy and -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """Return the other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order is priced."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """How long an order lives."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class PositionIntent(StrEnum):
    """What an order does to the position."""

    BUY_TO_OPEN = "buy_to_open"
    BUY_TO_CLOSE = "buy_to_close"
    SELL_TO_OPEN = "sell_to_open"
    SELL_TO_CLOSE = "sell_to_close"


class AssetClass(StrEnum):
    """What is traded."""

    US_EQUITY = "us_equity"
    CRYPTO = "crypto"


class OrderStatus(StrEnum):
    """The eighteen order states of Alpaca's protocol."""

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    PENDING_REVIEW = "pending_review"
    NEW = "new"
    HELD = "held"
    PARTIALLY_FILLED = "partially_filled"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    DONE_FOR_DAY = "done_for_day"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"

    @property
    def is_terminal(self) -> bool:
        """Return whether nothing can happen to the order any more."""
        return self in TERMINAL


TERMINAL: Final = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED, OrderStatus.REPLACED}
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One tradable instrument and its rules."""

    id: str
    symbol: str
    name: str
    asset_class: AssetClass
    exchange: str
    tradable: bool = True
    marginable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = True
    min_order_size: Decimal | None = None
    min_trade_increment: Decimal | None = None
    price_increment: Decimal | None = None

    @property
    def is_crypto(self) -> bool:
        """Return whether the asset trades around the clock."""
        return self.asset_class is AssetClass.CRYPTO


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for, already of the right types but not yet judged."""

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    client_order_id: str
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    extended_hours: bool = False
    position_intent: PositionIntent | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the venue knows it.

    Attributes:
        sequence: Place in the venue's order of arrival; time priority.
        reserve_price: What one unit is held against buying power at until the order is done.
        filled_value: Sum of price times quantity over the fills.
        is_triggered: Whether a stop price has been reached.
    """

    id: OrderId
    sequence: int
    request: OrderRequest
    asset: Asset
    status: OrderStatus
    created_at: int
    updated_at: int
    reserve_price: Decimal
    position_intent: PositionIntent
    expires_at: int | None = None
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    is_triggered: bool = False
    filled_at: int | None = None
    canceled_at: int | None = None
    expired_at: int | None = None
    failed_at: int | None = None
    replaced_at: int | None = None
    replaced_by: OrderId | None = None
    replaces: OrderId | None = None

    @property
    def symbol(self) -> str:
        """Return the asset's symbol as orders write it."""
        return self.asset.symbol

    @property
    def is_open(self) -> bool:
        """Return whether the order can still change."""
        return not self.status.is_terminal

    @property
    def is_fractional(self) -> bool:
        """Return whether the order may fill in parts of a unit."""
        return self.asset.is_crypto or self.request.qty is None or self.request.qty % 1 != 0

    @property
    def remaining_value(self) -> Decimal:
        """Return what the rest of the order is held against buying power at."""
        if not self.is_open:
            return ZERO
        if self.request.notional is not None:
            return max(ZERO, self.request.notional - self.filled_value)
        return self.remaining_qty * self.reserve_price

    @property
    def remaining_qty(self) -> Decimal:
        """Return what is left to fill, nothing once the order is done; a notional order's at its reserve price."""
        if not self.is_open:
            return ZERO
        if self.request.qty is not None:
            return self.request.qty - self.filled_qty
        return (self.remaining_value / self.reserve_price).quantize(QTY_QUANTUM, ROUND_DOWN)

    @property
    def filled_avg_price(self) -> Decimal | None:
        """Return the volume-weighted price of the fills, six decimals."""
        if not self.filled_qty:
            return None
        return (self.filled_value / self.filled_qty).quantize(Decimal("0.000001"))


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution.

    Attributes:
        fee: What the venue keeps, in ``fee_currency``.
        fee_currency: ``USD``, or the coin that a crypto buy receives.
        cum_qty: The order's filled quantity including this fill.
        position_qty: Signed position after this fill and its fee.
    """

    execution_id: str
    sequence: int
    order_id: OrderId
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    at: int
    cum_qty: Decimal
    leaves_qty: Decimal
    position_qty: Decimal
    order_status: OrderStatus


@dataclass(frozen=True, slots=True)
class Position:
    """A holding; ``qty`` is negative for a short."""

    asset: Asset
    qty: Decimal
    avg_entry_price: Decimal

    @property
    def cost_basis(self) -> Decimal:
        """Return signed quantity times average entry price."""
        return self.qty * self.avg_entry_price


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a symbol stands now.

    Attributes:
        price: Last traded price.
        previous_close: Close of the previous session.
        liquidity: Quantity that may still trade in the current bar.
        is_live: Whether a bar is running, so that orders can trade.
        at: When the price was set.
    """

    price: Decimal
    previous_close: Decimal
    liquidity: Decimal
    is_live: bool
    at: int
