"""The audit chain in a store without a database: one object a record, and whoever creates the next number commits."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Any, Final

from trader_sdk.archive.store.chain import (
    START,
    Chain,
    ChainHead,
    HeadMovedError,
    broken,
    decode_chain,
    decode_record,
    encode_record,
    head_of,
)
from trader_sdk.archive.store.faults import OverwritesError, UnreachableError
from trader_sdk.archive.store.port import Store
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.errors import ArchiveError

AUDIT_PREFIX: Final = "audit/"
PROBE_NAME: Final = "probe/create-once"
_DIGITS: Final = 12
_PARALLEL_READS: Final = 16


class ObjectChain:
    """``audit/<seq>.json`` in a store; each names its predecessor's digest.

    A lost race is seen because the name is taken. A store that ignores create-once is refused before the first
    commit of a process, and again if a record does not read back as it was written.

    Args:
        store: Where the objects lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._probed = False

    @property
    def where(self) -> str:
        """Return the store's place."""
        return f"{self._store.where}/{AUDIT_PREFIX.rstrip('/')}"

    def read(self, after: ChainHead | None = None) -> Chain:
        """Return the chain, or what follows a known head, after checking every number, link and digest.

        Raises:
            ArchiveError: E606 naming the first record that does not hold, or the known head that is gone.
            UnreachableError: E610.
        """
        start = after or START
        if start.seq:
            self._check_known(start)
        lines: list[bytes] = []
        while (line := self._next(start.seq + len(lines))) is not None:
            lines.append(line)
            lines.extend(self._listed_after(start.seq + len(lines)))
        return decode_chain(lines, where=self.where, after=start)

    def last(self) -> AuditRecord | None:
        """Return the last committed record, ``None`` for an empty chain."""
        seq = 0
        for name in self._store.list(AUDIT_PREFIX):
            seq = max(seq, _seq_of(name))
        found = self._get(seq) if seq else None
        while (line := self._get(seq + 1)) is not None:
            seq, found = seq + 1, line
        return decode_record(found, where=f"{self.where} record {seq}") if found is not None else None

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
        """Commit one record by creating the object of its number.

        Raises:
            HeadMovedError: Another writer created it first; nothing was committed.
            OverwritesError: E611, the store gives one name to two writers.
            UnreachableError: E610; the message says where it is not known whether the record was committed.
        """
        self._probe()
        head = expected if expected is not None else self.head()
        # The nonce tells this writer's record from another's that says the same at the same time.
        body = {**body, "nonce": secrets.token_hex(8)}
        record = AuditRecord.make(seq=head.seq + 1, prev=head.sha256, at=at, kind=kind, who=who, body=body)
        name, line = name_of(record.seq), encode_record(record)
        try:
            created = self._store.put_new(name, line)
            stored = self._store.get(name)
        except UnreachableError as error:
            if self._is_committed(name, line):
                return record
            raise error
        if stored == line:
            return record
        if created:
            raise OverwritesError(self.where, f"{name} does not read back as it was written")
        raise HeadMovedError(self.where, head)

    def _is_committed(self, name: str, line: bytes) -> bool:
        """Return whether a record whose answer was lost is there."""
        try:
            return self._store.get(name) == line
        except UnreachableError as error:
            raise UnreachableError(
                "the store went away while a record was committed: it is not known whether it was",
                where=f"{self._store.where}/{name}",
                found=error.found,
                remedy="Look with `trader archive verify` when the store answers; a record that is there counts.",
            ) from error
        except ArchiveError:
            return False

    def _probe(self) -> None:
        if self._probed:
            return
        first, second = (secrets.token_bytes(16) for _ in range(2))
        self._store.put_new(PROBE_NAME, first)
        before = self._store.get(PROBE_NAME)
        if self._store.put_new(PROBE_NAME, second) or self._store.get(PROBE_NAME) != before:
            raise OverwritesError(self._store.where, f"{PROBE_NAME} was given twice")
        self._probed = True

    def _check_known(self, head: ChainHead) -> None:
        line = self._get(head.seq)
        found = decode_record(line, where=f"{self.where} record {head.seq}") if line is not None else None
        if found is None or head_of(found) != head:
            was = found.sha256 if found is not None else "nothing"
            raise broken(self.where, f"record {head.seq} {head.sha256}", was)

    def _next(self, seq: int) -> bytes | None:
        """Return the record behind ``seq``, None at the chain's end.

        Raises:
            ArchiveError: E606 where it is gone and later ones are there.
        """
        line = self._get(seq + 1)
        later = next(iter(self._store.list(AUDIT_PREFIX, after=name_of(seq))), None) if line is None else None
        # It may have been written between the two questions.
        line = self._get(seq + 1) if later is not None else line
        if line is None and later is not None:
            raise broken(self.where, f"record {seq + 1}", f"nothing, and {later} behind it")
        return line

    def _listed_after(self, seq: int) -> Iterator[bytes]:
        """Yield the records behind ``seq`` that the store lists, as far as their numbers have no hole."""
        names = self._store.list(AUDIT_PREFIX, after=name_of(seq))
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            while batch := list(islice(names, 1024)):
                whole = [name for number, name in enumerate(batch, start=seq + 1) if name == name_of(number)]
                yield from pool.map(self._store.get, whole)
                if whole != batch:
                    return
                seq += len(batch)

    def _get(self, seq: int) -> bytes | None:
        try:
            return self._store.get(name_of(seq))
        except UnreachableError:
            raise
        except ArchiveError:
            return None


def name_of(seq: int) -> str:
    """Return the name of a record's object.

    Example:
        >>> name_of(7)
        'audit/000000000007.json'
    """
    return f"{AUDIT_PREFIX}{seq:0{_DIGITS}d}.json"


def _seq_of(name: str) -> int:
    digits = name.removeprefix(AUDIT_PREFIX).removesuffix(".json")
    return int(digits) if digits.isdecimal() else 0
