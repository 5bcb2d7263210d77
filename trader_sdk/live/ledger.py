"""State as a fold over journal events: applying the same events always rebuilds the same books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import EXIT_SIGINT
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import (
    JournalEntry,
    bar_ns,
    intent_of,
    parse_time,
    plain,
    report_of,
    sleeve_body,
    sleeve_of,
)
from trader_sdk.live.holds import Hold, folded, gravest
from trader_sdk.live.memory import Memory
from trader_sdk.orders import OrderIntent, OrderState, Side, merge
from trader_sdk.portfolio import Sleeve, SleeveFill
from trader_sdk.reconcile import Books
from trader_sdk.risk import TradingState

_ZERO = Decimal(0)
_KEPT_STARTS: Final = 20
"""Starts without a good end that are remembered."""


@dataclass(slots=True)
class OrderRecord:
    """One of our orders: what was decided, and what became of it."""

    intent: OrderIntent
    state: OrderState = field(default_factory=OrderState)
    sent_at: datetime | None = None
    sends: int = 0


@dataclass(frozen=True, slots=True)
class LastDecision:
    """What a symbol's model decided on its newest bar, and what was done about it."""

    bar_at: int
    action: str
    reason: str | None
    client_order_id: str | None


@dataclass(slots=True)
class Totals:
    """Counters for the line a bar and the summary; ``bars`` counts bar times, whatever the number of symbols."""

    bars: int = 0
    decisions: int = 0
    sent: int = 0
    fills: int = 0
    fees: Decimal = _ZERO
    turnover: Decimal = _ZERO
    slippage: Decimal = _ZERO
    blocked: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Ledger:
    """The books of one run, rebuilt by :meth:`apply` event by event.

    Mutable because a run folds tens of thousands of events; nothing but :meth:`apply` changes it.
    """

    run_id: str = ""
    mode: str = ""
    account_id: str = ""
    epoch: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    last_at: datetime | None = None
    seq: int = 0
    exit_code: int | None = None
    is_finished: bool = False
    unclean_starts: list[datetime] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    sleeves: dict[str, Sleeve] = field(default_factory=dict)
    external: dict[str, Decimal] = field(default_factory=dict)
    drifted_at: dict[str, datetime] = field(default_factory=dict)
    tripped_at: dict[str, datetime] = field(default_factory=dict)
    halted_at: dict[str, datetime] = field(default_factory=dict)
    bars: dict[str, int] = field(default_factory=dict)
    newest_bar: int = 0
    executions: set[str] = field(default_factory=set)
    prices: dict[str, Decimal] = field(default_factory=dict)
    decided: dict[str, LastDecision] = field(default_factory=dict)
    models: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    disabled_models: dict[str, str] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    memory: Memory = field(default_factory=Memory)
    _working: dict[str, OrderRecord] = field(default_factory=dict)
    _of_bar: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    _sent_on: dict[date, dict[str, OrderRecord]] = field(default_factory=dict)
    """Orders that are not at their end, ids by symbol and bar, and orders by the day they were sent last: a day of
    thousands, or a year of them, needs no search."""

    def apply(self, event: JournalEntry) -> None:
        """Fold one event in; events that only inform leave the books as they are."""
        self.last_at, self.seq = event.at, event.seq
        fold = _FOLDS.get(event.event)
        if fold is not None:
            fold(self, event)
        self.memory.apply(event, self.sleeves, self.prices)

    @property
    def state(self) -> TradingState:
        """Return what the account may do."""
        held = gravest(hold for hold in self.holds if hold.symbol is None)
        return TradingState.ACTIVE if held is None else held.state

    @property
    def state_cause(self) -> str:
        """Return why the account is not ACTIVE, empty where it is."""
        held = gravest(hold for hold in self.holds if hold.symbol is None)
        return "" if held is None else held.text

    def state_of(self, symbol: str) -> TradingState:
        """Return what ``symbol`` may do: the graver of the account's state and its own."""
        held = gravest(hold for hold in self.holds if hold.symbol in (None, symbol))
        return TradingState.ACTIVE if held is None else held.state

    @property
    def working(self) -> list[OrderRecord]:
        """Return our orders that are not at their end."""
        return list(self._working.values())

    def sent_on(self, day: date) -> Collection[OrderRecord]:
        """Return our orders that were sent, the last time, on a day of UTC."""
        return self._sent_on.get(day, {}).values()

    def note_sent(self, record: OrderRecord, at: datetime) -> None:
        """Note when an order was sent last."""
        key = record.intent.client_order_id
        if record.sent_at is not None:
            self._sent_on[record.sent_at.date()].pop(key, None)
        record.sent_at = at
        self._sent_on.setdefault(at.date(), {})[key] = record

    @property
    def orders_at_venue(self) -> int:
        """Return how many orders the venue took."""
        return sum(1 for record in self.orders.values() if record.state.broker_order_id is not None)

    @property
    def equity(self) -> Decimal:
        """Return the sum of all sleeves' equity at the last closes."""
        return sum((sleeve.equity(self.prices.get(symbol, _ZERO)) for symbol, sleeve in self.sleeves.items()), _ZERO)

    @property
    def initial(self) -> Decimal:
        """Return the sum of all sleeves' equity when they were armed."""
        return sum((sleeve.initial for sleeve in self.sleeves.values()), _ZERO)

    @property
    def exits_only(self) -> frozenset[str]:
        """Return the symbols that may only reduce: drifted, refused too often, held, or of a disabled model."""
        held = {hold.symbol for hold in self.holds if hold.symbol is not None}
        lost = self.disabled_models
        disabled = {symbol for symbol, model in self.models.items() if model["sha256"] in lost} if lost else set()
        return frozenset(self.drifted_at) | frozenset(self.tripped_at) | held | disabled

    def is_halted(self, symbol: str, now: datetime) -> bool:
        """Return whether the venue has halted ``symbol`` today and not said that it trades again."""
        at = self.halted_at.get(symbol)
        return at is not None and at.date() == now.date()

    def next_attempt(self, symbol: str, bar_at: int) -> int:
        """Return the attempt number of a further order for a bar."""
        return len(self._of_bar.get((symbol, bar_at), ()))

    def books(self, strategy: str) -> Books:
        """Return what reconciliation reads."""
        return Books(
            strategy=strategy,
            orders={key: (record.intent, record.state) for key, record in self.orders.items()},
            sleeves=dict(self.sleeves),
            external=dict(self.external),
            drifted_at=dict(self.drifted_at),
            prices=dict(self.prices),
            sends={key: record.sends for key, record in self.orders.items()},
        )

    def state_hash(self) -> str:
        """Return ``sha256:<hex>`` of orders, sleeves and external positions."""
        return sha256_of(
            {
                "orders": {
                    key: [r.state.status.value, plain(r.state.filled_qty), r.state.broker_order_id]
                    for key, r in self.orders.items()
                },
                "sleeves": {symbol: sleeve_body(sleeve) for symbol, sleeve in self.sleeves.items()},
                "external": {symbol: plain(qty) for symbol, qty in self.external.items() if qty},
                "drifted": sorted(self.drifted_at),
                "state": self.state.value,
                **({"held": sorted(f"{h.symbol} {h.cause} {h.state}" for h in self.holds)} if self.holds else {}),
            }
        )


