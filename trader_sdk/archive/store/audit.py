"""The audit chain: one fsynced JSON line a decision, each naming the digest of the line before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.layout import AUDIT_FILE
from trader_sdk.archive.store.durable import storage_errors, sync_folder, write_all
from trader_sdk.contract.canonical import canonical_json, read_json_strict, sha256_of
from trader_sdk.contract.documents import AuditKind, AuditRecord, Who, parse_document
from trader_sdk.contract.errors import ArchiveError

GENESIS: Final = ""
"""``prev`` of the first record."""
_TAIL_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain ends; kept elsewhere, it proves that nothing was cut off."""

    seq: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain.

    Attributes:
        records: Committed records, oldest first.
        torn_bytes: Bytes after the last line feed: a write that never finished and was never committed.
    """

    records: tuple[AuditRecord, ...]
    torn_bytes: int = 0

    @property
    def head(self) -> ChainHead:
        """Return the last record's number and digest; 0 and nothing for an empty chain."""
        return ChainHead(self.records[-1].seq, self.records[-1].sha256) if self.records else ChainHead(0, GENESIS)


class AuditLog:
    """``audit.jsonl`` of one archive: the truth of decisions, and the commit point of every write.

    Reading needs no lock and changes nothing. :meth:`append` is for whoever holds the writer's lock.

    Args:
        root: The archive's folder.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / AUDIT_FILE

    def read(self) -> Chain:
        """Return the chain after checking every number, link and digest.

        Raises:
            ArchiveError: E606 naming the first line that does not hold.
            StorageError: The file cannot be read.
        """
        with storage_errors(self.path):
            data = self.path.read_bytes() if self.path.exists() else b""
        lines, torn = _lines(data)
        records: list[AuditRecord] = []
        previous = GENESIS
        for number, line in enumerate(lines, start=1):
            record = self._checked(line, number, previous)
            records.append(record)
            previous = record.sha256
        return Chain(tuple(records), torn)

    def last(self) -> AuditRecord | None:
        """Return the last committed record by reading its line alone, ``None`` for an empty chain.

        Raises:
            ArchiveError: E606 if the last line does not hold.
        """
        with storage_errors(self.path):
            line = _last_line(self.path)
        return None if line is None else self._parsed(line, "last line")

    def head(self) -> ChainHead:
        """Return where the chain ends, as :meth:`last`."""
        record = self.last()
        return ChainHead(0, GENESIS) if record is None else ChainHead(record.seq, record.sha256)

    def append(self, kind: AuditKind, body: Mapping[str, Any], *, who: Who, at: datetime) -> AuditRecord:
        """Commit one record: written, fsynced, its folder fsynced when the file is new.

        On any error the file is as it was before. A torn line that a crash left is cut off first, and a record of
        kind ``repair`` says so.

        Raises:
            StorageError: The disk refused; nothing was committed.
            ArchiveError: E606 if the chain's end does not hold.
        """
        torn = self._torn_bytes()
        if torn:
            with storage_errors(self.path):
                os.truncate(self.path, self.path.stat().st_size - torn)
            self._commit(AuditKind.REPAIR, {"what": "torn audit line removed", "bytes": torn}, who, at)
        return self._commit(kind, body, who, at)

    def _commit(self, kind: AuditKind, body: Mapping[str, Any], who: Who, at: datetime) -> AuditRecord:
        head = self.head()
        record = AuditRecord.make(seq=head.seq + 1, prev=head.sha256, at=at, kind=kind, who=who, body=dict(body))
        with storage_errors(self.path):
            _append_durably(self.path, encode_record(record) + b"\n")
        return record

    def _torn_bytes(self) -> int:
        with storage_errors(self.path):
            if not self.path.exists():
                return 0
            with self.path.open("rb") as stream:
                stream.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
                tail = stream.read()
            if tail.endswith(b"\n") or not tail:
                return 0
            return _lines(self.path.read_bytes())[1]

    def _checked(self, line: bytes, number: int, previous: str) -> AuditRecord:
        where = f"line {number}"
        record = self._parsed(line, where)
        if record.seq != number:
            raise self._broken(where, f"seq {number}", f"seq {record.seq}")
        if record.prev != previous:
            raise self._broken(where, f"prev {previous or 'empty'}", f"prev {record.prev or 'empty'}")
        return record

    def _parsed(self, line: bytes, where: str) -> AuditRecord:
        try:
            plain = read_json_strict(line, where=where)
            record = parse_document(AuditRecord, plain, where=where)
        except ArchiveError as error:
            raise self._broken(where, "an audit record", error.message) from error
        digest = sha256_of({key: value for key, value in plain.items() if key != "sha256"})
        if digest != record.sha256:
            raise self._broken(where, f"digest {digest}", record.sha256)
        return record

    def _broken(self, where: str, expected: str, found: str) -> ArchiveError:
        return ArchiveError(
            "E606", "the audit chain is broken", where=f"{self.path} {where}", expected=expected, found=found
        )


def encode_record(record: AuditRecord) -> bytes:
    """Return a record as its canonical line, without the line feed."""
    return canonical_json(json.loads(record.model_dump_json(by_alias=True)))


def _append_durably(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
    size = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, line)
        os.fsync(descriptor)
        if is_new:
            sync_folder(path.parent)
    except BaseException:
        # Not committed: nobody may find half a line, nor a whole one whose fsync failed.
        os.ftruncate(descriptor, size)
        raise
    finally:
        os.close(descriptor)


def _lines(data: bytes) -> tuple[list[bytes], int]:
    if not data:
        return [], 0
    *lines, rest = data.split(b"\n")
    return lines, len(rest)


def _last_line(path: Path) -> bytes | None:
    if not path.exists():
        return None
    size = path.stat().st_size
    with path.open("rb") as stream:
        span = _TAIL_BYTES
        while True:
            stream.seek(max(0, size - span))
            lines, _ = _lines(stream.read())
            whole = lines if span >= size else lines[1:]
            if whole or span >= size:
                return whole[-1] if whole else None
            span *= 2
