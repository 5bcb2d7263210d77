"""A journal is decided again bit for bit, and whatever differs is found and named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft, JournalEntry
from trader_sdk.live.journal import read_events
from trader_sdk.live.start_store import start_path
from trader_sdk.live.state import find_run

Ask = Callable[..., Any]


@pytest.fixture
def copy(ended_run: tuple[Path, Any], tmp_path: Path) -> Path:
    """Return a copy of an ended run's state folder, to be spoilt."""
    shutil.copytree(ended_run[0], tmp_path / "copy")
    return tmp_path / "copy"


def rewrite(folder: Path, change: Callable[[JournalEntry], dict[str, Any]]) -> None:
    """Write the journal anew with changed bodies, its chain whole: an insider's edit."""
    entries = read_events(folder)
    with sqlite3.connect(folder / "journal.db") as connection:
        tip = entries[0].prev
        for entry in entries:
            body = change(entry)
            made = JournalEntry.link(Draft(entry.event, entry.at, body), seq=entry.seq, prev=tip, run_id=entry.run_id)
            tip = made.sha256
            row = (made.prev, json.dumps(body), made.sha256, entry.seq)
            connection.execute("UPDATE events SET prev=?, body=?, sha256=? WHERE seq=?", row)


def test_replay_is_exact_for_a_run_and_for_one_that_was_killed_and_resumed(
    ended_run: tuple[Path, Any], ask: Ask, minute_archive: Path, start_trader: Any, tmp_path: Path
) -> None:
    """Every decision of eight days, and of minutes with a kill -9 between, comes again with all its bits."""
    said = ask(ended_run[0], "replay").last
    assert (said["exact"], said["decisions"], said["identical"]) == (True, 16, 16)
    process = start_trader("--archive", str(minute_archive), "--max-bars", "14")
    told: Sequence[Any] = [e for e in map(json.loads, _until(process, "bar_finished", 5)) if e["event"] == "ready"]
    process.kill()
    process.wait(30)
    assert told
    state_dir = tmp_path / "state"
    assert ask(state_dir, "run", "--archive", str(minute_archive), "--max-bars", "14").code == 0
    again = ask(state_dir, "replay")
    assert again.code == 0, again.stdout
    assert (again.last["decisions"], again.last["exact"]) == (14, True)
    folder = find_run(state_dir, None)
    starts = [e.body["epoch"] for e in read_events(folder) if e.event is JournalEvent.RUN_STARTED]
    assert starts == [1, 2]


def _until(process: Any, event: str, count: int) -> list[str]:
    lines: list[str] = []
    while count:
        lines.append(process.stdout.readline())
        count -= json.loads(lines[-1])["event"] == event
    return lines


@pytest.mark.parametrize("what", ["volume", "logits", "action"])
def test_replay_names_what_was_changed(copy: Path, ask: Ask, what: str) -> None:
    """A volume, one bit of a logit or an action that was edited, its chain made whole again, is found: exit 4."""
    folder = find_run(copy, None)
    nth = [e.seq for e in read_events(folder) if e.event is JournalEvent.DECISION_MADE][5]

    def change(entry: JournalEntry) -> dict[str, Any]:
        body = dict(entry.body)
        if what == "volume" and entry.event is JournalEvent.BAR_CLOSED and entry.seq < nth:
            body["volume"] = str(float(body["volume"]) * 2)
        elif entry.event is JournalEvent.DECISION_MADE and entry.seq == nth:
            if what == "logits":
                body["logits"] = [float(np.nextafter(np.float32(body["logits"][0]), 9)), *body["logits"][1:]]
            elif what == "action":
                body["action"] = "HOLD" if body["action"] != "HOLD" else "BUY_25%"
        return body

    rewrite(folder, change)
    said = ask(copy, "replay")
    assert said.code == 4
    assert not said.last["exact"]
    found = {row["what"] for row in said.named("differences")[0]["rows"]}
    assert found == ({"observation"} if what == "volume" else {what})


def test_replay_needs_the_bytes_and_the_start_that_the_run_had(copy: Path, ask: Ask, tmp_path: Path) -> None:
    """Without the start's bars exit 8, without the archive exit 5: nothing is replayed from something else."""
    missing = ask(copy, "replay", "--archive", str(tmp_path / "nowhere"))
    assert missing.code == 5
    start_path(find_run(copy, None), 1).write_bytes(b"PK")
    damaged = ask(copy, "replay")
    assert damaged.code == 8
    assert "windows" in damaged.stderr
