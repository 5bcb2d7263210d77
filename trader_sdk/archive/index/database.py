"""Where an index lies: a SQLite file or a PostgreSQL database, its transactions, and its errors as typed ones."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import sqlalchemy as sa

from trader_sdk.archive.index.schema import METADATA
from trader_sdk.archive.index.statements import Driver, Session
from trader_sdk.archive.store.faults import RefusedError, UnreachableError, brief
from trader_sdk.archive.store.postgres import shown_url
from trader_sdk.contract.errors import ArchiveError, SdkError, StorageError, UsageError

DEFAULT_BUSY_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 10
_LOG_PAGES: Final = 4000  # 16 MB behind which SQLite moves its log into the file, and fsyncs both
_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_REFUSED: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}
)
WRITERS_LOCK: Final = 7_240_119
"""Number of the lock that writers of a PostgreSQL index hold for a transaction; any that nobody else uses."""
_BEGIN_WRITING: Final = {"sqlite": "BEGIN IMMEDIATE", "postgresql": f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})"}
_BEGIN_READING: Final = {
    "sqlite": "BEGIN",
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
}


class _Open(NamedTuple):
    """A connection and the session on it."""

    connection: sa.Connection
    session: Session


class Database:
    """One SQLite file or PostgreSQL database.

    Args:
        location: A file, or ``postgresql://user@host/name``; a password belongs into the environment or ``~/.pgpass``.
        busy_seconds: Wait for another process that holds a SQLite file's lock.

    Raises:
        UsageError: Another kind of database.
    """

    def __init__(self, location: Path | str, *, busy_seconds: float = DEFAULT_BUSY_SECONDS) -> None:
        self.file = None if _is_url(location) else Path(location)
        url = sa.make_url(str(location)) if self.file is None else sa.URL.create("sqlite", database=str(self.file))
        if url.get_backend_name() not in _BEGIN_WRITING:
            legal = "a file or postgresql://"
            raise UsageError("USAGE", "unknown kind of index", where="index", expected=legal, found=url.drivername)
        self.where = str(self.file) if self.file else shown_url(url)
        self._secrets = (url.password or "", os.environ.get("PGPASSWORD", ""))
        self._engine = _sqlite_engine(url, busy_seconds) if self.file else _postgresql_engine(url)
        # SQLAlchemy's own pool would cost more than a question does.
        self._spare: list[_Open] = []

    @property
    def exists(self) -> bool:
        """Return whether there is anything to connect to."""
        return self.file is None or self.file.exists()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session inside a transaction that ends with the block; one writer at a time.

        Raises:
            ArchiveError: E604 for a damaged index, E605 where another process holds it, E610 where a server does not
                answer.
            StorageError: The disk refuses.
        """
        with self.typed_errors(), self._using() as one:
            one.session.driver.execute(_BEGIN_WRITING[one.session.dialect_name])
            yield one.session
            one.session.driver.commit()

    def reading(self) -> tuple[Session, Callable[[], None]]:
        """Return a session that sees one moment, and what ends it."""
        with self.typed_errors():
            one = self._take()
            one.session.driver.execute(_BEGIN_READING[one.session.dialect_name])
        return one.session, partial(self._end_reading, one)

    def _end_reading(self, one: _Open) -> None:
        try:
            self._give_back(one)
        except (sa.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
            # Nothing was written, and the connection may be closed already where everything ends at once.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                one.connection.invalidate()

    @contextlib.contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """Give a connection of SQLAlchemy."""
        with self.typed_errors(), self._using() as one:
            yield one.connection

    def session_of(self, connection: sa.Connection) -> Session:
        """Return a session on a connection, in whatever transaction that is."""
        return Session(cast(Driver, connection.connection.driver_connection), connection.dialect)

    @contextlib.contextmanager
    def _using(self) -> Iterator[_Open]:
        one = self._take()
        try:
            yield one
        except BaseException:
            # Whatever it had begun is taken back, and nobody uses a connection that may be broken.
            one.connection.invalidate()
            one.connection.close()
            raise
        self._give_back(one)

    def _take(self) -> _Open:
        with contextlib.suppress(IndexError):
            while True:
                one = self._spare.pop()
                if self._answers(one):
                    return one
                one.connection.invalidate()
        connection = self._engine.connect()
        return _Open(connection, self.session_of(connection))

    def _answers(self, one: _Open) -> bool:
        if self.file is not None:
            return True
        try:
            one.session.driver.execute("SELECT 1")
            one.session.driver.rollback()
        except self._engine.dialect.loaded_dbapi.Error:
            return False
        return True

    def _give_back(self, one: _Open) -> None:
        if one.connection.in_transaction():
            one.connection.rollback()
        one.session.driver.rollback()
        self._spare.append(one)

    @contextlib.contextmanager
    def typed_errors(self) -> Iterator[None]:
        """Turn a driver's errors into typed ones."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._typed(error.orig or error) from error
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise self._typed(error) from error

    def _typed(self, error: BaseException) -> SdkError:
        if isinstance(error, self._engine.dialect.loaded_dbapi.IntegrityError):
            return ArchiveError("E606", "the audit chain names something twice", where=self.where, found=error)
        if self.file is None:
            return _postgresql_error(error, self.where, self._secrets)
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _BUSY:
            return ArchiveError("E605", "another process holds the index", where=self.where, found=error)
        if code in _REFUSED:
            return StorageError("STORAGE", "the index cannot be written", where=self.where, found=error)
        return ArchiveError("E604", "the index cannot be used", where=self.where, found=error)

    def clear(self) -> None:
        """Remove the index whole: a SQLite file with what SQLite keeps beside it, a server's tables.

        Raises:
            StorageError: The disk refuses.
        """
        self.close()
        if self.file is None:
            with self.connected() as connection, connection.begin():
                METADATA.drop_all(connection)
                connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))
            return
        try:
            for suffix in _SIDE_FILES:
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError("STORAGE", "the index cannot be removed", where=self.where, found=error) from error

    def close(self) -> None:
        """Close what is connected."""
        while self._spare:
            self._spare.pop().connection.close()
        self._engine.dispose()


def _is_url(location: Path | str) -> bool:
    return isinstance(location, str) and "://" in location


def _sqlite_engine(url: sa.URL, busy_seconds: float) -> sa.Engine:
    arguments = {"timeout": busy_seconds, "check_same_thread": False, "isolation_level": None}
    engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool)
    sa.event.listen(engine, "connect", _use_wal)
    # The driver begins no transaction by itself, so that it cannot end one before a table is made.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    arguments = {"connect_timeout": _CONNECT_SECONDS}
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), connect_args=arguments, poolclass=sa.NullPool)


def _use_wal(connection: Any, _record: object) -> None:
    # NORMAL is enough: the index is derived, and a lost commit is seen and made good from the chain.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")


def _postgresql_error(error: BaseException, where: str, secrets: Collection[str]) -> SdkError:
    from psycopg import errors

    found = brief(error, secrets)
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return RefusedError("the index's database refuses", where=where, found=found)
    if isinstance(error, errors.OperationalError | errors.InterfaceError):
        return UnreachableError("the index's database does not answer", where=where, found=found)
    return ArchiveError("E604", "the index cannot be used", where=where, found=found)
