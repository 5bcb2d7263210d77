"""From a decision to an order: the target on the sleeve, quantised to what the venue takes, with a reason if none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from trader_sdk.contract.execution import DEFAULT_LIMITS, ActionLike, ExecutionLimits, target_notional
from trader_sdk.contract.reasons import Reason
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.orders import OrderIntent, OrderKey, OrderType, Side, TimeInForce, client_order_id
from trader_sdk.portfolio import Sleeve

_ZERO = Decimal(0)
_ONE = Decimal(1)
LEG: Final = "e"
"""The one leg there is today: what the action asks for."""
DEFAULT_COLLAR: Final = Decimal("0.005")
"""How far from the decision price a marketable limit may reach, as a fraction."""


@dataclass(frozen=True, slots=True)
class PriceBand:
    """Limit down and limit up: for the day ``at`` belongs to, or until the next ones, nothing trades beyond them."""

    down: Decimal
    up: Decimal
    at: datetime

    def is_reached(self, price: Decimal) -> bool:
        """Return whether ``price`` stands at a limit, where a pause is seconds away and one side has no market."""
        return not self.down < price < self.up


@dataclass(frozen=True, slots=True)
class AssetRules:
    """What the venue takes of one asset.

    Attributes:
        symbol: As the venue writes it in orders.
        tradable: Whether it takes orders at all.
        shortable: Whether a sell may open a short.
        fractionable: Whether quantities below one unit are taken.
        qty_increment: Grid of quantities, 1 for whole shares.
        min_qty: Smallest quantity.
        min_notional: Smallest value of an order in fractions, account currency.
        price_increment: Tick; None where it depends on the price (shares).
        is_crypto: Whether it trades round the clock.
        band: Limits that the venue told today; None where it told none.
    """

    symbol: str
    tradable: bool = True
    shortable: bool = False
    fractionable: bool = True
    qty_increment: Decimal = Decimal("1e-9")
    min_qty: Decimal = Decimal("1e-9")
    min_notional: Decimal = _ONE
    price_increment: Decimal | None = None
    is_crypto: bool = False
    band: PriceBand | None = None

    def whole(self) -> AssetRules:
        """Return the rules of whole units only, as auctions ask for."""
        return replace(self, fractionable=False, qty_increment=_ONE, min_qty=_ONE)

    def quantise(self, qty: Decimal) -> Decimal:
        """Return ``qty`` rounded down to the grid, zero where it is below the minimum.

        Example:
            >>> AssetRules("AAPL", qty_increment=Decimal(1), min_qty=Decimal(1)).quantise(Decimal("3.9"))
            Decimal('3')
        """
        units = (qty / self.qty_increment).to_integral_value(rounding=ROUND_DOWN) * self.qty_increment
        return units if units >= self.min_qty else _ZERO

    def is_too_small(self, qty: Decimal, price: Decimal) -> bool:
        """Return whether the venue takes no order of ``qty`` at about ``price``."""
        return qty < self.min_qty or (qty % 1 != 0 and qty * price < self.min_notional)

    def limit(self, price: Decimal, side: Side) -> Decimal:
        """Return ``price`` on its tick and inside the band, never worse for us than asked."""
        if self.band is not None:
            price = min(price, self.band.up) if side is Side.BUY else max(price, self.band.down)
        tick = self.price_increment or (Decimal("0.01") if price >= 1 else Decimal("0.0001"))
        rounding = ROUND_DOWN if side is Side.BUY else ROUND_UP
        return (price / tick).to_integral_value(rounding=rounding) * tick


@dataclass(frozen=True, slots=True)
class BarContext:
    """The closed bar a decision was made on, and the times that follow from it (aware UTC).

    Attributes:
        timeframe: The model's own.
        bar_at: Bar start, nanoseconds since the epoch.
        close: Close price, account currency.
        closed_at: When the bar ended.
        decided_at: When the decision was made.
        next_open: When the next session opens, daily bars of a market with sessions only.
        auction_from: When the venue begins to take orders for that opening's auction (19:00 New York).
    """

    timeframe: Timeframe
    bar_at: int
    close: Decimal
    closed_at: datetime
    decided_at: datetime
    next_open: datetime | None = None
    auction_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Book:
    """Whose orders these are: stamped into every client order id."""

    account: str
    mode: str
    strategy: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action asks for: an order, or the reason why there is none."""

    symbol: str
    target: Decimal
    position: Decimal
    intent: OrderIntent | None = None
    reason: Reason | None = None

    @property
    def delta(self) -> Decimal:
        """Return the signed value to trade, account currency."""
        return self.target - self.position


