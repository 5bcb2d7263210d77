"""Orders meeting the market: fills, fees and the moves between order states."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from trader_sdk.exchange.account import after_trade
from trader_sdk.exchange.events import BarRange, OrderChanged
from trader_sdk.exchange.lifecycle import OrderEventKind, transition
from trader_sdk.exchange.matching import fill_qty, is_stop_reached, needs_stop, price_at, price_within
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import QTY_QUANTUM, ZERO, Fill, Order, OrderId, OrderStatus, Side, TimeInForce

_TIME_FIELD: Final = {
    OrderEventKind.FILL: "filled_at",
    OrderEventKind.CANCELED: "canceled_at",
    OrderEventKind.EXPIRED: "expired_at",
    OrderEventKind.REJECTED: "failed_at",
    OrderEventKind.REPLACED: "replaced_at",
}
_IMMEDIATE: Final = (TimeInForce.IOC, TimeInForce.FOK)
_WORKING: Final = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


def move(state: VenueState, order_id: OrderId, kind: OrderEventKind, **changes: Any) -> OrderChanged:
    """Take an order one step through the status machine and return the event."""
    order, at = state.orders[order_id], state.tick()
    if kind in _TIME_FIELD:
        changes[_TIME_FIELD[kind]] = at
    after = replace(order, status=transition(order.status, kind), updated_at=at, **changes)
    state.put(after)
    return OrderChanged(kind, at, after)


def trade_on_arrival(state: VenueState, order_id: OrderId) -> list[OrderChanged]:
    """Let a new order trade at once if a bar is running; end it if it may not wait."""
    order, events = state.orders[order_id], list[OrderChanged]()
    if state.marks[order.symbol].is_live and order.request.time_in_force not in (TimeInForce.OPG, TimeInForce.CLS):
        events = _trade_order_at_mark(state, order)
    return events + end_if_immediate(state, order_id)


def end_if_immediate(state: VenueState, order_id: OrderId) -> list[OrderChanged]:
    """Cancel what is left of an order that may not wait."""
    order = state.orders[order_id]
    if order.request.time_in_force in _IMMEDIATE and order.is_open:
        return [move(state, order_id, OrderEventKind.CANCELED)]
    return []


def trade_at_mark(state: VenueState, symbol: str, *, is_auction: bool) -> list[OrderChanged]:
    """Let every working order of a symbol trade at the price that a bar just opened at, oldest first."""
    events: list[OrderChanged] = []
    for order in state.working(symbol):
        tif = order.request.time_in_force
        if order.status not in _WORKING or tif is TimeInForce.CLS or (tif is TimeInForce.OPG and not is_auction):
            continue
        events += _trade_order_at_mark(state, order)
    return events


def _trade_order_at_mark(state: VenueState, order: Order) -> list[OrderChanged]:
    price_now = state.marks[order.symbol].price
    if needs_stop(order):
        if not is_stop_reached(order, high=price_now, low=price_now):
            return []
        order = replace(order, is_triggered=True)
        state.put(order)
    return _fill_if_priced(state, order, price_at(order, price_now, state.terms.costs_of(order.asset)))


def trade_within(state: VenueState, bar: BarRange) -> list[OrderChanged]:
    """Let the orders that rested through a bar trade inside its range, oldest first."""
    events: list[OrderChanged] = []
    for order in state.working(bar.symbol):
        if order.status not in _WORKING or order.request.time_in_force in (TimeInForce.OPG, TimeInForce.CLS):
            continue
        price = price_within(order, bar, state.terms.costs_of(order.asset))
        if needs_stop(order) and is_stop_reached(order, high=bar.high, low=bar.low):
            order = replace(order, is_triggered=True)
            state.put(order)
        events += _fill_if_priced(state, order, price)
    return events


def trade_closing_auction(state: VenueState) -> list[OrderChanged]:
    """Fill market-on-close and limit-on-close orders at the closing price."""
    events: list[OrderChanged] = []
    for order in state.working():
        if order.request.time_in_force is TimeInForce.CLS and order.status in _WORKING:
            price = price_at(order, state.marks[order.symbol].price, state.terms.costs_of(order.asset))
            events += _fill_if_priced(state, order, price)
    return events


def ended_by_close(state: VenueState) -> list[tuple[Order, OrderEventKind]]:
    """Return the equity orders that do not survive the session's end, and how each ends."""
    ended: list[tuple[Order, OrderEventKind]] = []
    for order in state.working():
        tif = order.request.time_in_force
        if order.asset.is_crypto:
            continue
        if tif is TimeInForce.DAY:
            ended.append((order, OrderEventKind.EXPIRED))
        elif tif is TimeInForce.CLS or (order.expires_at is not None and order.expires_at <= state.now):
            ended.append((order, OrderEventKind.CANCELED))
    return ended


