"""Where an archive lies: a folder, or a chain and a store that many hosts share, behind one port."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from trader_sdk.archive.identity import login_name
from trader_sdk.archive.layout import UNFINISHED_PREFIX
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import ChainHead, HeadMovedError
from trader_sdk.archive.store.durable import remove_folder, storage_errors, sync_folder, unfinished_folder
from trader_sdk.archive.store.folder import FolderStore
from trader_sdk.archive.store.lock import writer_lock
from trader_sdk.archive.store.port import AuditChain
from trader_sdk.contract.documents import Who

_T = TypeVar("_T")
_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Offline:
    """An archive that does not answer now.

    Attributes:
        since: When it was last seen from this host.
        head: Where its chain ended then; recalls and promotions after it are not known here.
        reason: Why it does not answer.
    """

    since: datetime
    head: ChainHead
    reason: str


class Place(Protocol):
    """An archive where it lies. Reading needs read access only, and nothing is written to the archive by it."""

    @property
    def where(self) -> str:
        """Return its name for messages; never a secret."""

    @property
    def root(self) -> Path:
        """Return the folder that is read: the archive itself, or this host's verified copy of it."""

    @property
    def chain(self) -> AuditChain:
        """Return the chain that decisions are committed on."""

    @property
    def offline(self) -> Offline | None:
        """Return since when the archive was not seen, None where the last look reached it."""

    def refresh(self) -> None:
        """Bring :attr:`root` to the chain's end.

        Raises:
            ArchiveError: E606 where the chain does not continue what this host has seen.
            UnreachableError: E610 where the archive does not answer and may not be used offline.
        """

    def fetch(self, name: str, sha256: str) -> Path:
        """Return a committed file below :attr:`root`.

        Args:
            name: Such as ``20261121_093000/summary.json``.
            sha256: Its digest as hex.
        """

    def fetch_named(self, prefix: str) -> list[Path]:
        """Return the files under a prefix that no record names, which prove themselves: signatures."""

    def put_named(self, name: str, data: bytes) -> bool:
        """Add such a file; False where the name is taken."""

    def writing(self, timeout_seconds: float) -> AbstractContextManager[None]:
        """Hold what keeps other writers out, where the chain alone does not."""

    def staging(self) -> AbstractContextManager[Path]:
        """Give a folder that no reader looks at; gone afterwards unless it was published."""

    def published(self, staged: Path, timestamp: str) -> AbstractContextManager[None]:
        """Put a run's files where readers will look, commit it inside, take them back where that fails."""

    def keep_index(self) -> None:
        """Bring what is derived from the chain to its end, after a commit; a failure loses nothing."""

    def identity(self, claimed: str | None = None) -> Who:
        """Return who acts.

        Raises:
            UsageError: ``claimed`` is another than the archive itself knows.
        """


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
        for leftover in self.root.glob(f"{UNFINISHED_PREFIX}*"):
            # Only the lock's holder makes them, so whoever left this one is dead.
            remove_folder(leftover)
        with unfinished_folder(self.root) as folder:
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

    def identity(self, claimed: str | None = None) -> Who:
        """Return the login, or whoever one says to be: a folder knows nobody."""
        return Who(kind="os", name=claimed or login_name())


def locate(archive: Path | str | Place) -> Place:
    """Return where an archive lies.

    Args:
        archive: A folder, the name of an archive in ``trader.toml``, ``s3://bucket/prefix``, or a place itself.

    Raises:
        UsageError: It is a URL that no archive lies at.
        ConfigError: ``trader.toml`` cannot be read, or what the archive needs is not installed.
    """
    if not isinstance(archive, Path | str):
        return archive
    from trader_sdk.archive.named import named_place

    return named_place(str(archive)) or FolderPlace(Path(archive))


def committing(place: Place, timeout_seconds: float, attempt: Callable[[], _T]) -> _T:
    """Do what ends in a commit, again while other writers are faster.

    Args:
        place: The archive.
        timeout_seconds: How long to try.
        attempt: Reads, decides and commits; nothing of it stays where it raises.

    Raises:
        ArchiveError: E605 where the archive stays busy.
    """
    deadline, pause = time.monotonic() + timeout_seconds, _FIRST_PAUSE_SECONDS
    with place.writing(timeout_seconds):
        while True:
            try:
                return attempt()
            except HeadMovedError:
                if time.monotonic() >= deadline:
                    raise
            # Losers that all came back at once would meet again.
            time.sleep(random.uniform(0, pause))  # noqa: S311 # no secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
