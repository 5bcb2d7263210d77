"""Carry runs out of an archive, as one folder or zip that another archive can take in and anybody can verify."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.codec import encode, plain
from trader_sdk.archive.exported import EXPORT_FILE, Export, ExportHead, digest_of_file, export_faults
from trader_sdk.archive.layout import MODELS_FOLDER
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey, VerdictRef
from trader_sdk.archive.store.durable import remove_folder, storage_errors, write_new
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.errors import ArchiveError, UsageError

_ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)


def runs_of_slot(reader: ArchiveReader, key: SlotKey) -> list[str]:
    """Return the runs of everything a slot holds: champion, the one before, challengers; oldest first."""
    slot = reader.state.slot(key)
    held = [one for one in (slot.previous, slot.champion, *slot.challengers) if one is not None]
    refs = [reader.state.newest_verdict(key, one.version_id, one.policy_sha256) for one in held]
    return sorted({ref.run for ref in refs if ref is not None})


def export_runs(reader: ArchiveReader, runs: Iterable[str], out: Path, *, who: Who, at: datetime) -> Export:
    """Write runs with everything that proves them.

    Args:
        reader: The archive; nothing is written to it.
        runs: Their timestamps.
        out: A folder, or a file that ends in ``.zip``; it must not exist yet.
        who: Who carries them out.
        at: When, aware.

    Returns:
        The manifest.

    Raises:
        ArchiveError: E609 for a run that is not there, E602 where a file is not what was committed.
        UsageError: ``out`` exists.
        StorageError: The disk refuses; nothing is left behind.
    """
    if out.exists():
        raise UsageError("USAGE", "the export's place is taken", where=str(out), remedy="Name another file or folder.")
    wanted = sorted(set(runs))
    sources = {name: path for run in wanted for name, path in _files_of(reader, run)}
    files = {name: digest_of_file(path) for name, path in sources.items()}
    records = tuple(record for record in reader.chain.records if _speaks_of(record, wanted, reader))
    head = reader.chain.head
    manifest = Export(
        exported_at=at,
        who=who,
        head=ExportHead(seq=head.seq, sha256=head.sha256),
        runs=tuple(wanted),
        files=files,
        records=records,
    )
    faults = export_faults(manifest, sources)
    if faults:
        first = faults[0]
        raise ArchiveError("E602", "the run is not what was committed", where=first.where, findings=faults)
    _write(out, {EXPORT_FILE: encode(plain(manifest))}, sources)
    return manifest


def _files_of(reader: ArchiveReader, run: str) -> Iterator[tuple[str, Path]]:
    ref = reader.state.runs.get(run)
    if ref is None:
        raise ArchiveError("E609", "no such run in this archive", where="run", found=run)
    for name, digest in ref.files.items():
        yield f"{run}/{name}", reader.place.fetch(f"{run}/{name}", digest)
    for verdict_ref in reader.state.verdicts_in(run):
        judged = reader.judged(verdict_ref)
        for subject in judged.verdict.subjects:
            path = judged.path_of(subject)
            if path.is_file():  # a training checkpoint may be kept elsewhere
                yield f"{run}/{MODELS_FOLDER}/{path.name}", path


def _speaks_of(record: AuditRecord, runs: list[str], reader: ArchiveReader) -> bool:
    body: Any = record.body
    if record.kind is AuditKind.RUN_ARCHIVED:
        return body["timestamp"] in runs
    if record.kind is AuditKind.OVERRIDE:
        return str(body["override"]["verdict"]).rsplit("/", 1)[-1] in runs
    if record.kind in (AuditKind.PROMOTE, AuditKind.REVERT):
        return any(ref.version_id == body["to"] for ref in _verdicts(reader, runs))
    if record.kind is AuditKind.RECALL:
        names = {str(name).removeprefix("sha256:") for name in body["names"]}
        return any(
            names & {ref.version_id, ref.policy_sha256.removeprefix("sha256:")} for ref in _verdicts(reader, runs)
        )
    return False


def _verdicts(reader: ArchiveReader, runs: list[str]) -> Iterator[VerdictRef]:
    return (ref for run in runs for ref in reader.state.verdicts_in(run))


def _write(out: Path, made: Mapping[str, bytes], sources: Mapping[str, Path]) -> None:
    partial = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        with storage_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            (_write_zip if out.suffix == ".zip" else _write_folder)(partial, made, sources)
            partial.rename(out)
    finally:
        remove_folder(partial)
        partial.unlink(missing_ok=True)


def _write_folder(partial: Path, made: Mapping[str, bytes], sources: Mapping[str, Path]) -> None:
    for name, data in made.items():
        partial.mkdir(exist_ok=True)
        write_new(partial / name, data)
    for name, source in sources.items():
        target = partial / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_new(target, source.read_bytes())


def _write_zip(partial: Path, made: Mapping[str, bytes], sources: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name in (*made, *sources):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            archive.writestr(entry, made[name] if name in made else sources[name].read_bytes())
