"""Writing a file so that a reader sees all of it or nothing of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from trader_sdk.contract.errors import StorageError, UsageError


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


def write_new(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet, whole or not at all.

    Raises:
        UsageError: USAGE if the name is taken; it is left as it was.
        StorageError: STORAGE if the disk refuses; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        _write_synced(partial, content)
        publish_new(partial, path)
    except OSError as error:
        raise StorageError(
            "STORAGE", "the file could not be written", where=str(path), found=error.strerror or str(error)
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def publish_new(finished: Path, target: Path) -> None:
    """Give a finished file its name, never in place of another file, not even one that appears meanwhile.

    Args:
        finished: A whole, synced file on the same file system; its own name stays.
        target: The new name.

    Raises:
        UsageError: USAGE if the name is taken, also by a dangling link; it is left as it was.
        StorageError: STORAGE if the disk refuses, or its file system has no hard links.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(finished, target)
        _sync_folder(target.parent)
    except FileExistsError as error:
        raise UsageError("USAGE", "this file exists already and is not overwritten", where=str(target)) from error
    except OSError as error:
        raise StorageError(
            "STORAGE", "the file could not get its name", where=str(target), found=error.strerror or str(error)
        ) from error


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
