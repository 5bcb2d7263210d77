"""Many processes race for the next record: one winner a number, and nobody's record is lost.

``TRADER_TEST_WRITERS=64`` races as many as the house promises; the suite races fewer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import verify

WRITERS = int(os.environ.get("TRADER_TEST_WRITERS", "4"))
_WRITER = """
import sys
from datetime import UTC, datetime
from trader_sdk.archive.governance import Decider, recall
from trader_sdk.archive.location import locate
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.store.chain import HeadMovedError
from trader_sdk.contract.audit import AuditKind
number = sys.argv[1]
place = locate("desk")
head, who = ArchiveReader(place).head, place.identity()
print("ready", flush=True)
sys.stdin.readline()
claim = {"names": ["claim"], "why": "the same"}
try:
    place.chain.append(AuditKind.RECALL, claim, who=who, at=datetime.now(UTC), expected=head)
    print("won", flush=True)
except HeadMovedError:
    print("lost", flush=True)
recall("desk", [f"writer-{number}"], why="each once", decider=Decider(timeout_seconds=300))
print("done", flush=True)
"""
_ARCHIVER = """
import sys
from trader_sdk.archive.manager import TrainingArchiveManager
manager = TrainingArchiveManager("desk", lock_timeout_seconds=300)
print("ready", flush=True)
sys.stdin.readline()
print(manager.archive_training_run(sys.argv[1]).timestamp, flush=True)
"""


def race(script: str, arguments: list[str], environment: dict[str, str]) -> list[list[str]]:
    """Start the writers, let them go at once when all are ready, return what each said."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, one],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "OMP_NUM_THREADS": "1"},
        )
        for one in arguments
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=500)[0].splitlines() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * len(writers)
    return said


@pytest.mark.parametrize("kind", ["s3", "s3+postgres"])
def test_one_writer_wins_a_claim_and_no_record_is_lost(kind: str, open_shop: Callable[..., Any]) -> None:
    """All claim the same next number, then each writes a record of its own until it is there."""
    shop = open_shop(kind)
    shop.archive(0)
    said = race(_WRITER, [str(number) for number in range(WRITERS)], dict(os.environ))
    assert sorted(lines[0] for lines in said) == ["lost"] * (WRITERS - 1) + ["won"]
    records = ArchiveReader(shop.name).chain.records
    assert [record.seq for record in records] == list(range(1, WRITERS + 3))
    names = [name for record in records[1:] for name in record.body["names"]]
    assert sorted(names) == sorted(["claim", *(f"writer-{number}" for number in range(WRITERS))])
    assert verify(shop.name).faults == ()


@pytest.mark.parametrize("kind", ["s3", "s3+postgres"])
def test_runs_that_race_are_all_archived_under_names_of_their_own(kind: str, open_shop: Callable[..., Any]) -> None:
    """Lost races are judged again: every trial is counted, every run is whole."""
    import json

    shop = open_shop(kind)
    count = max(3, WRITERS // 8)
    paths = []
    for seed in range(count):
        final = shop.samples.write_checkpoint(shop.folder / f"{seed}.safetensors", seed)
        paths.append(shop.folder / f"summary-{seed}.json")
        paths[-1].write_text(json.dumps(shop.samples.summary_of(shop.samples.model_summary(final))))
    said = race(_ARCHIVER, [str(path) for path in paths], dict(os.environ))
    reader = ArchiveReader(shop.name)
    assert sorted(lines[-1] for lines in said) == sorted(reader.state.runs)
    trials = [reader.judged(ref).verdict.n_trials for ref in reader.state.verdicts.values()]
    assert trials == list(range(1, count + 1))
    assert verify(shop.name).faults == ()
