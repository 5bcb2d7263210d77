"""The derived files of an archive's folder: ``index.sqlite`` behind every commit, ``index.json`` while it is short."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog

from trader_sdk.archive.changes import RunRef
from trader_sdk.archive.codec import encode
from trader_sdk.archive.index.archive_index import ArchiveIndex
from trader_sdk.archive.layout import DATABASE_FILE, INDEX_FILE
from trader_sdk.archive.slots import FoldedState
from trader_sdk.archive.store.chain import Chain
from trader_sdk.archive.store.durable import replace_derived, storage_errors
from trader_sdk.archive.store.port import AuditChain
from trader_sdk.contract.canonical import read_json_strict
from trader_sdk.contract.errors import ArchiveError, StorageError

INDEX_SCHEMA: Final = 1
LISTED_RUNS: Final = 1000
"""Up to so many runs every commit writes ``index.json``; a longer one would cost more than the run, and is removed."""

_log = structlog.get_logger(__name__)


def keep_index(root: Path, chain: AuditChain, index: ArchiveIndex | None = None) -> None:
    """Bring an archive's derived files to the chain's end, after a commit.

    A failure loses nothing: it is said, and the next writer makes it good.

    Args:
        root: The archive's folder.
        chain: Its chain.
        index: Where the index lies; in the folder when omitted.
    """
    kept = index or ArchiveIndex.in_folder(root)
    try:
        kept.follow(chain)
        _keep_listing(root, kept)
    except (ArchiveError, StorageError) as error:
        _log.warning("index_behind", where=error.where, why=error.message, found=str(error.found or ""))
    finally:
        kept.close()


def rebuild(root: Path, chain: AuditChain, index: ArchiveIndex | None = None) -> int:
    """Make an archive's derived files again, ``index.json`` however long it is; return the number of runs.

    Raises:
        ArchiveError: E606 where the chain does not hold.
        StorageError: The disk refuses.
    """
    kept = index or ArchiveIndex.in_folder(root)
    try:
        kept.rebuild(chain)
        with kept.state() as state:
            _write_listing(root, state.runs.values())
            return len(state.runs)
    finally:
        kept.close()


def listing(runs: Iterable[RunRef]) -> dict[str, Any]:
    """Return ``index.json``: committed runs in the order of their commitment."""
    entries = [
        {
            "timestamp": run.timestamp,
            "path": run.timestamp,
            "approved": run.approved,
            "review": run.review,
            "dropped": run.dropped,
            "audit_seq": run.seq,
        }
        for run in runs
    ]
    return {"schema": INDEX_SCHEMA, "runs": entries}


def disagreements(root: Path, chain: Chain, state: FoldedState) -> list[str]:
    """Return the derived files that are not what a chain says; nothing is written beside them.

    Args:
        root: The archive's folder.
        chain: All of its chain.
        state: Its fold.
    """
    found = []
    if not _listing_agrees(root / INDEX_FILE, state):
        found.append(INDEX_FILE)
    if (root / DATABASE_FILE).exists() and not _database_agrees(root, chain):
        found.append(DATABASE_FILE)
    return found


def reached(root: Path) -> Mapping[str, int]:
    """Return which record each derived file reaches at least, by its name; none of those that cannot be read."""
    found = {INDEX_FILE: _newest_listed(root / INDEX_FILE)}
    if (root / DATABASE_FILE).exists():
        with _copied(root) as index:
            head = index.head()
        found[DATABASE_FILE] = head.seq if head is not None else 0
    return {name: seq for name, seq in found.items() if seq}


def _newest_listed(path: Path) -> int:
    try:
        listed: Any = read_json_strict(path.read_bytes(), where=INDEX_FILE)
        return max((int(run["audit_seq"]) for run in listed["runs"]), default=0)
    except (OSError, ArchiveError, LookupError, TypeError, ValueError):
        return 0


def _listing_agrees(path: Path, state: FoldedState) -> bool:
    if not path.exists():
        return len(state.runs) > LISTED_RUNS
    try:
        return bool(read_json_strict(path.read_bytes(), where=INDEX_FILE) == listing(state.runs.values()))
    except (OSError, ArchiveError):
        return False


def _database_agrees(root: Path, chain: Chain) -> bool:
    with _copied(root) as found, TemporaryDirectory() as folder:
        expected = ArchiveIndex.in_folder(Path(folder))
        try:
            expected.fill(chain.records)
            return found.head() == chain.head and found.dump() == expected.dump()
        except ArchiveError:
            return False
        finally:
            expected.close()


@contextmanager
def _copied(root: Path) -> Iterator[ArchiveIndex]:
    """Give a copy of an archive's database: SQLite makes files beside one that it reads."""
    with TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            source = root / f"{DATABASE_FILE}{suffix}"
            if source.exists():
                shutil.copyfile(source, Path(folder) / source.name)
        index = ArchiveIndex.in_folder(Path(folder))
        try:
            yield index
        finally:
            index.close()


def _keep_listing(root: Path, index: ArchiveIndex) -> None:
    with index.state() as state:
        if state.count_runs() <= LISTED_RUNS:
            _write_listing(root, state.runs.values())
            return
    with storage_errors(root / INDEX_FILE):
        # A list that is there is a list that is right.
        (root / INDEX_FILE).unlink(missing_ok=True)


def _write_listing(root: Path, runs: Iterable[RunRef]) -> None:
    with storage_errors(root / INDEX_FILE):
        replace_derived(root / INDEX_FILE, encode(listing(runs)))
