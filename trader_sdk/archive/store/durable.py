"""Files that survive power loss: written once, fsynced, renamed into place, their folder fsynced."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader_sdk.archive.layout import UNFINISHED_PREFIX
from trader_sdk.contract.errors import ArchiveError, StorageError

_CHUNK_BYTES: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


@contextlib.contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn an :class:`OSError` into a typed one that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError("STORAGE", f"the disk refused: {error.strerror or error}", where=str(where)) from error


def write_new(path: Path, data: bytes) -> str:
    """Write a file that must not exist yet and fsync it; return its sha256 as hex."""
    descriptor = os.open(path, _NEW, 0o644)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return hashlib.sha256(data).hexdigest()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``; a short write goes on where it stopped."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def replace_derived(path: Path, data: bytes) -> None:
    """Replace a derived file so that a reader sees the old one or the new one."""
    partial = path.with_name(f"{path.name}.tmp")
    with partial.open("wb") as stream:
        stream.write(data)
    partial.replace(path)


def store_by_digest(data: bytes, folder: Path, suffix: str) -> str:
    """Write ``data`` as ``<sha256><suffix>``, fsynced and read back; return the digest as hex.

    Raises:
        ArchiveError: E602 where the disk gives back other bytes than were written.
    """
    digest = hashlib.sha256(data).hexdigest()
    target = folder / f"{digest}{suffix}"
    if not target.exists():
        write_new(target, data)
    if hashlib.sha256(target.read_bytes()).hexdigest() != digest:
        raise ArchiveError("E602", "the disk gave back other bytes than were written", where=str(target))
    return digest


def sync_folder(path: Path) -> None:
    """Fsync a folder, so that the names in it survive power loss; nothing to do where folders cannot be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Remove what an unfinished write left; a folder that cannot be removed is reported by ``verify``."""
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def unfinished_folder(parent: Path, name: str | None = None) -> Iterator[Path]:
    """Give a new folder under a name that no reader looks at; gone afterwards unless it was renamed away.

    Args:
        parent: Where it lies.
        name: Behind the prefix; one that nobody else has when omitted.
    """
    folder = parent / f"{UNFINISHED_PREFIX}{name or f'{os.getpid()}-{secrets.token_hex(4)}'}"
    try:
        with storage_errors(folder):
            folder.mkdir()
            yield folder
    finally:
        remove_folder(folder)
