"""Between the broker port's views and the pure rules' values: one function each way, nothing decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from trader_sdk.broker import port
from trader_sdk.orders import OrderEvent, OrderIntent, OrderReport, OrderStatus, Side
from trader_sdk.plan import AssetRules
from trader_sdk.reconcile import VenueOrder
from trader_sdk.risk import WorkingOrder

_ZERO = Decimal(0)

_EVENTS: Final[Mapping[port.OrderStatus, OrderEvent]] = MappingProxyType(
    {
        port.OrderStatus.PENDING_NEW: OrderEvent.ACKNOWLEDGED,
        port.OrderStatus.ACCEPTED: OrderEvent.ACKNOWLEDGED,
        port.OrderStatus.ACCEPTED_FOR_BIDDING: OrderEvent.ACKNOWLEDGED,
        port.OrderStatus.PENDING_REVIEW: OrderEvent.ACKNOWLEDGED,
        port.OrderStatus.HELD: OrderEvent.ACKNOWLEDGED,
        port.OrderStatus.NEW: OrderEvent.WORKING,
        port.OrderStatus.STOPPED: OrderEvent.WORKING,
        port.OrderStatus.SUSPENDED: OrderEvent.WORKING,
        port.OrderStatus.PENDING_REPLACE: OrderEvent.WORKING,
        port.OrderStatus.PENDING_CANCEL: OrderEvent.WORKING,
        port.OrderStatus.UNKNOWN_OPEN: OrderEvent.WORKING,
        port.OrderStatus.PARTIALLY_FILLED: OrderEvent.WORKING,
        port.OrderStatus.CALCULATED: OrderEvent.WORKING,
        port.OrderStatus.DONE_FOR_DAY: OrderEvent.WORKING,
        port.OrderStatus.REPLACED: OrderEvent.REPLACEMENT,
        port.OrderStatus.CANCELED: OrderEvent.CANCELLATION,
        port.OrderStatus.EXPIRED: OrderEvent.EXPIRY,
        port.OrderStatus.REJECTED: OrderEvent.DENIED,
        port.OrderStatus.FILLED: OrderEvent.FILLED_ALL,
    }
)


def report_of(view: port.OrderView) -> OrderReport:
    """Return what an order's view reports; anything filled of an open order makes it partial."""
    event = _EVENTS[view.status]
    if view.filled_qty > 0 and event in (OrderEvent.ACKNOWLEDGED, OrderEvent.WORKING):
        event = OrderEvent.FILLED_PART
    detail = view.raw_status if view.status in (port.OrderStatus.UNKNOWN_OPEN, port.OrderStatus.REJECTED) else ""
    return OrderReport(event, view.filled_qty, view.filled_avg_price, view.broker_order_id, detail)


def venue_order(view: port.OrderView) -> VenueOrder:
    """Return an order's view as reconciliation reads it."""
    return VenueOrder(
        broker_order_id=view.broker_order_id,
        client_order_id=view.client_order_id,
        symbol=view.symbol,
        side=Side(view.side.value),
        qty=view.qty or view.filled_qty,
        report=report_of(view),
        is_open=view.is_open,
        limit_price=view.limit_price,
        replaced_by=view.replaced_by,
        submitted_at=view.submitted_at,
    )


def request_of(intent: OrderIntent) -> port.OrderRequest:
    """Return the request that sends ``intent``."""
    return port.OrderRequest(
        client_order_id=intent.client_order_id,
        symbol=intent.symbol,
        side=port.Side(intent.side.value),
        qty=intent.qty,
        type=port.OrderType(intent.order_type.value),
        time_in_force=port.TimeInForce(intent.time_in_force.value),
        limit_price=intent.limit_price,
    )


def rules_of(asset: port.AssetView) -> AssetRules:
    """Return what planning and risk read of an asset."""
    return AssetRules(
        symbol=asset.symbol,
        tradable=asset.tradable and asset.status == "active",
        shortable=asset.shortable and asset.easy_to_borrow,
        fractionable=asset.fractionable,
        qty_increment=asset.qty_increment,
        min_qty=asset.min_qty,
        price_increment=asset.price_increment,
        is_crypto=asset.is_crypto,
    )


def working_order(intent: OrderIntent, filled_qty: Decimal, status: OrderStatus) -> WorkingOrder:
    """Return one of our working orders as risk reserves it."""
    return WorkingOrder(intent.symbol, intent.side, intent.qty - filled_qty, intent.worst_price, status)


def foreign_orders(
    views: Iterable[port.OrderView], ours: Mapping[str, object], prices: Mapping[str, Decimal]
) -> tuple[WorkingOrder, ...]:
    """Return the open orders at the venue that are not in our books, so that their exposure counts."""
    return tuple(
        WorkingOrder(
            view.symbol,
            Side(view.side.value),
            (view.qty or _ZERO) - view.filled_qty,
            view.limit_price or prices.get(view.symbol, _ZERO),
            OrderStatus.LIVE,
        )
        for view in views
        if view.is_open and view.client_order_id not in ours
    )


def prices_of(positions: Iterable[port.PositionView]) -> dict[str, Decimal]:
    """Return the last price of each position that has one."""
    return {view.symbol: view.current_price for view in positions if view.current_price is not None}


def earliest(times: Iterable[datetime | None]) -> datetime | None:
    """Return the first of several moments, None if there is none."""
    return min((at for at in times if at is not None), default=None)
