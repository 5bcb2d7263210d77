"""Tiny real checkpoints, summaries that the gate approves, and an archive with a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.metadata import get_checkpoint_metadata

START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
DATA = {"digest": "sha256:" + 64 * "d", "kind": "real", "start": "2000-03-01", "end": "2010-12-31"}
GOOD = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
FOLDS = [
    {"start": f"200{i}-01-01", "end": f"200{i}-12-31", "net_return": 0.03, "sharpe": 0.9, "n_trades": 12}
    for i in range(5)
]


class Samples:
    """Builders of what a trainer hands over; tests change what they are about."""

    data = DATA
    good = GOOD
    start = START

    @staticmethod
    def gate_block(**changes: Any) -> dict[str, Any]:
        """Return a GATE block that clears every bar and floor."""
        block = {
            **GOOD,
            "t": 3.4,
            "n_bars": 2100,
            "n_windows": 7,
            "n_trades": 84,
            "real_drawdown": 0.05,
            "folds": FOLDS,
        }
        return {**block, "shown": {"active_windows": 7.0}, **changes}

    @staticmethod
    def write_checkpoint(path: Path, seed: int = 0, **fields: Any) -> Path:
        """Write a checkpoint of 2.3.0 with eight hidden units, as its own bytes for each seed."""
        rng = np.random.default_rng(seed)
        tensors = {
            "trunk.0.weight": rng.normal(size=(8, 5300)).astype(np.float32) * 0.01,
            "trunk.0.bias": np.zeros(8, dtype=np.float32),
            "actor_head.weight": rng.normal(size=(3, 8)).astype(np.float32),
            "actor_head.bias": np.zeros(3, dtype=np.float32),
            "critic_head.weight": rng.normal(size=(1, 8)).astype(np.float32),
            "critic_head.bias": np.zeros(1, dtype=np.float32),
        }
        metadata = {**get_checkpoint_metadata("2.3.0"), "activation": "tanh", **fields}
        metadata["action_meanings"] = {str(k): v for k, v in metadata["action_meanings"].items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(safetensors_bytes(tensors, metadata))
        return path

    @classmethod
    def model_summary(cls, checkpoint: Path | str, /, **changes: Any) -> dict[str, Any]:
        """Return one model of a summary that is APPROVED by the house's gate."""
        model: dict[str, Any] = {
            "symbol": "AAPL",
            "timeframe": "1Day",
            "label": "spec-default",
            "checkpoints": [{"update": 80, "path": str(checkpoint)}],
            "final": str(checkpoint),
            "metric_set": "house@1",
            "drawdown_kind": "equity",
            "metrics": {
                "fitness_score": [0.61, 0.66],
                "profit_factor": [1.5, 1.9],
                "consistency": [0.8, 0.9],
                "max_drawdown": [0.05, 0.04],
            },
            "gate": {"final": cls.gate_block(), "best": None},
            "validation_interval": 40,
            "reward_scale": 0.001,
            "cost_model": "us_equity@1",
            "data": DATA,
            "invariants": "passed",
        }
        return {**model, **changes}

    @staticmethod
    def summary_of(*models: Mapping[str, Any]) -> dict[str, Any]:
        """Return a summary of some models."""
        return {"schema": 1, "run": {"trainer": "test", "seed": 7}, "models": {str(i): m for i, m in enumerate(models)}}


class Ticking:
    """A clock that moves one minute at each reading."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture(scope="session")
def samples() -> type[Samples]:
    """Return the builders."""
    return Samples


@pytest.fixture
def manager(tmp_path: Path) -> TrainingArchiveManager:
    """Return a manager of a fresh archive."""
    return TrainingArchiveManager(tmp_path / "archive", clock=Ticking(), who="ann")


@pytest.fixture
def archived(manager: TrainingArchiveManager, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that archives one model, with a checkpoint of its own for each seed."""

    def archive(seed: int = 0, **changes: Any) -> Any:
        final = Samples.write_checkpoint(tmp_path / "ckpt" / f"{seed}.safetensors", seed)
        return manager.archive_training_run(Samples.summary_of(Samples.model_summary(final, **changes)))

    return archive
