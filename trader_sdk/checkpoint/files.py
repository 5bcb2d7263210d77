"""Writing a file so that a reader sees all of it or nothing of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from trader_sdk.contract.errors import StorageError


def write_whole(path: Path, content: bytes, *, verify: Callable[[Path], None]) -> None:
    """Write ``content`` durably: a temporary file beside the target, fsync, verify, rename, fsync of the folder.

    Args:
        path: Target; an older file there is replaced in one step.
        content: All bytes.
        verify: Reads the temporary file back and raises if it is not what was meant; the target is then untouched.

    Raises:
        StorageError: STORAGE if the disk refuses; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        _write_synced(partial, content)
        verify(partial)
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            "STORAGE", "the file could not be written", where=str(path), found=error.strerror or str(error)
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("xb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
