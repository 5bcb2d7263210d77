"""A store in a folder: each name a file that appears whole, once, and survives power loss."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath

from trader_sdk.archive.layout import UNFINISHED_PREFIX
from trader_sdk.archive.store.durable import storage_errors, sync_folder, write_new
from trader_sdk.archive.store.faults import no_such_name
from trader_sdk.contract.errors import ArchiveError


class FolderStore:
    """Files below a folder, created once.

    Args:
        root: The folder; made with the first file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        """Return the folder."""
        return str(self.root)

    def put_new(self, name: str, data: bytes) -> bool:
        """Store bytes under a new name; return False where the name is taken.

        Raises:
            StorageError: The disk refused; the name is not there.
        """
        path = self._path(name)
        with storage_errors(path):
            if path.exists():
                return False
            _make_folders(path.parent)
            unfinished = path.parent / f"{UNFINISHED_PREFIX}{secrets.token_hex(8)}"
            try:
                write_new(unfinished, data)
                # A link fails where the name is taken; a rename would replace what lies there.
                os.link(unfinished, path)
            except FileExistsError:
                return False
            finally:
                unfinished.unlink(missing_ok=True)
            sync_folder(path.parent)
        return True

    def get(self, name: str) -> bytes:
        """Return the bytes under a name.

        Raises:
            ArchiveError: E602 where there is no such name.
            StorageError: The disk refused.
        """
        path = self._path(name)
        with storage_errors(path):
            try:
                return path.read_bytes()
            except FileNotFoundError as error:
                raise no_such_name(self.where, name) from error

    def exists(self, name: str) -> bool:
        """Return whether a name is taken."""
        return self._path(name).is_file()

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the names that begin with ``prefix`` and sort behind ``after``, in order."""
        folder = self.root / prefix.rpartition("/")[0]
        names = sorted(
            path.relative_to(self.root).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(UNFINISHED_PREFIX)
        )
        yield from (name for name in names if name.startswith(prefix) and name > after)

    def age(self, name: str) -> timedelta:
        """Return how long ago a name was given."""
        path = self._path(name)
        with storage_errors(path):
            try:
                return timedelta(seconds=max(0.0, time.time() - path.stat().st_mtime))
            except FileNotFoundError as error:
                raise no_such_name(self.where, name) from error

    def remove(self, name: str) -> None:
        """Take a name away, durably."""
        path = self._path(name)
        with storage_errors(path):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name)


def checked_name(name: str) -> PurePosixPath:
    """Return a name as a relative path that stays below its root.

    Raises:
        ArchiveError: E609 for a name that would leave the store or is not in its plain form.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or path.as_posix() != name or "\\" in name or "\0" in name:
        raise ArchiveError("E609", "not a name inside a store", where="name", found=repr(name[:80]))
    return path


def _make_folders(folder: Path) -> None:
    made = []
    while not folder.exists():
        made.append(folder)
        folder = folder.parent
    for one in reversed(made):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)
