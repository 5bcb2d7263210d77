"""Bundles: what is registered of a version, in a folder of the archive named after it, its lineage written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.layout import MODELS_FOLDER
from trader_sdk.archive.location import Place, locate
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.slots import SlotKey
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.slot_state import Stage
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.contract.verdicts import GateClass, Verdict
from trader_sdk.features import FEATURE_SETS

BUNDLES_FOLDER: Final = "bundles"
CHECKPOINT: Final = "checkpoint"
MANIFEST: Final = "manifest.json"
FEATURES: Final = "feature_list.json"
LINEAGE: Final = "lineage.json"
"""Written last: a bundle without it was never finished."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A registered version, every file of it checked against its lineage.

    Attributes:
        version_id: Its name.
        checkpoint: The training checkpoint on this host.
        manifest, features, lineage: Plain data.
    """

    version_id: str
    checkpoint: Path
    manifest: Mapping[str, Any]
    features: Mapping[str, Any]
    lineage: Mapping[str, Any]


def register(place: Place, verdict: Verdict, facts: Mapping[str, Any]) -> Stage | None:
    """Put a judged version's bundle into the archive, and say what it is there.

    The slot itself follows from the archive's chain: an APPROVED version takes an empty slot and is a challenger in any
    other, REVIEW is only watched, DROP is not registered. Nothing here moves a champion, so that a crash at any step
    leaves the one there is; done again, it goes on where it stopped.

    Args:
        place: Where the archive lies; the verdict is committed there.
        verdict: The version's.
        facts: Where it comes from: spec, configuration, source, seed.

    Returns:
        Its stage; None where it was dropped.

    Raises:
        ArchiveError: E602 if another content has this version's name.
    """
    if verdict.class_ is GateClass.DROP:
        return None
    files = _files(place, verdict, facts)
    lineage = {"schema": 1, "version_id": verdict.version_id, "verdict": verdict.id, **facts, "files": _digests(files)}
    for name, data in files.items():
        _put(place, f"{BUNDLES_FOLDER}/{verdict.version_id}/{name}", data)
    place.put_named(f"{BUNDLES_FOLDER}/{verdict.version_id}/{LINEAGE}", canonical_json(lineage))
    return stage_of(place, verdict)


def stage_of(place: Place, verdict: Verdict) -> Stage:
    """Return what the chain says a version is in its slot."""
    slot = ArchiveReader(place).state.slot(SlotKey(verdict.symbol, verdict.timeframe))
    if slot.champion is not None and slot.champion.policy_sha256 == verdict.policy_sha256:
        return Stage.CHAMPION
    if any(each.policy_sha256 == verdict.policy_sha256 for each in slot.challengers):
        return Stage.CHALLENGER
    return Stage.OBSERVE if verdict.class_ is GateClass.REVIEW else Stage.ARCHIVED


def read_bundle(archive: Path | str | Place, version_id: str) -> Bundle:
    """Return a registered version.

    Raises:
        ArchiveError: E601 if there is none; E602 if it was never finished or a file of it was changed.
    """
    place = locate(archive)
    paths = {path.name: path for path in place.fetch_named(f"{BUNDLES_FOLDER}/{version_id}/")}
    where = f"{place.where}/{BUNDLES_FOLDER}/{version_id}"
    if not paths:
        raise ArchiveError("E601", "no such bundle", where=where)
    if LINEAGE not in paths:
        found = ", ".join(sorted(paths))
        raise ArchiveError("E602", "the bundle was never finished", where=where, expected=LINEAGE, found=found)
    lineage = _parsed(paths[LINEAGE])
    for name, digest in lineage["files"].items():
        found = _digest(paths[name].read_bytes()) if name in paths else "no such file"
        if found != digest:
            raise ArchiveError("E602", f"the bundle's {name} was changed", where=where, expected=digest, found=found)
    checkpoint = next(path for name, path in paths.items() if name.startswith(CHECKPOINT))
    return Bundle(version_id, checkpoint, _parsed(paths[MANIFEST]), _parsed(paths[FEATURES]), lineage)


def _files(place: Place, verdict: Verdict, facts: Mapping[str, Any]) -> dict[str, bytes]:
    subject = next(each for each in verdict.subjects if each.role == "training")
    run = verdict.id.rpartition("/")[2]
    suffix = subject_path(place.root / run, subject).suffix
    path = place.fetch(f"{run}/{MODELS_FOLDER}/{subject.sha256}{suffix}", subject.sha256)
    raw = read_checkpoint(path)
    manifest = {
        "schema": 1,
        "version_id": verdict.version_id,
        "symbol": verdict.symbol,
        "timeframe": verdict.timeframe.value,
        "policy_sha256": verdict.policy_sha256,
        "model_version": verdict.model_version,
        "class": verdict.class_.value,
        "label": facts.get("label"),
        "horizon": facts.get("horizon", 1),
        "digest": facts.get("digest"),
        "data": verdict.data.model_dump(mode="json") if verdict.data else None,
    }
    columns = _columns(raw.metadata, verdict.model_version)
    return {
        f"{CHECKPOINT}{suffix}": path.read_bytes(),
        MANIFEST: canonical_json(manifest),
        FEATURES: canonical_json(columns),
    }


def _columns(metadata: Mapping[str, object], model_version: str | None) -> dict[str, Any]:
    schema = metadata.get("feature_schema")
    if isinstance(schema, Mapping):
        return {"names": list(schema.get("names", ())), "feature_sets": list(schema.get("feature_sets", ()))}
    sets = MODEL_SPECS[model_version].feature_sets if model_version and model_version in MODEL_SPECS else ()
    return {"names": [column.name for name in sets for column in FEATURE_SETS[name]], "feature_sets": list(sets)}


def _put(place: Place, name: str, data: bytes) -> None:
    if place.put_named(name, data):
        return
    (there,) = [path for path in place.fetch_named(name) if path.name == name.rpartition("/")[2]]
    if there.read_bytes() != data:
        raise ArchiveError("E602", "another content has this version's name", where=f"{place.where}/{name}")


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: _digest(data) for name, data in files.items()}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _parsed(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
