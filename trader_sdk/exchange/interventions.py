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
    amount = _CHANGES[command.act](state, command)
    return [Intervened(command.act, command.symbol, state.tick(), amount, command.into)]


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


def _band(state: VenueState, command: Intervene) -> Decimal | None:
    """Let nothing trade further from the last price than the fraction ``amount``, as limit up and limit down do."""
    price, fraction = state.marks[command.symbol].price, command.amount or ZERO
    state.bands[command.symbol] = price * (1 - fraction), price * (1 + fraction)
    return command.amount


def _thin(state: VenueState, command: Intervene) -> None:
    state.thin.add(command.symbol)


def _resume(state: VenueState, command: Intervene) -> None:
    state.halted.discard(command.symbol)
    state.bands.pop(command.symbol, None)
    state.thin.discard(command.symbol)


def _make_untradable(state: VenueState, command: Intervene) -> None:
    state.assets[command.symbol] = replace(state.assets[command.symbol], tradable=False)


def _block(state: VenueState, _command: Intervene) -> None:
    state.is_blocked = True


def _unblock(state: VenueState, _command: Intervene) -> None:
    state.is_blocked = False


def _split(state: VenueState, command: Intervene) -> Decimal:
    """Multiply units and divide prices; bars before it are told adjusted to whoever asks for that."""
    symbol, ratio = command.symbol, command.amount or Decimal(1)
    position, mark = state.positions.get(symbol), state.marks[symbol]
    if position is not None:
        avg = position.avg_entry_price / ratio
        state.positions[symbol] = replace(position, qty=position.qty * ratio, avg_entry_price=avg)
    state.marks[symbol] = replace(mark, price=mark.price / ratio, previous_close=mark.previous_close / ratio)
    state.splits.setdefault(symbol, []).append((state.now, ratio))
    return ratio


def _delist(state: VenueState, command: Intervene) -> Decimal:
    """Pay a position out at the last price; the asset takes no order any more."""
    _make_untradable(state, command)
    position = state.positions.pop(command.symbol, None)
    paid = ZERO if position is None else position.qty * state.marks[command.symbol].price
    state.cash += paid
    return paid


def _rename(state: VenueState, command: Intervene) -> None:
    """Let a position go on under another symbol; the old one takes no order any more."""
    _make_untradable(state, command)
    position = state.positions.pop(command.symbol, None)
    if position is not None:
        state.positions[command.into] = replace(position, asset=state.assets[command.into])


def _move_cash(state: VenueState, command: Intervene) -> Decimal | None:
    state.cash += command.amount or ZERO
    return command.amount


_CHANGES: Final[Mapping[Act, Callable[[VenueState, Intervene], Decimal | None]]] = {
    Act.HALT: _halt,
    Act.PAUSE: _halt,
    Act.BAND: _band,
    Act.THIN: _thin,
    Act.RESUME: _resume,
    Act.UNTRADABLE: _make_untradable,
    Act.BLOCK: _block,
    Act.UNBLOCK: _unblock,
    Act.SPLIT: _split,
    Act.DELIST: _delist,
    Act.RENAME: _rename,
    Act.CASH: _move_cash,
}
