"""The journal: an append-only chain of events in SQLite, durable when :meth:`Journal.append` returns.

WAL with ``synchronous=FULL``: a committed transaction survives power loss. No journal, no order: a failed write is an
error that the session must not trade past, and the database counts as lost after it.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock, Timeout

from trader_sdk.contract.errors import StorageError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft, JournalEntry, body_text_of, parse_time
from trader_sdk.live.ledger import Ledger, fold
from trader_sdk.live.recovery import Repaired, repair
from trader_sdk.live.tables import JOURNAL_SCHEMA, SCHEMA_SQL, event_statement, table_statements

JOURNAL_FILE: Final = "journal.db"
LOCK_FILE: Final = "journal.lock"
RESERVE_FILE: Final = "journal.reserve"
_RESERVE_BYTES: Final = 1 << 20
_LOCK_SECONDS: Final = 0.5
"""How long a start waits for the lock: `trader status` takes it for an instant to see whether anybody holds it."""
_GENESIS: Final = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Stamp:
    """Whose journal it is; another account's or mode's is refused."""

    account_id: str
    mode: str
    run_id: str


class Journal:
    """One run's or account's journal, open for writing by one process at a time.

    Use :meth:`open` (or :meth:`read` for looking without a lock); it is a context manager.

    Attributes:
        ledger: The books, folded from every event so far.
        repaired: What had to be done before it could be opened, None where nothing had to be.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, run_id: str, events: Sequence[JournalEntry]) -> None:
        self._connection = connection
        self._run_id = run_id
        self._tip = events[-1].sha256 if events else _GENESIS
        self._seq = events[-1].seq if events else 0
        self._lock: FileLock | None = None
        self._failed = False
        self._is_full = False
        self.path = path
        self.repaired: Repaired | None = None
        self.ledger: Ledger = fold(events)

    @classmethod
    def open(cls, folder: Path, stamp: Stamp, *, lock: FileLock | None = None) -> Self:
        """Open or create the journal in ``folder`` for writing.

        Args:
            folder: State folder; created if missing.
            stamp: Account, mode and run that the journal must belong to.
            lock: The folder's lock if the caller already holds it (:func:`lock_folder`).

        Raises:
            StorageError: LOCKED if another process holds it, JOURNAL if it belongs to another account or mode,
                STORAGE if the disk fails.
        """
        held = lock or lock_folder(folder)
        try:
            repaired = repair(folder)
            with _typed(folder):
                connection = _connect(folder / JOURNAL_FILE)
                _create_tables(connection, stamp)
                _check_stamp(connection, stamp, folder)
                events = list(_verified(_rows(connection), folder))
                _write_reserve(folder / RESERVE_FILE)
            journal = cls(connection, folder / JOURNAL_FILE, stamp.run_id, events)
        except StorageError:
            held.release()
            raise
        journal._lock, journal.repaired = held, repaired
        return journal

    def append(self, drafts: Iterable[Draft]) -> tuple[JournalEntry, ...]:
        """Commit ``drafts`` in one transaction and fold them into the books; all or none.

        Raises:
            StorageError: The disk failed. Nothing was recorded, and no later append is taken.
        """
        if self._failed:
            raise _lost(self.path)
        linked = self._linked(drafts)
        if not linked:
            return ()
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._insert(linked)
        except (sqlite3.Error, OSError) as error:
            self._failed, self._is_full = True, _is_full(error)
            raise _lost(self.path) from error
        events = tuple(event for event, _ in linked)
        self._seq, self._tip = events[-1].seq, events[-1].sha256
        for event in events:
            self.ledger.apply(event)
        return events

    def _linked(self, drafts: Iterable[Draft]) -> list[tuple[JournalEntry, str]]:
        """Return drafts as the next links, each with the text of its body."""
        linked: list[tuple[JournalEntry, str]] = []
        seq, tip = self._seq, self._tip
        for draft in drafts:
            text = body_text_of(draft)
            event = JournalEntry.link(draft, seq=seq + 1, prev=tip, run_id=self._run_id, body_text=text)
            seq, tip = event.seq, event.sha256
            linked.append((event, text))
        return linked

    def _insert(self, linked: Iterable[tuple[JournalEntry, str]]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for event, text in linked:
            for sql, row in (event_statement(event, text), *table_statements(event)):
                rows.setdefault(sql, []).append(row)
        for sql, some in rows.items():
            self._connection.executemany(sql, some)

    @property
    def is_usable(self) -> bool:
        """Return whether orders may still be recorded."""
        return not self._failed

    def reopen_with_reserve(self) -> bool:
        """After a full disk: give back what was set aside and open the file anew, for the last records of the run.

        Returns:
            Whether entries are taken again. Never after any other failure: what a failed write left is not known.
        """
        if not self._is_full:
            return False
        try:
            (self.path.parent / RESERVE_FILE).unlink(missing_ok=True)
            self._connection.close()
            self._connection = _connect(self.path)
            row = self._connection.execute("SELECT seq, sha256 FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        except (sqlite3.Error, OSError):
            return False
        self._failed = row != (self._seq, self._tip)
        return not self._failed

    def close(self) -> None:
        """Close the database and release the lock; safe to call twice."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lock_folder(folder: Path) -> FileLock:
    """Take the folder's lock, or say that another trader holds it.

    Raises:
        StorageError: LOCKED, or STORAGE if the folder cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout as error:
        raise StorageError("LOCKED", "another trader is using this state folder", where=str(folder)) from error
    except OSError as error:
        raise StorageError("STORAGE", "the state folder cannot be used", where=str(folder), found=error) from error
    return lock


def is_locked(folder: Path) -> bool:
    """Return whether a trader holds the folder.

    Looking shares the lock for an instant, which a start waits out; it writes nothing, so a read-only folder can be
    looked at too.
    """
    import fcntl

    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_events(folder: Path) -> list[JournalEntry]:
    """Return every event of the journal in ``folder``; works while a trader is writing, and when none is.

    Raises:
        StorageError: There is no journal, or its chain is broken.
    """
    path = folder / JOURNAL_FILE
    if not path.is_file():
        raise StorageError("JOURNAL", "there is no journal here", where=str(folder), remedy="Run `trader run` first.")
    with _typed(folder), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return list(_verified(_rows(connection), folder)) if _has_tables(connection) else []


def last_seq(folder: Path) -> int:
    """Return how many entries a journal has, without reading them.

    Raises:
        StorageError: The file is not a journal.
    """
    path = folder / JOURNAL_FILE
    with _typed(folder), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])


