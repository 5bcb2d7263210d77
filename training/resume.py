"""Exact resume: all that the rest of a run depends on, kept beside its checkpoints at every validation."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import torch

from trader_sdk.archive.folds import Fold
from trader_sdk.archive.gate import Tier
from trader_sdk.archive.metrics import HouseMetrics
from trader_sdk.contract.errors import StorageError, UsageError
from trader_sdk.contract.sleeve import SleeveArray
from training.config import TrainConfig
from training.env import TradingEnvs
from training.loop import Snapshot, Trainer
from training.run_log import METRICS_FILE
from training.validation import Validation

STATE_FILE: Final = "resume.pt"
SCHEMA: Final = 2
_COUNTERS: Final = (
    "update",
    "optimizer_step",
    "env_step",
    "recoveries",
    "ent_coef",
    "lr_scale",
    "max_grad_norm_seen",
)


class StateKeeper:
    """Write the state of a run that goes on; the newest replaces the one before.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "ckpt" / STATE_FILE

    def write(self, trainer: Trainer) -> None:
        """Keep the state as it is after a validation.

        Raises:
            StorageError: The disk refused; the state before is still whole.
        """
        partial = self._path.with_suffix(".tmp")
        try:
            # The lines that the state counts must outlive a power cut that it outlives.
            with (self._folder / METRICS_FILE).open("rb") as log:
                os.fsync(log.fileno())
            with partial.open("wb") as stream:
                torch.save(_state_of(trainer, self._folder), stream)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self._path)
        except OSError as error:
            raise StorageError(
                "STORAGE", "cannot write what a resume needs", where=str(self._path), found=error
            ) from error

    def read(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return the state that was kept last.

        Args:
            config: What ``config.json`` says now.

        Raises:
            UsageError: There is none, it is damaged, or the folder is no longer what it was kept with.
        """
        state = self._kept()
        _refuse_another(config, state["config"])
        log = self._folder / METRICS_FILE
        held = log.stat().st_size if log.exists() else 0
        if held < state["log_bytes"]:
            raise UsageError(
                "USAGE",
                "the run's log lost lines",
                where=str(log),
                expected=f"{state['log_bytes']} bytes or more",
                found=held,
                remedy="Restore the file, or start a new run.",
            )
        return state

    def _kept(self) -> Mapping[str, Any]:
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
            if state["schema"] == SCHEMA:
                return dict(state)
            found = f"schema {state['schema']}"
        except FileNotFoundError as error:
            raise UsageError(
                "USAGE",
                "nothing to resume: the run ended, or was stopped before its first validation",
                where=str(self._path),
                remedy="Start a new run.",
            ) from error
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            found = str(error)
        raise UsageError("USAGE", "what the resume needs is damaged", where=str(self._path), found=found)

    def forget(self) -> None:
        """Remove the state of a run that ended."""
        self._path.unlink(missing_ok=True)


def _refuse_another(config: TrainConfig, began: str) -> None:
    now, then = config.model_dump(mode="json"), json.loads(began)
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        raise UsageError(
            "USAGE",
            "config.json is not what the run began with",
            where=", ".join(changed),
            expected=", ".join(str(then.get(name)) for name in changed),
            found=", ".join(str(now.get(name)) for name in changed),
            remedy="Put the old numbers back, or start a new run with the new ones.",
        )


def restore(trainer: Trainer, state: Mapping[str, Any], folder: Path) -> None:
    """Set ``trainer`` back to a state, and cut ``metrics.jsonl`` to what was written by then."""
    for name in _COUNTERS:
        setattr(trainer, name, state[name])
    trainer.network.load_state_dict(state["network"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.guard.value_losses = list(state["value_losses"])
    trainer.validations = [Validation(_metrics(text), ()) for text in state["validations"]]
    trainer.good = trainer.snapshot(trainer.update)
    best = state["best"]
    trainer.best = trainer.good if best is None else Snapshot(best["update"], best["network"], best["optimizer"])
    trainer.keeper.paths = {update: folder / "ckpt" / f"u{update}.pt" for update in state["checkpoints"]}
    trainer.rng.bit_generator.state = json.loads(state["rng"])
    torch.set_rng_state(state["torch_rng"])
    _restore_envs(trainer.envs, state["envs"])
    os.truncate(folder / METRICS_FILE, state["log_bytes"])


def _state_of(trainer: Trainer, folder: Path) -> dict[str, Any]:
    best = trainer.best
    return {
        "schema": SCHEMA,
        "config": trainer.config.model_dump_json(),
        **{name: getattr(trainer, name) for name in _COUNTERS},
        "network": trainer.network.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "best": None
        if best.update == trainer.update
        else {"update": best.update, "network": best.network, "optimizer": best.optimizer},
        "value_losses": list(trainer.guard.value_losses),
        "validations": [json.dumps(asdict(each.metrics)) for each in trainer.validations],
        "checkpoints": sorted(trainer.keeper.paths),
        "rng": json.dumps(trainer.rng.bit_generator.state),
        "torch_rng": torch.get_rng_state(),
        "envs": _envs_state(trainer.envs),
        "log_bytes": (folder / METRICS_FILE).stat().st_size,
    }


def _envs_state(envs: TradingEnvs) -> dict[str, Any]:
    sleeves = {field.name: torch.from_numpy(getattr(envs.sleeves, field.name).copy()) for field in fields(SleeveArray)}
    return {
        "age": torch.from_numpy(envs.age.copy()),
        "bar": torch.from_numpy(envs.bar.copy()),
        "rng": json.dumps(envs.rng.bit_generator.state),
        "sleeves": sleeves,
        "chosen": None if envs.composite is None else torch.from_numpy(envs.composite.chosen.copy()),
    }


def _restore_envs(envs: TradingEnvs, state: Mapping[str, Any]) -> None:
    envs.age, envs.bar = state["age"].numpy().copy(), state["bar"].numpy().copy()
    envs.rng.bit_generator.state = json.loads(state["rng"])
    if envs.composite is not None:
        envs.composite.chosen = state["chosen"].numpy().copy()
    envs.sleeves = SleeveArray(**{name: value.numpy().copy() for name, value in state["sleeves"].items()})


def _metrics(text: str) -> HouseMetrics:
    values = json.loads(text)  # our own numbers, NaN and Infinity among them
    folds = tuple(Fold(**fold) for fold in values["folds"])
    return HouseMetrics(**{**values, "folds": folds, "equity": tuple(values["equity"]), "tier": Tier(values["tier"])})
