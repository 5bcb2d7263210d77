from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from trader_sdk.exchange.account import funds
from trader_sdk.exchange.events import BorrowCharged, Cancel, Event, OrderChanged, Refused, Replace
from trader_sdk.exchange.lifecycle import OrderEventKind as Kind
from trader_sdk.exchange.values import OrderId
from trader_sdk.exchange.values import OrderStatus as Status

if TYPE_CHECKING:
    from tests.exchange.conftest import Book


def kinds(events: tuple[Event, ...]) -> list[str]:
    """Return the order events' names."""
    return [event.kind.value for event in events if isinstance(event, OrderChanged)]


def test_market_order_waits_for_the_open_when_sent_in_the_evening(book: Book) -> None:
    """It is accepted overnight, becomes new at the open and fills there at the open plus 2.5 basis points."""
    order = book.send(qty=10)
    assert order.status is Status.ACCEPTED
    assert kinds(book.open(100)) == ["new", "fill"]
    filled = book.order(order)
    assert (filled.filled_qty, filled.filled_avg_price) == (10, Decimal("100.025"))
    assert book.state.cash == Decimal(100_000) - 10 * Decimal("100.025")


def test_market_order_trades_at_once_while_a_bar_runs(book: Book) -> None:
    """In session the events are pending_new, new and fill, at the running bar's open minus costs for a sell."""
    book.send(qty=10)
    book.open(100)
    assert kinds(book.submit("sell", 4)) == ["pending_new", "new", "fill"]
    assert book.held() == 6
    assert book.state.fills[-1].price == Decimal("99.975")


def test_market_order_waits_for_the_next_bar_when_none_runs(book: Book) -> None:
    """A minute without trades fills nothing; the order takes the next bar's open."""
    book.open(100)
    book.trade(101, 99, 100)
    order = book.send(qty=1)
    assert order.status is Status.NEW
    assert kinds(book.next_bar(105)) == ["fill"]


def test_orders_share_a_bars_volume_in_order_of_arrival(book: Book) -> None:
    """The first takes what it needs, the second is filled in part, then goes on in the next bar."""
    first, second = book.send(qty=60), book.send(qty=60)
    book.open(100, liquidity=100)
    assert book.order(first).status is Status.FILLED
    assert (book.order(second).status, book.order(second).filled_qty) == (Status.PARTIALLY_FILLED, 40)
    book.next_bar(101, liquidity=100)
    assert book.order(second).status is Status.FILLED
    assert [fill.cum_qty for fill in book.state.fills] == [60, 40, 60]
    assert [fill.leaves_qty for fill in book.state.fills] == [0, 20, 0]


def test_whole_share_order_never_fills_in_fractions(book: Book) -> None:
    """A cap of 10.7 shares gives ten."""
    order = book.send(qty=50)
    book.open(100, liquidity="10.7")
    assert book.order(order).filled_qty == 10


def test_bar_without_volume_trades_nothing(book: Book) -> None:
    """No volume, no fill."""
    order = book.send(qty=1)
    book.open(100, liquidity=0)
    book.trade(110, 90, 100)
    assert book.order(order).status is Status.NEW


@pytest.mark.parametrize(
    ("limit", "price"), [("101", "100.025"), ("100.02", "100.02"), ("100.01", "100.01"), ("100", None)]
)
def test_limit_order_takes_the_open_only_as_far_as_its_limit(book: Book, limit: str, price: str | None) -> None:
    """Marketable means that the far side is inside the limit; costs never push the price beyond it."""
    book.send(qty=10, type="limit", limit_price=limit)
    book.open(100)
    assert [fill.price for fill in book.state.fills] == ([] if price is None else [Decimal(price)])


def test_resting_limit_fills_at_its_limit_when_the_range_reaches_it(book: Book) -> None:
    """The ask at the bar's low must come down to the limit: the low alone is not enough."""
    order = book.send(qty=10, type="limit", limit_price="95")
    book.open(100)
    book.trade(100, "94.995", 99)
    assert book.order(order).status is Status.NEW
    book.next_bar(99)
    book.trade(100, "94.9", 99)
    assert book.order(order).filled_avg_price == 95


