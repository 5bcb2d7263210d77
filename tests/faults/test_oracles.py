"""Each oracle can fail: evidence with one thing wrong is found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.oracles import judge
from trader_sdk.live.events import Draft, JournalEntry, bar_ns, fill_body, intent_body, report_body, sleeve_body
from trader_sdk.orders import FillDelta, OrderEvent, OrderIntent, OrderReport, OrderType, Side, TimeInForce
from trader_sdk.portfolio import Sleeve

BAR = datetime(2024, 1, 9, 16, 40, tzinfo=UTC)
CLOSED = BAR + timedelta(minutes=1)
KEY = "lt1-main-1-SIM-x-e0-1"


def an_intent(key: str = KEY, **changes: Any) -> OrderIntent:
    fields: dict[str, Any] = {
        "client_order_id": key,
        "symbol": "SIM",
        "bar_at": bar_ns(BAR),
        "leg": "e",
        "attempt": 0,
        "side": Side.BUY,
        "qty": Decimal(10),
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.DAY,
        "limit_price": Decimal(100),
        "decision_price": Decimal(100),
        "send_at": CLOSED,
        "fresh_until": CLOSED + timedelta(seconds=90),
    }
    return OrderIntent(**{**fields, **changes})


def decision(action: str) -> Draft:
    body = {"symbol": "SIM", "bar": "2024-01-09T16:40:00Z", "action": action, "reason": None, "price": "100"}
    return Draft(JournalEvent.DECISION_MADE, CLOSED, {**body, "client_order_id": None, "logits": None})


def journal(*drafts: Draft, exit_code: int = 0) -> list[JournalEntry]:
    started = {"mode": "PAPER-ALPACA", "account_id": "a", "epoch": 1}
    armed = {"symbol": "SIM", "cause": "armed", "sleeve": sleeve_body(Sleeve.start(Decimal(100_000)))}
    whole = [
        Draft(JournalEvent.RUN_STARTED, BAR, started),
        Draft(JournalEvent.SLEEVE_CHANGED, BAR, armed),
        *drafts,
        Draft(JournalEvent.RUN_FINISHED, CLOSED + timedelta(hours=1), {"exit_code": exit_code}),
    ]
    entries: list[JournalEntry] = []
    for number, draft in enumerate(whole, start=1):
        prev = entries[-1].sha256 if entries else "sha256:0"
        entries.append(JournalEntry.link(draft, seq=number, prev=prev, run_id="r"))
    return entries


def ordered(intent: OrderIntent, *, filled: str | None = None) -> list[Draft]:
    committed = OrderReport(OrderEvent.COMMITTED)
    drafts = [
        Draft(
            JournalEvent.INTENT_RECORDED,
            CLOSED,
            {**intent_body(intent), **report_body(intent.client_order_id, "SIM", committed)},
        )
    ]
    event = OrderEvent.FILLED_ALL if filled else OrderEvent.WORKING
    report = OrderReport(event, Decimal(filled or 0), Decimal(100) if filled else None, "v1")
    drafts.append(Draft(JournalEvent.ORDER_UPDATED, CLOSED, report_body(intent.client_order_id, "SIM", report)))
    if filled:
        delta = FillDelta(Decimal(filled), Decimal(100), Decimal(filled))
        body = fill_body(intent, delta, fee=Decimal(0), execution_id="x1")
        drafts.append(Draft(JournalEvent.FILL_RECORDED, CLOSED, body))
    return drafts


def booked(
    key: str = KEY, *, qty: str = "10", at: datetime = CLOSED, filled: str = "0", order_id: str = "v1", **more: Any
) -> Mapping[str, Any]:
    request = {"symbol": "SIM", "side": "buy", "client_order_id": key, "qty": qty}
    event = {"order_id": order_id, "client_order_id": key, "symbol": "SIM", "side": "buy", "at": bar_ns(at)}
    fill = {"qty": filled, "price": "100", "fee": "0", "fee_currency": "USD", "position_qty": filled}
    status = "filled" if filled == qty else "new"
    new = {**event, "event": "new", "status": "new", "filled_qty": "0"}
    done = {**event, "event": "fill", "status": status, "filled_qty": filled, "fill": fill}
    return {
        "seq": 1,
        "at": bar_ns(at),
        "command": {"type": "submit", "request": request},
        "events": [new, done] if filled != "0" else [new],
        **more,
    }


def evidence(records: list[Mapping[str, Any]], entries: list[JournalEntry], exit_code: int | None = 0) -> Evidence:
    return Evidence(records, entries, exit_code, [], {}, 60, [(0, 1)])


def broken(found: Evidence, again: Evidence | None = None) -> set[str]:
    return {name for name, finding in judge(found, again).items() if finding is not None}


def test_nothing_is_found_when_nothing_is_wrong() -> None:
    """An order that was sent, filled and booked."""
    assert broken(evidence([booked(filled="10")], journal(*ordered(an_intent(), filled="10")))) == set()


@pytest.mark.parametrize(
    ("oracle", "records", "entries"),
    [
        ("I1", [booked(filled="10")], journal(*ordered(an_intent()))),
        (
            "I2",
            [booked(filled="10"), booked(f"{KEY}9", filled="10", order_id="v2")],
            journal(*ordered(an_intent(), filled="10"), *ordered(an_intent(f"{KEY}9", attempt=1), filled="10")),
        ),
        ("I3", [booked(qty="400")], journal(*ordered(an_intent(qty=Decimal(400))))),
        ("I4", [booked(at=CLOSED + timedelta(seconds=91))], journal(*ordered(an_intent()))),
        ("I5", [booked(), booked(f"{KEY}9", order_id="v2")], journal(*ordered(an_intent()))),
        ("I5", [], journal(*ordered(an_intent()))),
    ],
    ids=["position", "doubled", "exposure", "stale", "not in the journal", "not at the venue"],
)
def test_oracle_finds_what_it_is_for(
    oracle: str, records: list[Mapping[str, Any]], entries: list[JournalEntry]
) -> None:
    """Evidence with one thing wrong breaks the oracle that is for it."""
    assert oracle in broken(evidence(records, entries))


@pytest.mark.parametrize("exit_code", [3, None])
def test_end_is_found_out_when_the_exit_code_is_another(exit_code: int | None) -> None:
    """I6: what the process returned is what the journal says."""
    assert broken(evidence([], journal(), exit_code)) == {"I6"}


def test_end_is_found_out_when_the_journal_has_none() -> None:
    """I6: a run without an end is no named state."""
    assert broken(evidence([], journal()[:-1])) == {"I6"}


def test_refused_start_needs_an_exit_code_and_no_journal() -> None:
    """I6: a run that got no session has written nothing, and its exit code says why."""
    assert broken(replace(evidence([], [], 6), opened=False)) == set()
    assert broken(replace(evidence([], [], 0), opened=False)) == {"I6"}


def test_decisions_are_found_out_when_they_differ() -> None:
    """I7: two plays of one session decide alike."""
    one, other = evidence([], journal(decision("HOLD"))), evidence([], journal(decision("BUY_50%")))
    assert broken(one, one) == set()
    assert broken(one, other) == {"I7"}


def test_decisions_that_only_one_play_made_are_no_difference_when_faults_struck_elsewhere() -> None:
    """I7 compares like with like: where the plan struck differently, what both plays decided must agree."""
    decided, none = evidence([], journal(decision("HOLD"))), evidence([], journal())
    struck = {"fired": [{"fault": 0, "bar": 1}]}
    assert broken(decided, none) == {"I7"}
    assert broken(decided, replace(none, struck=struck)) == set()
    assert broken(decided, replace(evidence([], journal(decision("BUY_50%"))), struck=struck)) == {"I7"}
