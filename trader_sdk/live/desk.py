"""The order desk: sends intents that are already durable, and books whatever the venue says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.documents import JournalEvent
from trader_sdk.contract.errors import BrokerError
from trader_sdk.live.booking import (
    NEVER_SENT,
    Sighting,
    booking,
    execution_sightings,
    order_sighting,
    update_sighting,
)
from trader_sdk.live.events import Draft, JournalEntry, intent_body, report_body
from trader_sdk.live.journal import Journal
from trader_sdk.live.ledger import OrderRecord
from trader_sdk.live.views import report_of, request_of
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.orders import OrderEvent, OrderIntent, OrderReport, OrderStatus

OVERLAP: Final = timedelta(minutes=1)
"""How far before the oldest working order the venue is asked, so that clocks may differ."""
RETRY_AFTER: Final = timedelta(seconds=2)
"""How long sending pauses after the venue, or our own budget, said that nothing was taken in."""

Listener = Callable[[JournalEntry], None]


class OrderDesk:
    """Everything between an intent and its fills.

    Args:
        broker: The venue.
        journal: Where intents become durable before they are sent.
        worker: The thread for broker calls.
        listener: Told of every committed entry.
    """

    def __init__(self, broker: port.BrokerPort, journal: Journal, worker: BrokerWorker, listener: Listener) -> None:
        self._broker, self._journal, self._worker, self._listener = broker, journal, worker, listener
        self._updates: list[port.TradeUpdateView] = []
        self._hold_until: datetime | None = None

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Make ``drafts`` durable in one transaction, then tell the listener."""
        for entry in self._journal.append(drafts):
            self._listener(entry)

    def record(self, intents: Sequence[OrderIntent], at: datetime) -> list[Draft]:
        """Return the entries that make ``intents`` durable."""
        committed = OrderReport(OrderEvent.COMMITTED)
        return [
            Draft(
                JournalEvent.INTENT_RECORDED,
                at,
                {**intent_body(intent), **report_body(intent.client_order_id, intent.symbol, committed)},
            )
            for intent in intents
        ]

    def due(self, now: datetime) -> list[OrderRecord]:
        """Return the durable orders whose moment has come and that were not sent by this process."""
        if self._hold_until is not None and now < self._hold_until:
            return []
        return [record for record in self._waiting() if record.intent.send_at <= now]

    def next_due(self) -> datetime | None:
        """Return when the next durable order is to be sent, None if none waits."""
        first = min((record.intent.send_at for record in self._waiting()), default=None)
        return first if first is None or self._hold_until is None else max(first, self._hold_until)

    @property
    def has_working(self) -> bool:
        """Return whether an order that was sent is not at its end."""
        return any(record.state.status is not OrderStatus.INTENT for record in self._journal.ledger.working)

    def _waiting(self) -> list[OrderRecord]:
        return [record for record in self._journal.ledger.working if record.state.status is OrderStatus.INTENT]

    async def send_due(self, now: datetime) -> bool:
        """Send what is due; return whether an outcome is unknown, so that reconciliation must follow."""
        sightings: list[Sighting] = []
        for record in self.due(now):
            sightings += await self._send(record.intent, now)
        self.commit(booking(self._journal.ledger, sightings))
        return any(seen.report.event is OrderEvent.TIMED_OUT for seen in sightings)

    async def resend(self, client_order_id: str, now: datetime) -> None:
        """Send an order again under its own id, after the venue said twice that it never had it."""
        record = self._journal.ledger.orders[client_order_id]
        self.commit(booking(self._journal.ledger, await self._send(record.intent, now)))

    async def _send(self, intent: OrderIntent, now: datetime) -> list[Sighting]:
        """Send one order and return what is known of it; an order that is too old is buried instead."""
        key = intent.client_order_id
        if now > intent.fresh_until:
            stale = OrderReport(OrderEvent.NOT_FOUND, detail="not sent: no longer fresh")
            return [Sighting(key, stale, now)]
        outcome = await self._worker.call(lambda: self._broker.submit(request_of(intent)))
        sent = Sighting(key, OrderReport(OrderEvent.SENT), now, JournalEvent.ORDER_SENT)
        match outcome:
            case port.Accepted(order):
                return [sent, Sighting(key, report_of(order), now, JournalEvent.ORDER_ACKNOWLEDGED)]
            case port.Unknown(cause, detail):
                lost = OrderReport(OrderEvent.TIMED_OUT, detail=f"{cause.value} {detail}".strip())
                return [sent, Sighting(key, lost, now, JournalEvent.ORDER_UNKNOWN)]
            case port.Refused():
                if outcome.kind in NEVER_SENT:
                    self._hold_until = now + RETRY_AFTER
                    return []
                return [sent, *await self._refused(key, outcome, now)]

    async def _refused(self, key: str, refusal: port.Refused, now: datetime) -> list[Sighting]:
        if refusal.kind is port.RefusalKind.AUTH:
            raise BrokerError("E801", "the venue no longer accepts our keys", where="POST /orders", kind=refusal.kind)
        if refusal.kind is port.RefusalKind.DUPLICATE_CLIENT_ORDER_ID:
            view = await self._worker.call(lambda: self._broker.order_by_client_id(key))
            if view is not None:
                return [order_sighting(view, now)]
        denied = OrderReport(OrderEvent.DENIED, detail=f"{refusal.kind.value}: {refusal.message}")
        return [Sighting(key, denied, now, JournalEvent.ORDER_REFUSED)]

    def heard(self, update: port.TradeUpdateView) -> None:
        """Keep an event of the trade stream until the loop books it."""
        self._updates.append(update)

    async def refresh(self, now: datetime) -> None:
        """Book stream events, then ask the venue for every order that still works: streams lose events."""
        updates, self._updates = self._updates, []
        self.commit(booking(self._journal.ledger, [update_sighting(update) for update in updates]))
        since = self._oldest_working()
        if since is None:
            return
        orders = await self._worker.call(lambda: self._broker.orders_since(since))
        fills: Sequence[port.FillView] = ()
        if any(self._is_ahead(view) for view in orders):
            fills = await self._worker.call(lambda: self._broker.fills_since(since))
        ledger = self._journal.ledger
        sightings = execution_sightings(ledger, fills, orders) + [order_sighting(view, now) for view in orders]
        self.commit(booking(ledger, sightings))

    def _is_ahead(self, view: port.OrderView) -> bool:
        record = self._journal.ledger.orders.get(view.client_order_id)
        return record is not None and view.filled_qty > record.state.filled_qty

    def _oldest_working(self) -> datetime | None:
        """Return from when on the venue's orders are asked for, None if nothing that was sent still works."""
        sent = [r for r in self._journal.ledger.working if r.state.status is not OrderStatus.INTENT]
        oldest = min((record.sent_at or record.intent.send_at for record in sent), default=None)
        return None if oldest is None else oldest - OVERLAP
