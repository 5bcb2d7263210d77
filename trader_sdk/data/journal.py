"""The decision journal's read-only reader: what training may know of what was traded, the chain checked on the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import StorageError
from trader_sdk.contract.journal_events import JournalEvent

JOURNAL_FILE: Final = "journal.db"
_GENESIS: Final = "sha256:" + "0" * 64
_COLUMNS: Final = ("seq", "prev", "at", "event", "run_id", "body", "sha256")


class JournalRow(NamedTuple):
    """One event: what happened, when (RFC 3339 UTC), and its plain body."""

    event: JournalEvent
    at: str
    body: Mapping[str, Any]


def read_journal(folder: Path | str) -> Iterator[JournalRow]:
    """Yield a journal's events, oldest first; a trader may be writing it meanwhile.

    Args:
        folder: A trader's state folder, or the journal's file.

    Raises:
        StorageError: JOURNAL where there is none or its chain is broken, STORAGE where it cannot be read.
    """
    path = Path(folder) / JOURNAL_FILE if Path(folder).is_dir() else Path(folder)
    if not path.is_file():
        raise StorageError("JOURNAL", "there is no journal here", where=str(folder), remedy="Run `trader run` first.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            yield from _checked(connection, path)
    except sqlite3.Error as error:
        raise StorageError("STORAGE", "the journal cannot be read", where=str(path), found=error) from error


def _checked(connection: sqlite3.Connection, path: Path) -> Iterator[JournalRow]:
    tip = _GENESIS
    rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY seq")  # noqa: S608 - our own names
    for expected, row in enumerate(rows, 1):
        fields = dict(zip(_COLUMNS, row, strict=True))
        fields["body"] = json.loads(fields["body"])
        digest = fields.pop("sha256")
        if fields["seq"] != expected or fields["prev"] != tip or sha256_of(fields) != digest:
            raise StorageError("JOURNAL", "the journal's chain is broken", where=f"{path}, event {expected}")
        tip = digest
        yield JournalRow(JournalEvent(fields["event"]), fields["at"], fields["body"])
