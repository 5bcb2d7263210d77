"""The state folder: one journal an Alpaca account and mode, one folder a local run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock

from trader_sdk.contract.errors import StorageError, UsageError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.journal import JOURNAL_FILE, is_locked, last_event, lock_folder, read_events
from trader_sdk.live.ledger import Ledger, fold
from trader_sdk.live.recovery import repair

LOCAL_FOLDER: Final = "paper-local"
ARCHIVE_FOLDER: Final = "archive"
REPORT_FILE: Final = "report.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps its journal, and for a local run its exchange and its working copy of the archive.

    Attributes:
        path: The folder.
        run_id: Of the run that writes now.
        resumed: Whether an earlier start of the same run is continued.
        lock: Held for as long as the run lives.
    """

    path: Path
    run_id: str
    resumed: bool
    lock: FileLock


def new_run_id() -> str:
    """Return a run's name: when it started, and four random characters."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def open_local_run(state_dir: Path, fingerprint: str) -> RunFolder:
    """Return the folder of the local run to continue, or of a new one.

    A run without ``run_finished`` that was started with the same arguments is resumed: its exchange rebuilds from its
    log. One with other arguments is left as it is.

    Args:
        state_dir: The state folder.
        fingerprint: The arguments that make a run what it is, as text.

    Raises:
        StorageError: LOCKED if another trader is running on this state folder.
    """
    root = state_dir / LOCAL_FOLDER
    lock = lock_folder(root)
    try:
        for path in reversed(local_runs(state_dir)):
            if _may_be_continued(path) and read_ledger(path).facts.get("fingerprint") == fingerprint:
                return RunFolder(path, path.name, True, lock)
        run_id = new_run_id()
        (root / run_id).mkdir(parents=True)
    except BaseException:
        lock.release()
        raise
    return RunFolder(root / run_id, run_id, False, lock)


def _may_be_continued(path: Path) -> bool:
    """Return whether a run is unfinished; the torn end of its journal is cut off, a damaged one is not continued."""
    try:
        if not is_unfinished(path):
            return False
        read_ledger(path)
    except StorageError:
        repaired = repair(path)
        return repaired is not None and not repaired.is_rebuilt and is_unfinished(path)
    return True


def open_account_run(state_dir: Path, mode: TradingMode, account_id: str) -> RunFolder:
    """Return the folder of an account at Alpaca; its journal continues over all runs.

    Raises:
        StorageError: LOCKED if another trader is running on this account.
    """
    path = state_dir / f"{mode.value.lower()}-{account_id}"
    return RunFolder(path, new_run_id(), (path / JOURNAL_FILE).exists(), lock_folder(path))


def local_runs(state_dir: Path) -> list[Path]:
    """Return the folders of all local runs, oldest first."""
    root = state_dir / LOCAL_FOLDER
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def is_unfinished(path: Path) -> bool:
    """Return whether a run has a journal with a start and no end."""
    newest = last_event(path)
    return newest is not None and newest is not JournalEvent.RUN_FINISHED


def is_running(folder: Path) -> bool:
    """Return whether a trader is running on the journal in ``folder``."""
    is_local = folder.parent.name == LOCAL_FOLDER
    return is_locked(folder.parent if is_local else folder) and (not is_local or is_unfinished(folder))


def find_run(state_dir: Path, run: str | None) -> Path:
    """Return the folder that a command is about.

    Args:
        state_dir: The state folder.
        run: A run id, an account folder's name, or None for the newest journal.

    Raises:
        UsageError: There is no such run.
    """
    folders = [path for path in _all_folders(state_dir) if (path / JOURNAL_FILE).is_file()]
    if run is not None:
        folders = [path for path in folders if path.name == run]
    if not folders:
        found = run or "nothing"
        raise UsageError(
            "USAGE", "no run found", where=str(state_dir), found=found, remedy="Run `trader run`, or give --state-dir."
        )
    return max(folders, key=lambda path: (path / JOURNAL_FILE).stat().st_mtime_ns)


def running_folders(state_dir: Path) -> list[Path]:
    """Return the folders of the journals that a running trader writes, of all modes and accounts."""
    folders = [path for path in _all_folders(state_dir) if (path / JOURNAL_FILE).is_file() and is_running(path)]
    local = [path for path in folders if path.parent.name == LOCAL_FOLDER]
    # An unfinished run of an earlier start looks as if it ran: the lock is that of all local runs.
    older = sorted(local, key=lambda path: (path / JOURNAL_FILE).stat().st_mtime_ns)[:-1]
    return [path for path in folders if path not in older]


def _all_folders(state_dir: Path) -> list[Path]:
    if not state_dir.is_dir():
        return []
    accounts = [path for path in state_dir.iterdir() if path.is_dir() and path.name != LOCAL_FOLDER]
    return [*local_runs(state_dir), *sorted(accounts)]


def read_ledger(folder: Path) -> Ledger:
    """Return the books of a run without disturbing it.

    Raises:
        StorageError: There is no journal, or it is damaged.
    """
    ledger = fold(read_events(folder))
    if not ledger.run_id:
        raise StorageError("JOURNAL", "the journal has no run in it", where=str(folder))
    return ledger
