"""The campaign's model: a handmade network that buys after a falling bar and sells after a rising one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
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
_FALL, _STEEP = -1.95, 2_000.0
"""Where the newest return's column stands after a bar that fell, and how sharply a band around it ends."""
NARROW, WIDE = 0.2, 1.0
_METRICS: Final = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
_EVIDENCE: Final = {"t": 3.4, "n_bars": 2100, "n_windows": 7, "n_trades": 84, "real_drawdown": 0.05}


def write_archive(
    folder: Path, symbols: Sequence[str], timeframe: Timeframe, *, unusable: Collection[str] = ()
) -> Path:
    """Write an archive with an approved model of each symbol and return its folder.

    The models of ``unusable`` symbols give no numbers after a bar that moved.

    The verdict rests on stated figures, as any trainer's does; nothing of it is deployable anywhere but here, because
    its data is simulated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = {}
    for symbol in symbols:
        path = write_checkpoint(
            _path(folder, symbol, timeframe), symbol, timeframe, band=WIDE if symbol in unusable else 0.0
        )
        models[symbol] = summary_of(path, symbol, timeframe)
    manager = TrainingArchiveManager(folder / "archive", who="faults")
    manager.archive_training_run({"schema": 1, "run": {"trainer": "faults"}, "models": models})
    return folder / "archive"


def _path(folder: Path, symbol: str, timeframe: Timeframe) -> Path:
    return folder / f"{symbol.replace('/', '')}-{timeframe.value}.safetensors"


def write_checkpoint(
    path: Path,
    symbol: str | None,
    timeframe: Timeframe,
    *,
    hidden: Sequence[int] = (2,),
    gain: float = 1.0,
    band: float = 0.0,
    hold: float = 0.0,
    noise: np.random.Generator | None = None,
) -> Path:
    """Write a checkpoint that buys 50 % after a falling bar and sells 50 % after a rising one; return its path.

    Args:
        path: Of the file.
        symbol: Whose model it says it is; None: anybody's.
        timeframe: Of its bars.
        hidden: Units of each hidden layer; the first two of each carry the newest return.
        gain: Sign and size of what it makes of that return; -1 does the opposite.
        band: Its outputs are beyond every number where the newest return's column is so near to that of a bar that
            fell; any other observation is decided on, so that loading finds nothing wrong. 0: nowhere.
        hold: How much it prefers to hold.
        noise: Fills the weights that decide nothing, so that products cost what they cost.
    """
    widths = (_FEATURES * _WINDOW, *hidden)
    tensors: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for index, (into, out) in enumerate(pairwise(widths)):
        weight = np.zeros((out, into), np.float32)
        if noise is not None:
            weight[2:] = noise.standard_normal((out - 2, into), dtype=np.float32) / np.float32(into**0.5)
        weight[:2, (_WINDOW - 1) * _FEATURES if index == 0 else 0] = gain if index == 0 else 1.0
        tensors |= {f"trunk.{2 * index}.weight": weight, f"trunk.{2 * index}.bias": np.zeros(out, np.float32)}
    head = np.zeros((_ACTIONS, hidden[-1]), np.float32)
    head[_BUY, :2], head[_SELL, :2] = -0.5, 0.5
    if band:
        _spoil(tensors, head, band)
    tensors |= {"actor_head.weight": head, "actor_head.bias": np.array([hold] + [0.0] * (_ACTIONS - 1), np.float32)}
    schema = build_schema(MODEL_VERSION, timeframe.value, calendar="XNYS", feed="simulated", adjustment="split")
    metadata = {**get_checkpoint_metadata(MODEL_VERSION), "activation": "tanh", "timeframe": timeframe.value}
    metadata |= {} if symbol is None else {"symbol": symbol}
    metadata["action_meanings"] = {str(index): name for index, name in metadata["action_meanings"].items()}
    stated = {"feature_schema": schema.document(), "feature_schema_sha256": schema.sha256}
    path.write_bytes(safetensors_bytes(tensors, {**metadata, **stated}))
    return path


def _spoil(tensors: dict[str, np.ndarray[Any, np.dtype[np.float32]]], head: np.ndarray[Any, Any], band: float) -> None:
    """Let both units be one in a band of the newest return, and cancel each other out everywhere else."""
    newest = (_WINDOW - 1) * _FEATURES
    tensors["trunk.0.weight"][:2, newest] = _STEEP, -_STEEP
    tensors["trunk.0.bias"][:2] = -_STEEP * (_FALL - band), _STEEP * (_FALL + band)
    head[_BUY, :2] = 3e38


def summary_of(checkpoint: Path, symbol: str, timeframe: Timeframe, **figures: float) -> dict[str, Any]:
    """Return what a trainer says of one model: figures that the house's gate approves, unless others are given."""
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
            "final": {**_METRICS, **_EVIDENCE, **figures, "folds": folds, "shown": {"active_windows": 7.0}},
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
