"""Names that people type: aliases, near misses, second persons, pipes and terminals."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.governance import Decider, override
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.pointers import aliased, is_deployable
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import ArchiveError, UsageError
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


def test_aliases_name_models_everywhere(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Show, promote, export, recall, inspect and load: by place, not by version."""
    one, two = (archived(seed).assessments[0] for seed in (0, 1))
    root = manager.root
    assert trader("archive", "show", "models:/AAPL/1Day@challenger", "--archive", root) == 0
    assert events(capsys)[0]["verdict"]["version_id"] == two.version_id
    assert trader("archive", "promote", "models:/AAPL/1Day@challenger", "--why", "by place", "--archive", root) == 0
    assert ArchiveReader(root).state.slot(KEY).champion.version_id == two.version_id
    assert trader("archive", "promote", "AAPL", "models:/AAPL/1Day@latest-approved", "--archive", root) == 5
    assert "champion already" in capsys.readouterr().err
    assert load_approved(root, "models:/AAPL/1Day@champion").approval.version_id == two.version_id
    assert trader("archive", "recall", "models:/AAPL/1Day@champion", "--why", "leak", "--archive", root) == 0
    assert events(capsys)[0]["names"] == [two.version_id]
    state = ArchiveReader(root).state
    assert aliased(state, "models:/AAPL/1Day@latest-approved").version_id == one.version_id


@pytest.mark.parametrize(
    ("alias", "code"),
    [
        ("models:/AAPL/1Day@winner", 2),
        ("models:/AAPL/2Day@champion", 2),
        ("models:AAPL", 2),
        ("models:/AAPL@champion", 2),
        ("models:/AAPL/1Day@challenger", 5),
        ("models:/MSFT/1Day@champion", 5),
    ],
)
def test_alias_that_names_nothing_is_refused(
    archived: Archive, manager: TrainingArchiveManager, alias: str, code: int
) -> None:
    """Malformed is usage, empty is the archive's answer."""
    archived()
    assert trader("archive", "show", alias, "--archive", manager.root) == code
    with pytest.raises((ArchiveError, UsageError)):
        load_approved(manager.root, alias)


def test_latest_approved_passes_over_what_was_recalled_or_has_expired(
    archived: Archive, manager: TrainingArchiveManager, samples: Samples
) -> None:
    """Approved or lifted, in force, not recalled."""
    archived(0)
    review = archived(1, gate=None).assessments[0]
    end = samples.start + timedelta(days=1)
    override(manager.root, review.id, why="look", until=end, decider=Decider(at=samples.start))
    state = ArchiveReader(manager.root).state
    ref = state.verdicts[review.id]
    assert is_deployable(state, ref, samples.start)
    assert not is_deployable(state, ref, end)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("show", "AAPLE"), "Did you mean AAPL?"),
        (("history", "aapl"), "Did you mean AAPL?"),
        (("promote", "APPL", "x"), "Did you mean AAPL?"),
        (("promote", "AAPL", "x", "--timeframe", "1Min"), "Use --timeframe 1Day."),
        (("revert", "AAP"), "Did you mean AAPL?"),
        (("override", "AAPL_1Day/20261121_093000", "--why", "x", "--until", "2126-01-01T00:00:00Z"), "20261121_093100"),
        (("recall", "AAPL", "--why", "x"), "--allow-unknown 1"),
        (("export", "AAPK", "--out", "x"), "Did you mean AAPL?"),
    ],
)
def test_typing_errors_are_answered_with_what_comes_near(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str], command: Any, hint: str
) -> None:
    """Exit 5, nothing changed, and the name that was probably meant."""
    archived(gate=None) if command[0] == "override" else archived()
    before = (manager.root / "audit.jsonl").read_bytes()
    assert trader("archive", *command, "--archive", manager.root) == 5
    assert hint in capsys.readouterr().err
    assert (manager.root / "audit.jsonl").read_bytes() == before


