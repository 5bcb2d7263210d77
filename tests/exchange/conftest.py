"""Fixtures of the exchange's tests: a book with one stock, stepped by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from trader_sdk.exchange.engine import step
from trader_sdk.exchange.events import (
    BarRange,
    BarsOpened,
    BarsTraded,
    Cancel,
    Event,
    Input,
    Opening,
    OrderChanged,
    Refused,
    SessionClosed,
    SessionOpened,
    Submit,
)
from trader_sdk.exchange.rejections import Rejection
from trader_sdk.exchange.sessions import standard_session
from trader_sdk.exchange.state import Terms, VenueState, open_account
from trader_sdk.exchange.testing import FIRST_DAY, start_exchange
from trader_sdk.exchange.values import Asset, AssetClass, Order, OrderId, OrderRequest, OrderType, Side, TimeInForce

__all__ = ["start_exchange"]  # the fixture, for every test in this folder

EVENING = standard_session(FIRST_DAY).opens_at - 12 * 3_600_000_000_000
STOCK = Asset("asset-1", "AAPL", "AAPL", AssetClass.US_EQUITY, "NASDAQ")
COIN = Asset(
    "asset-2",
    "BTC/USD",
    "BTC/USD",
    AssetClass.CRYPTO,
    "CRYPTO",
    marginable=False,
    shortable=False,
    min_order_size=Decimal("0.0001"),
    min_trade_increment=Decimal("0.0001"),
    price_increment=Decimal("0.5"),
)


@dataclass
class Book:
    """An engine at work, spoken to in short sentences; starts in the evening with AAPL at 100."""

    state: VenueState
    events: list[Event] = field(default_factory=list)
    sent: int = 0

    def step(self, command: Input, at: int | None = None) -> tuple[Event, ...]:
        """Apply one command."""
        self.state, events = step(self.state, self.state.now if at is None else at, command)
        self.events += events
        return events

    def send(self, side: str = "buy", qty: object = 10, **changes: Any) -> Order:
        """Submit an order that must be booked; return it as it stands after the call."""
        events = self.submit(side, qty, **changes)
        booked = next(event for event in events if isinstance(event, OrderChanged))
        return self.state.orders[booked.order.id]

    def refuse(self, side: str = "buy", qty: object = 10, **changes: Any) -> Rejection:
        """Submit an order that must be refused, and check that nothing changed; return why."""
        before = self.state.digest()
        events = self.submit(side, qty, **changes)
        assert len(events) == 1
        assert isinstance(events[0], Refused), f"booked: {events}"
        assert self.state.digest() == before
        return events[0].rejection

    def submit(self, side: str = "buy", qty: object = 10, **changes: Any) -> tuple[Event, ...]:
        """Submit an order, market and day unless told otherwise."""
        self.sent += 1
        fields: dict[str, Any] = {
            "symbol": "AAPL",
            "side": Side(side),
            "type": OrderType(changes.pop("type", "market")),
            "time_in_force": TimeInForce(changes.pop("tif", "day")),
            "client_order_id": changes.pop("cid", f"c{self.sent}"),
            "qty": None if qty is None else Decimal(str(qty)),
        }
        for name in ("limit_price", "stop_price", "notional"):
            if name in changes:
                changes[name] = Decimal(str(changes[name]))
        return self.step(Submit(OrderRequest(**{**fields, **changes})))

    def cancel(self, order: Order) -> tuple[Event, ...]:
        """Cancel an order."""
        return self.step(Cancel(order.id))

    def open(self, price: object = 100, *, liquidity: object = 1_000_000, symbol: str = "AAPL") -> tuple[Event, ...]:
        """Open the session with an auction at ``price``."""
        session = standard_session(FIRST_DAY)
        opened = self.step(SessionOpened(session.closes_at), at=session.opens_at)
        return opened + self.step(BarsOpened((_opening(symbol, price, liquidity),), is_auction=True))

    def next_bar(self, price: object, *, liquidity: object = 1_000_000, symbol: str = "AAPL") -> tuple[Event, ...]:
        """Open another bar at ``price``."""
        return self.step(BarsOpened((_opening(symbol, price, liquidity),)))

    def trade(self, high: object, low: object, close: object, symbol: str = "AAPL") -> tuple[Event, ...]:
        """End the bar with this range."""
        bar = BarRange(symbol, Decimal(str(high)), Decimal(str(low)), Decimal(str(close)))
        return self.step(BarsTraded((bar,)))

    def close(self) -> tuple[Event, ...]:
        """End the session."""
        return self.step(SessionClosed(), at=standard_session(FIRST_DAY).closes_at)

    def order(self, order: Order) -> Order:
        """Return an order as it stands now."""
        return self.state.orders[OrderId(order.id)]

    def held(self, symbol: str = "AAPL") -> Decimal:
        """Return the signed position."""
        return self.state.position_qty(symbol)


def _opening(symbol: str, price: object, liquidity: object) -> Opening:
    return Opening(symbol, Decimal(str(price)), Decimal(str(liquidity)))


@pytest.fixture
def make_book() -> Callable[..., Book]:
    """Give a function that opens an account; its arguments are fields of :class:`Terms`."""

    def make(**terms: Any) -> Book:
        prices = {"AAPL": Decimal(100), "BTC/USD": Decimal(20_000)}
        settings: dict[str, Any] = {"run_id": "book", "assets": (STOCK, COIN), **terms}
        return Book(open_account(Terms(**settings), at=EVENING, last_prices=prices))

    return make


@pytest.fixture
def book(make_book: Callable[..., Book]) -> Book:
    """Give an account with 100,000 dollars at twice the leverage, in the evening before the first session."""
    return make_book()
