"""An archive that many hosts share: objects by digest, decisions on a chain, and a verified copy on each host."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from trader_sdk.archive.identity import known_as, login_name
from trader_sdk.archive.layout import UNFINISHED_PREFIX
from trader_sdk.archive.location import Leftover, Offline
from trader_sdk.archive.slots import fold
from trader_sdk.archive.store.chain import START, Chain
from trader_sdk.archive.store.durable import remove_folder, storage_errors, unfinished_folder
from trader_sdk.archive.store.faults import RefusedError, UnreachableError
from trader_sdk.archive.store.mirror import Mirror
from trader_sdk.archive.store.port import AuditChain, Store
from trader_sdk.contract.audit import Who
from trader_sdk.contract.errors import ArchiveError, StorageError

if TYPE_CHECKING:
    from trader_sdk.archive.index.archive_index import ArchiveIndex
    from trader_sdk.archive.slots import FoldedState

_log = structlog.get_logger(__name__)

OBJECTS_PREFIX: Final = "objects/"
_NOTHING_SHA256: Final = hashlib.sha256(b"").hexdigest()
_STAGING_FOLDER: Final = "staging"
_STALE_SECONDS: Final = 24 * 3600
_CLOCK_SLACK: Final = timedelta(minutes=5)


@dataclass
class SharedPlace:
    """An archive of many hosts.

    A reader copies what it needs into ``root``, checked: the chain by its links from where this host last saw it,
    files by the digests that the chain commits. A writer puts objects by digest first and commits last, so that
    whatever dies in between leaves objects that nobody names.

    Args:
        store: Where objects lie.
        chain: Where decisions are committed.
        mirror: This host's copy.
        known: Who the store or database knows this process as; None where they know nobody.
        index: Opens the database's index, for those who ask it in SQL; None where there is no database.
        offline_for: How long the copy may stand in for an archive that does not answer; zero: never.
        clock: Source of aware times.
    """

    store: Store
    chain: AuditChain
    mirror: Mirror
    known: Callable[[], Who | None]
    index: Callable[[], ArchiveIndex] | None = None
    offline_for: timedelta = timedelta(0)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    offline: Offline | None = field(default=None, init=False)

    @property
    def where(self) -> str:
        """Return chain and store."""
        chain, store = self.chain.where, self.store.where
        return store if chain.startswith(store) else f"{store} with {chain}"

    @property
    def root(self) -> Path:
        """Return this host's copy."""
        return self.mirror.root

    def refresh(self) -> None:
        """Copy what was committed since this host last looked, checked against what it had seen.

        Raises:
            ArchiveError: E606 where the chain was cut or rewritten since.
            UnreachableError: E610 where it does not answer, and this copy is too old to stand in for it.
        """
        known = self.mirror.head()
        try:
            chain = self.chain.read(after=known)
        except RefusedError:
            raise
        except UnreachableError as error:
            self.offline = self._stand_in(error)
            return
        except ArchiveError as error:
            if error.code == "E606":
                error.remedy = (
                    f"The archive lacks what this host saw: compare with another host before anything else; remove "
                    f"{self.root} only if somebody you trust restored the archive on purpose."
                )
            raise
        self.offline = None
        if chain.head != START:
            self.mirror.take(chain, self.clock())

    def _stand_in(self, error: UnreachableError) -> Offline:
        seen, limit = self.mirror.seen(), self.offline_for
        if seen is None or not limit or not -_CLOCK_SLACK <= self.clock() - seen.at <= limit:
            when = "never" if seen is None else f"last on {seen.at.isoformat(timespec='seconds')}"
            error.expected = f"seen from this host within {limit}" if limit else "an answer: offline_hours is not set"
            error.message = f"{error.message}; this host saw the archive {when}"
            raise error
        return Offline(seen.at, seen.head, str(error.found))

    def fetch(self, name: str, sha256: str) -> Path:
        """Return a committed file of this host's copy, brought here where it is not."""
        return self.mirror.file(name, sha256, lambda: self.store.get(object_name(sha256)))

    def fetch_named(self, prefix: str) -> list[Path]:
        """Return the files under a prefix that prove themselves; those of this host's copy where it stands in."""
        if self.offline is not None:
            return sorted(path for path in (self.root / prefix).parent.glob(f"{Path(prefix).name}*") if path.is_file())
        return [self._named(name) for name in self.store.list(prefix)]

    def _named(self, name: str) -> Path:
        return self.mirror.file(name, None, lambda: self.store.get(name))

    def put_named(self, name: str, data: bytes) -> bool:
        """Add such a file; False where the name is taken."""
        return self.store.put_new(name, data)

    def writing(self, timeout_seconds: float) -> nullcontext[None]:  # noqa: ARG002 # the chain keeps writers apart
        """Hold nothing: the commit is a compare-and-swap on the chain."""
        return nullcontext()

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give a folder beside this host's copy."""
        folder = self.root / _STAGING_FOLDER
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_stale(folder)
        with unfinished_folder(folder) as unfinished:
            yield unfinished

    @contextmanager
    def published(self, staged: Path, timestamp: str) -> Iterator[None]:
        """Put every file by its digest, then let the caller commit; what is not committed is named by nobody."""
        for path in sorted(path for path in staged.rglob("*") if path.is_file()):
            self._put(path.read_bytes())
        yield
        # A copy that is not made now is made when somebody reads.
        with suppress(OSError):
            staged.rename(self.root / timestamp)

    def _put(self, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        name = object_name(digest)
        if self.store.put_new(name, data):
            return
        found = hashlib.sha256(self.store.get(name)).hexdigest()
        if found != digest:
            raise ArchiveError(
                "E602",
                "other bytes lie under a digest",
                where=f"{self.store.where}/{name}",
                expected=digest,
                found=found,
            )

    def keep_index(self) -> None:
        """Bring the database's index to the chain's end, where there is a database."""
        try:
            with self._index() as index:
                if index is not None:
                    index.follow(self.chain)
        except (ArchiveError, StorageError) as error:
            # The chain is the truth and is committed; the next writer brings the index after it.
            _log.warning("index_behind", where=error.where, why=error.message)

    def rebuild_index(self, timeout_seconds: float) -> int:  # noqa: ARG002 # the database has a lock of its own
        """Make the database's index again, where there is a database; return the number of runs."""
        with self._index() as index:
            if index is not None:
                index.rebuild(self.chain)
        return len(fold(self.chain.read().records).runs)

    def stale_indexes(self, chain: Chain, state: FoldedState) -> list[str]:  # noqa: ARG002 # its head covers all rows
        """Return the database's index where it is not at the chain's end."""
        with self._index() as index:
            return [index.where] if index is not None and index.head() != chain.head else []

    def reached(self) -> Mapping[str, int]:
        """Return which record the database's index reaches."""
        with self._index() as index:
            head = index.head() if index is not None else None
            return {} if index is None or head is None else {index.where: head.seq}

    @contextmanager
    def _index(self) -> Iterator[ArchiveIndex | None]:
        if self.index is None:
            yield None
            return
        index = self.index()
        try:
            yield index
        finally:
            index.close()

    def stored_digest(self, name: str, sha256: str) -> str | None:  # noqa: ARG002 # objects have no other name
        """Return the digest of the object itself, whatever this host's copy holds."""
        try:
            return hashlib.sha256(self.store.get(object_name(sha256))).hexdigest()
        except UnreachableError:
            raise
        except ArchiveError:
            return None

    def leftovers(self, runs: Container[str], digests: Container[str]) -> Iterator[Leftover]:  # noqa: ARG002 # by digest
        """Yield objects that no record names: of a writer that died, lost, or has not committed yet."""
        for name in self.store.list(OBJECTS_PREFIX):
            if name.removeprefix(OBJECTS_PREFIX) not in digests:
                yield Leftover(name, "an object that no record names; it is ignored", age=self.store.age(name))

    def discard(self, name: str) -> bytes:
        """Remove an object that no record names; return its bytes, since a writer may find it there any moment."""
        data = self.store.get(name)
        self.store.remove(name)
        return data

    def check_writable(self) -> None:
        """Reach chain, store and whoever says who acts; what this role or key may do shows when it is done.

        Raises:
            UnreachableError: E610.
        """
        self.chain.read(after=self.mirror.head())
        self.store.exists(object_name(_NOTHING_SHA256))
        self.identity()

    def identity(self, claimed: str | None = None) -> Who:
        """Return the database role or the access key; the login where there is neither.

        Raises:
            UsageError: ``claimed`` is another.
        """
        known = self.known()
        return Who(kind="os", name=claimed or login_name()) if known is None else known_as(known, claimed)


def object_name(sha256: str) -> str:
    """Return the name of the object that holds some bytes.

    Example:
        >>> object_name("sha256:1a2b")
        'objects/1a2b'
    """
    return f"{OBJECTS_PREFIX}{sha256.removeprefix('sha256:')}"


def _remove_stale(folder: Path) -> None:
    # A writer's folder lives for seconds; its process may be another host's where the copy lies on a shared disk.
    for leftover in folder.glob(f"{UNFINISHED_PREFIX}*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                remove_folder(leftover)
