"""Where an archive lies: a folder, or a chain and a store that many hosts share, behind one port."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from trader_sdk.archive.store.chain import Chain, ChainHead, HeadMovedError
from trader_sdk.archive.store.port import AuditChain
from trader_sdk.contract.audit import Who

if TYPE_CHECKING:
    from trader_sdk.archive.slots import FoldedState

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


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a writer that died or lost left; no reader looks at it.

    Attributes:
        name: Inside the archive.
        what: What it is, for a person.
        is_unfinished: Whether the next writer removes it by itself.
        age: Since it was written, where that is known.
    """

    name: str
    what: str
    is_unfinished: bool = False
    age: timedelta | None = None


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

    def rebuild_index(self, timeout_seconds: float) -> int:
        """Make what is derived from the chain again; return the number of runs."""

    def stale_indexes(self, chain: Chain, state: FoldedState) -> list[str]:
        """Return what is derived and is not what all of the chain says."""

    def reached(self) -> Mapping[str, int]:
        """Return which record of the chain each derived thing reaches at least, by its name."""

    def stored_digest(self, name: str, sha256: str) -> str | None:
        """Return the digest of what the archive itself holds for a committed file, None where it holds nothing."""

    def leftovers(self, runs: Container[str], digests: Container[str]) -> Iterator[Leftover]:
        """Yield what no record names, given the names of all runs and the digests (hex) of all their files."""

    def discard(self, name: str) -> bytes:
        """Remove a leftover that no record names.

        Returns:
            Its bytes, where a writer could be relying on it by now; nothing where none can.
        """

    def check_writable(self) -> None:
        """Find what a write would fail of, without writing anything.

        Raises:
            StorageError: The disk would refuse.
            UnreachableError: E610, a shared archive does not answer.
        """

    def identity(self, claimed: str | None = None) -> Who:
        """Return who acts.

        Raises:
            UsageError: ``claimed`` is another than the archive itself knows.
        """


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
    from trader_sdk.archive.local import FolderPlace
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
