"""Risk: shrink first, refuse second, on the worst case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.reasons import Reason
from trader_sdk.orders import OrderIntent, OrderStatus, OrderType, Side, TimeInForce
from trader_sdk.plan import AssetRules, PriceBand
from trader_sdk.risk import (
    DEFAULT_RISK_LIMITS,
    RiskView,
    TradingState,
    WorkingOrder,
    assess,
    assess_all,
    exposure,
    is_reducing,
    shrunk,
    why_no_longer,
)

NOW = datetime(2026, 1, 5, tzinfo=UTC)
SHARE = AssetRules("AAPL")
VIEW = RiskView(
    equity=Decimal(100_000), cash=Decimal(100_000), buying_power=Decimal(200_000), prices={"AAPL": Decimal(100)}
)


def order(side: Side = Side.BUY, qty: str = "50", symbol: str = "AAPL", price: str = "100") -> OrderIntent:
    """Return a market order."""
    return OrderIntent(
        *(f"id-{symbol}-{side}", symbol, 0, "e", 0, side, Decimal(qty), OrderType.MARKET, TimeInForce.DAY, None),
        *(Decimal(price), NOW, NOW),
    )


def working(
    qty: str, side: Side = Side.BUY, status: OrderStatus = OrderStatus.LIVE, symbol: str = "MSFT"
) -> WorkingOrder:
    """Return an order that still works, at 100."""
    return WorkingOrder(symbol, side, Decimal(qty), Decimal(100), status)


def test_risk_passes_an_order_untouched_when_every_limit_has_room() -> None:
    """A small order in an empty account passes as it is, with its worst case on record."""
    decision = assess(order(), VIEW, SHARE)
    assert decision.intent == order()
    assert decision.reason is None
    assert (decision.price, decision.worst_case) == (Decimal(100), Decimal(5_000))


@pytest.mark.parametrize(
    ("view", "qty", "left", "reason"),
    [
        (VIEW, "500", "200", Reason.ACCOUNT_LIMIT),
        (replace(VIEW, positions={"AAPL": Decimal(150)}), "100", "50", Reason.SYMBOL_CAP),
        (replace(VIEW, working=(working("650"),)), "100", "50", Reason.ACCOUNT_LIMIT),
        (replace(VIEW, cash=Decimal(31_000)), "50", "10", Reason.BUYING_POWER),
        (replace(VIEW, buying_power=Decimal(700)), "50", "7", Reason.BUYING_POWER),
        (replace(VIEW, turnover_today=Decimal(1_999_000)), "50", "10", Reason.TURNOVER),
    ],
)
def test_risk_shrinks_an_order_when_a_limit_binds(view: RiskView, qty: str, left: str, reason: Reason) -> None:
    """The tightest limit decides what is left, and is named."""
    decision = assess(order(qty=qty), view, SHARE)
    assert decision.intent is not None
    assert (decision.intent.qty, decision.reason) == (Decimal(left), reason)


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (replace(VIEW, state=TradingState.HALTED), Reason.HALTED),
        (replace(VIEW, state=TradingState.REDUCING), Reason.REDUCING),
        (replace(VIEW, exits_only=frozenset({"AAPL"})), Reason.EXITS_ONLY),
        (replace(VIEW, working=(working("1", symbol="AAPL"),)), Reason.IN_FLIGHT),
        (replace(VIEW, working=(working("1", symbol="AAPL", status=OrderStatus.UNKNOWN),)), Reason.UNKNOWN_ORDER),
        (replace(VIEW, orders_last_minute=120), Reason.RATE_BUDGET),
        (replace(VIEW, orders_today=5_000), Reason.RATE_BUDGET),
        (replace(VIEW, prices={"AAPL": Decimal(106)}), Reason.PRICE_COLLAR),
        (replace(VIEW, cash=Decimal(20_000)), Reason.BUYING_POWER),
        (replace(VIEW, cash=Decimal("30000.50")), Reason.BELOW_MINIMUM),
    ],
)
def test_risk_refuses_with_a_reason_when_no_smaller_order_would_do(view: RiskView, reason: Reason) -> None:
    """Each refusal names its reason and leaves nothing to send."""
    decision = assess(order(), view, SHARE)
    assert (decision.intent, decision.reason) == (None, reason)


@pytest.mark.parametrize(("down", "up"), [("100", "110"), ("90", "100"), ("101", "110"), ("80", "90")])
def test_risk_opens_nothing_but_lets_exits_through_when_the_price_is_at_its_band(down: str, up: str) -> None:
    """At limit up or limit down a pause is near: entries are refused by name, exits pass."""
    banded = replace(SHARE, band=PriceBand(Decimal(down), Decimal(up), datetime(2026, 1, 5, 15, tzinfo=UTC)))
    held = replace(VIEW, positions={"AAPL": Decimal(5)})
    assert assess(order(), VIEW, banded).reason is Reason.PRICE_BAND
    assert assess(order(Side.SELL, "5"), held, banded).intent == order(Side.SELL, "5")


@pytest.mark.parametrize("state", list(TradingState))
def test_risk_lets_exits_through_when_trading_is_reduced_or_halted(state: TradingState) -> None:
    """An order that only reduces passes in every state, untouched by the limits of opening."""
    view = replace(
        VIEW,
        positions={"AAPL": Decimal(900)},
        state=state,
        exits_only=frozenset({"AAPL"}),
        cash=Decimal(-5),
        prices={"AAPL": Decimal(50)},
    )
    assert assess(order(Side.SELL, "900"), view, SHARE).intent == order(Side.SELL, "900")


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (VIEW, None),
        (replace(VIEW, size_factor=Decimal("0.5")), None),
        (replace(VIEW, cash=Decimal(31_000)), Reason.BUYING_POWER),
        (replace(VIEW, prices={"AAPL": Decimal(106)}), Reason.PRICE_COLLAR),
        (replace(VIEW, state=TradingState.REDUCING), Reason.REDUCING),
    ],
)
def test_order_that_waited_leaves_as_it_passed_or_not_at_all(view: RiskView, reason: Reason | None) -> None:
    """What was halved after losses is not halved again; what would have to be smaller now stays."""
    passed = assess(order(), replace(VIEW, size_factor=Decimal("0.5")), SHARE).intent
    assert passed is not None
    assert passed.qty == 25
    assert why_no_longer(passed, view, SHARE) is reason


def test_risk_refuses_a_short_when_none_may_be_opened() -> None:
    """A sale of what is not held is refused, and one of more than is held is cut at zero."""
    assert assess(order(Side.SELL), VIEW, SHARE).reason is Reason.SHORT_NOT_ALLOWED
    held = replace(VIEW, positions={"AAPL": Decimal(3)})
    cut = assess(order(Side.SELL, "5"), held, SHARE).intent
    assert cut is not None
    assert cut.qty == 3


def test_risk_refuses_what_the_venue_does_not_trade() -> None:
    """NOT_TRADABLE stops exits too: the venue would refuse them."""
    held = replace(VIEW, positions={"AAPL": Decimal(3)})
    decision = assess(order(Side.SELL, "3"), held, AssetRules("AAPL", tradable=False))
    assert decision.reason is Reason.NOT_TRADABLE


SIDES = st.sampled_from(Side)
ORDERS = st.lists(st.tuples(st.sampled_from("ABCD"), SIDES, st.integers(1, 900)), max_size=4, unique_by=lambda o: o[0])
POSITIONS = st.dictionaries(st.sampled_from("ABCD"), st.integers(0, 150).map(Decimal), max_size=4)
WORKING = st.lists(st.builds(working, st.integers(1, 100).map(str), SIDES, symbol=st.sampled_from("EFG")), max_size=3)


@given(ORDERS, POSITIONS, WORKING)
def test_risk_keeps_the_worst_case_inside_every_limit_for_any_bar(
    asked: list[tuple[str, Side, int]], positions: dict[str, Decimal], others: list[WorkingOrder]
) -> None:
    """Whatever fills of what is working, no order that passed takes exposure above a limit it was not above before."""
    prices = {symbol: Decimal(100) for symbol in "ABCDEFG"}
    view = replace(VIEW, positions=positions, prices=prices, working=tuple(others))
    intents = [order(side, str(qty), symbol) for symbol, side, qty in asked]
    decisions = assess_all(intents, view, {symbol: AssetRules(symbol) for symbol in "ABCD"})
    assert set(decisions) == {symbol for symbol, _, _ in asked}
    limits, equity = DEFAULT_RISK_LIMITS, VIEW.equity
    after = view
    for decision in decisions.values():
        if decision.intent is not None:
            after = after.reserving(decision.intent)
    passed = [decision.intent for decision in decisions.values() if decision.intent is not None]
    opened = [intent for intent in passed if not is_reducing(intent, positions.get(intent.symbol, Decimal(0)))]
    for intent in opened:
        low, high = exposure(after, intent.symbol)
        assert max(abs(low), abs(high)) <= limits.symbol_fraction * equity
        assert low >= 0
    if opened:
        gross = sum(max(map(abs, exposure(after, symbol))) for symbol in "ABCDEFG")
        assert gross <= limits.gross_fraction * equity
        reserved = sum(o.value for o in after.working if o.side is Side.BUY)
        assert VIEW.cash - reserved >= limits.buffer_fraction * equity


@pytest.mark.parametrize(
    ("qty", "time_in_force", "left", "reason"),
    [
        ("0", TimeInForce.OPG, None, Reason.HOOK_DENIED),
        ("-3", TimeInForce.DAY, None, Reason.HOOK_DENIED),
        ("NaN", TimeInForce.DAY, None, Reason.HOOK_DENIED),
        ("0.4", TimeInForce.OPG, None, Reason.BELOW_MINIMUM),
        ("0.001", TimeInForce.DAY, None, Reason.BELOW_MINIMUM),
        ("2.6666666666666", TimeInForce.OPG, "2", None),
        ("2.6666666666666", TimeInForce.DAY, "2.666666666", None),
        ("Infinity", TimeInForce.OPG, "8", None),
    ],
)
def test_shrunk_order_is_one_that_the_venue_takes_or_none(
    qty: str, time_in_force: TimeInForce, left: str | None, reason: Reason | None
) -> None:
    """Whatever somebody else's hook answers: never larger, never off the grid, never of nothing."""
    passed = assess(replace(order(qty="8"), time_in_force=time_in_force), VIEW, SHARE)
    decision = shrunk(passed, Decimal(qty), SHARE)
    assert decision.intent == (None if left is None else replace(order(qty=left), time_in_force=time_in_force))
    assert decision.reason is reason
