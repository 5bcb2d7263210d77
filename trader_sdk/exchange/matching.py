"""At what price an order trades, and how much of it; pure functions of an order and a bar."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import Final

from trader_sdk.contract.costs import CostModel
from trader_sdk.exchange.account import far_side
from trader_sdk.exchange.events import BarRange
from trader_sdk.exchange.values import QTY_QUANTUM, Order, OrderType, Side

_PRICE_QUANTUM: Final = Decimal("0.0001")
_SMALL_PRICE_QUANTUM: Final = Decimal("0.00000001")


def taker_price(reference: Decimal, side: Side, costs: CostModel) -> Decimal:
    """Return what crossing the spread at ``reference`` gives: half spread and slippage against the order."""
    price = reference * (1 + side.sign * costs.price_fraction)
    return price.quantize(_PRICE_QUANTUM if price >= 1 else _SMALL_PRICE_QUANTUM)


def is_stop_reached(order: Order, *, high: Decimal, low: Decimal) -> bool:
    """Return whether prices between ``low`` and ``high`` touch the order's stop."""
    stop = order.request.stop_price
    assert stop is not None
    return high >= stop if order.request.side is Side.BUY else low <= stop


def needs_stop(order: Order) -> bool:
    """Return whether the order still waits for its stop price."""
    return order.request.stop_price is not None and not order.is_triggered


def price_at(order: Order, reference: Decimal, costs: CostModel) -> Decimal | None:
    """Return the price at which a triggered order trades while the market stands at ``reference``, or None.

    A market order takes the far side. A limit order that the far side reaches takes it too, at its limit or better.
    """
    side, limit = order.request.side, order.request.limit_price
    taken = taker_price(reference, side, costs)
    if order.request.type in (OrderType.MARKET, OrderType.STOP):
        return taken
    assert limit is not None
    if not _reaches(far_side(reference, side, costs), limit, side):
        return None
    return min(limit, taken) if side is Side.BUY else max(limit, taken)


def price_within(order: Order, bar: BarRange, costs: CostModel) -> Decimal | None:
    """Return the price at which an order that rests through a bar trades in its range, or None.

    A resting limit trades at its limit once the far side comes to it. A stop trades as a taker at its stop price. A
    stop-limit trades in the bar that triggers it only if its stop price, costs included, is inside its limit: the
    path inside a bar is unknown, so nothing better is assumed.
    """
    side, limit, stop = order.request.side, order.request.limit_price, order.request.stop_price
    if needs_stop(order):
        assert stop is not None
        if not is_stop_reached(order, high=bar.high, low=bar.low):
            return None
        taken = taker_price(stop, side, costs)
        return taken if limit is None or _reaches(taken, limit, side) else None
    if limit is None:
        return None
    best = bar.low if side is Side.BUY else bar.high
    return limit if _reaches(far_side(best, side, costs), limit, side) else None


def _reaches(price: Decimal, limit: Decimal, side: Side) -> bool:
    return price <= limit if side is Side.BUY else price >= limit


def fill_qty(order: Order, price: Decimal, *, liquidity: Decimal, sellable: Decimal | None) -> Decimal:
    """Return how much of an order trades now.

    Args:
        order: What is left of it decides.
        price: Fill price; a notional order buys what its rest pays for.
        liquidity: What the bar still gives, in units.
        sellable: Upper bound by the position that a reducing order may not cross, or None.

    Returns:
        Units, whole for a whole-share order, at most nine decimals otherwise; 0 when nothing trades.
    """
    wanted = order.remaining_qty if order.request.notional is None else order.remaining_value / price
    given = min(wanted, liquidity) if sellable is None else min(wanted, liquidity, sellable)
    return given.quantize(QTY_QUANTUM if order.is_fractional else Decimal(1), ROUND_DOWN)
