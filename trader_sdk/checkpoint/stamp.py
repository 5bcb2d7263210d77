"""Stamping: what a person asserts about a file, written into a new file that says it was asserted."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trader_sdk.checkpoint.artefacts import SavedCheckpoint, write_policy_pt, write_policy_safetensors
from trader_sdk.checkpoint.files import publish_new
from trader_sdk.checkpoint.formats import Format
from trader_sdk.checkpoint.policy import policy_layers
from trader_sdk.checkpoint.probe_file import read_probe_file
from trader_sdk.checkpoint.proof import prove_reading
from trader_sdk.checkpoint.reader import RawCheckpoint, read_checkpoint
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.detect import Detection, detect_version_from_checkpoint, parse_model_version
from trader_sdk.contract.errors import ContractError, SdkError, StorageError, UsageError, VersionError, error_for
from trader_sdk.contract.metadata import get_checkpoint_metadata
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.engine.probe import Probe, read_probe


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a person says about one checkpoint; what is None stays as the file has it.

    Attributes:
        model_version: Needed where several versions fit the file's shapes.
        activation: ``tanh``, ``relu``, ...
        feature_schema: Document of the provider's schema.
        symbol, timeframe: What the model was trained on.
        probe: A file of observations and logits that the author's own code made: proves the reading.
        who, why: Kept in the copy's lineage.
    """

    model_version: str | None = None
    activation: str | None = None
    feature_schema: Mapping[str, Any] | None = None
    symbol: str | None = None
    timeframe: str | None = None
    probe: str | os.PathLike[str] | None = None
    who: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Stamping:
    """One file to stamp: where it lies, its copy's path below the output folder, and what is said of it."""

    source: Path
    target: str
    said: Assertion


def stamp(path: str | os.PathLike[str], out_dir: str | os.PathLike[str], said: Assertion) -> SavedCheckpoint:
    """Write a copy of a checkpoint's policy that carries ``said``, under the same name in ``out_dir``.

    Args, Returns and Raises are those of :func:`stamp_all` for one file.
    """
    return stamp_all([Stamping(Path(path), Path(path).name, said)], out_dir)[0]


def stamp_all(stampings: Sequence[Stamping], out_dir: str | os.PathLike[str]) -> tuple[SavedCheckpoint, ...]:
    """Write copies of checkpoints that carry what is said of them: all of them, or none.

    A copy says ``version_source: asserted``. With a probe, the file's own or one of the author's, that only the right
    reading reproduces it says ``semantics: proven`` and carries the probe, which runs at every load; without one it
    says ``semantics: unproven`` (W311). The originals are not touched, and no file is ever replaced.

    Args:
        stampings: The files; two must not have one target.
        out_dir: Where the copies go; made if missing.

    Returns:
        The written files in the order given, each in the format of its original.

    Raises:
        VersionError: E202 if several versions fit and none is asserted.
        ContractError: E301 if a file itself states something else; E308 if a probe is not reproduced.
        UsageError: A target exists, or two are the same.
        SdkError: A file does not load. Several faults come as the first one's error with all in ``findings``.
    """
    out = Path(out_dir)
    _check_targets(stampings, out)
    faults: list[SdkError] = []
    digests = []
    for one in stampings:
        try:
            digests.append(_stamped(one).sha256)
        except SdkError as error:
            faults.append(error)
    if faults:
        raise _together(faults, len(stampings))
    return _write_all(stampings, digests, out)


def _check_targets(stampings: Iterable[Stamping], out: Path) -> None:
    seen: set[str] = set()
    for one in stampings:
        target = out / one.target
        if one.target in seen:
            remedy = "Name the folder above them, so that each copy keeps its own folder."
            raise UsageError("USAGE", "two copies would have one name", where=str(target), remedy=remedy)
        if os.path.lexists(target):
            raise UsageError("USAGE", "the stamped file exists already and is not overwritten", where=str(target))
        seen.add(one.target)


def _together(faults: Sequence[SdkError], total: int) -> SdkError:
    first = faults[0]
    if len(faults) == 1:
        return first
    listed = "; ".join(f"{fault.code} {fault.where}: {fault.message}" for fault in faults)
    findings = [finding for fault in faults for finding in fault.findings]
    message = f"{len(faults)} of {total} files cannot be stamped, so none was: {listed}"
    return error_for(first.code, message, remedy=first.remedy, findings=findings)


def _write_all(stampings: Sequence[Stamping], digests: Sequence[str], out: Path) -> tuple[SavedCheckpoint, ...]:
    is_new = not out.exists()
    stage = out / f".stamping-{secrets.token_hex(6)}"
    published: list[Path] = []
    try:
        stage.mkdir(parents=True)
        staged = [
            _staged(one, digest, stage / str(n)) for n, (one, digest) in enumerate(zip(stampings, digests, strict=True))
        ]
        for one, saved in zip(stampings, staged, strict=True):
            publish_new(saved.path, out / one.target)
            published.append(out / one.target)
    except OSError as error:
        raise StorageError("STORAGE", "the folder cannot be written", where=str(out), found=error.strerror) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if len(published) < len(stampings):
            _unwind(published, out if is_new else None)
    return tuple(replace(saved, path=out / one.target) for one, saved in zip(stampings, staged, strict=True))


