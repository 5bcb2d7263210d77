from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from trader_sdk.exchange.account import funds, held_for_orders
from trader_sdk.exchange.events import Configure
from trader_sdk.exchange.sessions import at_new_york
from trader_sdk.exchange.testing import FIRST_DAY
from trader_sdk.exchange.values import OrderStatus, PositionIntent

if TYPE_CHECKING:
    from tests.exchange.conftest import Book


@pytest.mark.parametrize(
    ("order", "code", "message"),
    [
        ({"qty": 0}, 40010001, "qty must be > 0"),
        ({"qty": -1}, 40010001, "qty must be > 0"),
        ({"qty": None}, 40010001, "exactly one of qty and notional"),
        ({"qty": 1, "notional": 100}, 40010001, "exactly one of qty and notional"),
        ({"qty": "0.30000000000000004"}, 40010001, "9 decimal places"),
        ({"symbol": "NONE"}, 40010001, 'could not find asset "NONE"'),
        ({"type": "limit"}, 40010001, "require a limit price"),
        ({"type": "stop"}, 40010001, "require a stop price"),
        ({"limit_price": 10}, 40010001, "must not have a limit price"),
        ({"type": "limit", "limit_price": "-1"}, 40010001, "limit price must be > 0"),
        ({"type": "limit", "limit_price": "100.001"}, 42210000, "sub-penny"),
        ({"type": "limit", "limit_price": "0.12345"}, 42210000, "sub-penny"),
        ({"qty": "1.5", "tif": "gtc"}, 42210000, "fractional orders must be DAY orders"),
        ({"qty": None, "notional": 100, "tif": "opg"}, 42210000, "fractional orders must be DAY orders"),
        ({"qty": None, "notional": "0.5"}, 40310000, "notional amount must be >= 1.00"),
        ({"side": "sell", "qty": "1.5"}, 42210000, "fractional orders cannot be sold short"),
        ({"type": "stop", "stop_price": 90, "tif": "ioc"}, 42210000, "must be market or limit"),
        ({"extended_hours": True}, 42210000, "extended hours order must be DAY limit orders"),
        ({"cid": "x" * 129}, 40010001, "no more than 128 characters"),
        ({"symbol": "BTC/USD", "qty": 1}, 42210000, "invalid crypto time_in_force"),
        ({"symbol": "BTC/USD", "qty": 1, "tif": "gtc", "type": "stop", "stop_price": 9}, 42210000, "order type"),
        ({"symbol": "BTC/USD", "qty": "0.00001", "tif": "gtc"}, 40310000, "minimal qty of order 0.0001"),
        ({"symbol": "BTC/USD", "qty": "0.00015", "tif": "gtc"}, 42210000, "qty increment must be 0.0001"),
        (
            {"symbol": "BTC/USD", "qty": 1, "tif": "gtc", "type": "limit", "limit_price": "20000.1"},
            42210000,
            "price increment must be 0.5",
        ),
        ({"symbol": "BTC/USD", "side": "sell", "qty": 1, "tif": "gtc"}, 40310000, "insufficient qty"),
        ({"position_intent": PositionIntent.SELL_TO_CLOSE}, 40010001, "position intent mismatch"),
    ],
)
def test_order_is_refused_with_the_venues_code(book: Book, order: dict[str, Any], code: int, message: str) -> None:
    """Each malformed or forbidden order gets its code, and nothing is booked."""
    rejection = book.refuse(**order)
    assert (rejection.code, message in rejection.message) == (code, True), rejection
    assert rejection.http_status == (403 if code == 40310000 else 422)


@pytest.mark.parametrize("limit", ["100.01", "1", "0.9999", "0.1234"])
def test_limit_price_on_the_tick_is_accepted(book: Book, limit: str) -> None:
    """Two decimals from one dollar, four below."""
    assert book.send(qty=1, type="limit", limit_price=limit).is_open


def test_buying_power_counts_open_orders_and_not_unfilled_sells(make_book: Callable[..., Book]) -> None:
    """Two buys of 60 % do not fit into an account without leverage; the refusal carries both amounts."""
    book = make_book(multiplier=Decimal(1))
    book.send(qty=600)
    rejection = book.refuse(qty=600)
    assert (rejection.http_status, rejection.message) == (403, "insufficient buying power")
    assert dict(rejection.details) == {"buying_power": "40000.00", "cost_basis": "60000.00"}


def test_buying_power_of_a_running_market_is_reckoned_at_the_ask(make_book: Callable[..., Book]) -> None:
    """1,000 shares at 100 fit while closed, at 100.01 they do not."""
    book = make_book(multiplier=Decimal(1))
    book.open(100)
    assert book.refuse(qty=1_000).details["cost_basis"] == "100010.00"


def test_canceled_order_gives_its_buying_power_back(make_book: Callable[..., Book]) -> None:
    """What is over holds nothing."""
    book = make_book(multiplier=Decimal(1))
    order = book.send(qty=900)
    book.cancel(order)
    assert funds(book.state).buying_power == 100_000


def test_reducing_order_takes_no_buying_power(make_book: Callable[..., Book]) -> None:
    """Somebody who is fully invested can still sell, and a resting stop leaves the rest of the cash free."""
    book = make_book(multiplier=Decimal(1))
    book.send(qty=900)
    book.open(100)
    before = funds(book.state).buying_power
    book.send("sell", 900, type="stop", stop_price="90")
    assert funds(book.state).buying_power == before


