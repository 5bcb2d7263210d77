"""Requests to a trader that is down: recorded in its journal, so that its next start finds them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from trader_sdk.live.control import KILL_FILE, Answer, Command, Request
from trader_sdk.live.events import Draft
from trader_sdk.live.holds import NEEDS_COMPARISON, Cause, Hold, StateKeeper
from trader_sdk.live.journal import Journal, Stamp, lock_folder
from trader_sdk.live.operator import Asked, carry_out
from trader_sdk.live.start_guard import add_checks
from trader_sdk.live.state import LOCAL_FOLDER, read_ledger


class _Committing:
    """Commits like the order desk, without one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Append."""
        self._journal.append(drafts)


def record(folder: Path, request: Request) -> Answer:
    """Carry a request out in the journal of a trader that is down.

    Raises:
        StorageError: LOCKED if the trader has been started meanwhile, or the journal cannot be written.
    """
    books = read_ledger(folder)
    stamp = Stamp(books.account_id, books.mode, books.run_id)
    lock = lock_folder(_locked_folder(folder))
    try:
        with closing(Journal.open(folder, stamp, lock=lock)) as journal:
            committing = _Committing(journal)
            asked = Asked(request, Cause.OPERATOR, lambda _: None)
            at, states = datetime.now(UTC), StateKeeper(committing, journal)
            add_checks(states, journal.ledger, at)
            states.checks |= dict.fromkeys(NEEDS_COMPARISON, _venue_first)
            answer, drafts = carry_out(asked, states, journal.ledger, at)
            committing.commit(drafts)
    finally:
        lock.release()
    return answer


def _venue_first(_: Hold) -> str:
    return "start the trader, which compares with the venue, and ask it then"


def release_kill_switch(folder: Path, root: Path, request: Request) -> None:
    """Take away the ``KILL`` files that a ``resume`` of the account acknowledges."""
    if request.command is Command.RESUME and request.symbol is None:
        for path in (folder / KILL_FILE, root / KILL_FILE):
            path.unlink(missing_ok=True)


def _locked_folder(folder: Path) -> Path:
    return folder.parent if folder.parent.name == LOCAL_FOLDER else folder
