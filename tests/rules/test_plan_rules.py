"""From a decision to an order: targets, grids, routes and reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.reasons import Reason
from trader_sdk.contract.spec import MODEL_SPECS, ActionMeaning
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.orders import OrderType, Side, TimeInForce
from trader_sdk.plan import AssetRules, BarContext, Book, PriceBand, fresh_until, hold, plan
from trader_sdk.portfolio import Sleeve, SleeveFill

BOOK = Book("account", "PAPER-LOCAL", "main", 1)
CLOSED = datetime(2026, 1, 5, 21, 0, tzinfo=UTC)
OPENS = datetime(2026, 1, 6, 14, 30, tzinfo=UTC)
BUY, SELL, HOLD = ActionMeaning(1, 0.5, "BUY_50%"), ActionMeaning(-1, 0.5, "SELL_50%"), ActionMeaning(0, 0.0, "HOLD")
SHARE = AssetRules("AAPL")


def daily(price: str = "100", decided: datetime = CLOSED + timedelta(minutes=5)) -> BarContext:
    """Return a daily bar that closed at ``price``."""
    return BarContext(Timeframe.DAY_1, 0, Decimal(price), CLOSED, decided, OPENS, CLOSED + timedelta(hours=3))


def minute(price: str = "100") -> BarContext:
    """Return a minute that closed at ``price``."""
    return BarContext(Timeframe.MIN_1, 0, Decimal(price), CLOSED, CLOSED)


def holding(qty: str, price: str = "100", cash: str = "100000") -> Sleeve:
    """Return a sleeve that holds ``qty``."""
    return Sleeve.start(Decimal(cash)).fill(SleeveFill(Decimal(qty), Decimal(price)))


def test_plan_sizes_a_buy_by_the_contract_when_flat() -> None:
    """BUY_50 % of a 100,000 sleeve is 5,250, which is 52 whole shares at 100, for the opening auction."""
    intent = plan(BUY, Sleeve.start(Decimal(100_000)), SHARE, daily(), BOOK).intent
    assert intent is not None
    assert (intent.side, intent.qty, intent.time_in_force) == (Side.BUY, Decimal(52), TimeInForce.OPG)
    assert intent.send_at == CLOSED + timedelta(hours=3)
    assert intent.fresh_until == OPENS - timedelta(minutes=3)


def test_plan_waits_for_the_open_when_only_a_fraction_can_be_bought() -> None:
    """What is less than one share cannot join the auction: market/day five seconds after the open."""
    intent = plan(BUY, Sleeve.start(Decimal(1_000)), SHARE, daily("100"), BOOK).intent
    assert intent is not None
    assert intent.qty == Decimal("0.525")
    assert (intent.time_in_force, intent.send_at) == (TimeInForce.DAY, OPENS + timedelta(seconds=5))
    assert intent.fresh_until == OPENS + timedelta(minutes=15)


def test_plan_takes_the_session_when_the_auction_is_over() -> None:
    """After 09:27 New York a whole-share order is market/day at the open."""
    late = daily(decided=OPENS - timedelta(minutes=2))
    intent = plan(BUY, Sleeve.start(Decimal(100_000)), SHARE, late, BOOK).intent
    assert intent is not None
    assert (intent.qty, intent.time_in_force) == (Decimal(52), TimeInForce.DAY)
    assert intent.send_at == OPENS + timedelta(seconds=5)


def test_plan_closes_exactly_when_the_target_is_flat() -> None:
    """The last sale sells everything, the fraction included."""
    intent = plan(SELL, holding("3.7"), SHARE, daily(), BOOK).intent
    assert intent is not None
    assert (intent.side, intent.qty, intent.time_in_force) == (Side.SELL, Decimal("3.7"), TimeInForce.DAY)


def test_plan_prices_a_minute_order_inside_the_collar_when_intraday() -> None:
    """A minute's order is a limit that reaches half a percent, on the tick, never beyond."""
    sleeve = Sleeve.start(Decimal(100_000))
    bought = plan(BUY, sleeve, SHARE, minute("33.333"), BOOK).intent
    sold = plan(SELL, holding("100"), SHARE, minute("33.333"), BOOK).intent
    assert bought is not None
    assert sold is not None
    assert (bought.order_type, bought.limit_price) == (OrderType.LIMIT, Decimal("33.49"))
    assert sold.limit_price == Decimal("33.17")
    assert bought.fresh_until - CLOSED == timedelta(seconds=90)


