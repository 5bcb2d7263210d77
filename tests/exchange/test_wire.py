from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader_sdk.exchange.bars_query import BarsQuery, Seen, page, timeframe_seconds
from trader_sdk.exchange.events import OrderChanged, Refused, Submit
from trader_sdk.exchange.parse import Unreadable, parse_body, parse_order, parse_time
from trader_sdk.exchange.testing import daily_bars, market_of, minute_bars, rising
from trader_sdk.exchange.values import OrderType, Side, TimeInForce
from trader_sdk.exchange.wire import (
    account_json,
    activity_id,
    fill_activity_json,
    number,
    order_json,
    position_json,
    timestamp,
    trade_update_json,
)

if TYPE_CHECKING:
    from tests.exchange.conftest import Book

BODY = {"symbol": "AAPL", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}
FOREVER = 1 << 62


def parse(**changes: Any) -> Any:
    """Parse an order body as it comes from the wire."""
    body = {name: value for name, value in {**BODY, **changes}.items() if value is not None}
    return parse_order(parse_body(json.dumps(body).encode()), default_id="made-up")


@pytest.mark.parametrize("qty", [1, 1.0, "1", "1.0", "1e0"])
def test_quantity_is_read_from_numbers_and_strings(qty: object) -> None:
    """alpaca-py sends JSON floats, others send strings."""
    assert parse(qty=qty).qty == 1


def test_float_quantity_keeps_every_digit_it_was_sent_with() -> None:
    """0.1 + 0.2 arrives as the client wrote it, so that the nine-decimals rule can refuse it."""
    assert parse(qty=0.1 + 0.2).qty == Decimal("0.30000000000000004")


def test_order_fields_are_typed() -> None:
    """A full body becomes a request; a missing client order id is made up by the venue."""
    order = parse(type="stop_limit", limit_price=10.5, stop_price="10.25", time_in_force="gtc", side="sell")
    assert (order.side, order.type, order.time_in_force) == (Side.SELL, OrderType.STOP_LIMIT, TimeInForce.GTC)
    assert (order.limit_price, order.stop_price, order.client_order_id) == (
        Decimal("10.5"),
        Decimal("10.25"),
        "made-up",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol": None}, "symbol is required"),
        ({"symbol": 5}, "symbol is required"),
        ({"side": "hold"}, "invalid side"),
        ({"type": "trailing_stop"}, "invalid type"),
        ({"time_in_force": "gtd"}, "invalid time_in_force"),
        ({"qty": "ten"}, "qty must be a number"),
        ({"qty": True}, "qty must be a number"),
        ({"qty": "NaN"}, "qty is out of range"),
        ({"qty": "1e99"}, "qty is out of range"),
        ({"qty": [1]}, "qty must be a number"),
        ({"order_class": "bracket"}, "does not have order_class bracket"),
        ({"trail_price": 1}, "does not have trail_price"),
        ({"client_order_id": 7}, "client_order_id is required"),
    ],
)
def test_unreadable_order_says_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    """Wrong kinds and what this venue does not have are 422s with a reason."""
    with pytest.raises(Unreadable) as caught:
        parse(**changes)
    assert message in caught.value.rejection.message
    assert caught.value.rejection.http_status == 422


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b'{"qty": NaN}', b'{"qty": Infinity}', b'{"qty": 1e999999}', b"[" * 100_000, b"null"],
)
def test_body_that_is_no_sane_object_is_unreadable(body: bytes) -> None:
    """Nesting, nonsense and numbers too large to handle are refused before anything is computed."""
    with pytest.raises(Unreadable):
        parse_body(body)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
def test_time_survives_the_wire(moment: datetime) -> None:
    """What is written is read back, to the microsecond."""
    at = parse_time(moment.isoformat())
    assert parse_time(timestamp(at)) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T02:00:00 02:00", 0),
        ("1970-01-01T00:00:00.123456789Z", 123_456_789),
    ],
)
def test_times_are_read_in_every_form_that_clients_send(text: str, at: int) -> None:
    """Dates, zones, nanoseconds, and the plus sign that a query string turned into a blank."""
    assert parse_time(text) == at


WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["AAPL", "BTC/USD", "buy", "sell", "limit", "stop", "day", "gtc", "opg", "1e9", "0.0001", "1e-9"]),
    st.lists(st.integers(), max_size=2),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.sampled_from([*BODY, "notional", "limit_price", "stop_price"]), WILD),
    is_open=st.booleans(),
)
def test_any_body_is_booked_or_refused(
    make_book: Callable[..., Book], changes: dict[str, Any], *, is_open: bool
) -> None:
    """Whatever a client sends, the answer is an order or a refusal, never a failure of the venue."""
    book = make_book()
    if is_open:
        book.open(100)
        book.next_bar(20_000, symbol="BTC/USD")
    try:
        request = parse_order(parse_body(json.dumps({**BODY, **changes}).encode()), default_id="made-up")
    except Unreadable:
        return
    (first, *_) = book.step(Submit(request))
    assert isinstance(first, OrderChanged | Refused)
    assert order_json(first.order) if isinstance(first, OrderChanged) else first.rejection.body()


def test_time_that_is_none_is_unreadable() -> None:
    """No guess at what was meant."""
    with pytest.raises(Unreadable):
        parse_time("yesterday")


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**9, places=9))
def test_number_text_is_plain_and_exact(value: Decimal) -> None:
    """No exponent, no lost digit."""
    text = number(value)
    assert "E" not in text
    assert Decimal(text) == value


