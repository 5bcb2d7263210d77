"""Losses and misbehaviour hold trading back, and a restart does not forget it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.action_mix import MIX_PREFIX
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.breakers import ModelTrack, Watermark
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.model import summary_of, write_checkpoint
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import play
from trader_sdk.live.events import Draft, JournalEntry, sleeve_body
from trader_sdk.live.holds import Cause, Hold, lifting
from trader_sdk.live.ledger import Ledger, fold
from trader_sdk.live.memory import watermark_draft
from trader_sdk.portfolio import Sleeve
from trader_sdk.risk import TradingState

AT = datetime(2026, 1, 5, 15, tzinfo=UTC)
DAY = date(2026, 1, 5)
MARK = Watermark(DAY, Decimal(100), Decimal(120), Decimal(100))


def entries(*drafts: Draft) -> list[JournalEntry]:
    """Return drafts as a chain."""
    chain: list[JournalEntry] = []
    for number, draft in enumerate(drafts, start=1):
        prev = chain[-1].sha256 if chain else "sha256:0"
        chain.append(JournalEntry.link(draft, seq=number, prev=prev, run_id="r"))
    return chain


def books(*drafts: Draft) -> Ledger:
    """Return the books of a run with one sleeve of 100."""
    started = Draft(JournalEvent.RUN_STARTED, AT, {"mode": "PAPER-LOCAL", "account_id": "a", "epoch": 1})
    body = {"symbol": "SIM", "cause": "armed", "sleeve": sleeve_body(Sleeve.start(Decimal(100)))}
    return fold(entries(started, Draft(JournalEvent.SLEEVE_CHANGED, AT, body), *drafts))


def model(sha256: str) -> Draft:
    """Return the entry of a model that was loaded."""
    return Draft(JournalEvent.MODEL_LOADED, AT, {"symbol": "SIM", "sha256": sha256})


def decided(action: str) -> Draft:
    """Return the entry of a decision."""
    body = {"symbol": "SIM", "bar": "2026-01-05T14:59:00Z", "action": action, "reason": "HOLD", "logits": [1.0]}
    return Draft(JournalEvent.DECISION_MADE, AT, {**body, "client_order_id": None})


def test_watermark_and_halving_are_found_again() -> None:
    """What drawdown is measured from is in the journal, and so is that orders are halved."""
    memory = books(watermark_draft(MARK, Decimal("0.5"), "drawdown 10.0% of 10%", AT)).memory
    assert (memory.watermark, memory.size_factor) == (MARK, Decimal("0.5"))


def test_resume_after_a_drawdown_measures_from_there() -> None:
    """A person who resumes has seen the loss: without a new base the next bar would halt again."""
    hold = Hold(Cause.DRAWDOWN, TradingState.HALTED, AT)
    lifted = lifting([hold], [hold], AT, who="ops", why="seen")
    halted = books(watermark_draft(MARK, Decimal("0.5"), "", AT), hold.draft())
    resumed = books(watermark_draft(MARK, Decimal("0.5"), "", AT), hold.draft(), *lifted)
    assert halted.state is TradingState.HALTED
    assert (resumed.state, resumed.memory.watermark, resumed.memory.size_factor) == (
        TradingState.ACTIVE,
        None,
        Decimal(1),
    )


def test_track_is_of_one_model_and_starts_anew_with_another() -> None:
    """The same digest after a restart goes on; another one is judged by what it does itself."""
    once = books(model("a"), decided("HOLD"), model("a"), decided("BUY_50%"))
    other = books(model("a"), decided("HOLD"), model("b"), decided("BUY_50%"))
    assert once.memory.tracks["SIM"].actions == {"HOLD": 1, "BUY_50%": 1}
    assert other.memory.tracks["SIM"] == ModelTrack(Decimal(100), DAY, actions={"BUY_50%": 1})


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Return the campaign's archives."""
    return Archives(tmp_path_factory.mktemp("archives"))


def story(**config: Any) -> Scenario:
    """Return a session that loses: it buys, and the price falls to a quarter step by step; then it may buy again."""
    moves = {"SIM": "..DDDDDDU.D"}
    return Scenario(id="LOSS", title="a loss", right="held back", moves=moves, config={"breakers": config})


