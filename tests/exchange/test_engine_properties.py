from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader_sdk.exchange.account import funds, held_for_orders
from trader_sdk.exchange.events import OrderChanged, Refused
from trader_sdk.exchange.values import ZERO

if TYPE_CHECKING:
    from tests.exchange.conftest import Book

PRICES = st.integers(8_000, 12_000).map(lambda cents: Decimal(cents) / 100)
ORDERS = st.fixed_dictionaries(
    {
        "do": st.just("order"),
        "side": st.sampled_from(["buy", "sell"]),
        "qty": st.sampled_from(["1", "7", "40", "0.5", "300"]),
        "type": st.sampled_from(["market", "limit", "stop", "stop_limit"]),
        "tif": st.sampled_from(["day", "gtc", "ioc", "fok", "cls"]),
        "limit_price": PRICES,
        "stop_price": PRICES,
    }
)
MOVES = st.fixed_dictionaries(
    {
        "do": st.sampled_from(["next_bar", "trade", "close", "open", "cancel"]),
        "price": PRICES,
        "range": st.tuples(PRICES, PRICES, PRICES),
        "liquidity": st.sampled_from([0, 5, 1_000]),
        "pick": st.integers(0, 20),
    }
)
SCRIPTS = st.lists(st.one_of(ORDERS, MOVES), max_size=40)


def play(book: Book, script: list[dict[str, Any]]) -> None:
    """Carry out a script on a book, whatever it says."""
    for line in script:
        if line["do"] == "order":
            priced = {name: line[name] for name in ("limit_price", "stop_price") if name.split("_")[0] in line["type"]}
            book.submit(line["side"], line["qty"], type=line["type"], tif=line["tif"], **priced)
        elif line["do"] == "next_bar":
            book.next_bar(line["price"], liquidity=line["liquidity"])
        elif line["do"] == "trade":
            low, close, high = sorted(line["range"])
            book.trade(high, low, close)
        elif line["do"] == "cancel" and book.state.orders:
            orders = list(book.state.orders.values())
            book.cancel(orders[line["pick"] % len(orders)])
        elif line["do"] == "open":
            book.open(line["price"], liquidity=line["liquidity"])
        elif line["do"] == "close":
            book.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS)
def test_money_and_shares_are_conserved_whatever_is_sent(
    make_book: Callable[..., Book], script: list[dict[str, Any]]
) -> None:
    """Cash is the deposit less what the fills cost and the fees; the position is the sum of the fills."""
    book = make_book()
    play(book, script)
    fills, state = book.state.fills, book.state
    spent = sum((fill.side.sign * fill.qty * fill.price for fill in fills), start=ZERO)
    assert state.cash == state.terms.initial_cash - spent - state.fees_paid
    assert book.held() == sum((fill.side.sign * fill.qty for fill in fills), start=ZERO)
    money = funds(state)
    assert money.equity == state.cash + book.held() * state.marks["AAPL"].price
    assert 0 <= held_for_orders(state, "AAPL") <= abs(book.held())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS)
def test_orders_keep_their_promises_whatever_is_sent(
    make_book: Callable[..., Book], script: list[dict[str, Any]]
) -> None:
    """No order overfills, none trades beyond its limit, none changes after its end, no execution repeats."""
    book = make_book()
    play(book, script)
    by_order = Counter[str]()
    for fill in book.state.fills:
        by_order[fill.order_id] += fill.qty  # type: ignore[assignment]  # a Counter of Decimals
        order = book.state.orders[fill.order_id]
        limit = order.request.limit_price
        assert limit is None or fill.side.sign * (fill.price - limit) <= 0
    for order in book.state.orders.values():
        assert by_order[order.id] == order.filled_qty <= (order.request.qty or 0)
        assert order.is_open == (order.id in book.state.open_orders)
    executions = [fill.execution_id for fill in book.state.fills]
    assert len(set(executions)) == len(executions)
    ended: set[str] = set()
    for event in book.events:
        if isinstance(event, OrderChanged):
            assert event.order.id not in ended
            if event.order.status.is_terminal:
                ended.add(event.order.id)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS)
def test_same_commands_give_the_same_events(make_book: Callable[..., Book], script: list[dict[str, Any]]) -> None:
    """The engine is a function of what it is told: ids, times and prices included."""
    first, second = make_book(), make_book()
    play(first, script)
    play(second, script)
    assert first.events == second.events
    assert first.state.digest() == second.state.digest()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS)
def test_bar_never_trades_more_than_its_liquidity(make_book: Callable[..., Book], script: list[dict[str, Any]]) -> None:
    """Over all orders of a bar the fills add up to what the bar gives at most, and refusals change nothing."""
    book = make_book()
    for line in script:
        before = book.state.marks["AAPL"].liquidity
        opens = line["do"] in ("next_bar", "open")
        filled = len(book.state.fills)
        digest, events = book.state.digest(), len(book.events)
        play(book, [line])
        traded = sum((fill.qty for fill in book.state.fills[filled:]), start=ZERO)
        assert traded <= (line["liquidity"] if opens else before)
        new = book.events[events:]
        if new and all(isinstance(event, Refused) for event in new):
            assert book.state.digest() == digest