def _unwind(published: Iterable[Path], new_folder: Path | None) -> None:
    for path in published:
        path.unlink(missing_ok=True)
    if new_folder is not None:
        shutil.rmtree(new_folder, ignore_errors=True)


def _staged(one: Stamping, digest: str, path: Path) -> SavedCheckpoint:
    # Read again rather than kept: a folder of checkpoints does not fit into memory. The digest says it is the same.
    stamped = _stamped(one, digest)
    write = write_policy_safetensors if stamped.format is Format.SAFETENSORS else write_policy_pt
    return write(path, stamped)


def _stamped(one: Stamping, digest: str | None = None) -> RawCheckpoint:
    raw = read_checkpoint(one.source, expected_sha256=digest)
    try:
        detection = detect_version_from_checkpoint(raw.fields)
        fields = {**_version_fields(raw, detection, one.said), **_stated(raw, detection, one.said)}
        fields |= _proof(raw, detection, fields, one.said)
    except SdkError as error:
        error.where = error.where if raw.path in error.where else f"{raw.path}: {error.where}".removesuffix(": ")
        raise
    return replace(raw, metadata={**raw.metadata, **fields, "lineage": _lineage(raw, one.said)})


def _version_fields(raw: RawCheckpoint, detection: Detection, said: Assertion) -> dict[str, Any]:
    candidates = detection.candidates
    if said.model_version is None and detection.ambiguous:
        raise VersionError(
            "E202",
            "several versions fit: say which with --model-version, or in a map",
            where=raw.path,
            expected=" or ".join(candidates),
        )
    version = candidates[0] if said.model_version is None else parse_model_version(said.model_version)[0]
    if version not in candidates:
        fitting = ", ".join(candidates)
        raise VersionError("E203", "this file cannot be that version", where=raw.path, expected=fitting, found=version)
    # What the file says itself stands: a stamp must not widen the range of traders that its author gave it.
    own = {name: value for name, value in raw.metadata.items() if value is not None}
    # A newer model that carries its whole contract says itself all that the registry would.
    known = get_checkpoint_metadata(version) if version in MODEL_SPECS else {}
    return {**known, **own, "model_version": version, "version_source": "asserted"}


def _stated(raw: RawCheckpoint, detection: Detection, said: Assertion) -> dict[str, Any]:
    stated: dict[str, Any] = {"activation": said.activation, "symbol": said.symbol, "timeframe": said.timeframe}
    if said.feature_schema is not None:
        stated["feature_schema"] = dict(said.feature_schema)
        stated["feature_schema_sha256"] = sha256_of(dict(said.feature_schema))
    stated = {name: value for name, value in stated.items() if value is not None}
    own = {**raw.metadata, "activation": detection.activation}
    for name, value in stated.items():
        if own.get(name) not in (None, value):
            raise ContractError(
                "E301",
                "the file states something else",
                where=f"{raw.path}: {name}",
                expected=value,
                found=own[name],
            )
    return stated


def _proof(raw: RawCheckpoint, detection: Detection, fields: Mapping[str, Any], said: Assertion) -> dict[str, Any]:
    spec = MODEL_SPECS.get(fields["model_version"], detection.spec)
    layers = policy_layers(raw.tensors, detection.architecture)
    own = read_probe(raw.metadata, obs_dim=spec.obs_dim, n_actions=spec.n_actions)
    probe = own if said.probe is None else read_probe_file(said.probe, spec)
    if probe is None:
        return {"semantics": "unproven"}
    where = "golden_probe" if said.probe is None else f"{raw.path}: {os.fspath(said.probe)}"
    stated = said.activation or detection.activation
    activation = prove_reading(layers, probe, window=spec.window, activation=stated, where=where)
    return {"semantics": "proven", "activation": activation, "golden_probe": _plain(probe)}


def _plain(probe: Probe) -> dict[str, Any]:
    return {"observations": probe.observations, "logits": probe.logits, "margin": probe.margin}


def _lineage(raw: RawCheckpoint, said: Assertion) -> dict[str, Any]:
    before = dict(raw.metadata.get("lineage") or {})
    earlier = [before[name] for name in ("stamped_from",) if name in before]
    lineage = {**before, "stamped_from": raw.sha256, "stamped_by": said.who, "stamped_why": said.why}
    if earlier:
        lineage["stamped_earlier"] = [*before.get("stamped_earlier", ()), *earlier]
    return {name: value for name, value in lineage.items() if value is not None}
