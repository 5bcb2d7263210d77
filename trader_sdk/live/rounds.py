"""Rounds of reconciliation: read everything, ask the pure rule, apply, and repeat until nothing changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from trader_sdk.broker import port
from trader_sdk.contract.errors import HaltedError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.booking import Sighting, booking
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.events import Draft, intent_body, plain, report_body, sleeve_body
from trader_sdk.live.holds import Cause
from trader_sdk.live.journal import Journal
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.views import prices_of, venue_order
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.reconcile import (
    Abandon,
    Action,
    CancelOrder,
    ClearDrift,
    ImportOrder,
    LookUp,
    MergeOrder,
    MoveSleeve,
    Resend,
    SplitSleeve,
    VenueSnapshot,
    abandoned,
    reconcile,
)

MAX_ROUNDS: Final = 12
_STABLE_READS: Final = 5
LOOK_BACK: Final = timedelta(days=7)
"""How far back orders are read when the books hold none that works."""
LOOK_BACK_REBUILT: Final = timedelta(days=400)
"""How far back where the books were lost and are made anew."""


@dataclass(slots=True)
class RoundReport:
    """What reconciliation did until nothing changed any more."""

    rounds: int = 0
    merged: int = 0
    imported: list[str] = field(default_factory=list)
    resent: int = 0
    abandoned: int = 0
    canceled: int = 0
    drifts: list[str] = field(default_factory=list)
    external_orders: int = 0

    @property
    def is_clean(self) -> bool:
        """Return whether books and venue agreed at once."""
        changed = self.merged + len(self.imported) + self.resent + self.abandoned + self.canceled + len(self.drifts)
        return changed == 0

    def fields(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "rounds": self.rounds,
            "clean": self.is_clean,
            "merged": self.merged,
            "imported": len(self.imported),
            "resent": self.resent,
            "abandoned": self.abandoned,
            "canceled": self.canceled,
            "drifts": self.drifts,
            "external_orders": self.external_orders,
        }


class VenueReader:
    """Reads one complete, stable round; any failed read raises, because missing is not flat.

    Args:
        broker: The venue.
        worker: The thread for broker calls.

    Attributes:
        not_found: When each order was looked up in vain.
        on_read: Told of the venue's clock and the account at each round.
    """

    def __init__(self, broker: port.BrokerPort, worker: BrokerWorker) -> None:
        self._broker, self._worker = broker, worker
        self.not_found: dict[str, tuple[datetime, ...]] = {}
        self.on_read: Callable[[port.ClockView, port.AccountView], None] = lambda _clock, _account: None

    async def snapshot(self, since: datetime) -> VenueSnapshot:
        """Return positions and orders read until two reads of the positions agree."""
        account = await self._worker.call(self._broker.account)
        before = await self._positions()
        for _ in range(_STABLE_READS):
            orders = await self._worker.call(lambda: self._broker.orders_since(since))
            still_open = await self._worker.call(self._broker.open_orders)
            clock = await self._worker.call(self._broker.clock)
            self.on_read(clock, account)
            after = await self._positions()
            if _quantities(before) == _quantities(after):
                listed = {view.broker_order_id: view for view in (*orders, *still_open)}
                views = tuple(venue_order(view) for view in listed.values())
                return VenueSnapshot(clock.at, _quantities(after), prices_of(after), views, dict(self.not_found))
            before = after
        raise HaltedError("HALTED", "positions at the venue would not hold still", where="reconcile")

    async def _positions(self) -> tuple[port.PositionView, ...]:
        return await self._worker.call(self._broker.positions)

    async def look_up(self, client_order_id: str) -> port.OrderView | None:
        """Ask for one order by our id, and remember a fruitless answer."""
        view = await self._worker.call(lambda: self._broker.order_by_client_id(client_order_id))
        if view is None:
            # Real time, not the venue's: what matters is how long a request may still be on its way.
            self.not_found[client_order_id] = (*self.not_found.get(client_order_id, ()), datetime.now(UTC))
        return view


def _quantities(positions: Sequence[port.PositionView]) -> dict[str, Decimal]:
    return {view.symbol: view.qty for view in positions if view.qty}


class Reconciler:
    """Brings the books in line with the venue.

    Args:
        reader: Reads the venue.
        journal: The books.
        desk: Sends again what the venue never received.
        broker: For cancels.
        worker: The thread for broker calls.
        strategy: Whose orders are ours.
        grace: How far apart two fruitless look-ups must lie.
        sleep: Waits between look-ups.
    """

    def __init__(
        self,
        reader: VenueReader,
        journal: Journal,
        desk: OrderDesk,
        broker: port.BrokerPort,
        worker: BrokerWorker,
        *,
        strategy: str,
        grace: timedelta,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.reader, self._journal, self._desk = reader, journal, desk
        self._broker, self._worker = broker, worker
        self._strategy, self._grace, self._sleep = strategy, grace, sleep
        self._cancels_asked: set[str] = set()

    async def run(self) -> RoundReport:
        """Reconcile until a round changes nothing.

        Raises:
            BrokerError: A read failed; nothing is concluded from it.
            HaltedError: Books and venue do not come to rest.
        """
        report = RoundReport()
        drifted: set[str] = set()
        while report.rounds < MAX_ROUNDS:
            report.rounds += 1
            snapshot = await self.reader.snapshot(self._since())
            books = replace(self._journal.ledger.books(self._strategy), unsent=self._desk.unsent)
            found = reconcile(snapshot, books, grace=self._grace)
            actions = [action for action in found if not self._is_settled(action, drifted, snapshot.at)]
            report.external_orders = self._external(snapshot)
            if not actions:
                self._desk.commit([self._finished(report, snapshot.at)])
                return report
            drifted |= {action.symbol for action in actions if isinstance(action, MoveSleeve)}
            await self._apply(actions, snapshot, report)
        raise HaltedError("HALTED", "books and venue do not come to rest", where="reconcile", found=report.fields())

    def _is_settled(self, action: Action, drifted: set[str], now: datetime) -> bool:
        """Return whether this run has dealt with ``action``, or the venue takes nothing in, so that it must wait."""
        if isinstance(action, Resend):
            return self._desk.is_holding(now)
        if isinstance(action, CancelOrder):
            return action.broker_order_id in self._cancels_asked
        return isinstance(action, ClearDrift) and action.symbol in drifted

    def _since(self) -> datetime:
        ledger = self._journal.ledger
        moments = [record.sent_at or record.intent.send_at for record in ledger.working]
        newest = ledger.last_at or datetime.now(UTC)
        is_rebuilt = any(hold.cause is Cause.JOURNAL_REBUILT for hold in ledger.holds)
        return min([*moments, newest]) - (LOOK_BACK_REBUILT if is_rebuilt else LOOK_BACK)

    def _external(self, snapshot: VenueSnapshot) -> int:
        ours = self._journal.ledger.orders
        return sum(1 for order in snapshot.orders if order.is_open and order.client_order_id not in ours)

    def _finished(self, report: RoundReport, at: datetime) -> Draft:
        body = {**report.fields(), "state_hash": self._journal.ledger.state_hash()}
        return Draft(JournalEvent.RECONCILE_FINISHED, at, body)

    async def _apply(self, actions: Sequence[Action], snapshot: VenueSnapshot, report: RoundReport) -> None:
        look_ups = [action for action in actions if isinstance(action, LookUp)]
        self._desk.commit(drafts_of(actions, self._journal.ledger, snapshot.at, report))
        for action in actions:
            match action:
                case CancelOrder(_, broker_order_id):
                    report.canceled += 1
                    await self._cancel(broker_order_id)
                case Resend(client_order_id):
                    report.resent += 1
                    self.reader.not_found.pop(client_order_id, None)
                    await self._desk.resend(client_order_id, snapshot.at)
                case _:
                    pass
        if look_ups:
            await self._look_up(look_ups, snapshot.at, report)

    async def _cancel(self, broker_order_id: str) -> None:
        self._cancels_asked.add(broker_order_id)
        await self._worker.call(lambda: self._broker.cancel(broker_order_id))

    async def _look_up(self, look_ups: Sequence[LookUp], at: datetime, report: RoundReport) -> None:
        waits = any(action.client_order_id in self.reader.not_found for action in look_ups)
        if waits:
            await self._sleep(self._grace.total_seconds())
        for action in look_ups:
            view = await self.reader.look_up(action.client_order_id)
            if view is not None:
                report.merged += 1
                seen = Sighting(action.client_order_id, venue_order(view).report, at)
                self._desk.commit(booking(self._journal.ledger, [seen]))


def drafts_of(actions: Sequence[Action], ledger: Ledger, at: datetime, report: RoundReport) -> list[Draft]:
    """Return what actions write into the books, and count them; what they ask of the venue is not done here."""
    drafts: list[Draft] = []
    sightings: list[Sighting] = []
    for action in actions:
        match action:
            case MergeOrder(client_order_id, seen):
                report.merged += 1
                sightings.append(Sighting(client_order_id, seen, at))
            case Abandon(client_order_id):
                report.abandoned += 1
                sightings.append(Sighting(client_order_id, abandoned(), at))
            case ImportOrder():
                report.imported.append(action.intent.client_order_id)
                drafts += _import_drafts(action, at)
            case SplitSleeve() | MoveSleeve() | ClearDrift():
                drafts += _position_drafts(action, ledger, at, report)
            case _:
                pass
    return booking(ledger, sightings) + drafts


def _import_drafts(action: ImportOrder, at: datetime) -> list[Draft]:
    intent = action.intent
    body = {**intent_body(intent), **report_body(intent.client_order_id, intent.symbol, action.report)}
    # Recorded without its fills; the next round merges them like any other.
    body = {**body, "report": "committed", "filled_qty": "0", "filled_avg_price": None}
    return [Draft(JournalEvent.INTENT_RECORDED, at, body)]


def _position_drafts(
    action: SplitSleeve | MoveSleeve | ClearDrift, ledger: Ledger, at: datetime, report: RoundReport
) -> list[Draft]:
    match action:
        case SplitSleeve(symbol, ratio, external_qty):
            sleeve = ledger.sleeves[symbol].split(ratio)
            body = {
                "symbol": symbol,
                "cause": f"split {plain(ratio)}:1",
                "sleeve": sleeve_body(sleeve),
                "split": plain(ratio),
                "external_qty": plain(external_qty),
            }
            report.drifts.append(f"{symbol} split {plain(ratio)}:1")
            return [Draft(JournalEvent.SLEEVE_CHANGED, at, body)]
        case MoveSleeve():
            report.drifts.append(f"{action.symbol} expected {plain(action.expected)}, venue {plain(action.found)}")
            return [Draft(JournalEvent.DRIFT_FOUND, at, _drift_body(action))]
        case ClearDrift(symbol):
            cleared = {"limit": "drift", "symbol": symbol, "cause": "a clean round"}
            return [Draft(JournalEvent.LIMIT_CHANGED, at, cleared)]


def _drift_body(action: MoveSleeve) -> dict[str, Any]:
    return {
        "symbol": action.symbol,
        "expected": plain(action.expected),
        "found": plain(action.found),
        "sleeve_qty": plain(action.sleeve_qty),
        "external_qty": plain(action.external_qty),
        "price": plain(action.price),
    }