def test_stop_order_trades_as_a_taker_when_the_range_touches_it(book: Book) -> None:
    """A stop loss at 95 sells at 95 less costs; a gap below it sells at the open."""
    book.send(qty=20)
    book.open(100)
    stop = book.send("sell", 10, type="stop", stop_price="95")
    gapped = book.send("sell", 10, type="stop", stop_price="80")
    book.trade(100, 94, 96)
    assert book.order(stop).filled_avg_price == Decimal("94.9762")
    book.next_bar(70)
    assert book.order(gapped).filled_avg_price == Decimal("69.9825")


@pytest.mark.parametrize(("limit", "is_filled"), [("95.03", True), ("95.01", False)])
def test_stop_limit_fills_in_its_trigger_bar_only_inside_its_limit(book: Book, limit: str, is_filled: bool) -> None:
    """A buy stop at 95 costs 95.0238: a limit below that leaves a triggered limit order resting."""
    order = book.send(qty=10, type="stop_limit", stop_price="95", limit_price=limit)
    book.open(90)
    book.trade(96, 90, 96)
    assert (book.order(order).status is Status.FILLED) == is_filled
    assert book.order(order).is_triggered
    book.next_bar(94)
    assert book.order(order).status is Status.FILLED


def test_day_order_expires_at_the_close(book: Book) -> None:
    """What did not trade in the session is over, and its fills stay."""
    order = book.send(qty=10)
    book.open(100, liquidity=4)
    assert kinds(book.close()) == ["expired"]
    assert (book.order(order).status, book.order(order).filled_qty, book.held()) == (Status.EXPIRED, 4, 4)


def test_gtc_order_survives_the_close(book: Book) -> None:
    """A resting order waits for the next session and dies after ninety days."""
    order = book.send(qty=10, type="limit", limit_price="50", tif="gtc")
    book.open(100)
    book.close()
    assert book.order(order).status is Status.NEW
    assert order.expires_at is not None
    book.state.now = order.expires_at
    assert kinds(book.close()) == ["canceled"]


def test_opg_order_trades_in_the_auction_or_never(book: Book) -> None:
    """Market on open fills at the open; a limit on open out of reach is cancelled with the auction."""
    market = book.send(qty=1, tif="opg")
    limit = book.send(qty=1, type="limit", limit_price="90", tif="opg")
    book.open(100)
    assert book.order(market).status is Status.FILLED
    assert book.order(limit).status is Status.CANCELED


def test_cls_order_trades_at_the_close_only(book: Book) -> None:
    """Market on close ignores the open and the range and takes the closing price."""
    order = book.send(qty=1, tif="cls")
    book.open(100)
    book.trade(120, 80, 110)
    assert book.order(order).status is Status.NEW
    book.close()
    assert book.order(order).filled_avg_price == Decimal("110.0275")


@pytest.mark.parametrize(("tif", "filled"), [("ioc", 5), ("fok", 0)])
def test_immediate_order_never_rests(book: Book, tif: str, filled: int) -> None:
    """IOC keeps what it got, FOK takes all or nothing; both are over at once."""
    book.open(100, liquidity=5)
    order = book.send(qty=10, tif=tif)
    assert (order.status, order.filled_qty) == (Status.CANCELED, filled)


def test_immediate_order_ends_at_once_when_the_market_is_closed(book: Book) -> None:
    """There is nothing to trade against in the evening."""
    assert book.send(qty=10, tif="ioc").status is Status.CANCELED


def test_notional_order_buys_what_its_dollars_pay_for(book: Book) -> None:
    """1,000 dollars at 100.025 buy 9.997500624 shares, and the order is filled."""
    order = book.send(qty=None, notional=1_000)
    book.open(100)
    assert book.held() == Decimal("9.997500624")
    assert book.order(order).status is Status.FILLED


def test_canceled_order_is_final(book: Book) -> None:
    """A second cancel is refused, nothing fills, and the client order id stays burned."""
    order = book.send(qty=10, cid="mine")
    assert kinds(book.cancel(order)) == ["canceled"]
    (again,) = book.cancel(order)
    assert isinstance(again, Refused)
    assert again.rejection.http_status == 422
    book.open(100)
    assert book.held() == 0
    assert book.refuse(cid="mine").message == "client_order_id must be unique"


def test_cancel_of_an_unknown_order_is_not_found(book: Book) -> None:
    """An id that the venue never gave is a 404."""
    (event,) = book.step(Cancel(OrderId("nobody")))
    assert isinstance(event, Refused)
    assert event.rejection.http_status == 404


