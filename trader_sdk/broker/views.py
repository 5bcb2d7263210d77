"""What the venue told us, as frozen values: money is Decimal, time is aware UTC, unknown words are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from trader_sdk.broker.status import OrderStatus, merge_status


class Side(StrEnum):
    """Direction of an order or a fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


@dataclass(frozen=True, slots=True)
class ClockView:
    """The venue's clock. All times are aware UTC.

    ``date_header`` is when its web server says that it answered, to the second; None where it does not say.
    """

    at: dt.datetime
    is_open: bool
    next_open: dt.datetime
    next_close: dt.datetime
    date_header: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One trading session of the venue's calendar; ``day`` is the New York date, open and close are aware UTC."""

    day: dt.date
    open_at: dt.datetime
    close_at: dt.datetime


@dataclass(frozen=True, slots=True)
class AccountView:
    """The account, in account currency.

    Args:
        id: The venue's account id, the one that journals are stamped with.
        number: Account number as a person knows it.
        status: The venue's word, ``ACTIVE`` when it may trade.
        cash: Settled and unsettled cash; negative on margin.
        equity: Cash plus market value of all positions.
        last_equity: Equity at the previous session's close.
        buying_power: What opening orders may use now.
        non_marginable_buying_power: The same for crypto.
        multiplier: Margin multiplier, 1 for a cash account.
        shorting_enabled: Whether the account may sell short.
        trading_blocked: True if any of the venue's block flags is set.
        blocks: Names of the flags that are set.
        currency: Account currency.
    """

    id: str
    number: str
    status: str
    cash: Decimal
    equity: Decimal
    last_equity: Decimal
    buying_power: Decimal
    non_marginable_buying_power: Decimal
    multiplier: Decimal
    shorting_enabled: bool
    blocks: tuple[str, ...] = ()
    currency: str = "USD"

    @property
    def trading_blocked(self) -> bool:
        """Return whether the venue would take no order from this account."""
        return bool(self.blocks) or self.status != "ACTIVE"


@dataclass(frozen=True, slots=True)
class AssetView:
    """What may be done with a symbol; ``attributes`` and ``status`` are the venue's own words.

    ``qty_increment`` and ``min_qty`` are given by the venue for crypto; for shares the increment is 1e-9 when
    ``fractionable`` and 1 otherwise. ``price_increment`` is None where the tick depends on the price (shares).
    """

    id: str
    symbol: str
    asset_class: str
    status: str
    tradable: bool
    fractionable: bool
    shortable: bool
    easy_to_borrow: bool
    marginable: bool
    qty_increment: Decimal
    min_qty: Decimal
    price_increment: Decimal | None = None
    attributes: tuple[str, ...] = ()

    @property
    def is_crypto(self) -> bool:
        """Return whether the asset trades round the clock in coins."""
        return self.asset_class == "crypto"


@dataclass(frozen=True, slots=True)
class PositionView:
    """An open position; ``qty`` is signed (negative when short), ``symbol`` is written as in orders (``BTC/USD``)."""

    symbol: str
    qty: Decimal
    qty_available: Decimal
    avg_entry_price: Decimal
    current_price: Decimal | None
    market_value: Decimal | None
    cost_basis: Decimal
    unrealized_pl: Decimal | None
    asset_class: str
    asset_id: str


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the venue reports it.

    Args:
        broker_order_id: The venue's id; a replacement has a new one.
        client_order_id: Ours, or the venue's invention for an order that is not ours.
        symbol, side, type, time_in_force: As ordered; type and time_in_force are the venue's words.
        qty: Shares ordered, None for an order by value.
        notional: Account currency ordered, None for an order by quantity.
        status: Known state, ``UNKNOWN_OPEN`` for a word of a newer venue.
        raw_status: The venue's own word.
        filled_qty: Cumulative, never negative.
        filled_avg_price: None until something was filled.
        replaces, replaced_by: Neighbours in a replace chain.
    """

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: str
    time_in_force: str
    status: OrderStatus
    raw_status: str
    qty: Decimal | None
    notional: Decimal | None
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    extended_hours: bool
    submitted_at: dt.datetime | None
    updated_at: dt.datetime | None
    filled_at: dt.datetime | None = None
    replaces: str | None = None
    replaced_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the order may still fill."""
        return not self.status.is_terminal

    def merged(self, seen: OrderView) -> OrderView:
        """Return this order after a further report of it, in whatever order reports arrive.

        The status keeps the higher rank (:func:`~trader_sdk.broker.status.merge_status`), the filled quantity is the
        maximum of both with the average price that belongs to it, and links of a replace chain are never lost.
        """
        status = merge_status(self.status, seen.status)
        larger = seen if seen.filled_qty >= self.filled_qty else self
        return replace(
            seen,
            status=status,
            raw_status=seen.raw_status if status is seen.status else self.raw_status,
            filled_qty=larger.filled_qty,
            filled_avg_price=larger.filled_avg_price,
            filled_at=larger.filled_at,
            submitted_at=seen.submitted_at or self.submitted_at,
            replaces=seen.replaces or self.replaces,
            replaced_by=seen.replaced_by or self.replaced_by,
        )