def test_order_has_strings_for_money_and_null_for_nothing(book: Book) -> None:
    """As Alpaca writes it: quantities and prices are strings, what never happened is null."""
    data = order_json(book.send(qty=10, type="limit", limit_price="99.50"))
    assert (data["qty"], data["limit_price"], data["filled_qty"], data["notional"]) == ("10", "99.5", "0", None)
    assert (data["filled_avg_price"], data["filled_at"], data["legs"]) == (None, None, None)
    assert (data["status"], data["type"], data["order_type"]) == ("accepted", "limit", "limit")


def test_account_has_no_day_trade_fields(book: Book) -> None:
    """The vendor took them away in July 2026."""
    data = account_json(book.state)
    assert not {"pattern_day_trader", "daytrade_count", "daytrading_buying_power"} & set(data)
    assert (data["cash"], data["buying_power"], data["status"]) == ("100000", "200000.00", "ACTIVE")


def test_short_position_is_negative(book: Book) -> None:
    """Quantity, value and basis carry the sign, and the side says it."""
    book.open(100)
    book.send("sell", 4)
    data = position_json(book.state, book.state.positions["AAPL"])
    assert (data["qty"], data["side"], data["market_value"], data["cost_basis"]) == ("-4", "short", "-400", "-399.9")
    assert data["qty_available"] == "-4"


def test_position_of_a_coin_has_no_slash(book: Book) -> None:
    """Orders say BTC/USD, positions BTCUSD."""
    book.next_bar(20_000, symbol="BTC/USD")
    book.send(qty=1, symbol="BTC/USD", tif="gtc")
    assert position_json(book.state, book.state.positions["BTC/USD"])["symbol"] == "BTCUSD"


def test_fill_carries_its_execution_id_on_stream_and_in_activities(book: Book) -> None:
    """The two ledgers of fills can be joined."""
    book.send(qty=10)
    book.open(100, liquidity=6)
    fill = book.state.fills[0]
    update = next(event for event in book.events if isinstance(event, OrderChanged) and event.fill is not None)
    data = trade_update_json(update)["data"]
    assert (data["event"], data["execution_id"], data["qty"]) == ("partial_fill", fill.execution_id, "6")
    assert data["order"]["status"] == "partially_filled"
    row = fill_activity_json(fill)
    assert (row["type"], row["leaves_qty"], row["cum_qty"]) == ("partial_fill", "4", "6")
    assert activity_id(fill).endswith(f"::{fill.execution_id}")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_pages_together_are_the_whole_answer(limit: int, *, descending: bool) -> None:
    """The limit counts bars over all symbols; following the token gives each bar once, in order."""
    bars = {"AAPL": daily_bars("AAPL", rising(4)), "MSFT": daily_bars("MSFT", rising(3, start=30))}
    market = market_of(bars)
    seen: dict[str, list[str]] = {"AAPL": [], "MSFT": []}
    token: str | None = None
    for _ in range(20):
        query = BarsQuery(["MSFT", "AAPL", "NONE"], "1Day", 0, FOREVER, limit, descending, token)
        reply = page(market, query, Seen(FOREVER))
        assert sum(len(rows) for rows in reply["bars"].values()) <= limit
        for symbol, rows in reply["bars"].items():
            seen[symbol] += [row["t"] for row in rows]
        token = reply["next_page_token"]
        if token is None:
            break
    for symbol, series in bars.items():
        expected = [timestamp(int(t)) for t in series.t]
        assert seen[symbol] == (expected[::-1] if descending else expected)


def test_bars_are_never_shown_before_they_are_final() -> None:
    """A second before close plus five minutes the day is not there."""
    market = market_of({"AAPL": daily_bars("AAPL", rising(3))})
    final = int(market.tracks["AAPL"].visible_at[1])
    for now, count in ((final - 1, 1), (final, 2)):
        assert len(page(market, BarsQuery(["AAPL"], "1Day", 0, FOREVER), Seen(now))["bars"]["AAPL"]) == count


def test_minutes_are_aggregated_on_request() -> None:
    """Five minutes of a session, and its day: first open, extremes, last close, summed volume."""
    market = market_of({"AAPL": minute_bars("AAPL", rising(390, step=0.1), volume=10)})
    five = page(market, BarsQuery(["AAPL"], "5Min", 0, FOREVER), Seen(FOREVER))["bars"]["AAPL"]
    assert len(five) == 78
    assert (five[0]["o"], five[0]["h"], five[0]["l"], five[0]["c"]) == (100.0, 101.4, 99.0, 100.9)
    (day,) = page(market, BarsQuery(["AAPL"], "1Day", 0, FOREVER), Seen(FOREVER))["bars"]["AAPL"]
    assert (day["t"], day["v"], day["o"]) == ("2012-01-03T05:00:00Z", 3_900.0, 100.0)


@pytest.mark.parametrize("text", ["", "Min", "0Min", "1Week", "2Day", "99999999999Min", "-1Min", "1.5Hour"])
def test_impossible_timeframe_is_unreadable(text: str) -> None:
    """Only minutes, hours and one day exist."""
    with pytest.raises(Unreadable):
        timeframe_seconds(text)


def test_forged_page_token_is_unreadable() -> None:
    """A token that the venue did not write is refused."""
    market = market_of({"AAPL": daily_bars("AAPL", rising(2))})
    for token in ("x", "!!!", "QUFQTA==", "é"):
        with pytest.raises(Unreadable):
            page(market, BarsQuery(["AAPL"], "1Day", 0, FOREVER, page_token=token), Seen(FOREVER))
