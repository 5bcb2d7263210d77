"""Connections to PostgreSQL that always end: short, timed, and with every error typed."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final

import sqlalchemy as sa

from trader_sdk.archive.store.faults import RefusedError, UnreachableError, brief
from trader_sdk.contract.errors import ArchiveError, ConfigError, UsageError

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
_CONNECT_TIMEOUT_SECONDS: Final = 5
_CONNECT_AGAIN_SECONDS: Final = 3.0
_UNDEFINED_TABLE: Final = "42P01"
_LOCK_TIMEOUT: Final = "55P03"
_NO_ANSWER: Final = ("08", "57P", "53300")  # connection lost, shutting down, starting up, no connection left
_SET_LIMITS: Final = sa.text(
    "SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', :lock, true)"
)
_REMEDY_OF_STATE: Final = {
    "42501": "This role may not write: use a role with INSERT on audit, or only read with this one.",
    "25006": "This connection is read-only: use a role and a server that may write.",
    "23514": "The database holds its own rules: write in the role's own name, and never change a record.",
}


class NoTableError(RefusedError):
    """The database holds no archive yet."""


class PostgresDatabase:
    """A PostgreSQL database; each block has a connection and a transaction of its own.

    No connection is kept: a server has few to give, and a kept one may be dead when it is needed.

    Args:
        url: ``postgresql://...`` as libpq understands it; the password may come from ``PGPASSWORD`` or ``~/.pgpass``.
        timeout_seconds: Longest wait for an answer; a block as a whole may take twice as long.
    """

    def __init__(self, url: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        self._url = _checked_url(url)
        self._timeout_seconds = timeout_seconds
        self.where = shown_url(self._url)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection.

        Raises:
            NoTableError: There is no archive in this database.
            UnreachableError: E610, no answer; RefusedError where it answers and refuses.
        """
        with self._typed():
            connection = self._connected()
            with self._deadline(connection), connection:
                self._limit(connection)
                yield connection

    @contextmanager
    def writing(self, lock: int) -> Iterator[sa.Connection]:
        """Give a connection that holds a lock until its transaction is committed, at the block's end.

        Raises:
            ArchiveError: E605 where others hold the lock.
            UnreachableError: As for :meth:`reading`.
        """
        with self._typed():
            connection = self._connected()
            with self._deadline(connection), connection, connection.begin():
                self._limit(connection)
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
                yield connection

    @contextmanager
    def part(self, connection: sa.Connection) -> Iterator[None]:
        """Give a part of a transaction that may fail alone; its errors are typed."""
        with self._typed(), connection.begin_nested():
            yield

    def _connected(self) -> sa.Connection:
        # A server that has no connection left for a moment is asked again; connecting changes nothing.
        end = time.monotonic() + _CONNECT_AGAIN_SECONDS
        while True:
            try:
                return self._engine.connect()
            except sa.exc.OperationalError:
                if time.monotonic() >= end:
                    raise
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 # no secret

    @contextmanager
    def _deadline(self, connection: sa.Connection) -> Iterator[None]:
        """Break a connection whose server keeps silent: no timeout of the server's own can."""
        driver = connection.connection.driver_connection
        assert driver is not None  # it was just connected
        kept = socket.socket(fileno=os.dup(driver.fileno()))
        timer = threading.Timer(2 * self._timeout_seconds, _break, [kept])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            kept.close()

    def _limit(self, connection: sa.Connection) -> None:
        # Set in the session and not at connecting: poolers between us and the server refuse start-up options.
        milliseconds = int(1000 * self._timeout_seconds)
        limits = {"statement": str(milliseconds), "lock": str(2 * milliseconds // 3)}
        connection.execute(_SET_LIMITS, limits)

    @cached_property
    def _engine(self) -> sa.Engine:
        try:
            return sa.create_engine(
                self._url,
                poolclass=sa.NullPool,
                hide_parameters=True,
                connect_args={"connect_timeout": _CONNECT_TIMEOUT_SECONDS, "application_name": "trader-sdk"},
            )
        except ImportError as error:
            raise ConfigError(
                "CONFIG",
                "an archive on PostgreSQL needs psycopg",
                where=self.where,
                remedy="pip install 'trader-sdk[store]'",
            ) from error

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._error_of(error) from error
        except sa.exc.SQLAlchemyError as error:
            found = brief(error, self._secrets)
            raise RefusedError("the database cannot be used", where=self.where, found=found) from error

    def _error_of(self, error: sa.exc.DBAPIError) -> ArchiveError:
        state: str | None = getattr(error.orig, "sqlstate", None)
        if state == _UNDEFINED_TABLE:
            return NoTableError("there is no archive in this database", where=self.where)
        if state == _LOCK_TIMEOUT:
            return ArchiveError("E605", "other writers hold the archive", where=self.where)
        found = brief(error.orig or error, self._secrets)
        if state is None or state.startswith(_NO_ANSWER):
            return UnreachableError("the database does not answer", where=self.where, found=found)
        return RefusedError("the database refuses", where=self.where, found=found, remedy=_REMEDY_OF_STATE.get(state))

    @property
    def _secrets(self) -> Collection[str]:
        return [self._url.password or "", os.environ.get("PGPASSWORD", "")]


def shown_url(url: sa.URL) -> str:
    """Return a URL without what only its owner should see."""
    query = {name: value for name, value in url.query.items() if name in ("host", "port", "dbname", "options")}
    shown = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return shown.render_as_string(hide_password=True)


def _checked_url(url: str) -> sa.URL:
    try:
        parsed = sa.engine.make_url(url)
    except sa.exc.ArgumentError as error:
        raise UsageError("USAGE", "not a database's URL", where="index", expected="postgresql://...") from error
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise UsageError(
            "USAGE", "only PostgreSQL is spoken", where="index", expected="postgresql://...", found=parsed.drivername
        )
    return parsed.set(drivername="postgresql+psycopg")


def _break(kept: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it had ended already
        kept.shutdown(socket.SHUT_RDWR)