@dataclass(frozen=True, slots=True)
class FillView:
    """One execution; ``execution_id`` is unique in the account, ``cumulative_qty`` counts the order's fills so far."""

    execution_id: str
    broker_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    at: dt.datetime
    cumulative_qty: Decimal | None = None
    leaves_qty: Decimal | None = None


class StreamName(StrEnum):
    """Which of the two streams an event came from."""

    TRADE_UPDATES = "trade_updates"
    MARKET_DATA = "market_data"


class StreamKind(StrEnum):
    """What a stream event holds."""

    ORDER = "order"  # parse with trade_update()
    BAR = "bar"  # a closed minute; parse with stream_bar()
    UPDATED_BAR = "updated_bar"  # the same minute again after late trades: upsert
    DAILY_BAR = "daily_bar"
    SYMBOL_STATUS = "symbol_status"
    PRICE_BAND = "price_band"  # limit up and limit down
    CONNECTED = "connected"
    SUBSCRIBED = "subscribed"
    DISCONNECTED = "disconnected"
    ERROR = "error"  # the venue refused something; raw holds its code and message
    ENDED = "ended"  # the client gave up; no further event comes from this stream
    QUARANTINED = "quarantined"  # a frame that nobody understands; raw holds it


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A frame, stamped on receipt and otherwise untouched.

    Args:
        stream: Where it came from.
        kind: What it holds.
        received_at: Wall clock on receipt, aware UTC.
        received_monotonic_seconds: Monotonic clock on receipt.
        raw: The decoded frame, or ``{"frame": text}`` when it could not be decoded.
    """

    stream: StreamName
    kind: StreamKind
    received_at: dt.datetime
    received_monotonic_seconds: float
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """State of one stream; the ages are taken from the monotonic stamps, None until the first frame."""

    stream: StreamName
    connected: bool
    connects: int
    last_frame_monotonic_seconds: float | None
    last_data_monotonic_seconds: float | None
    running: bool


@dataclass(frozen=True, slots=True)
class TradeUpdateView:
    """An order event of the trade stream; execution fields are set on fills only.

    ``event`` is the venue's word (``new``, ``partial_fill``, ``fill``, ``canceled``, ...); ``qty`` is this
    execution's, ``order.filled_qty`` the cumulative one.
    """

    event: str
    at: dt.datetime
    order: OrderView
    execution_id: str | None = None
    price: Decimal | None = None
    qty: Decimal | None = None
    position_qty: Decimal | None = None

    @property
    def fill(self) -> FillView | None:
        """Return the execution this event tells of, None if it tells of none."""
        if self.event not in ("fill", "partial_fill") or not self.execution_id:
            return None
        if self.qty is None or self.price is None:
            return None
        order = self.order
        return FillView(
            self.execution_id,
            order.broker_order_id,
            order.symbol,
            order.side,
            self.qty,
            self.price,
            self.at,
            cumulative_qty=order.filled_qty,
        )
