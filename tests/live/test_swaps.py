"""A model that takes over in mid-session leaves a journal that tells it, and that decides again bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from trader_sdk.cli.model_texts import MODEL_TEXTS
from trader_sdk.cli.replay import loader_of
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.faults.actor import JOURNAL_FOLDER
from trader_sdk.faults.archive_acts import Act, ArchiveAct
from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import play
from trader_sdk.live.replay import Replay
from trader_sdk.live.shadow_account import shadow_ledger


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Return the campaign's archives."""
    return Archives(tmp_path_factory.mktemp("archives"))


def played(folder: Path, archives: Archives, *acts: ArchiveAct, moves: str = "..D..U.D..") -> Evidence:
    """Return what a session left in which somebody meddled with the archive."""
    scenario = Scenario(id="SWAP", title="t", right="r", moves={"SIM": moves}, archive=acts)
    return play(scenario, folder, archives.of(scenario))


def test_swap_and_revert_are_told_with_both_digests(archives: Archives, tmp_path: Path) -> None:
    """Promoted after one bar and reverted after another: each change names from and to, and decisions follow it."""
    acts = (ArchiveAct(act=Act.PROMOTE, after=3), ArchiveAct(act=Act.REVERT, after=6))
    evidence = played(tmp_path, archives, *acts)
    swaps = [entry.body for entry in evidence.entries if entry.event is JournalEvent.MODEL_SWAPPED]
    assert [(swap["from_sha256"], swap["to_sha256"]) for swap in swaps[1:]] == [
        (swaps[0]["to_sha256"], swaps[0]["from_sha256"])
    ]
    assert all(swap["compared"] > 0 for swap in swaps)
    decisions = [entry.body for entry in evidence.entries if entry.event is JournalEvent.DECISION_MADE]
    old, new = swaps[0]["from_sha256"], swaps[0]["to_sha256"]
    assert [body["model_sha256"] for body in decisions][:8] == [old] * 4 + [new] * 3 + [old]
    assert all(body["logits"] is not None for body in decisions)
    assert (evidence.exit_code, evidence.ledger.state.value) == (0, "ACTIVE")
    lines = [MODEL_TEXTS[name](fields) for name, fields in evidence.told if name in MODEL_TEXTS]
    assert [str(line).startswith("MODEL SIM ") for line in lines if line is not None and "->" in line] == [True, True]
    (folder,) = (tmp_path / JOURNAL_FOLDER).glob("*/journal.db")
    again = Replay(folder.parent, loader_of(str(tmp_path / "archive"), None, None)).run(evidence.entries)
    assert (again.is_exact, again.identical) == (True, len(decisions))


def test_shadows_of_a_slot_have_ledgers_of_their_own(archives: Archives, tmp_path: Path) -> None:
    """Champion and challenger have an entry a bar from when the challenger came; the opposite model earns otherwise."""
    evidence = played(tmp_path, archives, ArchiveAct(act=Act.ARCHIVE, after=0), moves="..D..U.D..U..")
    bodies = [entry.body for entry in evidence.entries if entry.event is JournalEvent.SHADOW_DECIDED]
    by_role = {role: [body for body in bodies if body["role"] == role] for role in ("champion", "challenger")}
    assert [len(rows) for rows in by_role.values()] == [evidence.ledger.totals.bars] * 2
    one, other = (shadow_ledger(rows) for rows in by_role.values())
    assert one.has_exposure
    assert other.has_exposure
    assert one.weight.tolist() != other.weight.tolist()
    assert {body["model_sha256"] for body in by_role["challenger"]}.isdisjoint(
        {record["model_sha256"] for record in (e.body for e in evidence.entries if e.event == "decision_made")}
    )


def test_no_shadow_is_asked_for_when_none_is_wanted(archives: Archives, tmp_path: Path) -> None:
    """`--shadow none` leaves challengers alone."""
    scenario = Scenario(
        id="NONE",
        title="t",
        right="r",
        moves={"SIM": "..D.."},
        archive=(ArchiveAct(act=Act.ARCHIVE),),
        config={"shadow": "none"},
    )
    evidence = play(scenario, tmp_path, archives.of(scenario))
    assert [entry for entry in evidence.entries if entry.event is JournalEvent.SHADOW_DECIDED] == []
    assert evidence.ledger.totals.decisions > 0
