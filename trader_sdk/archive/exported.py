"""Runs that were carried out of an archive: verified by anybody, taken in by another archive."""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from trader_sdk.archive.assess import rejudge
from trader_sdk.archive.codec import plain
from trader_sdk.archive.layout import ASSESSMENTS_FILE, MODELS_FOLDER, SUMMARY_FILE, is_run_timestamp
from trader_sdk.archive.policy import ModelGatingConfig, hash_of_values
from trader_sdk.archive.reader import subject_path
from trader_sdk.archive.slots import VerdictRef, fold
from trader_sdk.archive.store.chain import ChainHead
from trader_sdk.archive.verify import Verification
from trader_sdk.contract.audit import AuditRecord, Who
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.document import AwareTime, Document, HexDigest, parse_document
from trader_sdk.contract.errors import ArchiveError, Finding, SdkError
from trader_sdk.contract.summary import Summary
from trader_sdk.contract.verdicts import Assessments, Verdict

EXPORT_FILE: Final = "export.json"
MAX_FILE_BYTES: Final = 512 << 20
MAX_FILES: Final = 100_000
_NAME: Final = re.compile(
    r"\d{8}_\d{6}(_[1-9]\d{0,5})?/"
    r"(summary\.json|model_assessments\.json|recommendations\.md|report\.html|models/[0-9a-f]{64}\.(pt|safetensors))",
    re.ASCII,
)


class ExportHead(Document):
    """Where the archive's chain ended when the runs were carried out."""

    seq: int = Field(ge=0)
    sha256: str


class Export(Document):
    """export.json: which runs, every file with its digest, and the audit records that speak of them."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    exported_at: AwareTime
    who: Who
    head: ExportHead
    runs: tuple[str, ...] = Field(min_length=1)
    files: dict[str, HexDigest]
    records: tuple[AuditRecord, ...]


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run of an export, as a summary that another archive can judge."""

    timestamp: str
    summary: dict[str, Any]
    base: Path
    left_out: tuple[str, ...]


def is_export(path: Path | str) -> bool:
    """Return whether a path is an export: a folder with its manifest, or a zip."""
    at = Path(path)
    return (at / EXPORT_FILE).is_file() or (at.is_file() and at.suffix == ".zip")


@contextmanager
def opened(path: Path | str) -> Iterator[tuple[Export, Path]]:
    """Give an export's manifest and folder; a zip is unpacked into a folder that is gone afterwards.

    Raises:
        ArchiveError: E609 if it is no export, or names files that an export cannot hold.
    """
    at = Path(path)
    if at.is_dir():
        yield _manifest(at), at
        return
    with tempfile.TemporaryDirectory(prefix="trader-export-") as folder:
        _unpack(at, Path(folder))
        yield _manifest(Path(folder)), Path(folder)


def verify_export(path: Path | str) -> Verification:
    """Check every file against its digest, every digest against its audit record, every class against its numbers.

    What an export cannot show is that its records are in the archive's chain: keep the chain's head, or a signature.

    Raises:
        ArchiveError: E609 if it is no export.
    """
    with opened(path) as (manifest, folder):
        sources = {name: folder / name for name in manifest.files}
        faults = export_faults(manifest, sources)
        state = fold(manifest.records)
        head = ChainHead(manifest.head.seq, manifest.head.sha256)
        return Verification(head, len(manifest.runs), len(state.verdicts), tuple(faults), ())


def imported_runs(manifest: Export, folder: Path) -> Iterator[ImportedRun]:
    """Yield an export's runs as summaries whose checkpoints lie in the export, oldest first.

    The receiving archive judges them again, by its own policy; models whose checkpoint was refused are left out.
    """
    for run in manifest.runs:
        base = folder / run
        summary = parse_document(Summary, (base / SUMMARY_FILE).read_bytes(), where=f"{run}/{SUMMARY_FILE}")
        document = parse_document(
            Assessments, (base / ASSESSMENTS_FILE).read_bytes(), where=f"{run}/{ASSESSMENTS_FILE}"
        )
        verdicts = {(verdict.symbol, verdict.timeframe): verdict for verdict in document.assessments}
        models, left_out = {}, []
        for name, model in summary.models.items():
            verdict = verdicts.get((model.symbol, model.timeframe))
            if verdict is None or not verdict.subjects:
                left_out.append(f"{model.symbol} {model.timeframe}")
            else:
                models[name] = _carried(plain(model), verdict, base)
        origin = f"run {run}, audit head {manifest.head.seq} {manifest.head.sha256}"
        about = {**plain(summary.run), "imported_from": origin}
        yield ImportedRun(run, {"schema": 1, "run": about, "models": models}, base, tuple(left_out))


