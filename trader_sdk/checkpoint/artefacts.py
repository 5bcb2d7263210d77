"""Policy-only artefacts: the weights that decide and what is known of them, without optimizer and critic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trader_sdk.checkpoint.files import write_whole
from trader_sdk.checkpoint.policy import policy_layers, policy_sha256
from trader_sdk.checkpoint.pt_bytes import torch_zip_bytes
from trader_sdk.checkpoint.reader import RawCheckpoint, read_checkpoint
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.checkpoint.tensors import Array
from trader_sdk.contract.detect import Detection, detect_version_from_checkpoint
from trader_sdk.contract.errors import CheckpointError
from trader_sdk.contract.metadata import OPTIONAL_FIELDS, STRUCTURE_FIELDS

_KEPT: Final = ("model_version", *STRUCTURE_FIELDS, *OPTIONAL_FIELDS)


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A file that was written and read back.

    Attributes:
        path: Where it lies.
        sha256: ``sha256:<hex>`` of the file.
        metadata: The fields beside the weights, as a reader gets them.
        policy_sha256: The policy's canonical digest.
        size: Bytes.
    """

    path: Path
    sha256: str
    metadata: Mapping[str, Any]
    policy_sha256: str
    size: int


def write_policy_safetensors(path: str | os.PathLike[str], checkpoint: RawCheckpoint) -> SavedCheckpoint:
    """Write a checkpoint's policy as safetensors: float32 weights, and its fields as text.

    Args:
        path: Target file.
        checkpoint: What was read; its critic, optimizer and training config are left out, an activation that only
            the config named is stated.

    Returns:
        The written file; its ``policy_sha256`` is the checkpoint's own.

    Raises:
        SdkError: The checkpoint's version cannot be told, or a field is no JSON data; nothing is written.
        StorageError: The disk refuses.
    """
    tensors, fields = _artefact(checkpoint)
    try:
        content = safetensors_bytes(tensors, fields)
    except (TypeError, ValueError) as error:
        raise _no_plain_data(checkpoint, error) from error
    return _write(Path(path), content, checkpoint)


def write_policy_pt(path: str | os.PathLike[str], checkpoint: RawCheckpoint) -> SavedCheckpoint:
    """Write a checkpoint's policy as a torch file, without torch; as :func:`write_policy_safetensors`."""
    tensors, fields = _artefact(checkpoint)
    try:
        content = torch_zip_bytes({"policy_state_dict": tensors, **fields})
    except TypeError as error:
        raise _no_plain_data(checkpoint, error) from error
    return _write(Path(path), content, checkpoint)


def raw_policy_sha256(checkpoint: RawCheckpoint) -> str:
    """Return the canonical digest of a checkpoint's policy.

    Raises:
        SdkError: The policy's layers cannot be told.
    """
    detection = detect_version_from_checkpoint(checkpoint.fields)
    return policy_sha256(policy_layers(checkpoint.tensors, detection.architecture))


def _no_plain_data(checkpoint: RawCheckpoint, error: Exception) -> CheckpointError:
    return CheckpointError(
        "E101",
        "a field of the checkpoint is no plain data",
        where=checkpoint.path,
        found=str(error)[:120],
        remedy="Save the checkpoint again with plain numbers and text in its fields.",
    )


def _artefact(checkpoint: RawCheckpoint) -> tuple[dict[str, Array], dict[str, Any]]:
    detection = detect_version_from_checkpoint(checkpoint.fields)
    fields = {name: checkpoint.metadata[name] for name in _KEPT if checkpoint.metadata.get(name) is not None}
    if detection.activation is not None:
        fields["activation"] = detection.activation
    return _named_layers(checkpoint, detection), fields


def _named_layers(checkpoint: RawCheckpoint, detection: Detection) -> dict[str, Array]:
    # The trunk is numbered as nn.Sequential numbers it, activations between the layers.
    layers = policy_layers(checkpoint.tensors, detection.architecture)
    names = [f"trunk.{2 * index}" for index in range(len(layers) - 1)] + ["actor_head"]
    tensors: dict[str, Array] = {}
    for name, (weight, bias) in zip(names, layers, strict=True):
        tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return tensors


def _write(path: Path, content: bytes, checkpoint: RawCheckpoint) -> SavedCheckpoint:
    expected = raw_policy_sha256(checkpoint)
    written: list[RawCheckpoint] = []

    def verify(partial: Path) -> None:
        raw = read_checkpoint(partial)
        found = raw_policy_sha256(raw)
        if found != expected:
            raise CheckpointError("E103", "the artefact holds another policy", expected=expected, found=found)
        written.append(raw)

    write_whole(path, content, verify=verify)
    (raw,) = written
    return SavedCheckpoint(path, raw.sha256, raw.metadata, expected, raw.size)