def test_plan_prices_an_order_inside_the_band_when_the_venue_told_one() -> None:
    """Limit up and limit down bound the limit, rounded to the tick that lies inside."""
    banded = replace(SHARE, band=PriceBand(Decimal("99.904"), Decimal("100.096"), CLOSED))
    bought = plan(BUY, Sleeve.start(Decimal(100_000)), banded, minute(), BOOK).intent
    sold = plan(SELL, holding("100"), banded, minute(), BOOK).intent
    assert bought is not None
    assert sold is not None
    assert (bought.limit_price, sold.limit_price) == (Decimal("100.09"), Decimal("99.91"))


@pytest.mark.parametrize(
    ("action", "sleeve", "asset", "reason"),
    [
        (HOLD, Sleeve.start(Decimal(1000)), SHARE, Reason.HOLD),
        (SELL, Sleeve.start(Decimal(1000)), SHARE, Reason.SHORT_NOT_ALLOWED),
        (BUY, holding("300"), SHARE, Reason.SYMBOL_CAP),
        (BUY, Sleeve.start(Decimal(100_000)), AssetRules("AAPL", tradable=False), Reason.NOT_TRADABLE),
        (BUY, Sleeve.start(Decimal(1)), SHARE, Reason.BELOW_MINIMUM),
        (BUY, Sleeve.start(Decimal(1000)), AssetRules("AAPL").whole(), Reason.BELOW_MINIMUM),
    ],
)
def test_plan_says_why_when_there_is_no_order(
    action: ActionMeaning, sleeve: Sleeve, asset: AssetRules, reason: Reason
) -> None:
    """Each way to no order has its own reason, and no order beside it."""
    made = plan(action, sleeve, asset, daily(), BOOK)
    assert (made.intent, made.reason) == (None, reason)


ACTIONS = st.sampled_from(MODEL_SPECS["2.7.0"].actions)


@given(ACTIONS, st.decimals("0", "200", places=3), st.decimals("0.5", "900", places=2), st.booleans())
def test_plan_never_goes_beyond_its_target_when_it_orders(
    action: ActionMeaning, held: Decimal, price: Decimal, is_daily: bool
) -> None:
    """Rounding only shrinks: the position after the order lies between the one before and the target, on the grid."""
    sleeve = Sleeve.start(Decimal(50_000)).fill(SleeveFill(held, price))
    made = plan(action, sleeve, SHARE, daily(str(price)) if is_daily else minute(str(price)), BOOK)
    assert (made.intent is None) == (made.reason is not None)
    if made.intent is not None:
        after = (sleeve.qty + made.intent.signed_qty) * price
        low, high = sorted((made.position, made.target))
        assert low - Decimal("1e-6") <= after <= high + Decimal("1e-6")
        assert made.intent.qty > 0
        assert made.intent.qty % SHARE.qty_increment == 0
        assert after >= 0


@pytest.mark.parametrize("timeframe", [frame for frame in Timeframe if frame not in (Timeframe.DAY_1, Timeframe.MIN_1)])
def test_freshness_is_half_a_bar_when_bars_are_longer_than_a_minute(timeframe: Timeframe) -> None:
    """Orders of five minutes to four hours are fresh for half a bar."""
    bar = BarContext(timeframe, 0, Decimal(1), CLOSED, CLOSED)
    assert fresh_until(bar) - CLOSED == timedelta(seconds=timeframe.seconds / 2)


@given(qty=st.decimals(-1000, 1000, places=6), price=st.decimals("0.01", 1000, places=4))
def test_hold_is_planned_alike_when_asked_the_short_way(qty: Decimal, price: Decimal) -> None:
    """Hundreds of symbols hold at one bar; the short way says to the last digit what the long one says."""
    sleeve = Sleeve.start(Decimal(1000)).fill(SleeveFill(qty, Decimal(100)))
    bar = BarContext(Timeframe.MIN_1, 0, price, CLOSED, CLOSED)
    short, long = hold(SHARE, sleeve, price), plan(HOLD, sleeve.mark(price), SHARE, bar, BOOK)
    assert short == long
    assert str(short.target) == str(long.target)
