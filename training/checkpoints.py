"""The checkpoints of a run: written at each validation, proven on disk, the best and the last three kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from trader_sdk.checkpoint.writer import save
from trader_sdk.contract.errors import StorageError
from training.invariants import violation
from training.policy import ActorCritic

KEEP_LAST: Final = 3


@dataclass(slots=True)
class CheckpointKeeper:
    """Write checkpoints into ``folder/ckpt`` and forget those that nothing needs.

    Attributes:
        folder: The run's folder.
        stamp: Keyword arguments of :func:`~trader_sdk.checkpoint.save` that are the same for the whole run.
        config: The run's configuration, plain data.
        letter: Before the number in a file's name: ``u`` for PPO updates, ``e`` for epochs.
        regime: For the message of a violation.
        paths: Checkpoint of each update that is still on disk.
    """

    folder: Path
    stamp: Mapping[str, Any]
    config: Mapping[str, Any]
    letter: str = "u"
    regime: str = "ppo"
    paths: dict[int, Path] = field(default_factory=dict)

    def path(self, update: int) -> Path:
        """Return where the checkpoint of an update, or an epoch, lies."""
        return self.folder / "ckpt" / f"{self.letter}{update}.pt"

    def write(
        self,
        update: int,
        network: ActorCritic,
        optimizer: torch.optim.Optimizer,
        *,
        env_step: int,
        record: Mapping[str, Any],
    ) -> Path:
        """Save a checkpoint and its metadata file, and prove the optimizer's bytes on disk (002, 003).

        Args:
            update: PPO update, from 1.
            network, optimizer: Saved as they are.
            env_step: Environment steps so far, the checkpoint's ``global_step``.
            record: What the metadata file says beside digests: losses, seconds, samples, largest gradient norm.

        Raises:
            InvariantViolated: 003 if what is on disk differs from what was saved.
            StorageError: Nothing could be written; the run must stop.
        """
        path = self.path(update)
        digest = optimizer_digest(optimizer.state_dict())
        saved = save(
            path,
            policy=network,
            optimizer=optimizer,
            global_step=env_step,
            config=dict(self.config),
            activation=network.activation,
            **self.stamp,
        )
        on_disk = optimizer_digest(torch.load(path, map_location="cpu", weights_only=True)["optimizer_state_dict"])
        if on_disk != digest:
            raise violation(
                "003", "the optimizer on disk is not the one saved", epoch=update, value=1, limit=0, regime=self.regime
            )
        facts = {"update": update, "sha256": saved.sha256, "optimizer_digest": digest, "env_step": env_step, **record}
        _write_json(path.with_suffix(".json"), facts)
        self.paths[update] = path
        return path

    def forget_all_but(self, best: int) -> None:
        """Remove checkpoints other than that of update ``best`` and the last three."""
        keep = {best, *sorted(self.paths)[-KEEP_LAST:]}
        for update in set(self.paths) - keep:
            path = self.paths.pop(update)
            # A run that died between this and its state finds them gone when it goes on and comes here again.
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)


def optimizer_digest(state: Mapping[str, Any]) -> str:
    """Return ``sha256:<hex>`` of an optimizer's state dict: every tensor and number, in the order of their keys."""
    sha = hashlib.sha256()
    _feed(sha, state)
    return f"sha256:{sha.hexdigest()}"


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            sha.update(f"{key}:".encode())
            _feed(sha, value[key])
    elif isinstance(value, torch.Tensor):
        sha.update(value.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, list | tuple):
        for each in value:
            _feed(sha, each)
    else:
        sha.update(f"{value!r};".encode())


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".json.tmp")
    try:
        partial.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise StorageError("STORAGE", "cannot write a checkpoint's metadata", where=str(path), found=error) from error
