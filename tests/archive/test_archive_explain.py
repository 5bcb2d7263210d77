"""The page for a partner: what, why, evidence, risks, and the way back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from trader_sdk.archive.explain import decisions, risks, slot_memo
from trader_sdk.archive.governance import Decider, override, promote
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.timeframe import Timeframe

Archive = Callable[..., Any]
Samples = Any
KEY = SlotKey("AAPL", Timeframe.DAY_1)


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    # The fixtures archive by the library, whose log goes to standard output unless a command says otherwise.
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_memo_is_one_page_with_what_why_evidence_risks_and_the_way_back(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str], samples: Samples
) -> None:
    """80 columns, at most 60 lines, every fact also for a program."""
    one = archived(0).assessments[0]
    shown = {"active_windows": 7.0, "net_return": 0.05, "cost_total": 0.02}
    two = archived(1, gate={"final": samples.gate_block(shown=shown), "best": None}).assessments[0]
    arguments = ("archive", "promote", "AAPL", two.version_id, "--why", "twice the trades", "--explain")
    capsys.readouterr()
    assert trader(*arguments, "--archive", manager.root, "--json", 0) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert len(page.splitlines()) <= 60
    for words in ("twice the trades", one.version_id, two.version_id, "trader archive revert AAPL", "Fitness 1.270",
                  "needed 3.00", "about 3.00 %", "days old"):  # fmt: skip
        assert words in " ".join(page.split()), words
    assert trader("archive", "history", "AAPL", "--explain", "--archive", manager.root) == 0
    (event,) = events(capsys)
    assert event["version_id"] == two.version_id
    assert event["previous"]["version_id"] == one.version_id
    assert [move["kind"] for move in event["decisions"]] == ["promote"]
    assert set(event["sections"]) == {"What", "Why", "Evidence", "Risks", "Bound to", "Undo"}


def test_memo_names_every_risk_that_applies(
    archived: Archive, manager: TrainingArchiveManager, samples: Samples
) -> None:
    """A simulated market, an override and its end, somebody's word, few good stretches: each its own line."""
    data = {**samples.data, "kind": "simulated"}
    folds = [
        {**fold, "sharpe": sharpe}
        for fold, sharpe in zip(samples.gate_block()["folds"], (1, 1, -1, -1, -1), strict=True)
    ]
    gate = {"final": samples.gate_block(t=2.0, folds=folds), "best": None}
    asserted = {"trained_until": "2010-12-31", "who": "the vendor"}
    verdict = archived(0, data=data, gate=gate, asserted=asserted).assessments[0]
    override(manager.root, verdict.id, why="look", until=samples.start.replace(year=2126), decider=Decider(who="bob"))
    reader = ArchiveReader(manager.root)
    judged = reader.judged(reader.state.verdicts[verdict.id])
    found = " ".join(risks(judged, reader.state.overrides[verdict.id], samples.start))
    for words in ("simulated", "the vendor's word", "bob's override", "about once in 44", "too few stretches"):
        assert words in found
    late = " ".join(risks(judged, reader.state.overrides[verdict.id], datetime(2127, 1, 1, tzinfo=UTC)))
    assert "may not trade any more" in late
    memo = slot_memo(reader, KEY, samples.start)
    assert "The gate itself said REVIEW" in memo.text
    assert [move.kind for move in decisions(reader, KEY)] == ["override, first champion"]


def test_nobody_is_explained_where_nobody_holds_the_slot(archived: Archive, manager: TrainingArchiveManager) -> None:
    """E601, not an empty page."""
    archived(gate=None)
    with pytest.raises(ArchiveError) as caught:
        slot_memo(ArchiveReader(manager.root), KEY, datetime.now(UTC))
    assert caught.value.code == "E601"


def test_page_of_a_memo_is_text_whatever_a_reason_holds(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A reason of many lines, of other scripts and of brackets is wrapped, never formatted."""
    _, two = (archived(seed).assessments[0].version_id for seed in (0, 1))
    why = "line one\nline two [bold]x[/bold] " + "шире " * 40
    promote(manager.root, "AAPL", "1Day", two, why=why)
    text = slot_memo(ArchiveReader(manager.root), KEY, datetime.now(UTC)).text
    assert "[bold]x[/bold]" in text
    assert max(len(line) for line in io.StringIO(text)) <= 81
