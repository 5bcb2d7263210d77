"""The order desk: sends intents that are already durable, and books whatever the venue says of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.reasons import Reason
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
from trader_sdk.orders import OrderEvent, OrderIntent, OrderReport, OrderStatus, TimeInForce
from trader_sdk.reconcile import IMPORTED_LEG
from trader_sdk.risk import TradingState, is_reducing

OVERLAP: Final = timedelta(minutes=1)
"""How far before the oldest working order the venue is asked, so that clocks may differ."""
RETRY_AFTER: Final = timedelta(seconds=2)
"""How long sending pauses at least after the venue, or our own budget, said that nothing was taken in."""
ASK_AGAIN_AFTER: Final = timedelta(minutes=1)
"""How long a cancel that was asked for is waited for before it is asked for again."""

_TOO_OLD: Final = "no longer fresh"

Listener = Callable[[JournalEntry], None]
Recheck = Callable[[OrderIntent, datetime], Awaitable[Reason | None]]


@dataclass(slots=True)
class Sent:
    """What came of sending.

    Attributes:
        in_doubt: Whether an outcome is not known, so that reconciliation must follow.
        refused: Orders that the venue refused, and how.
        alarms: Orders that the venue says are not what was asked for, and what differs.
        collisions: Orders whose id the venue knows for another order.
    """

    in_doubt: bool = False
    refused: list[tuple[OrderIntent, port.Refused]] = field(default_factory=list)
    alarms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    collisions: list[str] = field(default_factory=list)


class OrderDesk:
    """Everything between an intent and its fills.

    Args:
        broker: The venue.
        journal: Where intents become durable before they are sent.
        worker: The thread for broker calls.
        listener: Told of every committed entry.

    Attributes:
        recheck: Says why an order that had to wait may not be sent any more.
        clock: Says what time it is when an order leaves; the machine may have slept since the bar was decided on.
        is_halting: Says whether a halt of a symbol waits for the loop; called from the broker's thread.
    """

    def __init__(self, broker: port.BrokerPort, journal: Journal, worker: BrokerWorker, listener: Listener) -> None:
        self._broker, self._journal, self._worker, self._listener = broker, journal, worker, listener
        self._updates: list[port.TradeUpdateView] = []
        self._hold_until: datetime | None = None
        self._kept_back: set[str] = set()
        self._unsent: set[str] = set()
        self._left: set[str] = set()  # given to the venue, and nothing is booked of what came of it
        self._cancels: dict[str, datetime] = {}
        self._of_resends = Sent()
        self.recheck: Recheck | None = None
        self.clock: Callable[[], datetime] | None = None
        self.is_halting: Callable[[str], bool] = lambda _: False

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Make ``drafts`` durable in one transaction, then tell the listener."""
        for entry in self._journal.append(drafts):
            self._listener(entry)

    def record(self, intents: Sequence[OrderIntent], at: datetime) -> list[Draft]:
        """Return the entries that make ``intents`` durable."""
        self._unsent |= {intent.client_order_id for intent in intents}
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
        working = self._journal.ledger.working
        return [
            r for r in working if r.state.status is OrderStatus.INTENT and r.intent.client_order_id not in self._left
        ]

    @property
    def unsent(self) -> frozenset[str]:
        """Return the durable orders that this process has certainly not sent."""
        return frozenset(self._unsent)

    def is_holding(self, now: datetime) -> bool:
        """Return whether the venue takes nothing in for a while."""
        return self._hold_until is not None and now < self._hold_until

    async def send_due(self, now: datetime) -> Sent:
        """Send what is due, and return what must follow from it, and from what was sent again meanwhile."""
        sent, self._of_resends = self._of_resends, Sent()
        self._left = {key for key in self._left if self._journal.ledger.orders[key].state.status is OrderStatus.INTENT}
        sent.in_doubt |= bool(self._left)  # a sending before was broken off: reconciliation must say what came of it
        sightings: list[Sighting] = []
        for alone, records in groupby(self.due(now), self._is_asked_about):
            intents = [record.intent for record in records]
            for together in [[intent] for intent in intents] if alone else [intents]:
                if not self.is_holding(now):
                    sightings += await self._send(together, now, sent)
        self._book(sightings)
        return sent

    def _book(self, sightings: Sequence[Sighting]) -> None:
        self.commit(booking(self._journal.ledger, sightings))
        self._left -= {seen.client_order_id for seen in sightings}

    def _is_asked_about(self, record: OrderRecord) -> bool:
        """Return whether an order goes alone, because it may be that it is not sent at all."""
        return record.intent.client_order_id in self._kept_back or self._held_back(record.intent) is not None

    async def resend(self, client_order_id: str, now: datetime) -> None:
        """Send an order again under its own id, after the venue said twice that it never had it."""
        record = self._journal.ledger.orders[client_order_id]
        self._book(await self._send([record.intent], now, self._of_resends))
        self._of_resends.in_doubt = False  # the reconciliation that asked for this goes on

    async def _send(self, intents: Sequence[OrderIntent], now: datetime, sent: Sent) -> list[Sighting]:
        """Send orders one after the other in one go, and return what is known of them; too old ones are buried."""
        barred = await self._why_not(intents[0], now) if len(intents) == 1 else None
        if barred is not None:
            return [_buried(intents[0], barred, now)]
        keys = {intent.client_order_id for intent in intents}
        self._unsent, self._left = self._unsent - keys, self._left | keys
        is_over = threading.Event()
        try:
            outcomes = await self._worker.call(lambda: self._submit_each(intents, now, is_over))
        except asyncio.CancelledError:
            is_over.set()  # nobody waits for them any more: the orders that have not left stay
            raise
        for intent in intents[len(outcomes) :]:
            self._stays(intent)
        sightings: list[Sighting] = []
        for intent, outcome in zip(intents, outcomes, strict=False):
            sightings += await self._outcome(intent, outcome, now, sent)
        return sightings

    def _submit_each(
        self, intents: Sequence[OrderIntent], now: datetime, is_over: threading.Event
    ) -> list[port.Submission | None]:
        """Send orders in the broker's thread, each once, in the order in which risk reserved them.

        Returns:
            Their outcomes, None for one that is too old to be sent; fewer than orders where the venue, or our own
            budget, took one not in.
        """
        requests = [request_of(intent) for intent in intents]
        self._broker.announce(requests)
        outcomes: list[port.Submission | None] = []
        for intent, request in zip(intents, requests, strict=True):
            if is_over.is_set() or self.is_halting(intent.symbol):
                break
            outcome = None if self._is_old(intent, now) else self._broker.submit(request)
            outcomes.append(outcome)
            if isinstance(outcome, port.Refused) and outcome.kind in NEVER_SENT:
                break
        return outcomes

    async def _outcome(
        self, intent: OrderIntent, outcome: port.Submission | None, now: datetime, sent: Sent
    ) -> list[Sighting]:
        """Return what is known of an order after it was sent."""
        key = intent.client_order_id
        report = Sighting(key, OrderReport(OrderEvent.SENT), now, JournalEvent.ORDER_SENT)
        match outcome:
            case None:
                return [_buried(intent, _TOO_OLD, now)]
            case port.Accepted(order):
                if differing := port.disagreements(request_of(intent), order):
                    sent.alarms[key] = differing
                return [report, Sighting(key, report_of(order), now, JournalEvent.ORDER_ACKNOWLEDGED)]
            case port.Unknown(cause, detail):
                sent.in_doubt = True
                lost = OrderReport(OrderEvent.TIMED_OUT, detail=f"{cause.value} {detail}".strip())
                return [report, Sighting(key, lost, now, JournalEvent.ORDER_UNKNOWN)]
            case port.Refused():
                if outcome.kind in NEVER_SENT:
                    self._keep_back(intent, outcome, now)
                    return []
                return [report, *await self._refused(intent, outcome, now, sent)]

    async def _why_not(self, intent: OrderIntent, now: datetime) -> str | None:
        """Return why an order is not sent any more: its bar is old, or what risk allowed then it does not allow now."""
        if self._is_old(intent, now):
            return _TOO_OLD
        held_back = self._held_back(intent)
        if held_back is not None or intent.client_order_id not in self._kept_back or self.recheck is None:
            return held_back
        reason = await self.recheck(intent, now)
        return None if reason is None else reason.value

    def _is_old(self, intent: OrderIntent, now: datetime) -> bool:
        at = now if self.clock is None else max(now, self.clock())
        return at >= intent.fresh_until  # sent at the bound itself, it would reach the venue after it

    def _held_back(self, intent: OrderIntent) -> str | None:
        """Return what came between the decision and the moment to send an order that does more than reduce."""
        ledger = self._journal.ledger
        sleeve = ledger.sleeves.get(intent.symbol)
        if sleeve is not None and is_reducing(intent, sleeve.qty):
            return None
        if ledger.state is not TradingState.ACTIVE:
            return ledger.state.value
        return Reason.EXITS_ONLY.value if intent.symbol in ledger.exits_only else None

    def _keep_back(self, intent: OrderIntent, refusal: port.Refused, now: datetime) -> None:
        wait = timedelta(seconds=float(refusal.extras.get("retry_after_seconds", 0)))
        self._hold_until = now + max(RETRY_AFTER, wait)
        self._kept_back.add(intent.client_order_id)
        self._stays(intent)

    def _stays(self, intent: OrderIntent) -> None:
        """Note that an order did not leave this time."""
        self._left.discard(intent.client_order_id)
        if self._journal.ledger.orders[intent.client_order_id].state.status is OrderStatus.INTENT:
            self._unsent.add(intent.client_order_id)

    async def _refused(self, intent: OrderIntent, refusal: port.Refused, now: datetime, sent: Sent) -> list[Sighting]:
        key = intent.client_order_id
        if refusal.kind is port.RefusalKind.DUPLICATE_CLIENT_ORDER_ID:
            view = await self._worker.call(lambda: self._broker.order_by_client_id(key))
            if view is not None and not port.disagreements(request_of(intent), view):
                return [order_sighting(view, now)]
            sent.collisions.append(key)
        sent.refused.append((intent, refusal))
        denied = OrderReport(OrderEvent.DENIED, detail=f"{refusal.kind.value}: {refusal.message}")
        return [Sighting(key, denied, now, JournalEvent.ORDER_REFUSED)]

    async def cancel_overdue(self, now: datetime) -> bool:
        """Ask for the cancel of every order whose time is over; return whether one was asked for."""
        overdue = [record for record in self._journal.ledger.working if self._is_overdue(record, now)]
        for record in overdue:
            await self.cancel(record, now)
        return bool(overdue)

    def _is_overdue(self, record: OrderRecord, now: datetime) -> bool:
        intent, broker_order_id = record.intent, record.state.broker_order_id
        if broker_order_id is None or intent.time_in_force is TimeInForce.OPG or intent.leg == IMPORTED_LEG:
            return False  # the venue itself ends what missed the auction, and an imported order's bar is not known
        asked = self._cancels.get(broker_order_id)
        return now > intent.fresh_until and (asked is None or now - asked >= ASK_AGAIN_AFTER)

    async def cancel(self, record: OrderRecord, now: datetime) -> None:
        """Ask for the cancel of an order; it is over only when a report says so. One that was not sent is at once."""
        key, broker_order_id = record.intent.client_order_id, record.state.broker_order_id
        if key in self._unsent and record.state.status is OrderStatus.INTENT:
            over = OrderReport(OrderEvent.NOT_FOUND, detail="not sent: cancelled before")
            self.commit(booking(self._journal.ledger, [Sighting(key, over, now)]))
        if broker_order_id is not None:
            self._cancels[broker_order_id] = now
            await self._worker.call(lambda: self._broker.cancel(broker_order_id))

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


def _buried(intent: OrderIntent, why: str, now: datetime) -> Sighting:
    return Sighting(intent.client_order_id, OrderReport(OrderEvent.NOT_FOUND, detail=f"not sent: {why}"), now)
