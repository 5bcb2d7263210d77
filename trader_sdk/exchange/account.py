"""What the account is worth and may still spend; pure functions of the state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from trader_sdk.contract.costs import CostModel
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import ZERO, Asset, OrderRequest, Position, PositionIntent, Side

SHORT_MARGIN: Final = Decimal("1.03")
_MAINTENANCE: Final = Decimal("0.30")
_INITIAL: Final = Decimal("0.50")


@dataclass(frozen=True, slots=True)
class Funds:
    """The account's money at one moment, USD.

    Attributes:
        short_value: Market value of shorts, not positive.
        reserved: What open buys and short sales hold.
        buying_power: For marginable assets.
        non_marginable: For crypto.
    """

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    reserved: Decimal
    multiplier: Decimal

    @property
    def equity(self) -> Decimal:
        """Return cash plus the signed value of the positions."""
        return self.cash + self.long_value + self.short_value

    @property
    def gross(self) -> Decimal:
        """Return the unsigned value of the positions."""
        return self.long_value - self.short_value

    @property
    def buying_power(self) -> Decimal:
        """Return what new marginable orders may cost."""
        return max(ZERO, self.multiplier * self.equity - self.gross - self.reserved)

    @property
    def non_marginable(self) -> Decimal:
        """Return what new crypto orders may cost: cash that no short and no order has a claim on."""
        return max(ZERO, self.cash + 2 * self.short_value - self.reserved)

    @property
    def initial_margin(self) -> Decimal:
        """Return the margin that the positions took."""
        return self.gross * _INITIAL

    @property
    def maintenance_margin(self) -> Decimal:
        """Return the margin that the positions need overnight."""
        return self.gross * _MAINTENANCE


def funds(state: VenueState, *, without: str | None = None) -> Funds:
    """Return the account's money; ``without`` leaves one order's reserve out (the one being replaced)."""
    values = [position.qty * state.marks[symbol].price for symbol, position in state.positions.items()]
    reserved = sum(
        (reserve_of(state, order.id) for order in state.working() if order.id != without),
        start=ZERO,
    )
    return Funds(
        cash=state.cash,
        long_value=sum((value for value in values if value > 0), start=ZERO),
        short_value=sum((value for value in values if value < 0), start=ZERO),
        reserved=reserved,
        multiplier=state.terms.multiplier,
    )


def reserve_of(state: VenueState, order_id: str) -> Decimal:
    """Return what one open order holds: nothing for one that reduces a position."""
    order = state.orders[order_id]  # type: ignore[index]  # ids of open orders are OrderIds
    held = state.position_qty(order.symbol)
    if held * order.request.side.sign < 0:
        return ZERO
    return order.remaining_value


def held_for_orders(state: VenueState, symbol: str, *, without: str | None = None) -> Decimal:
    """Return the part of a position that open reducing orders have claimed, unsigned."""
    position = state.position_qty(symbol)
    claims = (
        order.remaining_qty
        for order in state.working(symbol)
        if order.request.side.sign * position < 0 and order.id != without
    )
    return min(abs(position), sum(claims, start=ZERO))


def intent_of(state: VenueState, symbol: str, side: Side) -> PositionIntent:
    """Return what an order of ``side`` would do to the position as it stands."""
    held = state.position_qty(symbol)
    if side is Side.BUY:
        return PositionIntent.BUY_TO_CLOSE if held < 0 else PositionIntent.BUY_TO_OPEN
    return PositionIntent.SELL_TO_CLOSE if held > 0 else PositionIntent.SELL_TO_OPEN


def reference_price(state: VenueState, asset: Asset, request: OrderRequest) -> Decimal:
    """Return the price that buying power is reckoned at: limit, stop, far side of the quote, or last trade."""
    mark = state.marks[asset.symbol]
    ask = far_side(mark.price, Side.BUY, state.terms.costs_of(asset)) if mark.is_live else mark.price
    priced = request.limit_price or request.stop_price
    if request.side is Side.SELL and state.position_qty(asset.symbol) <= 0:
        return max(priced or ZERO, ask * SHORT_MARGIN)
    return priced or ask


def far_side(price: Decimal, side: Side, costs: CostModel) -> Decimal:
    """Return the quote that an order of ``side`` would hit: ask for a buy, bid for a sell."""
    return price * (1 + side.sign * costs.half_spread_bps / Decimal(10_000))


def after_trade(position: Position | None, asset: Asset, delta: Decimal, price: Decimal) -> Position | None:
    """Return the holding after ``delta`` units traded at ``price``; None when flat.

    Adding averages the entry price by quantity, reducing keeps it.
    """
    if position is None:
        return Position(asset, delta, price)
    qty = position.qty + delta
    if qty == 0:
        return None
    if position.qty * delta < 0:
        assert position.qty * qty > 0, "one order never crosses zero"
        return replace(position, qty=qty)
    average = (position.cost_basis + delta * price) / qty
    return Position(asset, qty, average.quantize(Decimal("0.00000001")))
