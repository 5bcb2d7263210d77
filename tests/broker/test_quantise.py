"""Rounding onto the venue's grid, over all prices and quantities."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trader_sdk.broker.alpaca_orders import order_fields
from trader_sdk.broker.parsing import parse_asset, parse_order
from trader_sdk.broker.port import OrderRequest, OrderType, Side, TimeInForce, disagreements
from trader_sdk.broker.quantise import is_sendable, quantised, round_price, share_tick
from trader_sdk.contract.errors import UsageError

SHARE = parse_asset({"id": "a", "symbol": "AAPL", "status": "active", "fractionable": True, "tradable": True})
WHOLE = replace(SHARE, fractionable=False, qty_increment=Decimal(1), min_qty=Decimal(1))
COIN = replace(SHARE, symbol="BTC/USD", qty_increment=Decimal("0.0001"), price_increment=Decimal("0.5"))

amounts = st.decimals(Decimal("0.0001"), Decimal(999_999), allow_nan=False, allow_infinity=False)
sides = st.sampled_from(Side)


def limit_order(qty: Decimal, price: Decimal, side: Side, symbol: str = "AAPL") -> OrderRequest:
    """Return a limit order."""
    return OrderRequest("c-1", symbol, side, qty=qty, type=OrderType.LIMIT, limit_price=price)


@given(amounts, amounts, sides, st.sampled_from([None, SHARE, WHOLE, COIN]))
def test_quantised_order_is_on_the_grid_and_not_larger_when_rounded(qty, price, side, asset):
    """Quantities never grow, prices never get worse for us, both lie on the venue's grid."""
    request = limit_order(qty, price, side)
    assume(is_sendable(request, asset))
    done = quantised(request, asset)
    assert 0 <= qty - done.qty < (asset.qty_increment if asset else Decimal("1e-9"))
    tick = asset.price_increment if asset is COIN else share_tick(price)
    assert done.limit_price % tick == 0
    distance = (price - done.limit_price) * side.sign
    assert 0 <= distance < tick
    assert quantised(done, asset) == done


@given(amounts, amounts, sides)
def test_quantised_order_survives_the_clients_floats_when_sent(qty, price, side):
    """What alpaca-py would put on the wire is, digit for digit, what was decided."""
    done = quantised(limit_order(qty, price, side))
    fields = order_fields(done).to_request_fields()
    assert Decimal(repr(fields["qty"])) == done.qty
    assert Decimal(repr(fields["limit_price"])) == done.limit_price


@pytest.mark.parametrize(
    ("price", "side", "rounded"),
    [
        ("0.99995", Side.BUY, "0.9999"),
        ("0.99995", Side.SELL, "1.0000"),
        ("1.005", Side.BUY, "1.00"),
        ("1.005", Side.SELL, "1.01"),
        ("150", Side.SELL, "150.00"),
    ],
)
def test_price_is_rounded_away_from_the_market_when_off_its_tick(price, side, rounded):
    """The tick changes at one dollar."""
    assert str(round_price(Decimal(price), side)) == rounded


def test_order_is_not_sendable_when_nothing_is_left():
    """A third of a share of a whole-share asset is no order; neither is half a cent."""
    third = limit_order(Decimal(1) / 3, Decimal(10), Side.BUY)
    assert is_sendable(third, SHARE)
    assert not is_sendable(third, WHOLE)
    with pytest.raises(UsageError):
        quantised(third, WHOLE)
    assert not is_sendable(OrderRequest("c", "AAPL", Side.BUY, notional=Decimal("0.004")))


REQUEST_FAULTS = {
    "client_order_id": {"client_order_id": ""},
    "client_order_id ": {"client_order_id": "x" * 49},
    "client_order_id  ": {"client_order_id": "ünique"},
    "symbol": {"symbol": ""},
    "exactly one": {"notional": Decimal(5)},
    "exactly one ": {"qty": None},
    "qty must": {"qty": Decimal(0)},
    "qty must ": {"qty": Decimal("NaN")},
    "takes no limit_price": {"limit_price": Decimal(1)},
    "needs limit_price": {"type": OrderType.LIMIT},
    "needs stop_price": {"type": OrderType.STOP},
}


@pytest.mark.parametrize(("says", "change"), REQUEST_FAULTS.items())
def test_order_cannot_be_built_when_a_field_contradicts(says, change):
    """A request that exists can be sent and found again."""
    with pytest.raises(UsageError, match=says.strip()):
        replace(OrderRequest("c-1", "AAPL", Side.BUY, qty=Decimal(1)), **change)


@pytest.mark.parametrize("time_in_force", TimeInForce)
@pytest.mark.parametrize("order_type", OrderType)
def test_every_type_becomes_the_clients_own_request_when_sent(order_type, time_in_force):
    """All types and times in force pass the client's validation with our id on them."""
    prices = {
        "limit_price": Decimal(10) if "limit" in order_type else None,
        "stop_price": Decimal(9) if "stop" in order_type else None,
    }
    request = OrderRequest(
        "c-1", "AAPL", Side.SELL, qty=Decimal("1.5"), type=order_type, time_in_force=time_in_force, **prices
    )
    expected = {
        "symbol": "AAPL",
        "side": "sell",
        "qty": 1.5,
        "type": order_type.value,
        "time_in_force": time_in_force.value,
        "client_order_id": "c-1",
    }
    expected |= {name: float(price) for name, price in prices.items() if price is not None}
    assert order_fields(request).to_request_fields() == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, ()),
        ({"symbol": "MSFT"}, ("symbol",)),
        ({"qty": "10"}, ("qty",)),
        ({"side": "sell"}, ("side",)),
        ({"type": "limit", "limit_price": "9"}, ("type", "limit_price")),
        ({"qty": None, "notional": "5"}, ("qty", "notional")),
        ({"qty": "1.000", "status": "filled", "filled_qty": "1"}, ()),
    ],
)
def test_reply_is_an_alarm_when_it_is_not_what_was_asked(one_order, order_body, change, named):
    """Every field that was decided is compared, numbers by value."""
    assert disagreements(one_order, parse_order(order_body(**change))) == named
