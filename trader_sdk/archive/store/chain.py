"""The audit chain's records: one canonical JSON text a decision, each naming the digest of the one before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from trader_sdk.contract.audit import AuditRecord
from trader_sdk.contract.canonical import canonical_json, read_json_strict, sha256_of
from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import ArchiveError

GENESIS: Final = ""
"""``prev`` of the first record."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a chain ends; kept elsewhere, it proves that nothing was cut off."""

    seq: int
    sha256: str


START: Final = ChainHead(0, GENESIS)
"""Head of a chain without records."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain, or the part of it after a head that the reader already knows.

    Attributes:
        records: Committed records, oldest first.
        torn_bytes: Bytes after the last line feed: a write that never finished and was never committed.
        after: The head that the first record continues.
    """

    records: tuple[AuditRecord, ...]
    torn_bytes: int = 0
    after: ChainHead = START

    @property
    def head(self) -> ChainHead:
        """Return the last record's number and digest; 0 and nothing for an empty chain."""
        return head_of(self.records[-1]) if self.records else self.after


class HeadMovedError(ArchiveError):
    """Another writer committed first; nothing was committed, and whoever reads again may try again."""

    def __init__(self, where: str, expected: ChainHead, found: ChainHead | None = None) -> None:
        super().__init__(
            "E605",
            "another writer committed first",
            where=where,
            expected=f"record {expected.seq} as the last",
            found=f"record {found.seq}" if found else f"record {expected.seq + 1}",
            remedy="Run the command again; nothing was written.",
        )


def head_of(record: AuditRecord) -> ChainHead:
    """Return the head of a chain that ends with ``record``."""
    return ChainHead(record.seq, record.sha256)


def encode_record(record: AuditRecord) -> bytes:
    """Return a record as its canonical line, without the line feed."""
    return canonical_json(json.loads(record.model_dump_json(by_alias=True)))


def decode_record(data: bytes | str, *, where: str) -> AuditRecord:
    """Return a record whose digest covers it.

    Raises:
        ArchiveError: E606 where it is not a record, or not the one that its digest names.
    """
    try:
        plain: dict[str, Any] = read_json_strict(data, where=where)
        record = parse_document(AuditRecord, plain, where=where)
    except ArchiveError as error:
        raise broken(where, "an audit record", error.message) from error
    digest = sha256_of({key: value for key, value in plain.items() if key != "sha256"})
    if digest != record.sha256:
        raise broken(where, f"digest {digest}", record.sha256)
    return record


def decode_chain(lines: Iterable[bytes | str], *, where: str, after: ChainHead = START, torn_bytes: int = 0) -> Chain:
    """Return a chain after checking every number, link and digest.

    Args:
        lines: Canonical JSON a record, oldest first.
        where: The chain, for messages.
        after: The head that the first line must continue.
        torn_bytes: See :class:`Chain`.

    Raises:
        ArchiveError: E606 naming the first line that does not hold.
    """
    records: list[AuditRecord] = []
    head = after
    for line in lines:
        here = f"{where} line {head.seq + 1}"
        record = decode_record(line, where=here)
        check_link(record, head, where=here)
        records.append(record)
        head = head_of(record)
    return Chain(tuple(records), torn_bytes, after)


def check_link(record: AuditRecord, head: ChainHead, *, where: str) -> None:
    """Refuse a record that does not continue ``head``.

    Raises:
        ArchiveError: E606.
    """
    if record.seq != head.seq + 1:
        raise broken(where, f"seq {head.seq + 1}", f"seq {record.seq}")
    if record.prev != head.sha256:
        raise broken(where, f"prev {head.sha256 or 'empty'}", f"prev {record.prev or 'empty'}")


def broken(where: str, expected: str, found: str) -> ArchiveError:
    """Return the error of a chain that does not hold."""
    return ArchiveError("E606", "the audit chain is broken", where=where, expected=expected, found=found)
