"""The matching engine: ``step(state, at, input) -> (state, events)``, without clock, network or disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND
from trader_sdk.exchange import execution
from trader_sdk.exchange.account import funds, intent_of, reference_price
from trader_sdk.exchange.events import (
    BarsOpened,
    BarsTraded,
    BorrowCharged,
    Cancel,
    Configure,
    Configured,
    Event,
    Input,
    Intervene,
    OrderChanged,
    Refused,
    Replace,
    SessionClosed,
    SessionOpened,
    Submit,
)
from trader_sdk.exchange.interventions import intervene
from trader_sdk.exchange.lifecycle import OrderEventKind
from trader_sdk.exchange.rejections import not_found, unprocessable
from trader_sdk.exchange.rules import check_order
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import Order, OrderId, OrderRequest, OrderStatus, TimeInForce

_GTC_LIFE_NS: Final = int(timedelta(days=90).total_seconds()) * NANOSECONDS_PER_SECOND
_SESSIONS_PER_YEAR: Final = 252
_REPLACEABLE: Final = (OrderStatus.ACCEPTED, OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


def step(state: VenueState, at: int, command: Input) -> tuple[VenueState, tuple[Event, ...]]:
    """Apply one command and return the state after it and what happened, in order.

    Args:
        state: Handed over: the engine changes and returns it.
        at: Venue time of the command, nanoseconds UTC; a time before ``state.now`` counts as now.
        command: From a client or from the market.

    Returns:
        The state and its events. A refused client command gives one :class:`Refused` and an unchanged state. The same
        commands at the same times give the same events, ids included.
    """
    state.now = max(state.now, at)
    handler = _HANDLERS[type(command)]
    return state, tuple(handler(state, command))


def _submit(state: VenueState, command: Submit) -> list[Event]:
    rejection = check_order(state, command.request)
    if rejection is not None:
        return [Refused(rejection)]
    return list(_book(state, command.request))


def _book(state: VenueState, request: OrderRequest, *, replaces: Order | None = None) -> list[OrderChanged]:
    asset = state.assets[request.symbol]
    at, number = state.tick(), len(state.orders) + 1
    order = Order(
        id=OrderId(state.terms.identity("order", number)),
        sequence=number,
        request=request,
        asset=asset,
        status=OrderStatus.PENDING_NEW,
        created_at=at,
        updated_at=at,
        reserve_price=reference_price(state, asset, request),
        position_intent=intent_of(state, asset.symbol, request.side),
        expires_at=at + _GTC_LIFE_NS if request.time_in_force is TimeInForce.GTC and not asset.is_crypto else None,
        replaces=None if replaces is None else replaces.id,
    )
    state.client_ids[request.client_order_id] = order.id
    state.put(order)
    if not state.is_trading(asset):
        return [_move(state, order.id, OrderEventKind.ACCEPTED), *execution.end_if_immediate(state, order.id)]
    events = [OrderChanged(OrderEventKind.PENDING_NEW, at, order), _move(state, order.id, OrderEventKind.NEW)]
    return events + execution.trade_on_arrival(state, order.id)


def _cancel(state: VenueState, command: Cancel) -> list[Event]:
    order = state.orders.get(command.order_id)
    if order is None:
        return [Refused(not_found("order"))]
    if not order.is_open:
        return [Refused(unprocessable(f'order is already in "{order.status}" state'))]
    return [_move(state, order.id, OrderEventKind.CANCELED)]


def _replace(state: VenueState, command: Replace) -> list[Event]:
    old = state.orders.get(command.order_id)
    if old is None:
        return [Refused(not_found("order"))]
    if old.status not in _REPLACEABLE:
        return [Refused(unprocessable(f'order in "{old.status}" state cannot be replaced'))]
    request = _replaced_request(old, command)
    rejection = check_order(state, request, replacing=old)
    if rejection is not None:
        return [Refused(rejection)]
    events: list[OrderChanged] = [_move(state, old.id, OrderEventKind.PENDING_REPLACE)]
    new_id = OrderId(state.terms.identity("order", len(state.orders) + 1))
    events.append(_move(state, old.id, OrderEventKind.REPLACED, replaced_by=new_id))
    return [*events, *_book(state, request, replaces=old)]


def _replaced_request(old: Order, command: Replace) -> OrderRequest:
    request = old.request
    tif = request.time_in_force if command.time_in_force is None else TimeInForce(command.time_in_force)
    return replace(
        request,
        client_order_id=command.client_order_id,
        qty=command.qty if command.qty is not None or request.qty is None else old.remaining_qty,
        notional=None if command.qty is not None or request.notional is None else old.remaining_value,
        limit_price=request.limit_price if command.limit_price is None else command.limit_price,
        stop_price=request.stop_price if command.stop_price is None else command.stop_price,
        time_in_force=tif,
    )


def _configure(state: VenueState, command: Configure) -> list[Event]:
    current = state.settings
    state.settings = replace(
        current,
        no_shorting=current.no_shorting if command.no_shorting is None else command.no_shorting,
        suspend_trade=current.suspend_trade if command.suspend_trade is None else command.suspend_trade,
        fractional_trading=(
            current.fractional_trading if command.fractional_trading is None else command.fractional_trading
        ),
    )
    return [Configured(state.tick())]


def _intervene(state: VenueState, command: Intervene) -> list[Event]:
    return intervene(state, command, submit=_submit, replace_order=_replace)


def _open_session(state: VenueState, command: SessionOpened) -> list[Event]:
    state.is_session_open = True
    state.session_close = command.session_close
    waiting = [order for order in state.working() if order.status is OrderStatus.ACCEPTED]
    return [_move(state, order.id, OrderEventKind.NEW) for order in waiting if not order.asset.is_crypto]


def _open_bars(state: VenueState, command: BarsOpened) -> list[Event]:
    events: list[Event] = []
    for opening in command.openings:
        mark = state.marks[opening.symbol]
        state.marks[opening.symbol] = replace(
            mark, price=opening.price, liquidity=opening.liquidity, is_live=True, at=state.now
        )
        events += execution.trade_at_mark(state, opening.symbol, is_auction=command.is_auction)
    if command.is_auction:
        missed = [order for order in state.working() if order.request.time_in_force is TimeInForce.OPG]
        events += [_move(state, order.id, OrderEventKind.CANCELED) for order in missed]
    return events


def _trade_bars(state: VenueState, command: BarsTraded) -> list[Event]:
    events: list[Event] = []
    for bar in command.ranges:
        events += execution.trade_within(state, bar)
        mark = state.marks[bar.symbol]
        state.marks[bar.symbol] = replace(mark, price=bar.close, is_live=False, at=state.now)
    _record_equity(state)
    return events


def _close_session(state: VenueState, _command: SessionClosed) -> list[Event]:
    events: list[Event] = list(execution.trade_closing_auction(state))
    state.is_session_open, state.session_close = False, 0
    events += [_move(state, order.id, kind) for order, kind in execution.ended_by_close(state)]
    events += _charge_borrow(state)
    for symbol, mark in state.marks.items():
        if not state.assets[symbol].is_crypto:
            state.marks[symbol] = replace(mark, previous_close=mark.price, is_live=False, liquidity=Decimal(0))
    _record_equity(state)
    state.last_equity = funds(state).equity
    return events


def _charge_borrow(state: VenueState) -> list[Event]:
    events: list[Event] = []
    for symbol, position in state.positions.items():
        if position.qty >= 0:
            continue
        bps = state.terms.costs_of(position.asset).borrow_bps_per_year
        value = -position.qty * state.marks[symbol].price
        amount = (value * bps / 10_000 / _SESSIONS_PER_YEAR).quantize(Decimal("0.000001"))
        state.cash -= amount
        state.fees_paid += amount
        events.append(BorrowCharged(symbol, state.tick(), amount))
    return events


def _record_equity(state: VenueState) -> None:
    equity = funds(state).equity
    if state.equity_history and state.equity_history[-1][0] == state.now:
        state.equity_history.pop()
    state.equity_history.append((state.now, equity))


def _move(state: VenueState, order_id: OrderId, kind: OrderEventKind, **changes: Any) -> OrderChanged:
    return execution.move(state, order_id, kind, **changes)


_HANDLERS: Final[dict[type[Input], Callable[[VenueState, Any], list[Event]]]] = {
    Submit: _submit,
    Cancel: _cancel,
    Replace: _replace,
    Configure: _configure,
    Intervene: _intervene,
    SessionOpened: _open_session,
    BarsOpened: _open_bars,
    BarsTraded: _trade_bars,
    SessionClosed: _close_session,
}