def plan(
    decision: ActionLike,
    sleeve: Sleeve,
    asset: AssetRules,
    bar: BarContext,
    book: Book,
    *,
    limits: ExecutionLimits = DEFAULT_LIMITS,
    attempt: int = 0,
) -> Plan:
    """Return the order that takes ``sleeve`` to the action's target, or the reason for none.

    Args:
        decision: Direction and size of the action.
        sleeve: The symbol's own sub-ledger; its equity and position size the order.
        asset: What the venue takes.
        bar: The closed bar; its close is the decision price.
        book: Account, mode, strategy and epoch of the order's id.
        limits: Sizing constants.
        attempt: Zero for the first order of a bar.

    Returns:
        A :class:`Plan` with exactly one of ``intent`` and ``reason``.
    """
    position = sleeve.position_value(bar.close)
    target = target_notional(decision, equity=sleeve.equity(bar.close), position=position, limits=limits)
    reason = _no_order(decision, target, position, asset, limits)
    if reason is not None:
        return Plan(asset.symbol, target, position, reason=reason)
    side = Side.BUY if target > position else Side.SELL
    closes = target == 0
    wanted = abs(sleeve.qty) if closes else abs(target - position) / bar.close
    route = _route(wanted, side, asset, bar, exact=closes)
    if asset.is_too_small(route.qty, bar.close):
        return Plan(asset.symbol, target, position, reason=Reason.BELOW_MINIMUM)
    return Plan(asset.symbol, target, position, intent=_intent(route, side, asset, bar, book, attempt))


def hold(asset: AssetRules, sleeve: Sleeve, close: Decimal) -> Plan:
    """Return what :func:`plan` makes of an action without a direction, at a fraction of its work.

    Args:
        asset: Whose symbol it is.
        sleeve: The symbol's own sub-ledger.
        close: The decision price.
    """
    position = sleeve.position_value(close)
    return Plan(asset.symbol, position, position, reason=Reason.HOLD)


def _no_order(
    decision: ActionLike, target: Decimal, position: Decimal, asset: AssetRules, limits: ExecutionLimits
) -> Reason | None:
    if decision.direction == 0:
        return Reason.HOLD
    if target == position:
        return _why_no_change(decision.direction, position, limits)
    return None if asset.tradable else Reason.NOT_TRADABLE


def _why_no_change(direction: int, position: Decimal, limits: ExecutionLimits) -> Reason:
    if position * direction > 0:
        return Reason.SYMBOL_CAP
    return Reason.SHORT_NOT_ALLOWED if direction < 0 and not limits.allow_short else Reason.NO_CHANGE


@dataclass(frozen=True, slots=True)
class _Route:
    """How an order reaches the market."""

    qty: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None
    send_at: datetime
    fresh_until: datetime


AFTER_OPEN: Final = timedelta(seconds=5)
"""How long after the open a market order that is not for the auction is sent."""
AUCTION_CUTOFF: Final = timedelta(minutes=3)
"""How long before the open we stop sending to the auction (09:27 New York; the venue refuses from 09:28 on)."""
DAILY_FRESH: Final = timedelta(minutes=15)
"""How long after the next open a daily decision may still be sent."""
MINUTE_FRESH: Final = timedelta(seconds=90)
"""How long after its close a one-minute decision may still be sent."""


def fresh_until(bar: BarContext) -> datetime:
    """Return the latest moment at which an order of ``bar`` may be sent.

    Example:
        >>> from datetime import UTC
        >>> closed = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
        >>> fresh_until(BarContext(Timeframe.MIN_1, 0, Decimal(1), closed, closed)) - closed
        datetime.timedelta(seconds=90)
    """
    if bar.timeframe is Timeframe.DAY_1:
        return (bar.next_open or bar.closed_at + timedelta(days=1)) + DAILY_FRESH
    if bar.timeframe is Timeframe.MIN_1:
        return bar.closed_at + MINUTE_FRESH
    return bar.closed_at + timedelta(seconds=bar.timeframe.seconds / 2)


def _route(wanted: Decimal, side: Side, asset: AssetRules, bar: BarContext, *, exact: bool) -> _Route:
    if bar.timeframe is Timeframe.DAY_1 and bar.next_open is not None:
        return _daily_route(wanted, asset, bar, bar.next_open, exact=exact)
    price = asset.limit(bar.close * (1 + side.sign * DEFAULT_COLLAR), side)
    tif = TimeInForce.GTC if asset.is_crypto else TimeInForce.DAY
    return _Route(asset.quantise(wanted), OrderType.LIMIT, tif, price, bar.closed_at, fresh_until(bar))


def _daily_route(wanted: Decimal, asset: AssetRules, bar: BarContext, next_open: datetime, *, exact: bool) -> _Route:
    # Whole shares join the opening auction. A fraction cannot: it waits for the open, and so does an order that came
    # too late for the auction.
    whole, finest = asset.whole().quantise(wanted), asset.quantise(wanted)
    splits = whole != finest if exact else whole == 0
    cutoff = next_open - AUCTION_CUTOFF
    if splits or bar.decided_at >= cutoff:
        qty = finest if splits else whole
        return _Route(qty, OrderType.MARKET, TimeInForce.DAY, None, next_open + AFTER_OPEN, fresh_until(bar))
    return _Route(whole, OrderType.MARKET, TimeInForce.OPG, None, bar.auction_from or bar.closed_at, cutoff)


def _intent(route: _Route, side: Side, asset: AssetRules, bar: BarContext, book: Book, attempt: int) -> OrderIntent:
    key = OrderKey(book.account, book.mode, book.strategy, book.epoch, asset.symbol, bar.bar_at, LEG, attempt)
    return OrderIntent(
        client_order_id=client_order_id(key),
        symbol=asset.symbol,
        bar_at=bar.bar_at,
        leg=LEG,
        attempt=attempt,
        side=side,
        qty=route.qty,
        order_type=route.order_type,
        time_in_force=route.time_in_force,
        limit_price=route.limit_price,
        decision_price=bar.close,
        send_at=route.send_at,
        fresh_until=route.fresh_until,
    )
