"""Who holds a slot: the first approved, then whoever a person points at; every move is on the chain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.governance import Decider, override, promote, recall, revert
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey, fold
from trader_sdk.contract.audit import AuditKind
from trader_sdk.contract.errors import ArchiveError, CompatibilityError, LifecycleError, UsageError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.contract.verdicts import DeploymentTier, GateClass

Archive = Callable[..., Any]
KEY = SlotKey("AAPL", Timeframe.DAY_1)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
BOB = Decider(who="bob", at=NOW)


def slot_of(root: Path, key: SlotKey = KEY) -> Any:
    return ArchiveReader(root).state.slot(key)


def version(run: Any) -> str:
    return str(run.assessments[0].version_id)


def test_first_approved_becomes_champion_and_later_ones_challengers(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """Nothing trains its way over the champion."""
    archived(0, gate=None)
    assert slot_of(manager.root).champion is None
    runs = [archived(seed) for seed in (1, 2, 3)]
    slot = slot_of(manager.root)
    assert slot.champion.version_id == version(runs[0])
    assert slot.champion.policy_sha256 == runs[0].assessments[0].policy_sha256
    assert [challenger.version_id for challenger in slot.challengers] == [version(run) for run in runs[1:]]
    assert slot_of(manager.root, SlotKey("AAPL", Timeframe.HOUR_1)).champion is None


def test_the_same_model_judged_again_is_no_challenger_of_itself(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """The same content gives the same id."""
    assert version(archived(0)) == version(archived(0))
    assert slot_of(manager.root).challengers == ()


def test_promote_moves_the_pointer_and_revert_moves_it_back(archived: Archive, manager: TrainingArchiveManager) -> None:
    """One command each way; history keeps every move, the chain who and why."""
    one, two = (version(archived(seed)) for seed in (0, 1))
    slot = promote(manager.root, "AAPL", "1Day", two, why="better", decider=BOB)
    assert (slot.champion.version_id, slot.previous.version_id, slot.challengers) == (two, one, ())
    slot = revert(manager.root, "AAPL", "1Day", why="worse", decider=BOB)
    assert (slot.champion.version_id, slot.previous.version_id) == (one, two)
    slot = revert(manager.root, "AAPL", "1Day", decider=BOB)
    assert slot.champion.version_id == two
    assert [champion.version_id for champion in slot.history] == [one, two, one, two]
    record = ArchiveReader(manager.root).chain.records[2]
    assert (record.kind, record.who.name, record.body["why"]) == (AuditKind.PROMOTE, "bob", "better")
    assert record.at == NOW


def test_promote_is_refused_when_the_champion_changed_meanwhile(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """Compare and swap: it raised and nothing changed."""
    one, two, three = (version(archived(seed)) for seed in (0, 1, 2))
    promote(manager.root, "AAPL", "1Day", two, expected=one, decider=BOB)
    before = (manager.root / "audit.jsonl").read_bytes()
    with pytest.raises(LifecycleError) as caught:
        promote(manager.root, "AAPL", "1Day", three, expected=one, decider=BOB)
    assert (caught.value.code, caught.value.found) == ("E701", two)
    with pytest.raises(LifecycleError):
        revert(manager.root, "AAPL", "1Day", expected=one, decider=BOB)
    assert (manager.root / "audit.jsonl").read_bytes() == before


def test_promote_is_refused_when_the_version_is_not_deployable(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """Unknown, of another slot, REVIEW, DROP, or champion already."""
    champion = version(archived(0))
    review = version(archived(1, gate=None))
    elsewhere = version(archived(2, timeframe="1Hour"))
    before = (manager.root / "audit.jsonl").read_bytes()
    for wrong in ("nope-20261121-00000000", review, elsewhere):
        with pytest.raises(ArchiveError) as caught:
            promote(manager.root, "AAPL", "1Day", wrong, decider=BOB)
        assert caught.value.code == "E601"
    with pytest.raises(LifecycleError, match="champion already"):
        promote(manager.root, "AAPL", "1Day", champion, decider=BOB)
    with pytest.raises(LifecycleError, match="no previous"):
        revert(manager.root, "AAPL", "1Day", decider=BOB)
    with pytest.raises(UsageError):
        promote(manager.root, "AAPL", "2Day", champion, decider=BOB)
    assert (manager.root / "audit.jsonl").read_bytes() == before


def test_override_makes_a_review_model_champion_of_an_empty_slot(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """With a ceiling, an end, who and why; in a held slot it becomes a challenger."""
    run = archived(0, gate=None)
    written = override(
        manager.root,
        run.assessments[0].id,
        why="demo",
        until=NOW + timedelta(hours=24),
        modes=[TradingMode.PAPER_LOCAL],
        decider=Decider(who="demo", at=NOW),
    )
    assert (written.class_from, written.class_to, written.who) == (GateClass.REVIEW, GateClass.APPROVED, "demo")
    assert (written.tier_ceiling, written.modes) == (DeploymentTier.PAPER, (TradingMode.PAPER_LOCAL,))
    assert slot_of(manager.root).champion.version_id == version(run)
    other = archived(1, gate=None)
    override(manager.root, other.assessments[0].id, why="look", until=NOW + timedelta(days=1), decider=BOB)
    assert [challenger.version_id for challenger in slot_of(manager.root).challengers] == [version(other)]
    assert promote(manager.root, "AAPL", "1Day", version(other), decider=BOB).champion.version_id == version(other)


def test_override_is_refused_without_reason_end_or_review_verdict(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """It raised and nothing changed."""
    approved = archived(0).assessments[0].id
    review = archived(1, gate=None).assessments[0].id
    dropped = archived(2, gate=None, metrics={key: [0.2] for key in _METRICS}).assessments[0].id
    before = (manager.root / "audit.jsonl").read_bytes()
    late, early = NOW + timedelta(days=1), NOW - timedelta(days=1)
    for verdict, why, until, error in (
        (approved, "w", late, ArchiveError),
        (dropped, "w", late, ArchiveError),
        ("AAPL_1Day/20991231_000000", "w", late, ArchiveError),
        (review, " ", late, UsageError),
        (review, "w", early, ArchiveError),
        (review, "w", NOW, ArchiveError),
    ):
        with pytest.raises(error):
            override(manager.root, verdict, why=why, until=until, decider=BOB)
    assert (manager.root / "audit.jsonl").read_bytes() == before


_METRICS = ("fitness_score", "profit_factor", "consistency", "max_drawdown")


def test_recalled_version_cannot_be_promoted(archived: Archive, manager: TrainingArchiveManager) -> None:
    """By version or by the policy's digest."""
    archived(0)
    for seed, name in ((1, "version_id"), (2, "policy_sha256")):
        verdict = archived(seed).assessments[0]
        recall(manager.root, [getattr(verdict, name)], why="leaked labels", decider=BOB)
        with pytest.raises(CompatibilityError, match="recalled by bob: leaked labels"):
            promote(manager.root, "AAPL", "1Day", verdict.version_id, decider=BOB)
    for names, why in (([], "w"), (["x"], "")):
        with pytest.raises(UsageError):
            recall(manager.root, names, why=why, decider=BOB)


def test_state_is_a_fold_of_the_chain(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Any prefix of the chain is a state in which a slot that ever had a champion still has one."""
    one, two = (version(archived(seed)) for seed in (0, 1))
    promote(manager.root, "AAPL", "1Day", two, decider=BOB)
    revert(manager.root, "AAPL", "1Day", decider=BOB)
    records = ArchiveReader(manager.root).chain.records
    champions = [fold(records[:length]).slot(KEY).champion for length in range(len(records) + 1)]
    assert [champion and champion.version_id for champion in champions] == [None, one, one, two, one]
    assert fold(records) == fold(records)