def test_replacement_is_a_new_order_linked_to_the_old(book: Book) -> None:
    """The old one is replaced for good; the new one carries the rest of the quantity and the new price."""
    old = book.send(qty=10, type="limit", limit_price="90", tif="gtc")
    events = book.step(Replace(old.id, "c-new", limit_price=Decimal(95)))
    assert kinds(events) == ["pending_replace", "replaced", "accepted"]
    done = book.order(old)
    assert done.status is Status.REPLACED
    assert done.replaced_by is not None
    new = book.state.orders[done.replaced_by]
    assert (new.replaces, new.request.qty, new.request.limit_price) == (old.id, 10, 95)


def test_replacement_of_a_stop_does_not_count_the_shares_it_frees(book: Book) -> None:
    """Moving a stop that holds the whole position needs no second position."""
    book.send(qty=10)
    book.open(100)
    stop = book.send("sell", 10, type="stop", stop_price="90", tif="gtc")
    assert kinds(book.step(Replace(stop.id, "c-new", stop_price=Decimal(95))))[-1] == "new"


def test_short_position_pays_borrow_at_the_close(book: Book) -> None:
    """Fifty basis points a year on 1,000 dollars are 1.98 cents a session."""
    book.open(100)
    book.send("sell", 10)
    book.trade(100, 100, 100)
    charged = [event for event in book.close() if isinstance(event, BorrowCharged)]
    assert [event.amount for event in charged] == [Decimal("0.019841")]


def test_crypto_fee_is_taken_from_the_coins_received(book: Book) -> None:
    """A buy of one coin leaves 0.9975; selling it pays 0.25 % of the dollars."""
    book.next_bar(20_000, symbol="BTC/USD", liquidity=10)
    book.send(qty=1, symbol="BTC/USD", tif="gtc")
    assert book.held("BTC/USD") == Decimal("0.9975")
    assert (book.state.fills[-1].fee, book.state.fills[-1].fee_currency) == (Decimal("0.0025"), "BTC")
    cash = book.state.cash
    book.send("sell", "0.9975", symbol="BTC/USD", tif="gtc")
    proceeds = Decimal("0.9975") * book.state.fills[-1].price
    assert book.state.cash == cash + proceeds - book.state.fills[-1].fee
    assert book.state.fills[-1].fee == (proceeds * Decimal("0.0025")).quantize(Decimal("0.000001"))


def test_crypto_trades_while_the_stock_market_is_closed(book: Book) -> None:
    """The session's bell means nothing to it."""
    book.next_bar(20_000, symbol="BTC/USD", liquidity=10)
    assert book.send(qty="0.1", symbol="BTC/USD", tif="ioc").status is Status.FILLED


def test_average_entry_price_follows_additions_only(book: Book) -> None:
    """Buying more averages by quantity, selling keeps the price, closing forgets it."""
    book.open(100)
    book.send(qty=10)
    book.next_bar(110)
    book.send(qty=10)
    average = (Decimal("100.025") + Decimal("110.0275")) / 2
    assert book.state.positions["AAPL"].avg_entry_price == average
    book.send("sell", 5)
    assert book.state.positions["AAPL"].avg_entry_price == average
    book.send("sell", 15)
    assert "AAPL" not in book.state.positions


def test_ids_depend_on_run_and_order_of_arrival_only(make_book: Callable[..., Book]) -> None:
    """The same run gives the same ids, another run gives others."""

    def ids(run: str) -> list[str]:
        book = make_book(run_id=run)
        book.send(qty=1)
        book.open(100)
        return [*book.state.orders, *(fill.execution_id for fill in book.state.fills)]

    assert ids("a") == ids("a")
    assert not set(ids("a")) & set(ids("b"))


def test_no_two_events_share_a_time(book: Book) -> None:
    """Venue time grows with each booking, so that a list by time is a list by order."""
    for _ in range(3):
        book.send(qty=1)
    book.open(100)
    times = [
        event.at for event in book.events if isinstance(event, OrderChanged) and event.kind is not Kind.PENDING_NEW
    ]
    assert times == sorted(set(times))


def test_equity_is_marked_at_the_close(book: Book) -> None:
    """The last equity is what the account was worth when the session ended."""
    book.send(qty=100)
    book.open(100)
    book.trade(110, 100, 110)
    book.close()
    assert book.state.last_equity == funds(book.state).equity == Decimal(100_000) - Decimal("10002.5") + 11_000
