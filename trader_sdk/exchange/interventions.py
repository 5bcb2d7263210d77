"""What befalls an account without its client's doing: the venue cancels, halts, splits; somebody trades by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from trader_sdk.exchange.events import Act, Event, Intervene, Intervened, Replace, Submit
from trader_sdk.exchange.execution import fill_now, move
from trader_sdk.exchange.lifecycle import TRANSITIONS, OrderEventKind
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import ZERO, OrderId, OrderRequest, OrderType, Side, TimeInForce

BY_HAND: Final = "by-hand"
"""Prefix of the client order ids of orders that somebody else placed."""
_ORDER_MOVES: Final[Mapping[Act, OrderEventKind]] = {
    Act.CANCEL: OrderEventKind.CANCELED,
    Act.REJECT: OrderEventKind.REJECTED,
    Act.PEND_CANCEL: OrderEventKind.PENDING_CANCEL,
}


def intervene(
    state: VenueState,
    command: Intervene,
    *,
    submit: Callable[[VenueState, Submit], list[Event]],
    replace_order: Callable[[VenueState, Replace], list[Event]],
) -> list[Event]:
    """Carry out ``command`` and return what happened.

    Args:
        state: Changed in place, as the engine owns it.
        command: What happens.
        submit, replace_order: The engine's own ways, for orders by hand.
    """
    if command.act is Act.ORDER:
        return submit(state, Submit(_request(state, command)))
    if command.act is Act.REPLACE:
        oldest = state.working(command.symbol)[:1]
        return [event for order in oldest for event in replace_order(state, _replacement(state, command, order.id))]
    if command.act in _ORDER_MOVES:
        kind = _ORDER_MOVES[command.act]
        movable = [order for order in state.working(command.symbol) if TRANSITIONS[order.status, kind] is not None]
        return [move(state, order.id, kind) for order in movable]
    if command.act is Act.FILL:
        return _fill(state, command)
    _CHANGES[command.act](state, command)
    return [Intervened(command.act, command.symbol, state.tick(), command.amount)]


def _hand_id(state: VenueState) -> str:
    return f"{BY_HAND}-{len(state.orders) + 1}"


def _request(state: VenueState, command: Intervene) -> OrderRequest:
    return OrderRequest(
        symbol=command.symbol,
        side=Side(command.side or Side.BUY),
        type=OrderType.MARKET if command.price is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        client_order_id=_hand_id(state),
        qty=command.amount,
        limit_price=command.price,
    )


def _replacement(state: VenueState, command: Intervene, order_id: OrderId) -> Replace:
    return Replace(order_id, _hand_id(state), qty=command.amount, limit_price=command.price)


def _fill(state: VenueState, command: Intervene) -> list[Event]:
    events: list[Event] = []
    for order in state.working(command.symbol):
        qty = min(order.remaining_qty, order.remaining_qty if command.amount is None else command.amount)
        events += [fill_now(state, order, qty)] if qty > 0 else []
    return events


def _halt(state: VenueState, command: Intervene) -> None:
    state.halted.add(command.symbol)


def _resume(state: VenueState, command: Intervene) -> None:
    state.halted.discard(command.symbol)


def _make_untradable(state: VenueState, command: Intervene) -> None:
    state.assets[command.symbol] = replace(state.assets[command.symbol], tradable=False)


def _split(state: VenueState, command: Intervene) -> None:
    ratio = command.amount or Decimal(1)
    position = state.positions.get(command.symbol)
    if position is not None:
        avg = position.avg_entry_price / ratio
        state.positions[command.symbol] = replace(position, qty=position.qty * ratio, avg_entry_price=avg)


def _move_cash(state: VenueState, command: Intervene) -> None:
    state.cash += command.amount or ZERO


_CHANGES: Final[Mapping[Act, Callable[[VenueState, Intervene], None]]] = {
    Act.HALT: _halt,
    Act.RESUME: _resume,
    Act.UNTRADABLE: _make_untradable,
    Act.SPLIT: _split,
    Act.CASH: _move_cash,
}
