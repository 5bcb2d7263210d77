"""Writes the golden archive of a release, with that release: ``python compat/archives.py``.

``archives/<version>/`` holds a small archive in which everything happened once, an export of it, and ``expect.json``.
Every later version must read all three. A folder that exists is never written again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from trader_sdk import TrainingArchiveManager
from trader_sdk.approved import load_approved
from trader_sdk.archive.codec import plain
from trader_sdk.archive.export import export_runs, runs_of_slot
from trader_sdk.archive.governance import Decider, override, promote, recall, revert
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.audit import Who
from trader_sdk.contract.metadata import get_checkpoint_metadata
from trader_sdk.contract.timeframe import Timeframe

ARCHIVES = Path(__file__).parent / "archives"
START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
AT = START + timedelta(days=1)
WHO = "release"
SLOT = SlotKey("AAPL", Timeframe.DAY_1)
GOOD = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
DATA = {"digest": "sha256:" + 64 * "d", "kind": "real", "start": "2000-03-01", "end": "2010-12-31"}


class Clock:
    """Moves one minute at each reading."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        """Return the next minute."""
        self.now += timedelta(minutes=1)
        return self.now


def main() -> int:
    """Write the golden of the installed version, unless it is there."""
    target = ARCHIVES / version("trader-sdk")
    if target.exists():
        sys.stdout.write(f"{target} is there and stays as it is\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), target)
    sys.stdout.write(f"{target} written\n")
    return 0


def write(work: Path, target: Path) -> None:
    """Let everything happen once, and keep what came of it."""
    root, clock = target / "archive", Clock()
    manager = TrainingArchiveManager(root, clock=clock, who=WHO)
    manager.archive_training_run(_first_run(work), base=work)
    second = manager.archive_training_run(_second_run(work), base=work)
    reader = ArchiveReader(root)
    review = next(ref for ref in reader.state.verdicts.values() if ref.gate_class == "REVIEW")
    dropped = next(ref for ref in reader.state.verdicts.values() if ref.slot.symbol == "IBM")

    def decider() -> Decider:
        return Decider(who=WHO, at=clock())

    override(root, review.id, why="a paper test", until=START.replace(year=2126), decider=decider())
    better = second.assessments[0].version_id
    promote(root, SLOT.symbol, SLOT.timeframe.value, better, why="the newer one", decider=decider())
    revert(root, SLOT.symbol, SLOT.timeframe.value, why="the older one after all", decider=decider())
    recall(root, [dropped.version_id], why="its labels leaked", decider=decider())
    for derived in (*root.glob("index.sqlite*"), root / ".lock"):
        derived.unlink(missing_ok=True)
    reader = ArchiveReader(root)
    runs = runs_of_slot(reader, SLOT)
    export_runs(reader, runs, target / "export.zip", who=Who(kind="os", name=WHO), at=clock())
    (target / "expect.json").write_text(json.dumps(expectations(root), indent=1) + "\n", "utf-8")


def expectations(root: Path) -> dict[str, Any]:
    """Return what every later version must find in an archive."""
    reader = ArchiveReader(root)
    state = reader.state
    model = load_approved(root, SLOT.symbol, SLOT.timeframe.value, at=AT)
    return {
        "head": reader.chain.head.sha256,
        "runs": [[run.timestamp, run.approved, run.review, run.dropped, run.who] for run in state.runs.values()],
        "verdicts": {
            ref.id: [ref.gate_class.value, ref.tier.value if ref.tier else None, ref.version_id, ref.digest]
            for ref in state.verdicts.values()
        },
        "slots": {str(key): plain(slot) for key, slot in sorted(state.slots.items())},
        "overrides": {name: plain(one) for name, one in state.overrides.items()},
        "recalls": [[sorted(one.names), one.who, one.why] for one in state.recalls],
        "champion": {"policy_sha256": model.policy_sha256, "file": model.sha256, "decisions": decisions(model)},
    }


def decisions(model: Any) -> list[list[Any]]:
    """Return action and logits on three observations that need no generator."""
    obs = np.arange(3 * model.model_spec.obs_dim, dtype=np.int64).reshape(3, -1)
    found = model.decide((((obs * 2654435761) % 2**32) / 2**31 - 1).astype(np.float32))
    return [[one.action, [round(value, 5) for value in one.logits]] for one in found]


def _first_run(work: Path) -> dict[str, Any]:
    (work / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    return _summary(
        _model(_checkpoint(work, 1), "AAPL"),
        _model(_checkpoint(work, 2), "MSFT", gate=None),
        _model(_checkpoint(work, 3), "IBM", metrics={name: [0.2, 0.2] for name in GOOD}, gate=None),
        _model(work / "torn.pt", "BRK.B"),
    )


def _second_run(work: Path) -> dict[str, Any]:
    best, final = _checkpoint(work, 4), _checkpoint(work, 5)
    course = {name: [value, value] for name, value in GOOD.items()} | {"fitness_score": [1.2, 0.9]}
    checkpoints = [{"update": 40, "path": best.name}, {"update": 80, "path": final.name}]
    gate = {"final": _block(t=2.0), "best": _block()}
    asserted = {"trained_until": "2010-12-31", "who": WHO}
    simulated = {**DATA, "kind": "simulated", "digest": "sha256:" + 64 * "e"}
    return _summary(
        _model(final, "AAPL", metrics=course, checkpoints=checkpoints, gate=gate),
        _model(_checkpoint(work, 6), "BTC/USD", timeframe="1Hour", data=simulated, asserted=asserted),
    )


def _summary(*models: dict[str, Any]) -> dict[str, Any]:
    run = {"trainer": "compat/archives.py", "seed": 7, "finished_at": START.isoformat()}
    return {"schema": 1, "run": run, "models": {str(number): model for number, model in enumerate(models)}}


def _model(checkpoint: Path, symbol: str, **changes: Any) -> dict[str, Any]:
    model = {
        "symbol": symbol, "timeframe": "1Day", "label": "golden", "final": checkpoint.name, "metric_set": "house@1",
        "drawdown_kind": "equity", "metrics": {name: [value, value] for name, value in GOOD.items()},
        "gate": {"final": _block(), "best": None}, "validation_interval": 40, "cost_model": "us_equity@1", "data": DATA,
        "in_sample": {"t": 9.5},
    }  # fmt: skip
    return {**model, **changes}


def _block(**changes: Any) -> dict[str, Any]:
    folds = [
        {"start": f"200{i}-01-01", "end": f"200{i}-12-31", "net_return": 0.03, "sharpe": 0.9, "n_trades": 12}
        for i in range(5)
    ]
    block = {**GOOD, "t": 3.9, "n_bars": 2100, "n_windows": 7, "n_trades": 84, "real_drawdown": 0.05, "folds": folds}
    shown = {"active_windows": 7.0, "net_return": 0.15, "cost_total": 0.02}
    return {**block, "equity": [1.0, 1.02, 1.01, 1.15], "shown": shown, **changes}


def _checkpoint(work: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    tensors = {
        "trunk.0.weight": rng.normal(size=(2, 5300)).astype(np.float32) * 0.01,
        "trunk.0.bias": np.zeros(2, dtype=np.float32),
        "actor_head.weight": rng.normal(size=(3, 2)).astype(np.float32),
        "actor_head.bias": np.zeros(3, dtype=np.float32),
    }
    metadata = {**get_checkpoint_metadata("2.3.0"), "activation": "tanh", "label": f"golden {seed}"}
    metadata["action_meanings"] = {str(index): name for index, name in metadata["action_meanings"].items()}
    path = work / f"{seed}.safetensors"
    path.write_bytes(safetensors_bytes(tensors, metadata))
    return path


if __name__ == "__main__":
    raise SystemExit(main())
