"""The ports of an archive: a chain that commits decisions, and a store that keeps bytes under names given once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from trader_sdk.archive.store.chain import Chain, ChainHead
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who


class AuditChain(Protocol):
    """The truth of decisions. Reading changes nothing and needs no more than read access."""

    @property
    def where(self) -> str:
        """Return the chain's place for messages; never a secret."""

    def read(self, after: ChainHead | None = None) -> Chain:
        """Return the chain after checking every number, link and digest.

        Args:
            after: A head that was verified before: only what follows it is read, and it must still be in the chain.

        Raises:
            ArchiveError: E606 naming the first record that does not hold.
            StorageError: The chain cannot be read.
        """

    def last(self) -> AuditRecord | None:
        """Return the last committed record by reading it alone, ``None`` for an empty chain."""

    def head(self) -> ChainHead:
        """Return where the chain ends, as :meth:`last`."""

    def append(
        self,
        kind: AuditKind,
        body: Mapping[str, Any],
        *,
        who: Who,
        at: datetime,
        expected: ChainHead | None = None,
    ) -> AuditRecord:
        """Commit one record: the commit point of every write.

        Args:
            kind, body, who, at: What happened, by whom and when.
            expected: The head that the decision was made on; the head at the moment of the call when omitted.

        Returns:
            The record; once it is returned it survives power loss.

        Raises:
            HeadMovedError: The chain does not end at ``expected`` any more; nothing was committed.
            StorageError: Refused or unreachable; nothing was committed, or the message says that it is not known.
        """


class Store(Protocol):
    """Bytes under names. A name is given once: nothing is overwritten, ever.

    Names are relative, with ``/`` between their parts: ``objects/<sha256>``, ``audit/<seq>.json``.
    """

    @property
    def where(self) -> str:
        """Return the store's place for messages; never a secret."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Store bytes under a new name, durably.

        Returns:
            Whether this call created the name; False where it is taken, whatever lies there.

        Raises:
            StorageError: Refused or unreachable.
        """

    def get(self, name: str) -> bytes:
        """Return the bytes under a name.

        Raises:
            ArchiveError: E602 where there is no such name.
            StorageError: Refused or unreachable.
        """

    def exists(self, name: str) -> bool:
        """Return whether a name is taken."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the names that begin with ``prefix`` and sort behind ``after``, in order."""

    def age(self, name: str) -> timedelta:
        """Return how long ago a name was given.

        Raises:
            ArchiveError: E602 where there is no such name.
        """

    def remove(self, name: str) -> None:
        """Take a name away; only for what no committed record names. Nothing happens where there is no such name."""
