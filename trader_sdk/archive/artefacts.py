"""Copy a judged checkpoint into a run and write the policy alone beside it, both named by digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

from trader_sdk.archive.assess import Artefacts
from trader_sdk.archive.slots import SlotKey
from trader_sdk.archive.store.durable import store_by_digest
from trader_sdk.checkpoint import RawCheckpoint, read_checkpoint
from trader_sdk.checkpoint.artefacts import (
    SavedCheckpoint,
    raw_policy_sha256,
    write_policy_pt,
    write_policy_safetensors,
)
from trader_sdk.checkpoint.formats import Format
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.errors import (
    ActionError,
    ArchiveError,
    CheckpointError,
    CompatibilityError,
    ContractError,
    SdkError,
    VersionError,
)
from trader_sdk.contract.verdicts import Subject

_UNNAMED: Final = ".policy"
_ABOUT_THE_FILE: Final = (CheckpointError, VersionError, ContractError, ActionError, CompatibilityError)
_MAX_REASON: Final = 900


def store_or_refuse(path: Path, folder: Path, slot: SlotKey) -> Artefacts:
    """Store a checkpoint as :func:`store_artefacts`; one that is refused leaves nothing but the reason.

    Args, and Raises for what is not the checkpoint's own fault, as there.
    """
    before = set(folder.iterdir())
    try:
        return store_artefacts(path, folder, slot)
    except _ABOUT_THE_FILE as error:
        for leftover in set(folder.iterdir()) - before:
            leftover.unlink()
        return _refused(path, slot, error)


def describe_or_refuse(path: Path, slot: SlotKey) -> Artefacts:
    """Return what :func:`store_or_refuse` would say of a checkpoint, without storing anything."""
    try:
        raw = read_checkpoint(path)
        _check_slot(raw, slot)
        digest, detection = raw_policy_sha256(raw), detect_version_from_checkpoint(raw.fields)
    except _ABOUT_THE_FILE as error:
        return _refused(path, slot, error)
    training = Subject(role="training", sha256=raw.sha256.removeprefix("sha256:"), bytes=raw.size)
    return Artefacts((training,), digest, detection.version, training.sha256)


def _refused(path: Path, slot: SlotKey, error: SdkError) -> Artefacts:
    reason = _reason(path, error)
    return Artefacts((), None, None, hashlib.sha256(f"{slot} {reason}".encode()).hexdigest(), refusal=reason)


def _reason(path: Path, error: SdkError) -> str:
    # Paths of the training machine are no part of a verdict; the file's own name is what a person looks for.
    found = f": {error.found}" if error.found not in (None, "") else ""
    text = f"{path.name}: {error.code} {error.slug}: {error.message}{found}"
    return text.encode("utf-8", "replace").decode()[:_MAX_REASON]


def store_artefacts(path: Path, folder: Path, slot: SlotKey) -> Artefacts:
    """Store a checkpoint's bytes and its policy-only form.

    Args:
        path: The judged checkpoint.
        folder: The run's ``models`` folder.
        slot: The symbol and timeframe that it is judged for.

    Returns:
        The subjects of the verdict and the policy's canonical digest.

    Raises:
        SdkError: The checkpoint cannot be read or contradicts the contract; codes as when loading it.
        ContractError: E301 if it says that it is another symbol's or timeframe's.
        ArchiveError: E602 if the bytes changed while they were copied.
    """
    raw = read_checkpoint(path)
    _check_slot(raw, slot)
    training = _store_training(path, raw, folder)
    policy = write_policy_safetensors(folder / _UNNAMED, raw)
    safetensors = _name_by_digest(policy, "policy_safetensors", ".safetensors")
    torch_form = _name_by_digest(write_policy_pt(folder / _UNNAMED, raw), "policy_pt", ".pt")
    return Artefacts(
        subjects=(training, safetensors, torch_form),
        policy_sha256=policy.policy_sha256,
        model_version=detect_version_from_checkpoint(raw.fields).version,
        fingerprint=training.sha256,
    )


def _name_by_digest(written: SavedCheckpoint, role: Literal["policy_safetensors", "policy_pt"], suffix: str) -> Subject:
    digest = written.sha256.removeprefix("sha256:")
    written.path.rename(written.path.with_name(f"{digest}{suffix}"))
    return Subject(role=role, sha256=digest, bytes=written.size)


def _store_training(path: Path, raw: RawCheckpoint, folder: Path) -> Subject:
    suffix = ".safetensors" if raw.format is Format.SAFETENSORS else ".pt"
    digest = store_by_digest(path.read_bytes(), folder, suffix)
    if f"sha256:{digest}" != raw.sha256:
        raise ArchiveError("E602", "the checkpoint changed while it was archived", where=str(path))
    return Subject(role="training", sha256=digest, bytes=raw.size)


def _check_slot(raw: RawCheckpoint, slot: SlotKey) -> None:
    for name, expected in (("symbol", slot.symbol), ("timeframe", slot.timeframe.value)):
        stated = raw.metadata.get(name)
        if stated is not None and stated != expected:
            raise ContractError(
                "E301", f"the checkpoint is another {name}'s", where=raw.path, expected=expected, found=stated
            )
