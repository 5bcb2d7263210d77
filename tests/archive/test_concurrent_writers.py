"""Several processes write one archive while they are killed: no run is lost, doubled or half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import Kind, rebuild_index, verify

WRITER = """
import os, signal, sys
from pathlib import Path
from trader_sdk.archive.manager import TrainingArchiveManager
archive, summary, log, count, dies_at = sys.argv[1:]
calls = 0
def dying(real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(dies_at):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call
manager = TrainingArchiveManager(archive)
for name in ("open", "write", "fsync", "rename", "close", "mkdir", "ftruncate"):
    setattr(os, name, dying(getattr(os, name)))
for _ in range(int(count)):
    run = manager.archive_training_run(Path(summary))
    with open(log, "a") as stream:
        stream.write(run.timestamp + "\\n")
"""
NEVER = 0


def start(root: Path, summary: Path, log: Path, count: int, dies_at: int = NEVER) -> subprocess.Popen[str]:
    """Start a writer; it kills itself with SIGKILL at its ``dies_at``-th system call of writing."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WRITER, *map(str, (root, summary, log, count, dies_at))]
    return subprocess.Popen(command, env=environment)


def reported(log: Path) -> list[str]:
    """Return the runs whose archiving returned to its caller, whole lines only."""
    return [line.rstrip() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def summary_file(samples: Any, folder: Path) -> Path:
    import json

    samples.write_checkpoint(folder / "c.pt")
    path = folder / "summary.json"
    path.write_text(json.dumps(samples.summary_of(samples.model_summary("c.pt"))))
    return path


def test_two_writers_never_lose_each_others_run(samples: Any, tmp_path: Path) -> None:
    """Every run that returned is in the chain, under a name of its own."""
    root, summary = tmp_path / "archive", summary_file(samples, tmp_path)
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    writers = [start(root, summary, log, 6) for log in logs]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    runs = [name for log in logs for name in reported(log)]
    assert sorted(runs) == sorted(ArchiveReader(root).state.runs)
    assert len(set(runs)) == 12
    assert (verify(root).faults, verify(root).remarks) == ((), ())


def test_killed_writers_leave_a_whole_archive(samples: Any, tmp_path: Path) -> None:
    """Kill -9 at seeded system calls: what returned survives, what is visible is whole, and writing goes on."""
    rng = random.Random(20_261_121)
    root, summary = tmp_path / "archive", summary_file(samples, tmp_path)
    manager = TrainingArchiveManager(root)
    manager.archive_training_run(summary)
    logs: list[Path] = []
    for number in range(3):
        pair = [tmp_path / f"{number}-{which}.log" for which in range(2)]
        logs += pair
        writers = [start(root, summary, log, 100, rng.randint(1, 300)) for log in pair]
        assert [writer.wait(timeout=120) for writer in writers] == [-signal.SIGKILL] * 2
        assert verify(root).faults == ()
        assert {name for log in logs if log.exists() for name in reported(log)} <= set(ArchiveReader(root).state.runs)
    assert len(ArchiveReader(root).state.runs) > 3
    run = manager.archive_training_run(summary)
    assert run.timestamp in ArchiveReader(root).state.runs
    rebuild_index(root)
    assert verify(root).faults == ()
    assert {remark.kind for remark in verify(root).remarks} <= {Kind.ORPHAN}