def test_resting_stop_holds_the_shares(book: Book) -> None:
    """A second sell of held shares is refused with available, existing and held quantities."""
    book.send(qty=10)
    book.open(100)
    book.send("sell", 7, type="stop", stop_price="90")
    assert held_for_orders(book.state, "AAPL") == 7
    rejection = book.refuse("sell", 4)
    assert rejection.message == "insufficient qty available for order (requested: 4, available: 3)"
    assert dict(rejection.details) == {
        "available": "3",
        "existing_qty": "10",
        "held_for_orders": "7",
        "symbol": "AAPL",
    }


def test_sell_beyond_the_position_never_flips_it(book: Book) -> None:
    """Long ten, sell eleven: refused; flatten first, then a short is a new order."""
    book.send(qty=10)
    book.open(100)
    assert "insufficient qty" in book.refuse("sell", 11).message
    book.send("sell", 10)
    book.send("sell", 5)
    assert book.held() == -5
    assert "insufficient qty" in book.refuse("buy", 6).message
    book.send("buy", 5)
    assert book.held() == 0


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({}, {"side": "sell"}, "opposite side market/stop order exists"),
        ({"type": "limit", "limit_price": "90"}, {"side": "sell"}, "opposite side limit order exists"),
        (
            {"type": "limit", "limit_price": "90"},
            {"side": "sell", "type": "limit", "limit_price": "90"},
            "buy order exists, sell limit price should be greater than existing buy limit price",
        ),
    ],
)
def test_wash_trade_is_refused_with_the_order_in_its_way(
    book: Book, first: dict[str, Any], second: dict[str, Any], reason: str
) -> None:
    """An order that could meet the account's own names the other one."""
    book.send(qty=10)
    book.open(100, liquidity=10)
    existing = book.send(qty=5, **first)
    rejection = book.refuse(qty=5, **second)
    assert rejection.message == "potential wash trade detected. use complex orders"
    assert dict(rejection.details) == {"existing_order_id": existing.id, "reject_reason": reason}


def test_limit_orders_that_cannot_meet_may_rest_on_both_sides(book: Book) -> None:
    """A buy at 90 and a sell at 110 are no wash."""
    book.send(qty=10)
    book.open(100)
    book.send(qty=5, type="limit", limit_price="90")
    assert book.send("sell", 5, type="limit", limit_price="110").is_open
    assert (
        "less than existing sell limit"
        in book.refuse("buy", 1, type="limit", limit_price="110").details["reject_reason"]
    )


def test_short_sale_is_refused_where_it_is_not_allowed(book: Book, make_book: Callable[..., Book]) -> None:
    """By the account's setting, by an account without margin, and by the asset."""
    book.step(Configure(no_shorting=True))
    assert book.refuse("sell", 1).message == "account is not allowed to short"
    assert make_book(multiplier=Decimal(1)).refuse("sell", 1).message == "account is not allowed to short"
    hard = make_book()
    hard.state.assets["AAPL"] = replace(hard.state.assets["AAPL"], easy_to_borrow=False)
    assert "cannot be sold short" in hard.refuse("sell", 1).message


def test_short_sale_is_reckoned_three_percent_above_the_ask(book: Book) -> None:
    """200,000 dollars of buying power allow 1,941 shares at 103.0103, not 1,942."""
    book.open(100)
    assert book.refuse("sell", 1_942).details["cost_basis"] == f"{1942 * Decimal('103.0103'):.2f}"
    assert book.send("sell", 1_941).status is OrderStatus.FILLED


def test_long_buy_is_refused_while_a_short_sale_is_open(book: Book) -> None:
    """One symbol cannot be opened both ways."""
    book.send("sell", 5, type="limit", limit_price="110")
    assert book.refuse("buy", 5).message == "cannot open a long buy while a short sell order is open"


@pytest.mark.parametrize(
    ("tif", "clock", "is_taken"),
    [
        ("opg", "18:59", False),
        ("opg", "19:00", True),
        ("opg", "09:27", True),
        ("opg", "09:28", False),
        ("cls", "15:49", True),
        ("cls", "15:50", False),
        ("cls", "19:00", True),
    ],
)
def test_auction_orders_are_taken_in_their_windows_only(book: Book, tif: str, clock: str, is_taken: bool) -> None:
    """New York wall time decides."""
    hour, minute = clock.split(":")
    start = at_new_york(FIRST_DAY, time(0))
    book.state.now = start + (int(hour) * 60 + int(minute)) * 60_000_000_000
    if is_taken:
        assert book.send(qty=1, tif=tif).is_open
    else:
        assert book.refuse(qty=1, tif=tif).code == 42210000


def test_suspended_account_takes_no_new_orders(book: Book) -> None:
    """And takes them again when the user says so."""
    book.step(Configure(suspend_trade=True))
    assert book.refuse(qty=1).http_status == 403
    book.step(Configure(suspend_trade=False))
    assert book.send(qty=1).is_open


def test_crypto_spends_cash_only(book: Book) -> None:
    """Leverage is for stocks: 100,000 dollars buy less than five and a bit coins."""
    book.next_bar(20_000, symbol="BTC/USD")
    assert book.refuse(qty=5, symbol="BTC/USD", tif="gtc").details["buying_power"] == "100000.00"
    assert book.send(qty="4.9", symbol="BTC/USD", tif="gtc").status is OrderStatus.FILLED
