"""Risk: shrink first, refuse second, on the worst case of everything that is still working."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from trader_sdk.contract.reasons import Reason
from trader_sdk.orders import OrderIntent, OrderStatus, Side, TimeInForce
from trader_sdk.plan import AssetRules

_ZERO = Decimal(0)


class TradingState(StrEnum):
    """What the account, or one symbol, may still do."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Account-wide limits, fractions of the account's equity.

    Attributes:
        order_fraction: Largest value of one order.
        symbol_fraction: Largest worst-case value of one symbol.
        gross_fraction: Largest worst-case sum of absolute values.
        net_fraction: Largest worst-case net value.
        buffer_fraction: Cash that is never spent.
        collar_fraction: How far the price may have moved since the decision when an order is sent.
        orders_per_minute, orders_per_day: Most orders sent, by venue time.
        turnover_fraction_per_day: Largest traded value in a day.
        allow_short: Whether a short may be opened.
    """

    order_fraction: Decimal = Decimal("0.20")
    symbol_fraction: Decimal = Decimal("0.20")
    gross_fraction: Decimal = Decimal("0.70")
    net_fraction: Decimal = Decimal("0.70")
    buffer_fraction: Decimal = Decimal("0.30")
    collar_fraction: Decimal = Decimal("0.05")
    orders_per_minute: int = 120
    orders_per_day: int = 5_000
    turnover_fraction_per_day: Decimal = Decimal("20")
    allow_short: bool = False


DEFAULT_RISK_LIMITS: Final = RiskLimits()


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that may still fill, or whose outcome is not known; its remainder is reserved."""

    symbol: str
    side: Side
    remaining_qty: Decimal
    worst_price: Decimal
    status: OrderStatus

    @property
    def value(self) -> Decimal:
        """Return the signed value it would add if all of it filled at its worst price."""
        return self.side.sign * self.remaining_qty * self.worst_price


@dataclass(frozen=True, slots=True)
class RiskView:
    """Everything an assessment reads, at one moment.

    Attributes:
        equity: Account equity.
        cash: Account cash.
        buying_power: What the venue lets opening orders use.
        positions: Signed units by symbol, everybody's, not only ours.
        prices: Last price by symbol, account currency.
        working: Every non-terminal order, everybody's.
        state: Of the account.
        exits_only: Symbols that may only reduce.
        orders_last_minute, orders_today: Orders sent so far.
        turnover_today: Traded value so far, account currency.
        size_factor: What orders that open are multiplied by; below one after losses.
    """

    equity: Decimal
    cash: Decimal
    buying_power: Decimal
    positions: Mapping[str, Decimal] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    working: tuple[WorkingOrder, ...] = ()
    state: TradingState = TradingState.ACTIVE
    exits_only: frozenset[str] = frozenset()
    orders_last_minute: int = 0
    orders_today: int = 0
    turnover_today: Decimal = _ZERO
    size_factor: Decimal = Decimal(1)

    def reserving(self, intent: OrderIntent) -> RiskView:
        """Return the view once ``intent`` is on its way."""
        order = WorkingOrder(intent.symbol, intent.side, intent.qty, intent.worst_price, OrderStatus.INTENT)
        return replace(
            self,
            working=(*self.working, order),
            orders_last_minute=self.orders_last_minute + 1,
            orders_today=self.orders_today + 1,
            turnover_today=self.turnover_today + abs(order.value),
        )


@dataclass(frozen=True, slots=True)
class RiskDecision:
    """The outcome for one intent.

    Attributes:
        intent: The order to send, at most as large as asked; None when denied.
        reason: Why it was denied, or what made it smaller; None when it passed untouched.
        price: The price the assessment used, recorded with the order.
        worst_case: Worst-case value of the symbol once the order is on its way.
    """

    intent: OrderIntent | None
    reason: Reason | None
    price: Decimal
    worst_case: Decimal


def exposure(view: RiskView, symbol: str) -> tuple[Decimal, Decimal]:
    """Return the lowest and the highest value that ``symbol`` can reach through what is still working."""
    price = view.prices.get(symbol, _ZERO)
    value = view.positions.get(symbol, _ZERO) * price
    orders = [order.value for order in view.working if order.symbol == symbol]
    return value + sum((v for v in orders if v < 0), _ZERO), value + sum((v for v in orders if v > 0), _ZERO)


