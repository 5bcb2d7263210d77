"""The index of one archive: follows the chain, catches up where it is behind, and is made again where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
import structlog

from trader_sdk.archive.index import statements as sql
from trader_sdk.archive.index.database import DEFAULT_BUSY_SECONDS, Database
from trader_sdk.archive.index.migrating import revision_of, upgrade
from trader_sdk.archive.index.schema import REVISION
from trader_sdk.archive.index.state import IndexedState
from trader_sdk.archive.index.writing import Filling, advance
from trader_sdk.archive.layout import DATABASE_FILE
from trader_sdk.archive.store.chain import ChainHead
from trader_sdk.archive.store.port import AuditChain
from trader_sdk.contract.audit import AuditRecord
from trader_sdk.contract.errors import ArchiveError

_log = structlog.get_logger(__name__)


class Step(StrEnum):
    """What following the chain took."""

    CURRENT = "current"
    CAUGHT_UP = "caught_up"
    REBUILT = "rebuilt"


class Followed(NamedTuple):
    """What following the chain took, where the index is now, and why it was made again where it was."""

    step: Step
    head: ChainHead
    why: str = ""


class ArchiveIndex:
    """An archive's index in SQLite or PostgreSQL.

    Args:
        location: A file, or ``postgresql://user@host/name``.
        busy_seconds: Wait for another process that holds a SQLite file's lock.
        rewrites_are_refused: Trust the index more than the chain: where the chain does not have the record that the
            index reaches, refuse the chain instead of making the index again.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        busy_seconds: float = DEFAULT_BUSY_SECONDS,
        rewrites_are_refused: bool = False,
    ) -> None:
        self.database = Database(location, busy_seconds=busy_seconds)
        self._rewrites_are_refused = rewrites_are_refused

    @classmethod
    def in_folder(cls, root: Path) -> ArchiveIndex:
        """Return the index that lies in an archive's folder."""
        return cls(root / DATABASE_FILE)

    @property
    def where(self) -> str:
        """Return the index's place for messages; never a secret."""
        return self.database.where

    def head(self) -> ChainHead | None:
        """Return the record that the index reaches, ``None`` where there is no index of this schema."""
        if not self.database.exists:
            return None
        try:
            with self.database.connected() as connection:
                session = self.database.session_of(connection)
                row = session.one(sql.READ_HEAD) if revision_of(session) == REVISION else None
        except ArchiveError as error:
            if error.code != "E604":
                raise
            return None
        return ChainHead(*row) if row else None

    def follow(self, chain: AuditChain) -> Followed:
        """Bring the index to the chain's end: nothing, the records behind its head, or all of them.

        Made again where there is none, where it is damaged or of an older schema, and where the chain does not have
        the record that the index reaches.

        Raises:
            ArchiveError: E606 where the chain does not hold, E604 for the index of a newer release, E605 where another
                process holds it, E610 where a server does not answer.
            StorageError: The disk refuses.
        """
        try:
            self._upgrade()
            return self._follow(chain)
        except ArchiveError as error:
            if error.code != "E604" or error.evidence.get("newer"):
                raise
            return self._rebuilt(chain, error.message, anew=True)

    def _follow(self, chain: AuditChain) -> Followed:
        head = self.head()
        if head is None or head.seq == 0:
            return Followed(Step.REBUILT, self.fill(chain.read().records), "there was none")
        if head == chain.head():
            return Followed(Step.CURRENT, head)
        try:
            tail = chain.read(after=head)
        except ArchiveError as error:
            if error.code != "E606":
                raise
            if self._rewrites_are_refused:
                raise self._rewritten(error, head) from error
            # Either the index is wrong or the chain is; reading the whole chain tells which.
            return self._rebuilt(chain, f"record {head.seq} is another one in the chain")
        with self.database.writing() as session:
            # Another process may have taken records in since.
            now = ChainHead(*(session.one(sql.READ_HEAD) or (0, "")))
            missing = [record for record in tail.records if record.seq > now.seq]
            head = advance(session, missing, now, where=self.where)
        if len(missing) > 1:
            _log.info("index_caught_up", where=self.where, records=len(missing))
        return Followed(Step.CAUGHT_UP, head)

    def rebuild(self, chain: AuditChain) -> ChainHead:
        """Replace everything by what the chain says, whatever lies there.

        Raises:
            ArchiveError: E606 where the chain does not hold; the index is as it was.
        """
        return self.fill(chain.read().records, anew=True)

    def fill(self, records: Iterable[AuditRecord], *, anew: bool = False) -> ChainHead:
        """Replace all rows by what verified records say, from the first one on.

        Args:
            records: All of a chain.
            anew: Make the tables again too.

        Raises:
            ArchiveError: E606 where they name something twice; the index is as it was.
        """
        filling = Filling()
        for record in records:
            filling.take(record)
        if anew:
            self.database.clear()
        self._upgrade()
        with self.database.writing() as session:
            filling.write(session)
        return filling.head

    def advance(self, records: Iterable[AuditRecord], after: ChainHead) -> ChainHead:
        """Take in verified records behind ``after``, which must be the index's head.

        Raises:
            HeadMovedError: Another writer advanced the index first; nothing was changed.
        """
        with self.database.writing() as session:
            return advance(session, records, after, where=self.where)

    def advance_within(self, connection: sa.Connection, records: Iterable[AuditRecord], after: ChainHead) -> ChainHead:
        """Take in records inside the transaction that commits them, so that index and chain move together."""
        return advance(self.database.session_of(connection), records, after, where=self.where)

    @contextmanager
    def state(self) -> Iterator[IndexedState]:
        """Give the state at one moment, for the length of the block."""
        state = self.open_state()
        try:
            with self.database.typed_errors():
                yield state
        finally:
            state.close()

    def open_state(self) -> IndexedState:
        """Return the state at one moment; its owner closes it."""
        return IndexedState(*self.database.reading())

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table, in the order of their keys: what two equal indexes share."""
        with self.database.connected() as connection:
            session = self.database.session_of(connection)
            return {name: [tuple(row) for row in session.every(rows)] for name, rows in sql.DUMP.items()}

    def close(self) -> None:
        """Close what is connected."""
        self.database.close()

    def _rewritten(self, error: ArchiveError, head: ChainHead) -> ArchiveError:
        return ArchiveError(
            "E606",
            "the audit chain does not continue what this host has verified before",
            where=error.where,
            expected=f"record {head.seq} {head.sha256}",
            found=f"{error.message}: {error.found}",
            remedy="Compare the archive with a backup. If you replaced or restored it yourself, remove "
            f"{self.where} and run the command again.",
        )

    def _rebuilt(self, chain: AuditChain, why: str, *, anew: bool = False) -> Followed:
        head = self.fill(chain.read().records, anew=anew)
        _log.warning("index_rebuilt", where=self.where, why=why, records=head.seq)
        return Followed(Step.REBUILT, head, why)

    def _upgrade(self) -> None:
        with self.database.connected() as connection:
            if revision_of(self.database.session_of(connection)) != REVISION:
                upgrade(connection, where=self.where)
