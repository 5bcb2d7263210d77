"""One writer at a time: a lock that the system drops when its holder dies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader_sdk.archive.layout import LOCK_FILE
from trader_sdk.archive.store.durable import storage_errors
from trader_sdk.contract.errors import ArchiveError

DEFAULT_TIMEOUT_SECONDS: Final = 30.0


@contextlib.contextmanager
def writer_lock(root: Path, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold the archive's lock while the block runs.

    Raises:
        ArchiveError: E605 if another process still holds it after ``timeout_seconds``.
        StorageError: The disk refused the lock's file.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(root / LOCK_FILE, timeout=timeout_seconds)
    with storage_errors(root / LOCK_FILE):
        try:
            lock.acquire()
        except Timeout as error:
            raise ArchiveError(
                "E605",
                "the archive is locked by another writer",
                where=str(root),
                expected=f"free in {timeout_seconds} s",
            ) from error
    try:
        yield
    finally:
        # The system drops the lock with the file's descriptor: what was committed must not look refused.
        with contextlib.suppress(OSError):
            lock.release()