def fold(events: Iterable[JournalEntry]) -> Ledger:
    """Return the books after ``events``, oldest first."""
    ledger = Ledger()
    for event in events:
        ledger.apply(event)
    return ledger


def _run_started(ledger: Ledger, event: JournalEntry) -> None:
    body = event.body
    ledger.run_id, ledger.mode, ledger.account_id = event.run_id, body["mode"], body["account_id"]
    ledger.epoch = body["epoch"]
    ledger.facts = {**ledger.facts, **body}
    ledger.started_at = ledger.started_at or event.at
    ledger.is_finished, ledger.exit_code = False, None
    ledger.unclean_starts = [*ledger.unclean_starts, event.at][-_KEPT_STARTS:]
    ledger.tripped_at, ledger.halted_at = {}, {}


def _run_finished(ledger: Ledger, event: JournalEntry) -> None:
    ledger.is_finished, ledger.exit_code = True, event.body["exit_code"]
    if ledger.exit_code in (0, EXIT_SIGINT):
        ledger.unclean_starts = []


def _model_loaded(ledger: Ledger, event: JournalEntry) -> None:
    ledger.models[event.body["symbol"]] = event.body


def _bar_closed(ledger: Ledger, event: JournalEntry) -> None:
    symbol, close = event.body["symbol"], Decimal(event.body["close"])
    bar_at = bar_ns(parse_time(event.body["bar"]))
    if bar_at < ledger.bars.get(symbol, 0):
        return  # the correction of an older bar: windows hold it, the books stand at the newest
    ledger.bars[symbol] = bar_at
    ledger.prices[symbol] = close
    if bar_at > ledger.newest_bar:
        ledger.newest_bar = bar_at
        ledger.totals.bars += 1
    if symbol in ledger.sleeves:
        ledger.sleeves[symbol] = ledger.sleeves[symbol].mark(close)


def _decision_made(ledger: Ledger, event: JournalEntry) -> None:
    body = event.body
    ledger.decided[body["symbol"]] = LastDecision(
        bar_ns(parse_time(body["bar"])), body["action"], body["reason"], body["client_order_id"]
    )
    totals = ledger.totals
    totals.actions[body["action"]] += 1
    totals.decisions += body["logits"] is not None
    if body["reason"] is not None and body["client_order_id"] is None:
        totals.blocked[body["reason"]] += 1


