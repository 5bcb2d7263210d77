"""The campaign's model: a handmade network that buys after a falling bar and sells after a rising one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.metadata import get_checkpoint_metadata
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features.schema import build_schema

MODEL_VERSION: Final = "2.7.0"
DATA_END: Final = "2023-12-29"
_FEATURES, _WINDOW, _ACTIONS = 59, 100, 7
_BUY, _SELL = 2, 5
_METRICS: Final = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
_EVIDENCE: Final = {"t": 3.4, "n_bars": 2100, "n_windows": 7, "n_trades": 84, "real_drawdown": 0.05}


def write_archive(folder: Path, symbols: Sequence[str], timeframe: Timeframe) -> Path:
    """Write an archive with an approved model of each symbol and return its folder.

    The verdict rests on stated figures, as any trainer's does; nothing of it is deployable anywhere but here, because
    its data is simulated.
    """
    models = {symbol: _summary(_checkpoint(folder, symbol, timeframe), symbol, timeframe) for symbol in symbols}
    manager = TrainingArchiveManager(folder / "archive", who="faults")
    manager.archive_training_run({"schema": 1, "run": {"trainer": "faults"}, "models": models})
    return folder / "archive"


def _checkpoint(folder: Path, symbol: str, timeframe: Timeframe) -> Path:
    newest_return = np.zeros((2, _FEATURES * _WINDOW), np.float32)
    newest_return[0, (_WINDOW - 1) * _FEATURES] = 1.0
    head = np.zeros((_ACTIONS, 2), np.float32)
    head[_BUY, 0], head[_SELL, 0] = -1.0, 1.0
    tensors = {
        "trunk.0.weight": newest_return,
        "trunk.0.bias": np.zeros(2, np.float32),
        "actor_head.weight": head,
        "actor_head.bias": np.zeros(_ACTIONS, np.float32),
    }
    schema = build_schema(MODEL_VERSION, timeframe.value, calendar="XNYS", feed="simulated", adjustment="split")
    metadata = {**get_checkpoint_metadata(MODEL_VERSION), "activation": "tanh", "symbol": symbol}
    metadata["action_meanings"] = {str(index): name for index, name in metadata["action_meanings"].items()}
    stated = {"feature_schema": schema.document(), "feature_schema_sha256": schema.sha256}
    path = folder / f"{symbol}-{timeframe.value}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(safetensors_bytes(tensors, {**metadata, "timeframe": timeframe.value, **stated}))
    return path


def _summary(checkpoint: Path, symbol: str, timeframe: Timeframe) -> dict[str, Any]:
    folds = [
        {"start": f"201{i}-01-01", "end": f"201{i}-12-31", "net_return": 0.03, "sharpe": 0.9, "n_trades": 12}
        for i in range(5)
    ]
    return {
        "symbol": symbol,
        "timeframe": timeframe.value,
        "checkpoints": [{"update": 80, "path": str(checkpoint)}],
        "final": str(checkpoint),
        "metrics": {name: [value] for name, value in _METRICS.items()},
        "gate": {
            "final": {**_METRICS, **_EVIDENCE, "folds": folds, "shown": {"active_windows": 7.0}},
            "best": None,
        },
        "validation_interval": 40,
        "metric_set": "house@1",
        "drawdown_kind": "equity",
        "reward_scale": 0.001,
        "cost_model": "us_equity@1",
        "invariants": "passed",
        "data": {"digest": "sha256:" + 64 * "d", "start": "2000-03-01", "kind": "simulated", "end": DATA_END},
    }
