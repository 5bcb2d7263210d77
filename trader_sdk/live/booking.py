"""From what the venue says of an order to journal entries: pure, so that every source books alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft, fill_body, report_body
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.views import report_of
from trader_sdk.orders import OrderEvent, OrderReport, OrderState, fill_between, merge

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One report about one of our orders.

    Attributes:
        client_order_id: Ours.
        report: What was said.
        at: When, venue time.
        event: How the journal calls it.
        execution_id: The venue's id if the report is one execution.
    """

    client_order_id: str
    report: OrderReport
    at: datetime
    event: JournalEvent = JournalEvent.ORDER_UPDATED
    execution_id: str | None = None


def booking(ledger: Ledger, sightings: Iterable[Sighting]) -> list[Draft]:
    """Return the entries that ``sightings`` add to the books; nothing for what is known already.

    Orders that are not in the books are left to reconciliation.
    """
    drafts: list[Draft] = []
    states: dict[str, OrderState] = {}
    for seen in sightings:
        record = ledger.orders.get(seen.client_order_id)
        if record is None:
            continue
        before = states.get(seen.client_order_id, record.state)
        after = merge(before, seen.report)
        if after == before and seen.event is JournalEvent.ORDER_UPDATED:
            continue
        states[seen.client_order_id] = after
        drafts.append(Draft(seen.event, seen.at, report_body(seen.client_order_id, record.intent.symbol, seen.report)))
        delta = fill_between(before, after)
        if delta is not None:
            known = seen.execution_id in ledger.executions
            execution_id = None if known else seen.execution_id
            body = fill_body(record.intent, delta, fee=_ZERO, execution_id=execution_id)
            drafts.append(Draft(JournalEvent.FILL_RECORDED, seen.at, body))
    return drafts


def order_sighting(view: port.OrderView, at: datetime) -> Sighting:
    """Return a row of an order list as a report."""
    return Sighting(view.client_order_id, report_of(view), view.filled_at or view.updated_at or at)


def update_sighting(update: port.TradeUpdateView) -> Sighting:
    """Return an event of the trade stream as a report; an execution keeps its id."""
    seen = order_sighting(update.order, update.at)
    return replace(seen, execution_id=update.execution_id if update.fill is not None else None)


def execution_sightings(
    ledger: Ledger, fills: Iterable[port.FillView], orders: Sequence[port.OrderView]
) -> list[Sighting]:
    """Return each execution that is not yet booked as a report of its own, in the order it happened.

    The average after each one follows from the executions before it. An order whose executions are not all listed
    yet is left to its cumulative report.
    """
    ours = {view.broker_order_id: view for view in orders if view.client_order_id in ledger.orders}
    sightings: list[Sighting] = []
    for broker_order_id, rows in _by_order(fills).items():
        view = ours.get(broker_order_id)
        if view is not None:
            state = ledger.orders[view.client_order_id].state
            sightings += _chain(view.client_order_id, broker_order_id, state, rows)
    return sightings


def _by_order(fills: Iterable[port.FillView]) -> Mapping[str, list[port.FillView]]:
    rows: dict[str, list[port.FillView]] = {}
    for fill in fills:
        if fill.cumulative_qty is not None:
            rows.setdefault(fill.broker_order_id, []).append(fill)
    return rows


def _chain(
    client_order_id: str, broker_order_id: str, state: OrderState, fills: Sequence[port.FillView]
) -> Iterable[Sighting]:
    qty, paid = state.filled_qty, state.filled_qty * (state.filled_avg_price or _ZERO)
    for fill in sorted(fills, key=lambda fill: fill.cumulative_qty or _ZERO):
        cumulative = fill.cumulative_qty or _ZERO
        if cumulative <= qty:
            continue
        if cumulative != qty + fill.qty:
            return  # an execution before this one is missing
        qty, paid = cumulative, paid + fill.qty * fill.price
        report = OrderReport(OrderEvent.FILLED_PART, qty, paid / qty, broker_order_id)
        yield Sighting(client_order_id, report, fill.at, execution_id=fill.execution_id)


NEVER_SENT: Final = frozenset({port.RefusalKind.RATE_LIMITED, port.RefusalKind.RATE_BUDGET, port.RefusalKind.NOT_SENT})
"""Refusals after which the same order may be sent again while it is fresh: the venue never took it in."""
