"""What an order must satisfy before the venue books it; each rule is pure and says why it refuses.

Source:
    The vendor's documentation and issue threads, as listed in docs/guide/exchange.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from decimal import Decimal
from typing import Final

from trader_sdk.exchange.account import Funds, funds, held_for_orders, intent_of, reference_price
from trader_sdk.exchange.rejections import (
    Rejection,
    forbidden,
    insufficient_buying_power,
    insufficient_qty,
    invalid,
    unprocessable,
    wash_trade,
)
from trader_sdk.exchange.sessions import new_york
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import Asset, Order, OrderRequest, OrderType, Side, TimeInForce

MAX_CLIENT_ORDER_ID: Final = 128
_MAX_DECIMALS: Final = 9
_OPG_CUTOFF: Final = time(9, 28)
_CLS_CUTOFF: Final = time(15, 50)
_AUCTIONS_REOPEN: Final = time(19, 0)
_AUCTION_TIFS: Final = (TimeInForce.OPG, TimeInForce.CLS)
_CRYPTO_TYPES: Final = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_LIMIT)
_CRYPTO_TIFS: Final = (TimeInForce.GTC, TimeInForce.IOC)

Check = Callable[[VenueState, Asset, OrderRequest], Rejection | None]


def check_order(state: VenueState, request: OrderRequest, *, replacing: Order | None = None) -> Rejection | None:
    """Return the first reason to refuse an order, or None to book it.

    Args:
        state: The venue, unchanged by this.
        request: The order as asked for.
        replacing: The order whose place this one takes: its own claims do not count against it.
    """
    if request.client_order_id in state.client_ids:
        return invalid("client_order_id must be unique")
    asset = state.assets.get(request.symbol)
    if asset is None:
        return invalid(f'could not find asset "{request.symbol}"')
    for check in _FORM_CHECKS:
        rejection = check(state, asset, request)
        if rejection is not None:
            return rejection
    return _account_rejection(state, asset, request, replacing)


def _shape(_state: VenueState, _asset: Asset, request: OrderRequest) -> Rejection | None:
    if not 0 < len(request.client_order_id) <= MAX_CLIENT_ORDER_ID:
        return invalid(f"client_order_id must be no more than {MAX_CLIENT_ORDER_ID} characters")
    if (request.qty is None) == (request.notional is None):
        return invalid("exactly one of qty and notional is required")
    amount = request.qty if request.qty is not None else request.notional
    assert amount is not None
    if amount <= 0:
        return invalid("qty must be > 0" if request.qty is not None else "notional must be > 0")
    if _decimals(amount) > _MAX_DECIMALS:
        return invalid(f"qty and notional are limited to {_MAX_DECIMALS} decimal places")
    return None


def _prices_fit_type(_state: VenueState, _asset: Asset, request: OrderRequest) -> Rejection | None:
    needs = {
        "limit": request.type in (OrderType.LIMIT, OrderType.STOP_LIMIT),
        "stop": request.type in (OrderType.STOP, OrderType.STOP_LIMIT),
    }
    for name, price in (("limit", request.limit_price), ("stop", request.stop_price)):
        if needs[name] and price is None:
            return invalid(f"{request.type} orders require a {name} price")
        if not needs[name] and price is not None:
            return invalid(f"{request.type} orders must not have a {name} price")
        if price is not None and price <= 0:
            return invalid(f"{name} price must be > 0")
    return None


def _ticks(_state: VenueState, asset: Asset, request: OrderRequest) -> Rejection | None:
    for price in (request.limit_price, request.stop_price):
        if price is None:
            continue
        if asset.price_increment is not None:
            if price % asset.price_increment:
                return unprocessable(f"price increment must be {asset.price_increment:f}")
        elif _decimals(price) > (2 if price >= 1 else 4):
            return unprocessable(
                f"invalid limit_price {price:f}. sub-penny increment does not fulfill minimum pricing criteria"
            )
    return None


def _tradable(state: VenueState, asset: Asset, _request: OrderRequest) -> Rejection | None:
    if not asset.tradable:
        return unprocessable(f"asset {asset.symbol} is not tradable")
    if state.is_blocked:
        return forbidden("account is restricted from trading")
    if state.settings.suspend_trade:
        return forbidden("new orders are rejected by user request")
    return None


def _crypto(_state: VenueState, asset: Asset, request: OrderRequest) -> Rejection | None:
    if not asset.is_crypto:
        return None
    if request.type not in _CRYPTO_TYPES:
        return unprocessable(f"invalid order type for crypto order: {request.type}")
    if request.time_in_force not in _CRYPTO_TIFS:
        return unprocessable("invalid crypto time_in_force")
    if request.qty is not None:
        if asset.min_order_size is not None and request.qty < asset.min_order_size:
            return forbidden(f"minimal qty of order {asset.min_order_size:f}")
        if asset.min_trade_increment is not None and request.qty % asset.min_trade_increment:
            return unprocessable(f"qty increment must be {asset.min_trade_increment:f}")
    return None


def _time_in_force(_state: VenueState, asset: Asset, request: OrderRequest) -> Rejection | None:
    is_plain = request.time_in_force in (TimeInForce.DAY, TimeInForce.GTC)
    if not is_plain and request.type not in (OrderType.MARKET, OrderType.LIMIT) and not asset.is_crypto:
        return unprocessable(f"{request.time_in_force} orders must be market or limit orders")
    if request.extended_hours and (request.type, request.time_in_force) != (OrderType.LIMIT, TimeInForce.DAY):
        return unprocessable("extended hours order must be DAY limit orders")
    return None


def _fractional(state: VenueState, asset: Asset, request: OrderRequest) -> Rejection | None:
    if asset.is_crypto or (request.qty is not None and request.qty % 1 == 0):
        return None
    if not asset.fractionable or not state.settings.fractional_trading:
        return forbidden(f"asset {asset.symbol} is not fractionable")
    if request.time_in_force is not TimeInForce.DAY:
        return unprocessable("fractional orders must be DAY orders")
    if request.notional is not None and request.notional < 1:
        return forbidden("notional amount must be >= 1.00")
    return None


def _auction_window(state: VenueState, _asset: Asset, request: OrderRequest) -> Rejection | None:
    if request.time_in_force not in _AUCTION_TIFS:
        return None
    clock = new_york(state.now).time()
    cutoff = _OPG_CUTOFF if request.time_in_force is TimeInForce.OPG else _CLS_CUTOFF
    if cutoff <= clock < _AUCTIONS_REOPEN:
        return unprocessable(
            f"{request.time_in_force} orders are rejected from {cutoff:%H:%M} to {_AUCTIONS_REOPEN:%H:%M}"
        )
    return None


_FORM_CHECKS: Final[tuple[Check, ...]] = (
    _shape,
    _prices_fit_type,
    _ticks,
    _tradable,
    _crypto,
    _time_in_force,
    _fractional,
    _auction_window,
)


def _account_rejection(
    state: VenueState, asset: Asset, request: OrderRequest, replacing: Order | None
) -> Rejection | None:
    without = None if replacing is None else replacing.id
    opposite = [
        order
        for order in state.working(asset.symbol)
        if order.request.side is request.side.opposite and order.id != without
    ]
    held = state.position_qty(asset.symbol)
    intent = intent_of(state, asset.symbol, request.side)
    if request.position_intent not in (None, intent):
        return invalid(f"position intent mismatch, inferred: {intent}, specified: {request.position_intent}")
    if request.side is Side.BUY and held == 0 and opposite:
        return forbidden("cannot open a long buy while a short sell order is open")
    washed = _wash_rejection(request, opposite)
    if washed is not None:
        return washed
    price = reference_price(state, asset, request)
    qty = request.qty if request.qty is not None else request.notional / price  # type: ignore[operator]  # one is set
    if held * request.side.sign < 0:
        return _reducing_rejection(state, asset, qty, without)
    if request.side is Side.SELL:
        refused = _short_rejection(state, asset, request)
        if refused is not None:
            return refused
    return _buying_power_rejection(asset, funds(state, without=without), qty * price)


def _wash_rejection(request: OrderRequest, opposite: list[Order]) -> Rejection | None:
    for order in opposite:
        theirs = order.request
        if theirs.type in (OrderType.MARKET, OrderType.STOP):
            return wash_trade(order.id, "opposite side market/stop order exists")
        if request.limit_price is None:
            return wash_trade(order.id, "opposite side limit order exists")
        assert theirs.limit_price is not None
        if request.side is Side.BUY and request.limit_price >= theirs.limit_price:
            reason = "sell order exists, buy limit price should be less than existing sell limit price"
            return wash_trade(order.id, reason)
        if request.side is Side.SELL and request.limit_price <= theirs.limit_price:
            reason = "buy order exists, sell limit price should be greater than existing buy limit price"
            return wash_trade(order.id, reason)
    return None


def _reducing_rejection(state: VenueState, asset: Asset, qty: Decimal, without: str | None) -> Rejection | None:
    existing = abs(state.position_qty(asset.symbol))
    available = existing - held_for_orders(state, asset.symbol, without=without)
    if qty > available:
        return insufficient_qty(asset.symbol, qty, available, existing)
    return None


def _short_rejection(state: VenueState, asset: Asset, request: OrderRequest) -> Rejection | None:
    if asset.is_crypto:
        return insufficient_qty(asset.symbol, request.qty or Decimal(0), Decimal(0), Decimal(0))
    if state.settings.no_shorting or state.terms.multiplier <= 1:
        return forbidden("account is not allowed to short")
    if request.qty is None or request.qty % 1:
        return unprocessable("fractional orders cannot be sold short")
    if not (asset.shortable and asset.easy_to_borrow):
        return unprocessable(f'asset "{asset.symbol}" cannot be sold short')
    return None


def _buying_power_rejection(asset: Asset, money: Funds, cost: Decimal) -> Rejection | None:
    spendable = money.non_marginable if asset.is_crypto or not asset.marginable else money.buying_power
    if cost > spendable:
        return insufficient_buying_power(spendable, cost)
    return None


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a finite number"
    return max(0, -exponent)
