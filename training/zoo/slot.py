"""A slot as the leaderboard sees it: its versions, what each is, and the baseline of their vintage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trader_sdk.archive.governance import override_in_force
from trader_sdk.archive.layout import MODELS_FOLDER
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.slots import SlotKey, VerdictRef
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.slot_state import Champion
from trader_sdk.contract.verdicts import GateClass
from training.zoo.baseline import BASELINE
from training.zoo.history import Variant
from training.zoo.job import SpecResult
from training.zoo.promotion import Pedigree
from training.zoo.rotation import DONE, results

MOST_VERSIONS: Final = 50
"""Newest versions of a slot that are compared."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a slot: its checkpoint on this host, what it is, and when its data ended (ns UTC)."""

    variant: Variant
    pedigree: Pedigree
    data_end_ns: int


@dataclass(frozen=True, slots=True)
class SlotView:
    """What a slot holds.

    Attributes:
        key: Symbol and timeframe.
        champion: Version that holds it; None for an empty slot.
        history: Every champion, oldest first.
        versions: Registered versions by name, recalled and dropped ones left out.
        n_verdicts: Runs that were ever judged for it.
    """

    key: SlotKey
    champion: str | None
    history: tuple[Champion, ...]
    versions: Mapping[str, Version]
    n_verdicts: int


def slot_view(archive: Path | str, key: SlotKey) -> SlotView:
    """Return what a slot holds.

    Raises:
        ArchiveError: E608 without an archive, E602 where a verdict or a file is not what was committed.
    """
    reader = ArchiveReader(archive)
    state = reader.state
    champion = state.champion(key)
    refs = {ref.version_id: ref for ref in reversed(state.verdicts_of(key, MOST_VERSIONS))}
    held = state.champion_verdict(key)
    if held is not None:
        refs[held.version_id] = held
    wanted = [ref for ref in refs.values() if ref.gate_class is not GateClass.DROP or ref is held]
    kept = [ref for ref in wanted if state.recall_of(ref.version_id, ref.policy_sha256) is None]
    return SlotView(
        key,
        champion.version_id if champion else None,
        state.slot(key).history,
        {ref.version_id: _version(reader, ref) for ref in kept},
        len(state.verdicts_of(key)),
    )


def retrained_baseline(slot_folder: Path, vintages: set[str]) -> Version | None:
    """Return the champion's architecture as it was trained again on the challengers' bars, the newest such run."""
    done = [one for one in results(slot_folder) if one.spec_id == BASELINE and one.status in DONE]
    fitting = [one for one in done if one.data_digest in vintages]
    return _retrained(fitting[-1]) if fitting else None


def _retrained(result: SpecResult) -> Version | None:
    checkpoints = sorted((Path(result.folder) / "run" / "ckpt").glob("u*.pt"), key=lambda path: int(path.stem[1:]))
    return _described(BASELINE, checkpoints[-1], result.data_digest, deployable=False) if checkpoints else None


def _version(reader: ArchiveReader, ref: VerdictRef) -> Version:
    verdict = reader.judged(ref).verdict
    subject = next(each for each in verdict.subjects if each.role == "training")
    suffix = subject_path(reader.root / ref.run, subject).suffix
    path = reader.place.fetch(f"{ref.run}/{MODELS_FOLDER}/{subject.sha256}{suffix}", subject.sha256)
    approved = ref.gate_class is GateClass.APPROVED
    deployable = approved or override_in_force(reader.state, ref.id, datetime.now(UTC)) is not None
    return _described(ref.version_id, path, ref.data_digest or "", deployable=deployable)


def _described(name: str, path: Path, data_digest: str, *, deployable: bool) -> Version:
    raw = read_checkpoint(path)
    detection = detect_version_from_checkpoint(raw.fields)
    config, schema, end = (raw.metadata.get(field) for field in ("config", "feature_schema", "data_end"))
    horizon = config.get("horizon", 1) if isinstance(config, Mapping) else 1
    pedigree = Pedigree(
        horizon=horizon if isinstance(horizon, int) else 1,
        features=sha256_of(schema) if isinstance(schema, Mapping) else "+".join(detection.spec.feature_sets),
        n_actions=detection.spec.n_actions,
        data_digest=data_digest,
        deployable=deployable,
    )
    ended = datetime.fromisoformat(end) if isinstance(end, str) else None
    return Version(Variant(name, path), pedigree, int(ended.timestamp()) * 10**9 if ended else 0)
