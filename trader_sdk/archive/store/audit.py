"""The audit chain in a folder: one fsynced JSON line a decision."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.layout import AUDIT_FILE
from trader_sdk.archive.store.chain import GENESIS as GENESIS
from trader_sdk.archive.store.chain import (
    START,
    HeadMovedError,
    broken,
    check_link,
    decode_chain,
    decode_record,
    head_of,
)
from trader_sdk.archive.store.chain import Chain as Chain
from trader_sdk.archive.store.chain import ChainHead as ChainHead
from trader_sdk.archive.store.chain import encode_record as encode_record
from trader_sdk.archive.store.durable import storage_errors, sync_folder, write_all
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who

_TAIL_BYTES: Final = 1 << 16


class AuditLog:
    """``audit.jsonl`` of one archive: the truth of decisions, and the commit point of every write.

    Reading needs no lock and changes nothing. :meth:`append` is for whoever holds the writer's lock.

    Args:
        root: The archive's folder.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / AUDIT_FILE

    @property
    def where(self) -> str:
        """Return the file."""
        return str(self.path)

    def read(self, after: ChainHead | None = None) -> Chain:
        """Return the chain after checking every number, link and digest.

        Args:
            after: A head that was verified before: only what follows it is read, from the file's end.

        Raises:
            ArchiveError: E606 naming the first line that does not hold, or the known head that is gone.
            StorageError: The file cannot be read.
        """
        if after is not None and after.seq:
            return self._read_after(after)
        with storage_errors(self.path):
            data = self.path.read_bytes() if self.path.exists() else b""
        lines, torn = _lines(data)
        return decode_chain(lines, where=self.where, torn_bytes=torn)

    def _read_after(self, after: ChainHead) -> Chain:
        wanted = 1
        while True:
            with storage_errors(self.path):
                lines, torn = _last_lines(self.path, wanted)
            first = decode_record(lines[0], where=f"{self.where} near its end") if lines else None
            if first is None or first.seq <= after.seq or len(lines) < wanted:
                break
            wanted += first.seq - after.seq
        if first is None or head_of(first) != after:
            found = f"record {first.seq} {first.sha256}" if first else "an empty chain"
            raise broken(self.where, f"record {after.seq} {after.sha256}", found)
        return decode_chain(lines[1:], where=self.where, after=after, torn_bytes=torn)

    def last(self) -> AuditRecord | None:
        """Return the last committed record by reading its line alone, ``None`` for an empty chain.

        Raises:
            ArchiveError: E606 if the last line does not hold.
        """
        with storage_errors(self.path):
            lines, _ = _last_lines(self.path, 1)
        return decode_record(lines[0], where=f"{self.where} last line") if lines else None

    def head(self) -> ChainHead:
        """Return where the chain ends, as :meth:`last`."""
        record = self.last()
        return START if record is None else head_of(record)

    def append(
        self,
        kind: AuditKind,
        body: Mapping[str, Any],
        *,
        who: Who,
        at: datetime,
        expected: ChainHead | None = None,
    ) -> AuditRecord:
        """Commit one record: written, fsynced, its folder fsynced when the file is new.

        On any error the file is as it was before. A torn line that a crash left is cut off first, and a record of
        kind ``repair`` says so.

        Raises:
            HeadMovedError: The chain does not end at ``expected``.
            StorageError: The disk refused; nothing was committed.
            ArchiveError: E606 if the chain's end does not hold.
        """
        torn, head = self._torn_bytes(), self.head()
        if expected is not None and head != expected:
            raise HeadMovedError(self.where, expected, head)
        if torn:
            with storage_errors(self.path):
                os.truncate(self.path, self.path.stat().st_size - torn)
            self._commit(AuditKind.REPAIR, {"what": "torn audit line removed", "bytes": torn}, who, at)
        return self._commit(kind, body, who, at)

    def extend(self, records: Sequence[AuditRecord]) -> None:
        """Copy records that were committed elsewhere; those that are here already are skipped.

        Raises:
            ArchiveError: E606 if they do not continue what is here.
            StorageError: The disk refused.
        """
        with storage_errors(self.path):
            lines, torn = _last_lines(self.path, 1)
            if torn:
                os.truncate(self.path, self.path.stat().st_size - torn)
        head = head_of(decode_record(lines[0], where=f"{self.where} last line")) if lines else START
        new = [record for record in records if record.seq > head.seq]
        if not new:
            return
        check_link(new[0], head, where=self.where)
        with storage_errors(self.path):
            _append_durably(self.path, b"".join(encode_record(record) + b"\n" for record in new))

    def _commit(self, kind: AuditKind, body: Mapping[str, Any], who: Who, at: datetime) -> AuditRecord:
        head = self.head()
        record = AuditRecord.make(seq=head.seq + 1, prev=head.sha256, at=at, kind=kind, who=who, body=dict(body))
        with storage_errors(self.path):
            _append_durably(self.path, encode_record(record) + b"\n")
        return record

    def _torn_bytes(self) -> int:
        with storage_errors(self.path):
            return _last_lines(self.path, 1)[1]


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
        # What a close reports comes too late: the line is durable by now, or was taken back.
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _lines(data: bytes) -> tuple[list[bytes], int]:
    if not data:
        return [], 0
    *lines, rest = data.split(b"\n")
    return lines, len(rest)


def _last_lines(path: Path, count: int) -> tuple[list[bytes], int]:
    """Return at most the last ``count`` whole lines, oldest first, and the bytes after the last line feed."""
    if not path.exists():
        return [], 0
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        span = _TAIL_BYTES
        while True:
            stream.seek(max(0, size - span))
            lines, torn = _lines(stream.read(min(span, size)))
            whole = lines if span >= size else lines[1:]
            if len(whole) >= count or span >= size:
                return whole[-count:], torn
            span *= 2
