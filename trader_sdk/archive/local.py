"""An archive in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trader_sdk.archive.identity import login_name
from trader_sdk.archive.layout import UNFINISHED_PREFIX, is_run_timestamp
from trader_sdk.archive.location import Leftover
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import Chain
from trader_sdk.archive.store.durable import remove_folder, storage_errors, sync_folder, unfinished_folder
from trader_sdk.archive.store.folder import FolderStore
from trader_sdk.archive.store.lock import writer_lock
from trader_sdk.contract.audit import Who
from trader_sdk.contract.errors import StorageError

if TYPE_CHECKING:
    from trader_sdk.archive.slots import FoldedState

_STAGED: Final = "run"


class FolderPlace:
    """An archive in a folder of this machine.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.chain = AuditLog(root)

    @property
    def where(self) -> str:
        """Return the folder."""
        return str(self.root)

    @property
    def offline(self) -> None:
        """Return None: a folder is here or not."""

    def refresh(self) -> None:
        """Do nothing: the folder is the archive."""

    def fetch(self, name: str, sha256: str) -> Path:  # noqa: ARG002 # whoever reads the file compares its digest
        """Return the file in the folder, whatever it is by now."""
        return self.root / name

    def fetch_named(self, prefix: str) -> list[Path]:
        """Return the files under a prefix; none where they cannot be listed."""
        return [self.root / name for name in FolderStore(self.root).list(prefix)]

    def put_named(self, name: str, data: bytes) -> bool:
        """Add a file; False where the name is taken."""
        return FolderStore(self.root).put_new(name, data)

    @contextmanager
    def writing(self, timeout_seconds: float) -> Iterator[None]:
        """Hold the archive's lock; the folder is made where there is none."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with writer_lock(self.root, timeout_seconds):
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give an unfinished folder inside the archive; for whoever holds its lock."""
        # Only the lock's holder makes it, so whoever left one is dead; one name, so that nobody lists every run for it.
        remove_folder(self.root / f"{UNFINISHED_PREFIX}{_STAGED}")
        with unfinished_folder(self.root, _STAGED) as folder:
            yield folder

    @contextmanager
    def published(self, staged: Path, timestamp: str) -> Iterator[None]:
        """Rename the folder to its final name, and back where nothing was committed."""
        final = self.root / timestamp
        staged.rename(final)
        try:
            sync_folder(self.root)
            yield
        except BaseException:
            # An interrupt may come after the line was written: only what was not committed is taken back.
            last = self.chain.last()
            if last is None or last.body.get("timestamp") != timestamp:
                final.rename(staged)
            raise

    def keep_index(self) -> None:
        """Bring ``index.sqlite`` and ``index.json`` to the chain's end."""
        from trader_sdk.archive.index.listing import keep_index

        keep_index(self.root, self.chain)

    def rebuild_index(self, timeout_seconds: float) -> int:
        """Make ``index.sqlite`` and ``index.json`` again; return the number of runs."""
        from trader_sdk.archive.index.listing import rebuild

        with writer_lock(self.root, timeout_seconds), storage_errors(self.root):
            return rebuild(self.root, self.chain)

    def stale_indexes(self, chain: Chain, state: FoldedState) -> list[str]:
        """Return the derived files that are not what the chain says."""
        from trader_sdk.archive.index.listing import disagreements

        return disagreements(self.root, chain, state)

    def reached(self) -> Mapping[str, int]:
        """Return which record ``index.json`` and ``index.sqlite`` reach at least."""
        from trader_sdk.archive.index.listing import reached

        return reached(self.root)

    def stored_digest(self, name: str, sha256: str) -> str | None:  # noqa: ARG002 # the file is what it is
        """Return the digest of a file, None where it is missing or cannot be read."""
        try:
            return hashlib.sha256((self.root / name).read_bytes()).hexdigest()
        except OSError:
            return None

    def leftovers(self, runs: Container[str], digests: Container[str]) -> Iterator[Leftover]:  # noqa: ARG002 # by folder
        """Yield unfinished folders, and runs that were renamed into place and never committed."""
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            if folder.name.startswith(UNFINISHED_PREFIX):
                yield Leftover(folder.name, "left by a writer that died; the next one removes it", is_unfinished=True)
            elif is_run_timestamp(folder.name) and folder.name not in runs:
                age = timedelta(seconds=max(0.0, time.time() - folder.stat().st_mtime))
                yield Leftover(folder.name, "a run that was never committed; it is ignored", age=age)

    def discard(self, name: str) -> bytes:
        """Remove a leftover run's folder; for whoever holds the lock, and so nobody relies on it."""
        if is_run_timestamp(name):
            remove_folder(self.root / name)
        return b""

    def check_writable(self) -> None:
        """Find out whether the folder, or the nearest one that is there, may be written.

        Raises:
            StorageError: It may not.
        """
        nearest = next(path for path in (self.root.absolute(), *self.root.absolute().parents) if path.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
            raise StorageError("STORAGE", "the archive cannot be written", where=self.where, found=str(nearest))

    def identity(self, claimed: str | None = None) -> Who:
        """Return the login, or whoever one says to be: a folder knows nobody."""
        return Who(kind="os", name=claimed or login_name())