def _intent_recorded(ledger: Ledger, event: JournalEntry) -> None:
    intent = intent_of(event.body)
    ledger.orders[intent.client_order_id] = ledger._working[intent.client_order_id] = OrderRecord(intent)
    ledger._of_bar.setdefault((intent.symbol, intent.bar_at), set()).add(intent.client_order_id)
    _order_reported(ledger, event)


def _order_sent(ledger: Ledger, event: JournalEntry) -> None:
    record = ledger.orders[event.body["client_order_id"]]
    ledger.note_sent(record, event.at)
    record.sends += 1
    ledger.totals.sent += 1
    _order_reported(ledger, event)


def _order_reported(ledger: Ledger, event: JournalEntry) -> None:
    record = ledger.orders[event.body["client_order_id"]]
    record.state = merge(record.state, report_of(event.body))
    if record.state.is_terminal:
        ledger._working.pop(record.intent.client_order_id, None)  # final, but for a larger fill
    if record.sent_at is None and record.state.broker_order_id is not None:
        ledger.note_sent(record, record.intent.send_at)  # the process that sent it died before it could say when


def _fill_recorded(ledger: Ledger, event: JournalEntry) -> None:
    body = event.body
    qty, price, fee = Decimal(body["qty"]), Decimal(body["price"]), Decimal(body["fee"])
    sign = Side(body["side"]).sign
    symbol = body["symbol"]
    if symbol in ledger.sleeves:
        ledger.sleeves[symbol] = ledger.sleeves[symbol].fill(SleeveFill(sign * qty, price, fee))
    if body["execution_id"] is not None:
        ledger.executions.add(body["execution_id"])
    totals = ledger.totals
    totals.fills += 1
    totals.fees += fee
    totals.turnover += qty * price
    totals.slippage += sign * qty * (price - Decimal(body["decision_price"]))


def _sleeve_changed(ledger: Ledger, event: JournalEntry) -> None:
    body, symbol = event.body, event.body["symbol"]
    ledger.sleeves[symbol] = sleeve_of(body["sleeve"])
    if "split" in body:
        # The last close is one of the old shares; a price of the new ones keeps the equity what it was.
        ledger.prices[symbol] = ledger.prices.get(symbol, _ZERO) / Decimal(body["split"])
        ledger.external[symbol] = Decimal(body["external_qty"])


def _drift_found(ledger: Ledger, event: JournalEntry) -> None:
    body, symbol = event.body, event.body["symbol"]
    sleeve, price = ledger.sleeves[symbol], Decimal(body["price"])
    ledger.sleeves[symbol] = sleeve.moved_to(Decimal(body["sleeve_qty"]), price)
    ledger.external[symbol] = Decimal(body["external_qty"])
    ledger.drifted_at[symbol] = event.at


def _limit_changed(ledger: Ledger, event: JournalEntry) -> None:
    symbol = event.body["symbol"]
    match event.body["limit"]:
        case "drift":
            ledger.drifted_at.pop(symbol, None)
        case "rejects":
            ledger.tripped_at[symbol] = event.at
        case "halt":
            ledger.halted_at[symbol] = event.at
        case "resume":
            ledger.halted_at.pop(symbol, None)
        case "model_disabled":
            ledger.disabled_models[event.body["sha256"]] = event.body["cause"]
        case "model_enabled":
            ledger.disabled_models.pop(event.body["sha256"], None)


def _state_changed(ledger: Ledger, event: JournalEntry) -> None:
    ledger.holds = folded(ledger.holds, event.body, event.at)


_FOLDS: Final[Mapping[JournalEvent, Callable[[Ledger, JournalEntry], None]]] = {
    JournalEvent.RUN_STARTED: _run_started,
    JournalEvent.RUN_FINISHED: _run_finished,
    JournalEvent.MODEL_LOADED: _model_loaded,
    JournalEvent.BAR_CLOSED: _bar_closed,
    JournalEvent.DECISION_MADE: _decision_made,
    JournalEvent.INTENT_RECORDED: _intent_recorded,
    JournalEvent.ORDER_SENT: _order_sent,
    JournalEvent.ORDER_ACKNOWLEDGED: _order_reported,
    JournalEvent.ORDER_REFUSED: _order_reported,
    JournalEvent.ORDER_UNKNOWN: _order_reported,
    JournalEvent.ORDER_UPDATED: _order_reported,
    JournalEvent.FILL_RECORDED: _fill_recorded,
    JournalEvent.SLEEVE_CHANGED: _sleeve_changed,
    JournalEvent.DRIFT_FOUND: _drift_found,
    JournalEvent.LIMIT_CHANGED: _limit_changed,
    JournalEvent.STATE_CHANGED: _state_changed,
}