def _fill_if_priced(state: VenueState, order: Order, price: Decimal | None) -> list[OrderChanged]:
    if price is None or order.symbol in state.halted | state.thin or not _is_within_band(state, order.symbol, price):
        return []
    mark, held = state.marks[order.symbol], state.position_qty(order.symbol)
    sellable = abs(held) if held * order.request.side.sign < 0 else None
    qty = fill_qty(order, price, liquidity=mark.liquidity, sellable=sellable)
    if qty <= 0 or (order.request.time_in_force is TimeInForce.FOK and qty < order.remaining_qty):
        return []
    state.marks[order.symbol] = replace(mark, liquidity=mark.liquidity - qty)
    return [_fill(state, order, qty, price, is_capped=qty == mark.liquidity)]


def _is_within_band(state: VenueState, symbol: str, price: Decimal) -> bool:
    band = state.bands.get(symbol)
    return band is None or band[0] <= price <= band[1]


def fill_now(state: VenueState, order: Order, qty: Decimal) -> OrderChanged:
    """Book an execution of ``qty`` at the last price, whatever the bar's volume."""
    price = price_at(order, state.marks[order.symbol].price, state.terms.costs_of(order.asset))
    return _fill(state, order, qty, price or order.request.limit_price or order.reserve_price, is_capped=False)


def _fill(state: VenueState, order: Order, qty: Decimal, price: Decimal, *, is_capped: bool) -> OrderChanged:
    """Book one execution; a notional order is done when what is left buys less than the smallest unit."""
    fee, currency = _settle(state, order, qty, price)
    filled_qty, filled_value = order.filled_qty + qty, order.filled_value + qty * price
    is_done = not is_capped if order.request.qty is None else filled_qty == order.request.qty
    kind = OrderEventKind.FILL if is_done else OrderEventKind.PARTIAL_FILL
    event = move(state, order.id, kind, filled_qty=filled_qty, filled_value=filled_value, is_triggered=True)
    number = len(state.fills) + 1
    fill = Fill(
        execution_id=state.terms.identity("execution", number),
        sequence=number,
        order_id=order.id,
        client_order_id=order.request.client_order_id,
        symbol=order.symbol,
        side=order.request.side,
        qty=qty,
        price=price,
        fee=fee,
        fee_currency=currency,
        at=event.at,
        cum_qty=filled_qty,
        leaves_qty=event.order.remaining_qty,
        position_qty=state.position_qty(order.symbol),
        order_status=event.order.status,
    )
    state.fills.append(fill)
    return replace(event, fill=fill)


def _settle(state: VenueState, order: Order, qty: Decimal, price: Decimal) -> tuple[Decimal, str]:
    """Move cash and position; return the fee and its currency (crypto pays it in what is received)."""
    fraction = state.terms.costs_of(order.asset).commission_fraction
    side, asset = order.request.side, order.asset
    value = qty * price
    if asset.is_crypto and side is Side.BUY:
        fee, currency = (qty * fraction).quantize(QTY_QUANTUM), asset.symbol.partition("/")[0]
        state.cash -= value
        received, fee_usd = qty - fee, fee * price
    else:
        fee, currency = (value * fraction).quantize(Decimal("0.000001")), "USD"
        state.cash -= side.sign * value + fee
        received, fee_usd = qty, fee
    state.fees_paid += fee_usd
    position = after_trade(state.positions.get(asset.symbol), asset, side.sign * received, price)
    if position is None:
        state.positions.pop(asset.symbol)
    else:
        state.positions[asset.symbol] = position
    return fee, currency if fee > ZERO else "USD"
