"""The trader inside somebody else's program: callbacks, hook, halt, own loop, and a venue that loses replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.broker.port import OrderRequest, RefusalKind, Refused, Submission, Unknown, UnknownCause
from trader_sdk.contract.errors import BrokerError
from trader_sdk.contract.reasons import Reason
from trader_sdk.data import load_bars
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.orders import OrderIntent, OrderStatus


def statuses(trader: LiveTrader) -> list[OrderStatus]:
    """Return where each order ended."""
    return [record.state.status for record in trader.session.journal.ledger.orders.values()]


def test_callbacks_hear_decisions_orders_and_fills(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """Each kind of event reaches its callback, in the order in which it was committed."""
    heard: list[str] = []

    def listen(trader: LiveTrader) -> None:
        for name in ("decision", "order", "fill"):
            trader.on(name, lambda _event, name=name: heard.append(name))

    trader = day.trade(daily_archive, tmp_path, listen)
    assert heard.count("decision") == trader.status().decisions
    assert heard.count("fill") == trader.status().fills > 0
    assert heard.index("decision") < heard.index("order") < heard.index("fill")


def test_hook_denies_and_shrinks_and_never_enlarges(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """The pre_trade hook may take an order away or make it smaller; a larger answer is ignored."""
    asked: list[Decimal] = []

    def hook(intent: OrderIntent) -> OrderIntent | None:
        asked.append(intent.qty)
        answers = [None, replace(intent, qty=Decimal(1)), replace(intent, qty=intent.qty * 100)]
        return answers[(len(asked) - 1) % 3]

    trader = day.trade(daily_archive, tmp_path, lambda trader: setattr(trader, "pre_trade", hook), timedelta(days=3))
    ledger = trader.session.journal.ledger
    sizes = [record.intent.qty for record in ledger.orders.values()]
    assert ledger.totals.blocked[Reason.HOOK_DENIED] == 1
    assert sizes == [Decimal(1), asked[2]]


def test_halt_stops_entries_and_cancels_what_waits(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """After halt() no entry is opened any more, what was queued is cancelled, and the reason is kept."""

    def halt_at_first_order(trader: LiveTrader) -> None:
        trader.on("order", lambda event: trader.halt() if event["report"] == "acknowledged" else None)

    trader = day.trade(daily_archive, tmp_path, halt_at_first_order, timedelta(days=2, hours=1))
    assert trader.status().state == "HALTED"
    assert statuses(trader) == [OrderStatus.CANCELED]
    assert trader.session.journal.ledger.totals.blocked[Reason.HALTED] > 0


def test_step_decides_on_bars_that_the_caller_brings(day: Any, daily_archive: Path, tmp_path: Path) -> None:
    """In a loop of one's own each bar is handed in, and decided on once."""
    bars = load_bars("vendored", "AAPL", "1Day")
    config = LiveConfig.of(archive=str(daily_archive), symbols=("AAPL",), state_dir=tmp_path, reconcile_seconds=3_600)

    async def own_loop() -> tuple[int, int]:
        async with LiveTrader(config, archive=daily_archive, broker=day.broker, clock=day.clock) as trader:
            newest = int((bars.t < trader.session.clock.now().timestamp() * 1e9).sum()) - 1
            report = await trader.step([bars.at(newest)])
            return len(report.decided), trader.status().decisions

    assert asyncio.run(own_loop()) == (1, 1)


class Losing:
    """A venue whose answers to orders get lost.

    Args:
        submit: The real thing.
        arrives: Whether the first order reaches the venue although its answer does not come back.
    """

    def __init__(self, submit: Callable[[OrderRequest], Submission], *, arrives: bool) -> None:
        self._submit, self._arrives = submit, arrives
        self.requests: list[str] = []

    def __call__(self, request: OrderRequest) -> Submission:
        """Lose the first answer, give the others."""
        self.requests.append(request.client_order_id)
        if len(self.requests) > 1:
            return self._submit(request)
        if self._arrives:
            self._submit(request)
        return Unknown(UnknownCause.TIMEOUT, "no answer")


@pytest.mark.parametrize("arrives", [True, False], ids=["the venue has it", "the venue never saw it"])
def test_order_whose_answer_was_lost_is_found_or_sent_once_more(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    """An unknown outcome is looked up: adopted if it is there, else sent again under the same id; one order at last."""
    losing = Losing(day.broker.submit, arrives=arrives)
    monkeypatch.setattr(day.broker, "submit", losing)
    trader = day.trade(daily_archive, tmp_path)
    first = losing.requests[0]
    assert losing.requests.count(first) == (1 if arrives else 2)
    at_venue = [
        view for view in day.broker.orders_since(day.now() - timedelta(days=9)) if view.client_order_id == first
    ]
    assert len(at_venue) == 1
    assert trader.session.journal.ledger.orders[first].state.filled_qty == at_venue[0].filled_qty > 0


def test_refused_order_is_final_and_not_repeated(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal ends the order with the venue's words; the same bar is not tried again."""
    asked: list[str] = []

    def refuse(request: OrderRequest) -> Submission:
        asked.append(request.client_order_id)
        return Refused(RefusalKind.BUYING_POWER, 403, 40310000, "insufficient buying power")

    monkeypatch.setattr(day.broker, "submit", refuse)
    trader = day.trade(daily_archive, tmp_path)
    assert len(asked) == len(set(asked)) > 0
    assert set(statuses(trader)) == {OrderStatus.REFUSED}
    details = [record.state.detail for record in trader.session.journal.ledger.orders.values()]
    assert all("insufficient buying power" in detail for detail in details)


def test_order_waits_while_the_venue_takes_nothing_in(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 means that nothing was taken: the same order goes out a little later, while it is fresh."""
    submit, asked = day.broker.submit, []

    def busy_at_first(request: OrderRequest) -> Submission:
        asked.append(request.client_order_id)
        if len(asked) <= 3:
            return Refused(RefusalKind.RATE_LIMITED, 429, None, "too many requests.")
        outcome: Submission = submit(request)
        return outcome

    monkeypatch.setattr(day.broker, "submit", busy_at_first)
    trader = day.trade(daily_archive, tmp_path)
    assert asked[0] == asked[3]
    assert statuses(trader)[0] is OrderStatus.FILLED


def test_run_ends_with_6_when_the_keys_are_revoked(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked keys stop the run loudly; positions stay, nothing is retried."""
    monkeypatch.setattr(day.broker, "submit", lambda _: Refused(RefusalKind.AUTH, 403, 40110000, "unauthorized."))
    with pytest.raises(BrokerError) as caught:
        day.trade(daily_archive, tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("E801", 6)


def test_run_survives_a_venue_that_is_silent_for_a_while(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed reads are told and tried again; nothing is concluded from them."""
    orders_since, calls = day.broker.orders_since, []

    def sometimes(after: Any) -> Any:
        calls.append(after)
        if len(calls) in (2, 3):
            raise BrokerError("E802", "no answer", where="GET /orders")
        return orders_since(after)

    monkeypatch.setattr(day.broker, "orders_since", sometimes)
    told: list[str] = []
    trader = day.trade(daily_archive, tmp_path, lambda trader: trader.observe(lambda name, _: told.append(name)))
    assert told.count("broker_trouble") == 2
    assert trader.status().exit_code == 0
    assert trader.status().fills > 0
