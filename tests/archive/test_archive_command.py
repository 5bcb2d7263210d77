"""``trader archive``: what it prints, what it does, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.timeframe import Timeframe

Archive = Callable[..., Any]
KEY = SlotKey("AAPL", Timeframe.DAY_1)


def trader(*arguments: str, archive: Path) -> int:
    argv = ["archive", *arguments, "--archive", str(archive)]
    return run_app(build_app(argv), argv)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_shows_slots_and_runs(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a person a table, for a program one event each."""
    champion, challenger = (archived(seed).assessments[0].version_id for seed in (0, 1))
    assert trader("list", "--json", "0", archive=manager.root) == 0
    assert champion in capsys.readouterr().out
    assert trader("list", archive=manager.root) == 0
    slots, runs = events(capsys)
    assert slots["rows"][0]["champion"] == champion
    assert slots["rows"][0]["challengers"] == [challenger]
    assert [row["approved"] for row in runs["rows"]] == [1, 1]


@pytest.mark.parametrize("name", ["AAPL", "AAPL_1Day/20261121_093100", "20261121_093100"])
def test_show_explains_a_verdict_by_any_of_its_names(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Symbol, verdict, run; numbers and flags with their meaning."""
    archived(gate=None)
    assert trader("show", name, "--json", "0", archive=manager.root) == 0
    out = capsys.readouterr().out
    assert "REVIEW" in out
    assert "INSUFFICIENT_EVIDENCE" in out


def test_promote_revert_and_history(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pointer moves and moves back, and the moves are shown."""
    one, two = (archived(seed).assessments[0].version_id for seed in (0, 1))
    assert trader("promote", "AAPL", two, "--why", "better", "--expected", one, archive=manager.root) == 0
    assert ArchiveReader(manager.root).state.slot(KEY).champion.version_id == two
    assert trader("revert", "AAPL", "--json", "1", archive=manager.root) == 0
    assert ArchiveReader(manager.root).state.slot(KEY).champion.version_id == one
    capsys.readouterr()
    assert trader("history", "AAPL", "--json", "1", archive=manager.root) == 0
    verdicts, champions = events(capsys)
    assert len(verdicts["rows"]) == 2
    assert [row["version"] for row in champions["rows"]] == [one, two, one]


def test_override_and_recall(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both need a reason; both are on the chain."""
    verdict = archived(gate=None).assessments[0]
    until = ("--until", "2126-12-01T00:00:00Z")
    assert trader("override", verdict.id, "--why", "look", *until, archive=manager.root) == 0
    assert ArchiveReader(manager.root).state.slot(KEY).champion.version_id == verdict.version_id
    assert trader("recall", verdict.version_id, "--why", "leak", archive=manager.root) == 0
    assert ArchiveReader(manager.root).state.recall_of(verdict.version_id).why == "leak"
    for wrong in (("--until", "soon"), ("--until", "2126-12-01T00:00:00"), (*until, "--tier", "TOP")):
        assert trader("override", verdict.id, "--why", "look", *wrong, archive=manager.root) == 2
    assert trader("override", verdict.id, *until, archive=manager.root) == 2
    assert "--why" in capsys.readouterr().err


def test_verify_exits_5_when_a_file_was_changed(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault is an exit code, a remark is not."""
    run = archived()
    (manager.root / "20991231_000000").mkdir()
    assert trader("verify", "--json", "0", archive=manager.root) == 0
    assert "never committed" in capsys.readouterr().out
    (run.path / "report.html").write_text("nicer")
    assert trader("verify", "--json", "1", archive=manager.root) == 5
    assert [event["event"] for event in events(capsys)] == ["archive_remark", "archive_fault", "archive_verified"]


def test_rebuild_index_and_refusals(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Derived files come back; what is not there is one typed line and its exit code."""
    archived()
    (manager.root / "index.json").unlink()
    assert trader("rebuild-index", archive=manager.root) == 0
    assert (manager.root / "index.json").exists()
    assert trader("list", archive=tmp_path / "nowhere") == 5
    assert trader("show", "MSFT", archive=manager.root) == 5
    assert trader("history", "MSFT", archive=manager.root) == 5
    assert trader("promote", "AAPL", "nope", archive=manager.root) == 5
    assert capsys.readouterr().err.count("trader: E60") == 4


def test_json_file_holds_the_events(archived: Archive, manager: TrainingArchiveManager, tmp_path: Path) -> None:
    """For a pipeline's artefacts."""
    archived()
    target = tmp_path / "out.json"
    assert trader("list", "--json-file", str(target), archive=manager.root) == 0
    assert [event["event"] for event in json.loads(target.read_text())] == ["slots", "runs"]
