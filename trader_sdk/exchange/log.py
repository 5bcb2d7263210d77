"""The append-only event log: what was acknowledged is on disk, and the venue rebuilds from it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from trader_sdk.contract.errors import StorageError
from trader_sdk.exchange.codec import dump_line

LOG_SCHEMA: Final = 1


class EventLog:
    """One file of JSON lines, the first of which says which run and which market it belongs to.

    Args:
        path: Created if missing. A last line that was only half written (the process was killed while writing it, so
            nobody was told of it) is cut off.

    Raises:
        StorageError: The file cannot be opened, or a line other than the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.records, whole = _read(path)
            self._file = path.open("ab", buffering=0)
            if self._file.tell() > whole:
                self._file.truncate(whole)
            self._size = whole
        except OSError as error:
            raise StorageError("STORAGE", "the exchange's log cannot be opened", where=str(path)) from error

    @property
    def is_new(self) -> bool:
        """Return whether nothing was written yet."""
        return not self.records and self._size == 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and wait until the disk has it.

        Raises:
            StorageError: The disk refused; what the record says must not be acknowledged.
        """
        line = dump_line(record)
        if self._file.closed:
            raise StorageError("STORAGE", "the exchange's log is closed", where=str(self.path))
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(f"{written} of {len(line)} bytes written")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StorageError("STORAGE", "the exchange's log cannot be written", where=str(self.path)) from error
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the whole records and how many bytes they take."""
    if not path.exists():
        return [], 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise StorageError(
                "JOURNAL", "a line of the exchange's log is damaged", where=f"{path}:{number}", found=line[:80]
            ) from error
    return records, whole
