"""Orders that are durable and not yet sent when somebody, or something, holds trading back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.broker.port import OrderRequest, Submission, Unknown, UnknownCause
from trader_sdk.contract.reasons import Reason
from trader_sdk.live import LiveTrader
from trader_sdk.live.holds import Cause
from trader_sdk.orders import OrderStatus


def loses(trader: LiveTrader) -> None:
    """Hold the account back as a drawdown does."""
    trader.session.states.hold(Cause.DRAWDOWN, "15 %", trader.session.clock.now())


def after(event: str, act: Callable[[LiveTrader], None]) -> Callable[[LiveTrader], None]:
    """Return what lets ``act`` happen to a trader as soon as it is told of ``event``."""

    def prepare(trader: LiveTrader) -> None:
        trader.observe(lambda name, _: act(trader) if name == event else None)

    return prepare


@pytest.mark.parametrize(
    ("act", "why"),
    [(LiveTrader.halt, "cancelled before"), (loses, "HALTED")],
    ids=["a person", "a loss"],
)
def test_order_that_waits_for_its_moment_is_not_sent_once_the_account_is_halted(
    day: Any,
    daily_archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[LiveTrader], None],
    why: str,
) -> None:
    """Halted between the decision after the close and the evening in which auctions begin: nothing leaves."""
    asked: list[OrderRequest] = []
    monkeypatch.setattr(day.broker, "submit", asked.append)
    trader = day.trade(daily_archive, tmp_path, after("intent_recorded", act))
    buried = [record.state for record in trader.session.journal.ledger.orders.values()]
    assert asked == []
    assert trader.status().state == "HALTED"
    assert [(state.status, state.detail) for state in buried] == [(OrderStatus.ABANDONED, f"not sent: {why}")]


def test_order_whose_answer_was_lost_is_not_sent_again_once_the_account_is_halted(
    day: Any, daily_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The venue never had it, and meanwhile nothing may be opened any more: it is buried, not sent once more."""
    asked: list[str] = []

    def lose(request: OrderRequest) -> Submission:
        asked.append(request.client_order_id)
        return Unknown(UnknownCause.TIMEOUT, "no answer")

    monkeypatch.setattr(day.broker, "submit", lose)
    trader = day.trade(daily_archive, tmp_path, after("order_unknown", loses))
    states = [record.state.status for record in trader.session.journal.ledger.orders.values()]
    assert (len(asked), states) == (1, [OrderStatus.ABANDONED])


@pytest.mark.parametrize(("part", "sizes"), [(0, []), (Decimal(1) / 3, [Decimal(2)])], ids=["none", "a third"])
def test_hook_that_shrinks_makes_an_order_that_the_venue_takes_or_none(
    day: Any, daily_archive: Path, tmp_path: Path, part: Decimal, sizes: list[Decimal]
) -> None:
    """An auction takes whole shares: a third of eight is two, and what is durable is what is sent."""

    def with_hook(trader: LiveTrader) -> None:
        trader.pre_trade = lambda intent: replace(intent, qty=intent.qty * part)

    trader = day.trade(daily_archive, tmp_path, with_hook)
    ledger = trader.session.journal.ledger
    assert [(r.intent.qty, r.state.status) for r in ledger.orders.values()] == [(q, OrderStatus.FILLED) for q in sizes]
    assert ledger.totals.blocked[Reason.HOOK_DENIED] == 1 - len(sizes)
    assert ledger.holds == []
