"""Order life and reconciliation against a model: random histories of orders, losses, crashes and other hands.

The model is a venue of a few lines that is right by definition. The books are the real ones: journal entries folded by
the ledger, written by the same pure functions that the trader uses. ``RECONCILE_HISTORIES`` sets how many histories.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.booking import Sighting, booking
from trader_sdk.live.events import Draft, JournalEntry, bar_ns, intent_body, report_body, rfc3339, sleeve_body
from trader_sdk.live.ledger import Ledger, fold
from trader_sdk.live.rounds import RoundReport, drafts_of
from trader_sdk.orders import RANK, OrderEvent, OrderIntent, OrderReport, OrderStatus, OrderType, Side, TimeInForce
from trader_sdk.portfolio import Sleeve
from trader_sdk.reconcile import (
    GRACE,
    IMPORTED_LEG,
    MOST_SENDS,
    Abandon,
    Action,
    CancelOrder,
    ClearDrift,
    LookUp,
    MoveSleeve,
    Resend,
    VenueOrder,
    VenueSnapshot,
    reconcile,
)

HISTORIES = int(os.environ.get("RECONCILE_HISTORIES", "40"))
START = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
MOST_ROUNDS = 12
ZERO = Decimal(0)
Parts = st.integers(1, 4).map(lambda quarter: Decimal(quarter) / 4)
Sides = st.sampled_from(list(Side))


@dataclass
class Booked:
    """An order at the venue."""

    intent: OrderIntent
    broker_id: str
    filled: Decimal = ZERO
    end: OrderEvent | None = None

    @property
    def is_open(self) -> bool:
        return self.end is None

    @property
    def report(self) -> OrderReport:
        event = self.end or (OrderEvent.FILLED_PART if self.filled else OrderEvent.WORKING)
        return OrderReport(event, self.filled, Decimal(100) if self.filled else None, self.broker_id)


class Histories(RuleBasedStateMachine):
    """Whatever happens, a reconciliation makes the books those of the venue, and a second one changes nothing."""

    @initialize()
    def begin(self) -> None:
        """One account, one symbol, flat."""
        self.entries: list[JournalEntry] = []
        self.ledger = Ledger()
        self.now, self.price, self.position = START, Decimal(100), ZERO
        self.venue: dict[str, Booked] = {}
        self.in_flight: list[OrderIntent] = []
        self.said: list[tuple[str, OrderReport]] = []
        self.unsent: set[str] = set()
        self.not_found: dict[str, tuple[datetime, ...]] = {}
        self.ranks: dict[str, int] = {}
        self.bars = 0
        self.loses_resent = False
        self.commit(Draft(JournalEvent.RUN_STARTED, self.now, {"mode": "PAPER-ALPACA", "account_id": "a", "epoch": 1}))
        armed = {"symbol": "SIM", "cause": "armed", "sleeve": sleeve_body(Sleeve.start(Decimal(100_000)))}
        self.commit(Draft(JournalEvent.SLEEVE_CHANGED, self.now, armed))
        self.close_bar()

    def commit(self, *drafts: Draft) -> None:
        """Write drafts as the journal does."""
        for draft in drafts:
            prev = self.entries[-1].sha256 if self.entries else "sha256:0"
            entry = JournalEntry.link(draft, seq=len(self.entries) + 1, prev=prev, run_id="r")
            self.entries.append(entry)
            self.ledger.apply(entry)

    def book(self, key: str, report: OrderReport, event: JournalEvent = JournalEvent.ORDER_UPDATED) -> None:
        """Book one report about an order."""
        self.commit(*booking(self.ledger, [Sighting(key, report, self.now, event)]))

    def status(self, key: str) -> OrderStatus:
        """Return what the books say of an order."""
        return self.ledger.orders[key].state.status

    @rule(seconds=st.sampled_from([1, 30, 120]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def close_bar(self) -> None:
        """A bar closes at the venue's price."""
        self.bars += 1
        body = {"symbol": "SIM", "bar": rfc3339(START + timedelta(minutes=self.bars)), "close": str(self.price)}
        self.commit(Draft(JournalEvent.BAR_CLOSED, self.now, body))

    @precondition(lambda self: not self.ledger.working)
    @rule(side=Sides, qty=st.integers(1, 40))
    def decide(self, side: Side, qty: int) -> None:
        """An order is made durable, one at a time, as risk has it."""
        self.close_bar()
        intent = self._intent(f"lt1-main-1-SIM-{self.bars}-e0-00000000", side, Decimal(qty))
        body = report_body(intent.client_order_id, "SIM", OrderReport(OrderEvent.COMMITTED))
        self.commit(Draft(JournalEvent.INTENT_RECORDED, self.now, {**intent_body(intent), **body}))
        self.unsent.add(intent.client_order_id)

    def _intent(self, key: str, side: Side, qty: Decimal) -> OrderIntent:
        return OrderIntent(
            *(key, "SIM", bar_ns(self.now), "e", 0, side, qty, OrderType.MARKET, TimeInForce.DAY, None, Decimal(100)),
            *(self.now, self.now + timedelta(seconds=90)),
        )

    @precondition(lambda self: self.unsent)
    @rule(reply=st.sampled_from(["heard", "lost", "never arrived", "arrives later", "refused", "killed"]))
    def send(self, reply: str) -> None:
        """It is sent; whatever becomes of the request and of its answer."""
        key = sorted(self.unsent)[0]
        intent = self.ledger.orders[key].intent
        self.unsent.discard(key)
        if reply in ("heard", "lost", "killed"):
            self._arrive(intent)
        elif reply == "arrives later":
            self.in_flight.append(intent)
        if reply == "killed":
            self.crash()
            return
        self.book(key, OrderReport(OrderEvent.SENT), JournalEvent.ORDER_SENT)
        answers = {
            "heard": OrderReport(OrderEvent.ACKNOWLEDGED, broker_order_id=f"b-{key}"),
            "refused": OrderReport(OrderEvent.DENIED),
        }
        self.book(key, answers.get(reply, OrderReport(OrderEvent.TIMED_OUT)))

    def _arrive(self, intent: OrderIntent) -> None:
        key = intent.client_order_id
        if key not in self.venue:  # the venue takes an id once
            self.venue[key] = Booked(intent, f"b-{key}")
            self.said.append((key, self.venue[key].report))

    @precondition(lambda self: self.unsent)
    @rule(seconds=st.sampled_from([0, 120]))
    def lose(self, seconds: int) -> None:
        """It is sent, given up, and looked for; the request is still on its way somewhere."""
        self.send("arrives later")
        self.now += timedelta(seconds=seconds)
        self.compare()

    @rule(loses=st.booleans())
    def lose_resent(self, loses: bool) -> None:
        """From now on the venue loses what is sent a second time, or takes it."""
        self.loses_resent = loses

    @precondition(lambda self: self.in_flight)
    @rule()
    def arrive_late(self) -> None:
        """A request that was given up reaches the venue after all."""
        self._arrive(self.in_flight.pop(0))

    def _open(self) -> list[Booked]:
        return [order for order in self.venue.values() if order.is_open]

    @precondition(lambda self: self._open())
    @rule(part=Parts)
    def fill(self, part: Decimal) -> None:
        """The venue fills some of its oldest open order."""
        order = self._open()[0]
        qty = (order.intent.qty - order.filled) * part
        order.filled += qty
        self.position += qty * order.intent.side.sign
        if order.filled == order.intent.qty:
            order.end = OrderEvent.FILLED_ALL
        self.said.append((order.intent.client_order_id, order.report))

    @precondition(lambda self: self._open())
    @rule(end=st.sampled_from([OrderEvent.CANCELLATION, OrderEvent.EXPIRY, OrderEvent.DENIED]))
    def end_order(self, end: OrderEvent) -> None:
        """The venue ends an order by itself."""
        order = self._open()[0]
        order.end = end
        self.said.append((order.intent.client_order_id, order.report))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        """The stream brings any of what was ever said: late, twice, in any order, or never."""
        key, report = data.draw(st.sampled_from(self.said))
        self.book(key, report)

    @rule(side=Sides, qty=st.integers(1, 20))
    def trade_by_hand(self, side: Side, qty: int) -> None:
        """Somebody else trades on the account."""
        self.position += side.sign * qty

    @precondition(lambda self: not self._open() and not self.in_flight)
    @rule(ratio=st.sampled_from([Decimal(2), Decimal(4), Decimal("0.5")]))
    def split(self, ratio: Decimal) -> None:
        """The company splits its shares, or joins them."""
        self.position *= ratio
        self.price /= ratio

    @rule(side=Sides, qty=st.integers(1, 9))
    def forget(self, side: Side, qty: int) -> None:
        """An order of ours of which the books lost all trace."""
        self._arrive(self._intent(f"lt1-main-1-SIM-f{len(self.venue)}-e0-00000000", side, Decimal(qty)))

    @rule()
    def crash(self) -> None:
        """The process dies; the next one folds the same books from the journal and knows nothing else."""
        again = fold(self.entries)
        assert again.state_hash() == self.ledger.state_hash()
        self.ledger, self.unsent, self.not_found = again, set(), {}

    @rule()
    def compare(self) -> None:
        """Reconcile: the books are the venue's, and doing it again changes nothing."""
        self._reconcile()
        sleeve, external = self.ledger.sleeves["SIM"].qty, self.ledger.external.get("SIM", ZERO)
        assert sleeve + external == self.position
        for key, order in self.venue.items():
            state = self.ledger.orders[key].state
            assert state.filled_qty == order.filled
            assert order.is_open is (not state.is_terminal)
        in_doubt = {key for key, r in self.ledger.orders.items() if r.state.status in (OrderStatus.UNKNOWN,)}
        assert in_doubt <= self.unsent
        before = self.ledger.state_hash()
        assert self._reconcile() == 0
        assert self.ledger.state_hash() == before

    def _reconcile(self) -> int:
        """Run rounds as the reconciler does; return how many found something to do."""
        drifted: set[str] = set()
        for number in range(MOST_ROUNDS):
            books = replace(self.ledger.books("main"), unsent=frozenset(self.unsent))
            snapshot = self._snapshot()
            actions = [a for a in reconcile(snapshot, books) if not (isinstance(a, ClearDrift) and a.symbol in drifted)]
            if not actions:
                return number
            drifted |= {action.symbol for action in actions if isinstance(action, MoveSleeve)}
            self._keeps_to_the_rules(actions)
            self.commit(*drafts_of(actions, self.ledger, self.now, RoundReport()))
            for action in actions:
                self._ask(action)
        raise AssertionError("books and venue do not come to rest")

    def _snapshot(self) -> VenueSnapshot:
        positions = {"SIM": self.position} if self.position else {}
        orders = tuple(
            VenueOrder(o.broker_id, key, "SIM", o.intent.side, o.intent.qty, o.report, o.is_open)
            for key, o in self.venue.items()
        )
        return VenueSnapshot(self.now, positions, {"SIM": self.price}, orders, dict(self.not_found))

    def _keeps_to_the_rules(self, actions: list[Action]) -> None:
        held = self.ledger.sleeves["SIM"].qty
        for action in actions:
            if isinstance(action, MoveSleeve):
                after = held + sum(self._unbooked(), ZERO)
                assert abs(action.sleeve_qty) <= abs(after), "a drift was bought back"
                assert action.sleeve_qty * after >= 0
            if isinstance(action, Resend | Abandon):
                self._assert_looked_up(action.client_order_id)
                assert action.client_order_id not in self.venue, "an order was doubled"

    def _unbooked(self) -> list[Decimal]:
        """Return what was filled at the venue and is not in the books yet."""
        known = self.ledger.orders
        return [
            (order.filled - (known[key].state.filled_qty if key in known else ZERO)) * order.intent.side.sign
            for key, order in self.venue.items()
        ]

    def _ask(self, action: Action) -> None:
        match action:
            case LookUp(key):
                seen = self.not_found.get(key, ())
                self.not_found[key] = (*seen, self.now + len(seen) * GRACE)
            case Resend(key):
                self.not_found.pop(key, None)
                self.book(key, OrderReport(OrderEvent.SENT), JournalEvent.ORDER_SENT)
                if self.loses_resent:
                    self.book(key, OrderReport(OrderEvent.TIMED_OUT))
                else:
                    self._arrive(self.ledger.orders[key].intent)
            case CancelOrder(key, _):
                self.venue[key].end = OrderEvent.CANCELLATION
            case _:
                pass

    def _assert_looked_up(self, key: str) -> None:
        """An order may be given up only after two look-ups in vain that lie the grace apart."""
        times = self.not_found.get(key, ())
        assert len(times) >= 2
        assert max(times) - min(times) >= GRACE

    @invariant()
    def status_only_climbs(self) -> None:
        """No report, whenever it comes, takes an order back; none is sent more often than it may be."""
        for key, record in getattr(self, "ledger", Ledger()).orders.items():
            rank = RANK[record.state.status]
            assert rank >= self.ranks.get(key, 0)
            self.ranks[key] = rank
            assert record.sends <= MOST_SENDS
            assert record.state.filled_qty <= record.intent.qty or record.intent.leg == IMPORTED_LEG


TestHistories: Any = Histories.TestCase
TestHistories.settings = settings(
    max_examples=HISTORIES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