def _bounds(view: RiskView) -> list[tuple[Decimal, Decimal]]:
    """Return :func:`exposure` of every symbol that is held or ordered, in one pass over the orders."""
    sold: dict[str, Decimal] = {}
    bought: dict[str, Decimal] = {}
    for order in view.working:
        value = order.value
        side = sold if value < 0 else bought
        side[order.symbol] = side.get(order.symbol, _ZERO) + value
    held = {symbol for symbol, qty in view.positions.items() if qty}
    worth = {
        symbol: view.positions.get(symbol, _ZERO) * view.prices.get(symbol, _ZERO)
        for symbol in held | sold.keys() | bought.keys()
    }
    return [(value + sold.get(s, _ZERO), value + bought.get(s, _ZERO)) for s, value in worth.items()]


def _worst_gross(bounds: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    return sum((max(abs(low), abs(high)) for low, high in bounds), _ZERO)


def _worst_net(bounds: Sequence[tuple[Decimal, Decimal]], sign: int) -> Decimal:
    """Return the net value when every order of direction ``sign`` fills, measured along ``sign``."""
    return sum((high if sign > 0 else -low for low, high in bounds), _ZERO)


def _spendable(view: RiskView, limits: RiskLimits) -> Decimal:
    reserved = sum((order.value for order in view.working if order.side is Side.BUY), _ZERO)
    return view.cash - reserved - limits.buffer_fraction * view.equity


def is_reducing(intent: OrderIntent, held: Decimal) -> bool:
    """Return whether ``intent`` can only bring ``held`` units closer to zero."""
    return held * intent.side.sign < 0 and intent.qty <= abs(held)


def _refusal(intent: OrderIntent, view: RiskView, limits: RiskLimits, asset: AssetRules) -> Reason | None:
    """Return the first reason that no smaller order could cure."""
    own = [order for order in view.working if order.symbol == intent.symbol]
    checks = [
        (any(order.status is OrderStatus.UNKNOWN for order in own), Reason.UNKNOWN_ORDER),
        (bool(own), Reason.IN_FLIGHT),
        (not asset.tradable, Reason.NOT_TRADABLE),
        (view.orders_last_minute >= limits.orders_per_minute, Reason.RATE_BUDGET),
    ]
    if not is_reducing(intent, view.positions.get(intent.symbol, _ZERO)):
        checks += _opening_checks(intent, view, limits, asset)
    return next((reason for failed, reason in checks if failed), None)


def _opening_checks(
    intent: OrderIntent, view: RiskView, limits: RiskLimits, asset: AssetRules
) -> list[tuple[bool, Reason]]:
    held = view.positions.get(intent.symbol, _ZERO)
    price = view.prices.get(intent.symbol, intent.decision_price)
    may_short = limits.allow_short and asset.shortable
    return [
        (view.state is TradingState.HALTED, Reason.HALTED),
        (view.state is TradingState.REDUCING, Reason.REDUCING),
        (intent.symbol in view.exits_only, Reason.EXITS_ONLY),
        (intent.side is Side.SELL and held <= 0 and not may_short, Reason.SHORT_NOT_ALLOWED),
        (view.orders_today >= limits.orders_per_day, Reason.RATE_BUDGET),
        (asset.band is not None and asset.band.is_reached(price), Reason.PRICE_BAND),
        (_moved(price, intent.decision_price) > limits.collar_fraction, Reason.PRICE_COLLAR),
    ]


def _moved(price: Decimal, since: Decimal) -> Decimal:
    return abs(price - since) / since


def _rooms(intent: OrderIntent, view: RiskView, limits: RiskLimits) -> Sequence[tuple[Decimal, Reason]]:
    """Return how much value each limit leaves to an opening order, with the reason that names it."""
    low, high = exposure(view, intent.symbol)
    towards = high if intent.side is Side.BUY else -low
    sign, bounds = intent.side.sign, _bounds(view)
    rooms = [
        (limits.order_fraction * view.equity, Reason.ACCOUNT_LIMIT),
        (limits.symbol_fraction * view.equity - towards, Reason.SYMBOL_CAP),
        (limits.gross_fraction * view.equity - _worst_gross(bounds), Reason.ACCOUNT_LIMIT),
        (limits.net_fraction * view.equity - _worst_net(bounds, sign), Reason.ACCOUNT_LIMIT),
        (limits.turnover_fraction_per_day * view.equity - view.turnover_today, Reason.TURNOVER),
    ]
    if view.size_factor < 1:
        asked = intent.qty * max(view.prices.get(intent.symbol, intent.decision_price), intent.worst_price)
        rooms.append((asked * view.size_factor, Reason.ACCOUNT_LIMIT))
    if intent.side is Side.BUY:
        rooms += [
            (_spendable(view, limits), Reason.BUYING_POWER),
            (view.buying_power - sum((max(order.value, _ZERO) for order in view.working), _ZERO), Reason.BUYING_POWER),
        ]
    return rooms


def assess(
    intent: OrderIntent, view: RiskView, asset: AssetRules, limits: RiskLimits = DEFAULT_RISK_LIMITS
) -> RiskDecision:
    """Return ``intent`` as large as every limit allows, or the reason for none.

    An order that only reduces is never shrunk, and passes every state but an order in doubt.

    Args:
        intent: The planned order.
        view: Account, positions and working orders now.
        asset: The venue's rules, for quantising what is left.
        limits: Account-wide limits.
    """
    price = view.prices.get(intent.symbol, intent.decision_price)
    held = view.positions.get(intent.symbol, _ZERO)
    intent = _without_flip(intent, held)
    refusal = _refusal(intent, view, limits, asset)
    if refusal is not None:
        return _denied(intent, view, price, refusal)
    if is_reducing(intent, held):
        return _passed(intent, view, price, None)
    worst_price = max(price, intent.worst_price)
    room, reason = min(_rooms(intent, view, limits), key=lambda pair: pair[0])
    if intent.qty * worst_price <= room:
        return _passed(intent, view, price, None)
    grid = asset if intent.qty % 1 else asset.whole()
    qty = grid.quantise(max(room, _ZERO) / worst_price)
    if qty == 0 or asset.is_too_small(qty, worst_price):
        return _denied(intent, view, price, reason if room <= 0 else Reason.BELOW_MINIMUM)
    return _passed(replace(intent, qty=qty), view, price, reason)


def why_no_longer(
    intent: OrderIntent, view: RiskView, asset: AssetRules, limits: RiskLimits = DEFAULT_RISK_LIMITS
) -> Reason | None:
    """Return why an order that passed and had to wait may not leave any more as it is, None if it may.

    Args:
        intent: As it passed: what losses took off its size is off already.
        view: Account, positions and working orders now, without the order itself.
        asset: The venue's rules.
        limits: Account-wide limits.
    """
    decision = assess(intent, replace(view, size_factor=Decimal(1)), asset, limits)
    return None if decision.intent == intent else decision.reason or Reason.ACCOUNT_LIMIT


def _without_flip(intent: OrderIntent, held: Decimal) -> OrderIntent:
    """Return ``intent`` cut so that it never crosses zero."""
    if held * intent.side.sign >= 0 or intent.qty <= abs(held):
        return intent
    return replace(intent, qty=abs(held))


def _denied(intent: OrderIntent, view: RiskView, price: Decimal, reason: Reason) -> RiskDecision:
    return RiskDecision(None, reason, price, max(map(abs, exposure(view, intent.symbol))))


def _passed(intent: OrderIntent, view: RiskView, price: Decimal, reason: Reason | None) -> RiskDecision:
    return RiskDecision(intent, reason, price, max(map(abs, exposure(view.reserving(intent), intent.symbol))))


def assess_all(
    intents: Sequence[OrderIntent],
    view: RiskView,
    assets: Mapping[str, AssetRules],
    limits: RiskLimits = DEFAULT_RISK_LIMITS,
) -> Mapping[str, RiskDecision]:
    """Assess the orders of one bar in turn, reductions first; each that passes is reserved before the next is seen.

    Returns:
        Decisions by symbol.
    """
    decisions: dict[str, RiskDecision] = {}
    for intent in sorted(intents, key=lambda i: (not is_reducing(i, view.positions.get(i.symbol, _ZERO)), i.symbol)):
        decision = assess(intent, view, assets[intent.symbol], limits)
        decisions[intent.symbol] = decision
        if decision.intent is not None:
            view = view.reserving(decision.intent)
    return MappingProxyType(decisions)


def shrunk(decision: RiskDecision, qty: Decimal, asset: AssetRules) -> RiskDecision:
    """Return ``decision`` with an order of at most ``qty`` on the venue's grid, denied where that leaves none.

    Args:
        decision: What passed.
        qty: What somebody else allows, any number; a larger one changes nothing.
        asset: The venue's rules.
    """
    intent = decision.intent
    if intent is None:
        return decision
    if qty.is_nan() or qty <= 0:
        return replace(decision, intent=None, reason=Reason.HOOK_DENIED)
    if qty >= intent.qty:
        return decision
    grid = asset.whole() if intent.time_in_force is TimeInForce.OPG else asset
    units = grid.quantise(qty)
    if grid.is_too_small(units, intent.worst_price):
        return replace(decision, intent=None, reason=Reason.BELOW_MINIMUM)
    return replace(decision, intent=replace(intent, qty=units))
