"""Copy a judged checkpoint into a run and write the policy alone beside it, both named by digest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trader_sdk.archive.assess import Artefacts
from trader_sdk.archive.slots import SlotKey
from trader_sdk.archive.store.durable import store_by_digest
from trader_sdk.checkpoint import RawCheckpoint, read_checkpoint
from trader_sdk.checkpoint.artefacts import write_policy_safetensors
from trader_sdk.checkpoint.formats import Format
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.documents import Subject
from trader_sdk.contract.errors import ArchiveError, ContractError

_UNNAMED: Final = ".policy.safetensors"


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
    digest = policy.sha256.removeprefix("sha256:")
    policy.path.rename(folder / f"{digest}.safetensors")
    return Artefacts(
        subjects=(training, Subject(role="policy_safetensors", sha256=digest, bytes=policy.size)),
        policy_sha256=policy.policy_sha256,
        model_version=detect_version_from_checkpoint(raw.fields).version,
    )


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
