"""What befalls an account without its client's doing, on the bare engine and in the log."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from trader_sdk.exchange.events import Act, Intervene, Submit
from trader_sdk.exchange.testing import daily_bars, open_venue, rising
from trader_sdk.exchange.values import OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from trader_sdk.exchange.venue import Venue


def an_order(key: str = "one") -> Submit:
    return Submit(OrderRequest("AAPL", Side.BUY, OrderType.MARKET, TimeInForce.DAY, key, qty=Decimal(10)))


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    """Return a venue whose session runs."""
    venue = open_venue(tmp_path, {"AAPL": daily_bars("AAPL", rising(6))})
    while not venue.state.is_session_open:
        venue.advance()
    return venue


def statuses(venue: Venue) -> list[OrderStatus]:
    return [order.status for order in venue.state.orders.values()]


def test_halted_symbol_takes_orders_and_trades_none(venue: Venue) -> None:
    """An order waits while its symbol is halted, through an opening too, and fills when trading resumes."""
    venue.apply(Intervene(Act.HALT, "AAPL"))
    venue.apply(an_order())
    assert statuses(venue) == [OrderStatus.NEW]
    venue.apply(Intervene(Act.RESUME, "AAPL"))
    venue.apply(Intervene(Act.FILL, "AAPL", Decimal(4)))
    assert venue.state.position_qty("AAPL") == 4
    venue.apply(Intervene(Act.FILL, "AAPL"))
    assert statuses(venue) == [OrderStatus.FILLED]


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (Act.CANCEL, OrderStatus.CANCELED),
        (Act.REJECT, OrderStatus.REJECTED),
        (Act.PEND_CANCEL, OrderStatus.PENDING_CANCEL),
    ],
)
def test_venue_ends_orders_of_its_own_accord(venue: Venue, act: Act, status: OrderStatus) -> None:
    """Each act moves the open orders of the symbol, twice is once, and nothing is filled."""
    venue.apply(Intervene(Act.HALT, "AAPL"))
    venue.apply(an_order())
    venue.apply(Intervene(act, "AAPL"))
    venue.apply(Intervene(act, "AAPL"))
    assert statuses(venue) == [status]
    assert venue.state.position_qty("AAPL") == 0


def test_orders_by_hand_and_replacements_are_not_the_clients(venue: Venue) -> None:
    """Somebody else's order has an id of its own; a replacement links the old order to a new one."""
    venue.apply(Intervene(Act.HALT, "AAPL"))
    venue.apply(an_order())
    venue.apply(Intervene(Act.REPLACE, "AAPL", Decimal(7)))
    venue.apply(Intervene(Act.ORDER, "AAPL", Decimal(2), "buy"))
    old, new, hand = venue.state.orders.values()
    assert (old.status, old.replaced_by, new.request.qty) == (OrderStatus.REPLACED, new.id, Decimal(7))
    assert hand.request.client_order_id == "by-hand-3"


def test_account_changes_from_outside(venue: Venue) -> None:
    """A split multiplies the units, cash moves, an asset stops being tradable."""
    venue.apply(an_order())
    before = venue.state.cash
    venue.apply(Intervene(Act.SPLIT, "AAPL", Decimal(4)))
    venue.apply(Intervene(Act.CASH, amount=Decimal(-500)))
    venue.apply(Intervene(Act.UNTRADABLE, "AAPL"))
    outcome = venue.apply(an_order("two"))
    assert venue.state.position_qty("AAPL") == 40
    assert venue.state.cash == before - 500
    assert "not tradable" in outcome.events[0].rejection.message


def test_interventions_are_in_the_log_and_rebuild(tmp_path: Path) -> None:
    """A venue that is opened again on its log stands where it stood, interventions included."""
    bars = {"AAPL": daily_bars("AAPL", rising(6))}
    first = open_venue(tmp_path, bars)
    while not first.state.is_session_open:
        first.advance()
    first.apply(Intervene(Act.ORDER, "AAPL", Decimal(3), "buy"))
    first.apply(Intervene(Act.SPLIT, "AAPL", Decimal(2)))
    first.apply(Intervene(Act.HALT, "AAPL"))
    first.close()
    again = open_venue(tmp_path, bars)
    assert again.state.digest() == first.state.digest()
    assert again.state.halted == {"AAPL"}