def _carried(model: dict[str, Any], verdict: Verdict, base: Path) -> dict[str, Any]:
    paths = [subject_path(base, subject) for subject in verdict.subjects]
    judged = next((path for path in paths if path.is_file()), paths[0])
    path = f"{MODELS_FOLDER}/{judged.name}"
    gate = model.get("gate") or {}
    was_best = verdict.use_checkpoint and verdict.evidence is not None and plain(verdict.evidence) == gate.get("best")
    checkpoints = [{"update": verdict.checkpoint_update, "path": path}] if was_best else []
    stated = {name: value for name, value in model.items() if value is not None}
    return {**stated, "final": path, "checkpoints": checkpoints, "n_trials": max(model["n_trials"], verdict.n_trials)}


def export_faults(manifest: Export, sources: Mapping[str, Path]) -> list[Finding]:
    """Return what does not hold of an export whose files lie at ``sources``."""
    faults = [
        Finding("E606", f"audit record {record.seq}", "its own digest", record.sha256)
        for record in manifest.records
        if not record.digest_holds()
    ]
    for name, digest in manifest.files.items():
        found = digest_of_file(sources[name])
        if found != digest:
            faults.append(Finding("E602", name, digest, found or "missing"))
    if faults:
        return faults
    state = fold(manifest.records)
    for run in manifest.runs:
        committed = state.runs.get(run)
        if committed is None:
            faults.append(Finding("E606", run, "the audit record of this run", "none"))
            continue
        for file, digest in committed.files.items():
            if manifest.files.get(f"{run}/{file}") != digest:
                faults.append(Finding("E602", f"{run}/{file}", digest, manifest.files.get(f"{run}/{file}", "missing")))
        faults += _verdict_faults(manifest, run, sources, state.verdicts_in(run))
    return faults


def _verdict_faults(
    manifest: Export, run: str, sources: Mapping[str, Path], refs: list[VerdictRef]
) -> Iterator[Finding]:
    path = sources.get(f"{run}/{ASSESSMENTS_FILE}")
    if path is None:
        return  # its absence is a fault already
    try:
        document = parse_document(Assessments, path.read_bytes(), where=str(path))
        policy = ModelGatingConfig.model_validate(document.policy.values)
    except SdkError as error:
        yield Finding("E602", f"{run}/{ASSESSMENTS_FILE}", "verdicts and their policy", error.message)
        return
    if hash_of_values(document.policy.values) != document.policy.hash:
        yield Finding("E602", f"{run}/{ASSESSMENTS_FILE}", document.policy.hash, "another policy")
    verdicts = {verdict.id: verdict for verdict in document.assessments}
    for ref in refs:
        verdict = verdicts.get(ref.id)
        if verdict is None or sha256_of(plain(verdict)) != ref.digest:
            yield Finding("E602", ref.id, ref.digest, "another verdict" if verdict else "missing")
            continue
        again = rejudge(verdict, policy)
        if (again.gate_class, again.tier) != (verdict.class_, verdict.tier):
            yield Finding("E602", ref.id, f"{again.gate_class} {again.tier}", f"{verdict.class_} {verdict.tier}")
        held = {Path(name).stem for name in manifest.files if name.startswith(f"{run}/{MODELS_FOLDER}/")}
        if verdict.subjects and not held & {subject.sha256 for subject in verdict.subjects}:
            yield Finding("E602", ref.id, verdict.subjects[0].sha256, "no file of this model")
        for name, digest in manifest.files.items():
            if name.startswith(f"{run}/{MODELS_FOLDER}/") and Path(name).stem != digest:
                yield Finding("E602", name, Path(name).stem, digest)


def _manifest(folder: Path) -> Export:
    path = folder / EXPORT_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ArchiveError("E609", "this is no export", where=str(folder), expected=EXPORT_FILE) from error
    manifest = parse_document(Export, text, where=EXPORT_FILE)
    strange = [name for name in manifest.files if not _NAME.fullmatch(name)]
    strange += [run for run in manifest.runs if not is_run_timestamp(run)]
    if strange or len(manifest.files) > MAX_FILES:
        raise ArchiveError(
            "E609", "an export cannot hold this", where=EXPORT_FILE, found=repr(strange[:1] or "so many")
        )
    return manifest


def _unpack(path: Path, folder: Path) -> None:
    # Only names that an export writes, only stored bytes: nothing leaves the folder and nothing grows.
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(entries) > MAX_FILES or len(set(names)) != len(names):
                raise ArchiveError("E609", "this is no export", where=str(path), found=f"{len(entries)} entries")
            for entry in entries:
                if entry.filename != EXPORT_FILE and not _NAME.fullmatch(entry.filename):
                    raise ArchiveError(
                        "E609", "an export cannot hold this", where=str(path), found=repr(entry.filename[:80])
                    )
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > MAX_FILE_BYTES:
                    raise ArchiveError("E609", "an export is stored as it is", where=str(path), found=entry.filename)
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise ArchiveError("E609", "this is no readable zip", where=str(path), found=str(error)[:120]) from error


def digest_of_file(path: Path) -> str:
    """Return a file's sha256 as hex; empty where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
