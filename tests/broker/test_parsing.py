"""Raw replies become values or one typed error, whatever stands in them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.broker import parsing
from trader_sdk.broker.port import OrderView, Side
from trader_sdk.contract.errors import BrokerError

ACCOUNT = {
    "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98",
    "account_number": "PA3MTL22MVKS",
    "status": "ACTIVE",
    "cash": "1000.5",
    "equity": "2000",
    "buying_power": "3000",
}
POSITION = {
    "asset_id": "904837e3-3b76-47ec-b432-046db621571b",
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "qty": "5",
    "qty_available": "4",
    "side": "long",
    "avg_entry_price": "100",
    "cost_basis": "500",
}
FILL = {
    "id": "20190524113406977::8efc7b9a-8b2b-4000-9955-d36e7db0df74",
    "transaction_time": "2019-05-24T15:34:06.977Z",
    "price": "1.63",
    "qty": "1",
    "side": "sell_short",
    "symbol": "LPCN",
    "leaves_qty": "0",
    "order_id": "904837e3",
    "cum_qty": "1",
}
CLOCK = {
    "timestamp": "2024-03-08T10:00:00-05:00",
    "is_open": True,
    "next_open": "2024-03-11T09:30:00-04:00",
    "next_close": "2024-03-08T16:00:00-05:00",
}
ASSET = {"id": "a", "class": "us_equity", "symbol": "AAPL", "status": "active", "min_order_size": "1", "attributes": []}
SESSION = {"date": "2024-03-11", "open": "09:30", "close": "16:00"}

PARSERS = {
    "account": (parsing.parse_account, ACCOUNT),
    "position": (parsing.parse_position, POSITION),
    "fill": (parsing.parse_fill, FILL),
    "clock": (parsing.parse_clock, CLOCK),
    "asset": (parsing.parse_asset, ASSET),
    "session": (parsing.parse_session, SESSION),
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def outcome(parse: Callable[[Any], object], raw: object) -> type:
    """Return the type of what parsing gave: a value or a typed error."""
    try:
        return type(parse(raw))
    except BrokerError as error:
        return type(error)


@pytest.mark.parametrize(("parse", "raw"), PARSERS.values(), ids=PARSERS.keys())
@given(data=st.data())
def test_reply_is_a_value_or_a_typed_error_when_fields_are_anything(parse, raw, data):
    """Any field may be missing or hold any JSON: nothing but a BrokerError is ever raised."""
    field = data.draw(st.sampled_from(sorted(raw)))
    changed = {key: value for key, value in raw.items() if key != field}
    if data.draw(st.booleans()):
        changed[field] = data.draw(json_values)
    assert outcome(parse, changed) in {type(parse(raw)), BrokerError}


@given(st.sampled_from(["id", "client_order_id", "symbol", "side", "status", "qty", "filled_qty"]), json_values)
def test_order_is_a_value_or_a_typed_error_when_fields_are_anything(order_raw, field, value):
    """The same for orders, whose enums are tolerated and whose identity is not."""
    assert outcome(parsing.parse_order, {**order_raw, field: value}) in {OrderView, BrokerError}


@pytest.fixture(scope="module")
def order_raw():
    """Return a minimal order."""
    return {
        "id": "o",
        "client_order_id": "c",
        "symbol": "AAPL",
        "side": "buy",
        "status": "new",
        "submitted_at": "2021-03-16T18:38:01.937734123Z",
    }


@pytest.mark.parametrize("field", ["id", "client_order_id", "symbol", "side", "status"])
def test_order_is_refused_when_it_lacks_identity(order_raw, field):
    """An order without identity, side or status is not understood rather than guessed."""
    for broken in ({k: v for k, v in order_raw.items() if k != field}, order_raw | {field: None}):
        with pytest.raises(BrokerError):
            parsing.parse_order(broken)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-inf", "1,5", "", "ten", "1e999999", "1e-999999"])
def test_account_is_refused_when_a_number_is_none(number):
    """Equity that is no number is an error, never zero."""
    with pytest.raises(BrokerError):
        parsing.parse_account(ACCOUNT | {"equity": number})


def test_account_is_blocked_when_any_flag_is_set():
    """Each block flag and each status other than ACTIVE stops trading."""
    assert not parsing.parse_account(ACCOUNT).trading_blocked
    for flag in ("trading_blocked", "account_blocked", "trade_suspended_by_user"):
        account = parsing.parse_account(ACCOUNT | {flag: True})
        assert (account.trading_blocked, account.blocks) == (True, (flag,))
    assert parsing.parse_account(ACCOUNT | {"status": "ACCOUNT_CLOSED"}).trading_blocked


@pytest.mark.parametrize(
    ("side", "qty", "signed"), [("long", "5", 5), ("short", "-5", -5), ("short", "5", -5), (None, "5", 5)]
)
def test_position_is_signed_when_short(side, qty, signed):
    """A short is negative whichever way the venue writes it."""
    position = parsing.parse_position(POSITION | {"side": side, "qty": qty, "qty_available": qty})
    assert (position.qty, position.qty_available) == (signed, signed)


def test_position_keeps_zero_when_nothing_is_available():
    """Zero available shares are zero, not unknown."""
    assert parsing.parse_position(POSITION | {"qty_available": "0"}).qty_available == 0


def test_fill_is_known_by_its_execution_when_it_is_an_activity():
    """The activity's id ends in the execution's; a short sale is a sale."""
    fill = parsing.parse_fill(FILL)
    assert fill.execution_id == "8efc7b9a-8b2b-4000-9955-d36e7db0df74"
    assert (fill.side, fill.qty, fill.price) == (Side.SELL, 1, Decimal("1.63"))
    assert fill.at == dt.datetime(2019, 5, 24, 15, 34, 6, 977000, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("day", "opens", "closes", "utc"),
    [
        ("2024-03-08", "09:30", "16:00", (14, 21)),
        ("2024-03-11", "09:30", "16:00", (13, 20)),
        ("2024-11-29", "0930", "1300", (14, 18)),
    ],
)
def test_session_is_in_utc_when_new_york_changes_its_clocks(day, opens, closes, utc):
    """Winter, summer and an early close."""
    session = parsing.parse_session({"date": day, "open": opens, "close": closes})
    assert (session.open_at.hour, session.close_at.hour) == utc


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [("BTCUSD", "BTC/USD"), ("ETHBTC", "ETH/BTC"), ("BTCUSDT", "BTC/USDT"), ("BTC/USD", "BTC/USD"), ("USD", "USD")],
)
def test_pair_is_written_with_its_slash_when_a_position_is_not(symbol, pair):
    """Positions and orders of a coin meet under one name."""
    assert parsing.pair_symbol(symbol, "crypto") == pair
