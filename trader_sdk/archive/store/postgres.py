"""The audit chain in PostgreSQL: one row a record, written once, in the name of the role that wrote it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from trader_sdk.archive.store.chain import (
    START,
    Chain,
    ChainHead,
    HeadMovedError,
    broken,
    decode_chain,
    decode_record,
    encode_record,
)
from trader_sdk.archive.store.database import DEFAULT_TIMEOUT_SECONDS, NoTableError, PostgresDatabase
from trader_sdk.archive.store.database import shown_url as shown_url
from trader_sdk.archive.store.faults import UnreachableError
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.errors import ArchiveError, StorageError

DATABASE_SCHEMA: Final = 1
_WRITERS_LOCK: Final = 0x7452_6144_6552  # any number that is ours: one queue of writers a database

Along: TypeAlias = Callable[[sa.Connection, AuditRecord, ChainHead], object]

_METADATA: Final = sa.MetaData()
_AUDIT: Final = sa.Table(
    "audit",
    _METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("prev", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("record", sa.Text, nullable=False),
)
_SCHEMA_VERSION: Final = sa.Table(
    "archive_schema", _METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)
_GUARDS: Final = (
    """
    CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE continues boolean;
    BEGIN
      IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'the audit chain is written once' USING ERRCODE = '23514';
      END IF;
      IF NEW.who <> session_user OR (NEW.record::jsonb -> 'who' ->> 'name') <> session_user
         OR (NEW.record::jsonb -> 'who' ->> 'kind') <> 'database' THEN
        RAISE EXCEPTION 'a record is written in the name of its role' USING ERRCODE = '23514';
      END IF;
      EXECUTE format('SELECT %L = 1 OR EXISTS (SELECT FROM %I.%I WHERE seq = %L AND sha256 = %L)',
                     NEW.seq, TG_TABLE_SCHEMA, TG_TABLE_NAME, NEW.seq - 1, NEW.prev) INTO continues;
      IF NOT continues THEN
        RAISE EXCEPTION 'a record continues the one before' USING ERRCODE = '23514';
      END IF;
      RETURN NEW;
    END $$
    """,
    "CREATE OR REPLACE TRIGGER audit_rows BEFORE INSERT OR UPDATE OR DELETE ON audit"
    " FOR EACH ROW EXECUTE FUNCTION audit_guard()",
    "CREATE OR REPLACE TRIGGER audit_truncate BEFORE TRUNCATE ON audit"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_guard()",
)


class PostgresChain:
    """Rows of ``audit``; each names its predecessor's digest, and nobody changes one.

    Writers queue for one lock and insert the next number, so that nobody starves; a number is a primary key, so that
    nobody wins twice. A trigger holds what a role may not do: change a row, or write in another's name.

    Args:
        url: ``postgresql://...`` as libpq understands it; the password may come from ``PGPASSWORD`` or ``~/.pgpass``.
        along: Takes a record into what is derived from the chain, in the transaction that commits it; where it fails,
            the record is committed all the same.
        timeout_seconds: Longest wait for an answer.
    """

    def __init__(
        self, url: str, along: Along | None = None, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ) -> None:
        self._database = PostgresDatabase(url, timeout_seconds)
        self._along = along
        self._is_prepared = False

    @property
    def where(self) -> str:
        """Return the URL without its password."""
        return self._database.where

    @cached_property
    def role(self) -> str:
        """Return the role that the database knows this connection by.

        Raises:
            UnreachableError: E610.
        """
        with self._database.reading() as connection:
            return str(connection.scalar(sa.text("SELECT session_user")))

    def read(self, after: ChainHead | None = None) -> Chain:
        """Return the chain, or what follows a known head, after checking every number, link and digest.

        Raises:
            ArchiveError: E606 naming the first record that does not hold, or the known head that is gone.
            UnreachableError: E610.
        """
        start = after or START
        # The known record is asked for with what follows it, so that one answer shows that it is still there.
        query = sa.select(_AUDIT.c.record).where(_AUDIT.c.seq >= max(start.seq, 1)).order_by(_AUDIT.c.seq)
        lines = self._texts(query)
        if start.seq:
            known = decode_record(lines.pop(0), where=self.where) if lines else None
            if known is None or (known.seq, known.sha256) != (start.seq, start.sha256):
                was = f"record {known.seq} {known.sha256}" if known else "nothing"
                raise broken(self.where, f"record {start.seq} {start.sha256}", was)
        return decode_chain(lines, where=self.where, after=start)

    def last(self) -> AuditRecord | None:
        """Return the last committed record, ``None`` for an empty chain."""
        found = self._texts(sa.select(_AUDIT.c.record).order_by(_AUDIT.c.seq.desc()).limit(1))
        return decode_record(found[0], where=f"{self.where} last record") if found else None

    def head(self) -> ChainHead:
        """Return where the chain ends, as :meth:`last`."""
        record = self.last()
        return START if record is None else ChainHead(record.seq, record.sha256)

    def append(
        self,
        kind: AuditKind,
        body: Mapping[str, Any],
        *,
        who: Who,
        at: datetime,
        expected: ChainHead | None = None,
    ) -> AuditRecord:
        """Commit one record by inserting the row of its number.

        Raises:
            HeadMovedError: Another writer committed first; nothing was committed.
            UnreachableError: E610; the message says where it is not known whether the record was committed.
        """
        self._prepare()
        record: AuditRecord | None = None
        try:
            with self._database.writing(_WRITERS_LOCK) as connection:
                head = self._head_within(connection)
                if expected is not None and head != expected:
                    raise HeadMovedError(self.where, expected, head)
                record = AuditRecord.make(
                    seq=head.seq + 1, prev=head.sha256, at=at, kind=kind, who=who, body=dict(body)
                )
                if connection.scalar(_insertion(record)) is None:
                    raise HeadMovedError(self.where, head)
                self._take_along(connection, record, head)
        except UnreachableError as error:
            if record is None or not self._is_committed(record, error):
                raise
        assert record is not None  # a block that ended without an error has made it
        return record

    def _take_along(self, connection: sa.Connection, record: AuditRecord, head: ChainHead) -> None:
        if self._along is None:
            return
        with contextlib.suppress(ArchiveError, StorageError), self._database.part(connection):
            self._along(connection, record, head)

    def _head_within(self, connection: sa.Connection) -> ChainHead:
        query = sa.select(_AUDIT.c.seq, _AUDIT.c.sha256).order_by(_AUDIT.c.seq.desc()).limit(1)
        row = connection.execute(query).first()
        return ChainHead(row.seq, row.sha256) if row else START

    def _is_committed(self, record: AuditRecord, why: UnreachableError) -> bool:
        """Return whether a record whose answer was lost is there."""
        try:
            return bool(self._texts(sa.select(_AUDIT.c.record).where(_AUDIT.c.sha256 == record.sha256)))
        except UnreachableError as error:
            raise UnreachableError(
                "the database went away while a record was committed: it is not known whether it was",
                where=f"{self.where} record {record.seq}",
                found=why.found,
                remedy="Look with `trader archive verify` when the database answers; a record that is there counts.",
            ) from error

    def _texts(self, query: sa.Select[tuple[str]]) -> list[str]:
        try:
            with self._database.reading() as connection:
                return [str(text) for text in connection.scalars(query)]
        except NoTableError:
            return []

    def _prepare(self) -> None:
        """Make the tables where there are none; refuse those of a later release."""
        if self._is_prepared:
            return
        if self._version() is None:
            with self._database.writing(_WRITERS_LOCK) as connection:
                if not sa.inspect(connection).has_table(_AUDIT.name):
                    _METADATA.create_all(connection)
                    for guard in _GUARDS:
                        connection.execute(sa.text(guard))
                    connection.execute(sa.insert(_SCHEMA_VERSION).values(version=DATABASE_SCHEMA))
            self._version()
        self._is_prepared = True

    def _version(self) -> int | None:
        try:
            with self._database.reading() as connection:
                version: int | None = connection.scalar(sa.select(sa.func.max(_SCHEMA_VERSION.c.version)))
        except NoTableError:
            return None
        if version is not None and version > DATABASE_SCHEMA:
            raise ArchiveError(
                "E604",
                "the database is a later release's",
                where=self.where,
                expected=f"schema {DATABASE_SCHEMA}",
                found=f"schema {version}",
                remedy="Update trader-sdk on this host.",
            )
        return version


def _insertion(record: AuditRecord) -> Any:
    row = {
        "seq": record.seq,
        "sha256": record.sha256,
        "prev": record.prev,
        "kind": record.kind.value,
        "who": record.who.name,
        "at": record.at,
        "record": encode_record(record).decode(),
    }
    return postgresql.insert(_AUDIT).values(row).on_conflict_do_nothing().returning(_AUDIT.c.seq)