def test_version_with_a_typing_error_is_answered_with_the_version(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """The slot's own versions are what can be meant."""
    version = archived().assessments[0].version_id
    assert trader("archive", "promote", "AAPL", version[:-1] + "x", "--archive", manager.root) == 5
    assert f"Did you mean {version}?" in capsys.readouterr().err


def test_recall_takes_any_name_of_a_model_and_what_is_not_here_when_meant(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """Version, policy digest, file digest; a digest from elsewhere only with the flag."""
    verdict = archived().assessments[0]
    names = (
        verdict.version_id,
        verdict.policy_sha256,
        verdict.subjects[0].sha256,
        f"sha256:{verdict.subjects[1].sha256}",
    )
    for name in names:
        assert trader("archive", "recall", name, "--why", "x", "--archive", manager.root) == 0
    elsewhere = "sha256:" + 64 * "e"
    assert trader("archive", "recall", elsewhere, "--why", "x", "--archive", manager.root) == 5
    assert trader("archive", "recall", elsewhere, "--why", "x", "--archive", manager.root, "--allow-unknown", 1) == 0
    assert len(ArchiveReader(manager.root).state.recalls) == 5


def test_second_person_is_a_flag_of_both_decisions(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first runs are ann's and who types is another; a run of one's own needs a colleague."""
    _, two = (archived(seed).assessments[0].version_id for seed in (0, 1))
    assert trader("archive", "promote", "AAPL", two, "--second-person", 1, "--archive", manager.root) == 0
    mine = TrainingArchiveManager(manager.root, who=None)
    mine.archive_training_run(
        json.loads((manager.root / max(ArchiveReader(manager.root).state.runs) / "summary.json").read_text())
    )
    version = ArchiveReader(manager.root).state.newest_first(KEY).__next__().version_id
    assert trader("archive", "promote", "AAPL", version, "--second-person", 1, "--archive", manager.root) == 5
    assert "second person" in capsys.readouterr().err


def test_tables_on_a_terminal_and_json_in_a_pipe(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The real command, once on a pseudo-terminal of 80 columns and once in a pipe."""
    archived()
    command = [sys.executable, "-m", "trader_sdk.cli", "archive", "list", "--archive", str(manager.root)]
    environment = {**os.environ, "COLUMNS": "80", "TERM": "dumb"}
    piped = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=60)
    assert [json.loads(line)["event"] for line in piped.stdout.splitlines()] == ["slots", "runs"]
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "wb") as screen:
        subprocess.run(command, stdout=screen, env=environment, check=True, timeout=60)
    shown = os.read(controller, 65536).decode()
    os.close(controller)
    lines = shown.replace("\r\n", "\n").splitlines()
    assert lines[0] == "Slots"
    assert max(map(len, lines)) <= 80
    assert "spec-default-20261121-" in shown


def test_archive_of_many_runs_shows_the_newest(
    archived: Archive, manager: TrainingArchiveManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """A screen of runs unless all are asked for."""
    for seed in range(3):
        archived(seed)
    assert trader("archive", "list", "--runs", 2, "--archive", manager.root) == 0
    runs = [row["timestamp"] for row in events(capsys)[1]["rows"]]
    assert runs == list(ArchiveReader(manager.root).state.runs)[1:]
    assert trader("archive", "list", "--runs", 0, "--archive", manager.root) == 0
    assert len(events(capsys)[1]["rows"]) == 3


def test_reader_that_goes_away_changes_neither_what_was_done_nor_the_verdict(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """``verify | head`` still exits 5 on a fault, and a promotion whose output nobody reads is made."""
    _, two = (archived(seed).assessments[0] for seed in (0, 1))
    (manager.root / max(ArchiveReader(manager.root).state.runs) / "report.html").write_text("nicer")
    for command, code in (("verify", 5), (f"promote AAPL {two.version_id}", 0)):
        reading, writing = os.pipe()
        os.close(reading)
        words = [sys.executable, "-m", "trader_sdk.cli", "archive", *command.split(), "--archive", str(manager.root)]
        done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
        os.close(writing)
        assert (done.returncode, done.stderr) == (code, b"")
    assert ArchiveReader(manager.root).state.slot(KEY).champion.version_id == two.version_id
