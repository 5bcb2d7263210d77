"""What a session leaves behind, and the venue's side of it folded into orders and positions; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from trader_sdk.live.events import JournalEntry
from trader_sdk.live.ledger import Ledger, fold

_ZERO = Decimal(0)
_OVER: Final = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})


@dataclass(frozen=True, slots=True)
class Submitted:
    """The account at the moment at which the venue booked an order.

    Attributes:
        order_id: Of the booked order.
        at: Venue time, nanoseconds UTC.
        position: Signed units of its symbol.
        cash: Account currency.
        positions: Signed units by symbol.
        working: Signed units of each other open order of its symbol, by order id.
    """

    order_id: str
    at: int
    position: Decimal
    cash: Decimal
    positions: Mapping[str, Decimal]
    working: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class BookedOrder:
    """An order as the venue's log tells of it; ``by_client`` is False for what others or the venue itself placed."""

    order_id: str
    client_order_id: str
    symbol: str
    side: str
    qty: Decimal
    created_at: int
    by_client: bool
    status: str = ""
    filled_qty: Decimal = _ZERO

    @property
    def is_open(self) -> bool:
        """Return whether it may still fill."""
        return self.status not in _OVER

    @property
    def remaining(self) -> Decimal:
        """Return signed units that may still fill."""
        left = self.qty - self.filled_qty if self.is_open else _ZERO
        return left if self.side == "buy" else -left


@dataclass(slots=True)
class VenueFacts:
    """The exchange's log, folded."""

    cash: Decimal = _ZERO
    orders: dict[str, BookedOrder] = field(default_factory=dict)
    positions: dict[str, Decimal] = field(default_factory=dict)
    submissions: list[Submitted] = field(default_factory=list)
    replaced_by: dict[str, str] = field(default_factory=dict)
    refusals: list[Mapping[str, Any]] = field(default_factory=list)

    def apply(self, record: Mapping[str, Any]) -> None:
        """Fold one record in."""
        command = record["command"]
        known, replaced = set(self.orders), [e["order_id"] for e in record["events"] if e["event"] == "replaced"]
        for event in record["events"]:
            if event["event"] == "refused":
                self.refusals.append(event)
            elif event["event"] == "intervened":
                self._intervened(event)
            elif "order_id" in event:
                self._order(command, event)
        new = [order_id for order_id in self.orders if order_id not in known]
        self.replaced_by |= dict(zip(replaced, new, strict=False))

    def filled(self, order_id: str) -> Decimal:
        """Return what was filled of an order and of everything that replaced it."""
        following = self.replaced_by.get(order_id)
        own = self.orders[order_id].filled_qty
        return own if following is None else own + self.filled(following)

    def _order(self, command: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        order_id = event["order_id"]
        if order_id not in self.orders:
            self._booked(command, event)
        fill = event.get("fill")
        if fill is not None:
            self._filled(event, fill)
        seen = replace(self.orders[order_id], status=event["status"], filled_qty=Decimal(event["filled_qty"]))
        self.orders[order_id] = seen

    def _booked(self, command: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        symbol, order_id = event["symbol"], event["order_id"]
        request = command.get("request", {})
        qty = request.get("qty") or command.get("qty") or command.get("amount") or "0"
        by_client = command["type"] in ("submit", "replace")
        working = {o.order_id: o.remaining for o in self.orders.values() if o.symbol == symbol and o.is_open}
        self.submissions.append(
            Submitted(
                order_id,
                event["at"],
                self.positions.get(symbol, _ZERO),
                self.cash,
                dict(self.positions),
                working,
            )
        )
        self.orders[order_id] = BookedOrder(
            order_id, event["client_order_id"], symbol, event["side"], Decimal(qty), event["at"], by_client
        )

    def _filled(self, event: Mapping[str, Any], fill: Mapping[str, Any]) -> None:
        sign = 1 if event["side"] == "buy" else -1
        fee = Decimal(fill["fee"]) if fill["fee_currency"] == "USD" else _ZERO
        self.cash -= sign * Decimal(fill["qty"]) * Decimal(fill["price"]) + fee
        self.positions[event["symbol"]] = Decimal(fill["position_qty"])

    def _intervened(self, event: Mapping[str, Any]) -> None:
        amount = Decimal(event["amount"]) if event["amount"] is not None else _ZERO
        symbol = event["symbol"]
        match event["act"]:
            case "split":
                self.positions[symbol] = self.positions.get(symbol, _ZERO) * amount
            case "cash":
                self.cash += amount
            case "delist":
                self.cash += amount
                self.positions.pop(symbol, None)
            case "rename":
                self.positions[event["into"]] = self.positions.pop(symbol, _ZERO)


@dataclass(frozen=True)
class Evidence:
    """Everything that a session left behind.

    Attributes:
        records: The exchange's log, without its first line.
        entries: The trader's journal.
        exit_code: Of the trader's last run, None where the process was killed.
        told: Name and fields of everything that a person or a program was told, in order.
        struck: What the plan did, as ``GET /_fault`` says.
        timeframe_seconds: Length of a bar.
        sessions: (open, close) of the calendar, nanoseconds UTC.
        initial_cash: Of the account.
        crashes: Errors that no part of the trader foresaw.
        opened: Whether the last run got as far as a session; one that did not has written nothing.
        last_words: How the last run ended where its journal could not be written any more.
    """

    records: Sequence[Mapping[str, Any]]
    entries: Sequence[JournalEntry]
    exit_code: int | None
    told: Sequence[tuple[str, Mapping[str, Any]]]
    struck: Mapping[str, Any]
    timeframe_seconds: int
    sessions: Sequence[tuple[int, int]]
    initial_cash: Decimal = Decimal(100_000)
    crashes: Sequence[str] = ()
    opened: bool = True
    last_words: Mapping[str, Any] | None = None

    @cached_property
    def venue(self) -> VenueFacts:
        """Return the venue's side."""
        facts = VenueFacts(cash=self.initial_cash)
        for record in self.records:
            facts.apply(record)
        return facts

    @cached_property
    def ledger(self) -> Ledger:
        """Return the trader's books."""
        return fold(self.entries)

    @cached_property
    def decision_log(self) -> tuple[tuple[str, str, str, str], ...]:
        """Return symbol, bar, action and price of every decision, in order of bars."""
        bodies = [entry.body for entry in self.entries if entry.event == "decision_made"]
        return tuple(sorted((b["bar"], b["symbol"], b["action"], b["price"]) for b in bodies))
