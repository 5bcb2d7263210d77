"""The order desk alone: what leaves, what stays, and what nobody knows when a sending is broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.broker.port import OrderRequest, RefusalKind, Refused, Submission, Unknown, UnknownCause
from trader_sdk.contract.errors import BrokerError
from trader_sdk.live.booking import Sighting, booking
from trader_sdk.live.control import Command, Request
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.holds import Cause
from trader_sdk.live.journal import Journal, Stamp
from trader_sdk.live.ledger import Ledger, OrderRecord
from trader_sdk.live.operator import Inbox
from trader_sdk.live.step import sent_since
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.orders import OrderEvent, OrderIntent, OrderReport, OrderType, Side, TimeInForce

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
FIRST, SECOND = "lt1-main-1-AAPL-gva52-e0-63701431", "lt1-main-1-MSFT-gva52-e0-63701432"


def intent(key: str) -> OrderIntent:
    """Return an order that is due."""
    return OrderIntent(
        *(key, key.split("-")[3], 0, "e", 0, Side.BUY, Decimal(5), OrderType.MARKET, TimeInForce.DAY, None),
        *(Decimal(100), AT, AT + timedelta(seconds=90)),
    )


@dataclass
class Venue:
    """A venue in memory that answers each order in turn."""

    answers: list[Callable[[], Submission]]
    sent: list[str] = field(default_factory=list)

    announced: list[str] = field(default_factory=list)

    def announce(self, requests: Sequence[OrderRequest]) -> None:
        """Note what is to come."""
        self.announced += [request.client_order_id for request in requests]

    def submit(self, request: OrderRequest) -> Submission:
        """Take an order and answer it."""
        assert request.client_order_id in self.announced
        self.sent.append(request.client_order_id)
        return self.answers.pop(0)()

    def order_by_client_id(self, key: str) -> Any:
        """Fail."""
        raise BrokerError("E802", "no answer", where=key)


@pytest.fixture
def desk_of(tmp_path: Path) -> Iterator[Callable[[Venue], OrderDesk]]:
    """Return a function that makes a desk on a venue, with two durable orders."""
    worker = BrokerWorker()
    with Journal.open(tmp_path, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:

        def make(venue: Venue) -> OrderDesk:
            desk = OrderDesk(venue, journal, worker, lambda _: None)  # type: ignore[arg-type]  # of the port only what the desk uses
            desk.commit(desk.record([intent(FIRST), intent(SECOND)], AT))
            return desk

        yield make
        worker.close()


def lost() -> Submission:
    """Return an answer that says nothing."""
    return Unknown(UnknownCause.TIMEOUT)


def test_halt_that_waits_for_the_loop_stops_the_orders_that_have_not_left(
    desk_of: Callable[[Venue], OrderDesk],
) -> None:
    """Pressed while the first of two orders is at the venue: the second stays, and is certainly not sent."""
    inbox = Inbox()

    def press() -> Submission:
        inbox.put(Request(command=Command.HALT), Cause.KILL_SWITCH, lambda _: None)
        return lost()

    venue = Venue([press, lost])
    desk = desk_of(venue)
    desk.is_halting = inbox.is_halting
    asyncio.run(desk.send_due(AT))
    assert (venue.sent, desk.unsent) == ([FIRST], frozenset({SECOND}))
    assert [asked.request.command for asked in inbox.drain()] == [Command.HALT]
    asyncio.run(desk.send_due(AT))
    assert venue.sent == [FIRST, SECOND]


def test_orders_whose_sending_was_broken_off_are_in_doubt_and_not_sent_again(
    desk_of: Callable[[Venue], OrderDesk],
) -> None:
    """The first has an answer that was not booked, since the second's could not be looked into: nobody sends twice."""
    twice = Refused(RefusalKind.DUPLICATE_CLIENT_ORDER_ID, 422, 40010001, "client_order_id must be unique")
    venue = Venue([lost, lambda: twice, lost, lost])
    desk = desk_of(venue)
    with pytest.raises(BrokerError):
        asyncio.run(desk.send_due(AT))
    again = asyncio.run(desk.send_due(AT))
    assert venue.sent == [FIRST, SECOND]
    assert (again.in_doubt, desk.unsent, desk.next_due()) == (True, frozenset(), None)
    seen = [Sighting(key, OrderReport(OrderEvent.ACKNOWLEDGED), AT) for key in (FIRST, SECOND)]
    desk.commit(booking(desk._journal.ledger, seen))  # as reconciliation does once it found them
    assert not asyncio.run(desk.send_due(AT)).in_doubt


def test_orders_are_counted_on_the_day_they_were_sent_last() -> None:
    """Across midnight, and when an order is sent again the next day, which takes it from the day before."""
    ledger, night = Ledger(), datetime(2026, 1, 5, 23, 59, 30, tzinfo=UTC)
    first, second = OrderRecord(intent(FIRST)), OrderRecord(intent(SECOND))
    ledger.note_sent(first, night)
    ledger.note_sent(second, night + timedelta(seconds=20))
    assert list(ledger.sent_on(night.date())) == [first, second]
    morning = night + timedelta(seconds=40)
    ledger.note_sent(first, morning)
    assert list(ledger.sent_on(night.date())) == [second]
    assert list(ledger.sent_on(morning.date())) == [first]
    assert not list(ledger.sent_on(AT.date() - timedelta(days=1)))
    assert sent_since(ledger, morning - timedelta(minutes=1), morning) == 2
    assert sent_since(ledger, morning - timedelta(seconds=20), morning) == 2
    assert sent_since(ledger, morning - timedelta(seconds=19), morning) == 1
