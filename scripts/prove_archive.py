"""Kill writers of one archive, again and again, and check it: `python scripts/prove_archive.py --kills 1000`.

Four processes archive runs into one folder. Each is killed with SIGKILL after a random time and replaced. After every
fifty kills all are stopped and the archive is checked: every run that returned to its caller is committed, every
committed run is whole to the last byte, and nobody lost anybody's.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import rebuild_index, verify

WRITERS, ROUND = 4, 50
LIVES_SECONDS = (0.005, 1.0)


def main() -> int:
    """Kill, check, print a line a round, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)  # noqa: S311 # when somebody dies is no secret
    with tempfile.TemporaryDirectory() as folder:
        root, logs, kills = Path(folder) / "archive", Path(folder) / "logs", 0
        logs.mkdir()
        summary = _summary(Path(folder))
        TrainingArchiveManager(root).archive_training_run(summary)
        while kills < arguments.kills:
            kills += _round(root, summary, logs, rng, min(ROUND, arguments.kills - kills))
            returned, committed, remarks = _check(root, logs)
            print(
                f"{kills} kills: {committed} runs committed and whole, {returned} had returned; {remarks}", flush=True
            )
        rebuild_index(root)
        _check(root, logs)
        TrainingArchiveManager(root).archive_training_run(summary)
        print(f"{kills} kills, nothing lost, nothing half there, and the next writer went on")
    return 0


def _summary(folder: Path) -> dict[str, object]:
    import numpy as np

    from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
    from trader_sdk.contract.metadata import get_checkpoint_metadata

    rng = np.random.default_rng(0)
    tensors = {
        "trunk.0.weight": rng.normal(size=(8, 5300)).astype(np.float32),
        "trunk.0.bias": np.zeros(8, dtype=np.float32),
        "actor_head.weight": rng.normal(size=(3, 8)).astype(np.float32),
        "actor_head.bias": np.zeros(3, dtype=np.float32),
    }
    metadata = {**get_checkpoint_metadata("2.3.0"), "activation": "tanh"}
    metadata["action_meanings"] = {str(key): value for key, value in metadata["action_meanings"].items()}
    checkpoint = folder / "policy.safetensors"
    checkpoint.write_bytes(safetensors_bytes(tensors, metadata))
    metrics = {name: [value] for name, value in _METRICS.items()}
    model = {"symbol": "SIM", "timeframe": "1Min", "final": str(checkpoint), "metrics": metrics}
    return {"schema": 1, "run": {}, "models": {"SIM_1Min": model}}


_METRICS = {"fitness_score": 0.6, "profit_factor": 1.5, "consistency": 0.8, "max_drawdown": 0.05}


def _round(root: Path, summary: dict[str, object], logs: Path, rng: random.Random, kills: int) -> int:
    """Let writers live and die; return the kills. All are dead afterwards."""
    deaths: dict[int, float] = {}
    left = kills
    while left or deaths:
        while left and len(deaths) < WRITERS:
            deaths[_writer(root, summary, logs)] = time.monotonic() + rng.uniform(*LIVES_SECONDS)
            left -= 1
        writer, at = min(deaths.items(), key=lambda item: item[1])
        time.sleep(max(0.0, at - time.monotonic()))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        del deaths[writer]
    return kills


def _writer(root: Path, summary: dict[str, object], logs: Path) -> int:
    """Start a process that archives until it is killed; return its number."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        try:
            with (logs / str(os.getpid())).open("a") as log:
                while True:
                    run = TrainingArchiveManager(root).archive_training_run(summary)
                    log.write(f"{run.timestamp}\n")
                    log.flush()
        finally:
            os._exit(1)
    return number


def _check(root: Path, logs: Path) -> tuple[int, int, str]:
    found, committed = verify(root), set(ArchiveReader(root).state.runs)
    lines = [line for log in logs.iterdir() for line in log.read_text().splitlines(keepends=True)]
    returned = [line.strip() for line in lines if line.endswith("\n")]
    if found.faults or len(set(returned)) < len(returned) or not set(returned) <= committed:
        raise SystemExit(f"LOST: {sorted(set(returned) - committed)} {found.faults}")
    kinds = [remark.kind.value for remark in found.remarks]
    return len(returned), len(committed), ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds))) or "-"


if __name__ == "__main__":
    raise SystemExit(main())