@pytest.mark.parametrize(
    ("config", "cause", "state"),
    [
        ({"halt_drawdown": "0.0001"}, Cause.DRAWDOWN, TradingState.HALTED),
        ({"day_loss_fraction": "0.0001"}, Cause.DAY_LOSS, TradingState.REDUCING),
        ({"model_loss_fraction": "0.0001"}, Cause.MODEL_LOSS, TradingState.ACTIVE),
        ({"model_turnover_per_day": "0.01"}, Cause.MODEL_TURNOVER, TradingState.ACTIVE),
    ],
    ids=lambda value: str(value),
)
def test_loss_holds_trading_back_and_a_restart_finds_it(
    config: dict[str, str], cause: Cause, state: TradingState, archives: Archives, tmp_path: Path
) -> None:
    """The hold is in the journal with its cause; entries stop, the exit goes through, and the next start sees it."""
    scenario = story(**config).model_copy(update={"stops": (7,)})
    evidence = play(scenario, tmp_path, archives.of(scenario))
    held = [hold for hold in evidence.ledger.holds if hold.cause is cause]
    assert [hold.state for hold in held] == [TradingState.REDUCING if state is TradingState.ACTIVE else state]
    assert evidence.ledger.state is state
    since = held[0].since
    orders = [record.intent for record in evidence.ledger.orders.values()]
    later = [intent.side.value for intent in orders if intent.send_at > since]
    assert later == ["sell"]
    starts = [entry for entry in evidence.entries if entry.event == JournalEvent.RUN_STARTED]
    assert (len(starts), evidence.exit_code) == (2, 0)


def test_drawdown_of_ten_percent_halves_what_opens(archives: Archives, tmp_path: Path) -> None:
    """The bar that closes below the bound halves the next entry."""
    scenario = Scenario(id="HALVE", title="t", right="r", moves={"SIM": "..DDDDD"}, config={})
    halved = scenario.model_copy(update={"config": {"breakers": {"halve_drawdown": "0.00001"}}})
    whole, half = (
        [float(record.intent.qty) for record in play(each, tmp_path / name, archives.of(each)).ledger.orders.values()]
        for name, each in (("whole", scenario), ("half", halved))
    )
    assert half[:2] == whole[:2]
    assert half[2] == pytest.approx(whole[2] / 2, rel=0.02)


MIX = {"mix_decisions": 5, "mix_distance": 0.4}


def archive_with(folder: Path, **mix: float) -> Path:
    """Return an archive whose verdict shows these shares of actions."""
    path = write_checkpoint(folder / "SIM.safetensors", "SIM", Timeframe.MIN_1)
    model = summary_of(path, "SIM", Timeframe.MIN_1)
    model["gate"]["final"]["shown"] |= {f"{MIX_PREFIX}{name}": share for name, share in mix.items()}
    manager = TrainingArchiveManager(folder / "archive", who="test")
    manager.archive_training_run({"schema": 1, "run": {"trainer": "test"}, "models": {"SIM": model}})
    return folder / "archive"


@pytest.mark.parametrize(
    ("mix", "held"),
    [
        ({"HOLD": 0.6, "BUY_50%": 0.2, "SELL_50%": 0.2}, []),
        ({"HOLD": 0.0, "BUY_50%": 0.9, "SELL_50%": 0.1}, [Cause.MODEL_MIX]),
        ({}, []),
    ],
    ids=["as-archived", "another-mix", "not-archived"],
)
def test_model_that_acts_unlike_its_evaluation_only_reduces(
    mix: dict[str, float], held: list[Cause], tmp_path: Path
) -> None:
    """The shares in the archived verdict are the measure; a verdict without them measures nothing."""
    moves = {"SIM": "..D..U..D."}
    scenario = Scenario(id="MIX", title="t", right="r", moves=moves, config={"breakers": MIX})
    evidence = play(scenario, tmp_path / "session", archive_with(tmp_path, **mix))
    assert (evidence.exit_code, [hold.cause for hold in evidence.ledger.holds]) == (0, held)
    assert evidence.ledger.exits_only == ({"SIM"} if held else set())


def test_day_s_loss_is_over_on_the_next_day() -> None:
    """REDUCING for the rest of the day only: the hold's moment says which."""
    since = AT + timedelta(hours=1)
    hold = Hold(Cause.DAY_LOSS, TradingState.REDUCING, since)
    ledger = books(hold.draft())
    assert ledger.state is TradingState.REDUCING
    lifted = books(hold.draft(), *lifting([hold], [hold], since + timedelta(days=1), who="trader", why="another day"))
    assert lifted.state is TradingState.ACTIVE
