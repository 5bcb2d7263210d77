"""Copy a judged checkpoint into a run and write the policy alone beside it, both named by digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.assess import Artefacts
from trader_sdk.archive.codec import jsonable
from trader_sdk.archive.store.durable import store_by_digest
from trader_sdk.checkpoint import RawCheckpoint, policy_layers, policy_sha256, read_checkpoint
from trader_sdk.checkpoint.formats import Format
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.architecture import strip_prefixes
from trader_sdk.contract.detect import Detection, detect_version_from_checkpoint
from trader_sdk.contract.documents import Subject
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.metadata import OPTIONAL_FIELDS, STRUCTURE_FIELDS

_KEPT: Final = ("model_version", *STRUCTURE_FIELDS, *OPTIONAL_FIELDS)


def store_artefacts(path: Path, folder: Path) -> Artefacts:
    """Store a checkpoint's bytes and its policy-only form.

    Args:
        path: The judged checkpoint.
        folder: The run's ``models`` folder.

    Returns:
        The subjects of the verdict and the policy's canonical digest.

    Raises:
        SdkError: The checkpoint cannot be read or contradicts the contract; codes as when loading it.
        ArchiveError: E602 if the bytes changed while they were copied.
    """
    raw = read_checkpoint(path)
    detection = detect_version_from_checkpoint(raw.fields)
    data = path.read_bytes()
    suffix = ".safetensors" if raw.format is Format.SAFETENSORS else ".pt"
    training = store_by_digest(data, folder, suffix)
    if f"sha256:{training}" != raw.sha256:
        raise ArchiveError("E602", "the checkpoint changed while it was archived", where=str(path))
    layers = policy_layers(raw.tensors, detection.architecture)
    policy = _policy_file(raw, detection)
    stored = store_by_digest(policy, folder, ".safetensors")
    return Artefacts(
        subjects=(
            Subject(role="training", sha256=training, bytes=len(data)),
            Subject(role="policy_safetensors", sha256=stored, bytes=len(policy)),
        ),
        policy_sha256=policy_sha256(layers),
        model_version=detection.version,
    )


def _policy_file(raw: RawCheckpoint, detection: Detection) -> bytes:
    chain = (*detection.architecture.trunk, detection.architecture.actor)
    names = [name for layer in chain for name in (layer.weight, layer.bias)]
    return safetensors_bytes({strip_prefixes(name): raw.tensors[name] for name in names}, _fields(raw, detection))


def _fields(raw: RawCheckpoint, detection: Detection) -> Mapping[str, Any]:
    kept = {name: raw.metadata[name] for name in _KEPT if raw.metadata.get(name) is not None}
    probe = kept.pop("golden_probe", None)
    if detection.activation is not None:
        kept["activation"] = detection.activation
    plain: dict[str, Any] = jsonable(kept, "checkpoint metadata")
    return plain if probe is None else {**plain, "golden_probe": probe}
