"""A journal that is damaged: how much of it is true, what is cut off, and what is put aside; nothing is thrown away."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.contract.errors import StorageError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.control import read_private, write_private
from trader_sdk.live.events import JournalEntry, parse_time

LAST_WORDS_FILE: Final = "last-words.json"
_FILE: Final = "journal.db"
_GENESIS: Final = "sha256:" + "0" * 64
_BY_SEQ: Final = (
    *("events", "bars_seen", "decisions", "order_events", "intents", "fills"),
    *("sleeves", "limits_state", "models", "loads"),
)


@dataclass(frozen=True, slots=True)
class Examined:
    """How much of a journal is true.

    Attributes:
        is_sound: Whether SQLite finds its file whole.
        intact: Events from the first on whose chain holds.
        total: Events that can be read.
        follows: Whether an event is whole in itself where the chain no longer holds, so that the middle is damaged.
    """

    is_sound: bool
    intact: int
    total: int
    follows: bool

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is wrong."""
        return self.is_sound and self.intact == self.total

    @property
    def is_torn(self) -> bool:
        """Return whether only the end is wrong."""
        return self.is_sound and not self.is_whole and not self.follows and self.intact > 0


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done to a journal.

    Attributes:
        kept: Where the damaged files are now.
        cut: Events that were cut off the end.
        is_rebuilt: Whether the books begin anew.
    """

    kept: Path
    cut: int
    is_rebuilt: bool


def examine(folder: Path) -> Examined:
    """Return how much of the journal in ``folder`` is true: SQLite's own check, then the chain; changes nothing."""
    try:
        with closing(sqlite3.connect(f"{(folder / _FILE).resolve().as_uri()}?mode=ro", uri=True)) as connection:
            is_sound = connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
            begun = connection.execute("SELECT 1 FROM sqlite_master WHERE name='events'").fetchone() is not None
            return _examined(connection, is_sound=is_sound) if begun else Examined(is_sound, 0, 0, follows=False)
    except sqlite3.DatabaseError:
        return Examined(is_sound=False, intact=0, total=0, follows=False)


def _examined(connection: sqlite3.Connection, *, is_sound: bool) -> Examined:
    tip, intact, total, is_broken, follows = _GENESIS, 0, 0, False, False
    for row in connection.execute("SELECT seq, prev, at, event, run_id, body, sha256 FROM events ORDER BY seq"):
        total += 1
        entry = _entry(row)
        is_linked = entry is not None and entry.prev == tip and entry.seq == intact + 1
        if is_broken or not is_linked:
            follows |= entry is not None
            is_broken = True
            continue
        assert entry is not None  # it is linked
        tip, intact = entry.sha256, intact + 1
    return Examined(is_sound, intact, total, follows)


def _entry(row: tuple[Any, ...]) -> JournalEntry | None:
    """Return a row as a link that is whole in itself, None if it is not."""
    seq, prev, at, event, run_id, body, sha256 = row
    try:
        entry = JournalEntry(seq, prev, parse_time(at), JournalEvent(event), run_id, json.loads(body), sha256)
    except (ValueError, TypeError):
        return None
    return entry if entry.is_intact else None


def repair(folder: Path) -> Repaired | None:
    """Bring the journal in ``folder`` into a state that can be opened; the lock must be held.

    An end that is not true is cut off. A file whose middle is damaged is put aside whole: its books are made anew from
    the venue.

    Returns:
        What was done, None where nothing had to be.

    Raises:
        StorageError: The folder cannot be written.
    """
    if not (folder / _FILE).is_file():
        return None
    found = examine(folder)
    if found.is_whole:
        return None
    try:
        kept = folder / f"broken-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        kept.mkdir(mode=0o700)
        if not found.is_torn:
            for path in _files(folder):
                path.replace(kept / path.name)
            return Repaired(kept, 0, is_rebuilt=True)
        for path in _files(folder):
            shutil.copy2(path, kept)
        _cut(folder, found.intact)
        return Repaired(kept, found.total - found.intact, is_rebuilt=False)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            "STORAGE", "the damaged journal cannot be repaired", where=str(folder), found=error
        ) from error


def _files(folder: Path) -> list[Path]:
    return [path for suffix in ("", "-wal", "-shm") if (path := folder / f"{_FILE}{suffix}").exists()]


def _cut(folder: Path, intact: int) -> None:
    with closing(sqlite3.connect(folder / _FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table in _BY_SEQ:
            connection.execute(f"DELETE FROM {table} WHERE seq > ?", (intact,))  # noqa: S608 - names of our own
        connection.execute("COMMIT")


def backup(folder: Path, target: Path) -> int:
    """Copy the journal in ``folder`` to a file while a trader may be writing; return how many events it holds.

    Raises:
        StorageError: There is no journal, the target exists, or the copy does not say what it must.
    """
    if not (folder / _FILE).is_file():
        raise StorageError("JOURNAL", "there is no journal here", where=str(folder))
    if target.exists():
        raise StorageError("STORAGE", "a backup overwrites nothing", where=str(target), remedy="Name another file.")
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with _typed(target):
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        source = sqlite3.connect(f"{(folder / _FILE).resolve().as_uri()}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            found = _examined(copy, is_sound=copy.execute("PRAGMA quick_check").fetchone() == ("ok",))
        if not found.is_whole:
            partial.unlink()
            raise StorageError("JOURNAL", "the journal's chain is broken", where=f"{folder}, event {found.intact + 1}")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    return found.total


@contextmanager
def _typed(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StorageError("STORAGE", "the backup cannot be written", where=str(target), found=error) from error


def write_last_words(folder: Path, *, cause: str, exit_code: int) -> bool:
    """Write how a run ended whose journal can no longer say so; return whether even that could be written."""
    words = {"state": "HALTED", "cause": cause, "exit_code": exit_code, "at": datetime.now(UTC).isoformat()}
    try:
        write_private(folder / LAST_WORDS_FILE, words)
    except OSError:
        return False
    return True


def forget_last_words(folder: Path) -> None:
    """Take the last words away: the journal is written again."""
    (folder / LAST_WORDS_FILE).unlink(missing_ok=True)


def read_last_words(folder: Path) -> dict[str, Any] | None:
    """Return how the last run ended where its journal could not say so."""
    text = read_private(folder / LAST_WORDS_FILE)
    return None if text is None else dict(json.loads(text))