def last_event(folder: Path) -> JournalEvent | None:
    """Return the newest event of a journal without reading the others, None where there is none.

    Raises:
        StorageError: The file is not a journal.
    """
    path = folder / JOURNAL_FILE
    if not path.is_file():
        return None
    with _typed(folder), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        if not _has_tables(connection):
            return None
        row = connection.execute("SELECT event FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        return None if row is None else JournalEvent(row[0])


@contextmanager
def _typed(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            "STORAGE", "the journal cannot be read or written", where=str(folder), found=error
        ) from error


def _is_full(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _lost(path: Path) -> StorageError:
    return StorageError("STORAGE", "the journal could not be written; trading stops", where=str(path))


def _connect(path: Path) -> sqlite3.Connection:
    # The event loop's thread is the only writer, a reader opens its own connection.
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _create_tables(connection: sqlite3.Connection, stamp: Stamp) -> None:
    if _has_tables(connection):
        return
    values = {"schema": str(JOURNAL_SCHEMA), "account_id": stamp.account_id, "mode": stamp.mode, "run_id": stamp.run_id}
    statements = ["BEGIN IMMEDIATE", *SCHEMA_SQL.split(";")]
    for statement in statements:
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?,?)", values.items())
    connection.execute("COMMIT")


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name='meta'").fetchone() is not None


def _check_stamp(connection: sqlite3.Connection, stamp: Stamp, folder: Path) -> None:
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    wanted = {"schema": str(JOURNAL_SCHEMA), "account_id": stamp.account_id, "mode": stamp.mode}
    wrong = [name for name, value in wanted.items() if meta.get(name) != value]
    if wrong:
        raise StorageError(
            "JOURNAL",
            f"the journal has another {' and '.join(wrong)}",
            where=str(folder),
            expected=", ".join(wanted[name] for name in wrong),
            found=", ".join(str(meta.get(name)) for name in wrong),
        )


def _rows(connection: sqlite3.Connection) -> Iterator[JournalEntry]:
    cursor = connection.execute("SELECT seq, prev, at, event, run_id, body, sha256 FROM events ORDER BY seq")
    for seq, prev, at, event, run_id, body, sha256 in cursor:
        yield JournalEntry(seq, prev, parse_time(at), JournalEvent(event), run_id, json.loads(body), sha256)


def _verified(events: Iterable[JournalEntry], folder: Path) -> Iterator[JournalEntry]:
    """Yield events whose chain holds from the first on."""
    tip, seq = _GENESIS, 0
    for event in events:
        if event.prev != tip or event.seq != seq + 1 or not event.is_intact:
            raise StorageError("JOURNAL", "the journal's chain is broken", where=f"{folder}, event {seq + 1}")
        tip, seq = event.sha256, event.seq
        yield event


def _write_reserve(path: Path) -> None:
    if not path.exists():
        path.write_bytes(bytes(_RESERVE_BYTES))
