"""What happens to the trader's process, disk and journal: the part of a scenario that the exchange has no hand in.

A strike belongs to one start of the trader (0 is the first). Strikes on the journal's file happen before that start,
all others while it runs, in a process of its own.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.port import OrderRequest, OrderType
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.control import KILL_FILE
from trader_sdk.live.events import Draft
from trader_sdk.live.journal import JOURNAL_FILE, Journal, lock_folder

_BLOCKED_SECONDS: Final = 3.0
_RIVAL_EPOCH: Final = "zz"


class Act(StrEnum):
    """What strikes."""

    DISK_FULL = "disk_full"  # SQLite finds no page for a further event
    DISK_ERROR = "disk_error"  # every write fails with EIO from then on
    SIGTERM = "sigterm"  # in the middle of an order
    SIGHUP = "sighup"
    SIGINT_TWICE = "sigint_twice"
    BLOCK_AND_KILL = "block_and_kill"  # SIGUSR1, then the loop's thread hangs
    BLOCK_AND_KILL_FILE = "block_and_kill_file"
    RIVAL = "rival"  # another trader with our prefix and another epoch places an order
    TEAR = "tear"  # the last event of the journal is not what was written
    FLIP = "flip"  # an event in the middle is not what was written
    GARBLE = "garble"  # pages in the middle of the file are noise
    DELETE = "delete"  # the journal is gone
    OTHER_MODE = "other_mode"  # it is that of another mode
    SECOND = "second"  # another trader holds the folder


_ON_FILES: Final = frozenset({Act.TEAR, Act.FLIP, Act.GARBLE, Act.DELETE, Act.OTHER_MODE})


class Strike(BaseModel):
    """One strike.

    Attributes:
        act: What happens.
        start: In which start of the trader.
        nth: At which order, or for the disk at which commit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    act: Act
    start: int = Field(default=0, ge=0)
    nth: int = Field(default=1, ge=1)


def strike_files(strikes: Iterable[Strike], start: int, root: Path) -> None:
    """Damage the journal below ``root`` as the strikes before ``start`` say."""
    for strike in strikes:
        if strike.act in _ON_FILES and strike.start == start:
            for path in root.glob(f"*/{JOURNAL_FILE}"):
                _damage(path, strike.act)


def held_by_other(strikes: Iterable[Strike], start: int, root: Path) -> AbstractContextManager[object]:
    """Hold the trader's folder, as a second trader would, if a strike of ``start`` says so."""
    folders = [path.parent for path in root.glob(f"*/{JOURNAL_FILE}")]
    is_held = any(strike.act is Act.SECOND and strike.start == start for strike in strikes)
    return lock_folder(folders[0]) if is_held and folders else nullcontext()


def _damage(path: Path, act: Act) -> None:
    sql = {
        Act.TEAR: "UPDATE events SET body = substr(body, 2) WHERE seq = (SELECT max(seq) FROM events)",
        Act.FLIP: "UPDATE events SET body = replace(body, '1', '2') WHERE seq = (SELECT max(seq) / 2 FROM events)",
        Act.OTHER_MODE: "UPDATE meta SET value = 'LIVE' WHERE key = 'mode'",
    }.get(act)
    if sql is not None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(sql)
        return
    for beside in [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]:
        beside.unlink(missing_ok=True)
    if act is Act.DELETE:
        path.unlink()
        return
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * min(8_192, size // 4))


def fill_up(journal: Journal) -> None:
    """Leave the journal's file no page to grow into, as a full disk does."""
    connection = journal._connection
    connection.execute("CREATE TABLE IF NOT EXISTS filler (bytes BLOB)")
    connection.execute("PRAGMA max_page_count=1")  # SQLite makes of it what is in use now
    try:
        while True:
            connection.execute("INSERT INTO filler VALUES (zeroblob(512))")
    except sqlite3.OperationalError:
        return


def arm_strikes(strikes: Iterable[Strike], start: int) -> None:
    """Let this process be struck in its ``start``-th start."""
    for strike in strikes:
        if strike.start == start and strike.act not in _ON_FILES and strike.act is not Act.SECOND:
            _ARMED[strike.act](strike)


def _at_commit(strike: Strike, event: JournalEvent, act: Callable[[Journal], None]) -> None:
    """Call ``act`` after the n-th commit that holds ``event``."""
    original, calls = Journal.append, 0

    def append(journal: Journal, drafts: Iterable[Draft]) -> Any:
        nonlocal calls
        given = tuple(drafts)
        done = original(journal, given)
        calls += any(draft.event is event for draft in given)
        if calls == strike.nth and any(draft.event is event for draft in given):
            act(journal)
        return done

    setattr(Journal, "append", append)  # noqa: B010 - the campaign reaches in on purpose


def _at_order(strike: Strike, act: Callable[[AlpacaBroker, OrderRequest, Any], None]) -> None:
    """Call ``act`` before the n-th order is sent."""
    original, calls = AlpacaBroker.submit, 0

    def submit(broker: AlpacaBroker, request: OrderRequest) -> Any:
        nonlocal calls
        calls += 1
        if calls == strike.nth:
            act(broker, request, original)
        return original(broker, request)

    setattr(AlpacaBroker, "submit", submit)  # noqa: B010 - the campaign reaches in on purpose


def _disk_error(strike: Strike) -> None:
    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    _at_commit(strike, JournalEvent.DECISION_MADE, lambda _: setattr(Journal, "_insert", fails))


def _signals(*names: str) -> Callable[[Strike], None]:
    def send(*_: object) -> None:
        for name in names:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(0.05)  # two signals of one kind at once are one to the kernel

    return lambda strike: _at_order(strike, send)


def _block(*, by_file: bool) -> Callable[[Strike], None]:
    def hang(journal: Journal) -> None:
        if by_file:
            (journal.path.parent / KILL_FILE).touch()
        else:
            os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(_BLOCKED_SECONDS)

    return lambda strike: _at_commit(strike, JournalEvent.ORDER_ACKNOWLEDGED, hang)


def _rival(strike: Strike) -> None:
    def place(broker: AlpacaBroker, request: OrderRequest, submit: Any) -> None:
        parts = request.client_order_id.split("-")
        theirs = "-".join([*parts[:2], _RIVAL_EPOCH, *parts[3:]])
        one = replace(request, client_order_id=theirs, qty=Decimal(1))
        submit(broker, replace(one, type=OrderType.MARKET, limit_price=None))

    _at_order(strike, place)


_ARMED: Final[Mapping[Act, Callable[[Strike], None]]] = {
    Act.DISK_FULL: lambda strike: _at_commit(strike, JournalEvent.DECISION_MADE, fill_up),
    Act.DISK_ERROR: _disk_error,
    Act.SIGTERM: _signals("SIGTERM"),
    Act.SIGHUP: _signals("SIGHUP"),
    Act.SIGINT_TWICE: _signals("SIGINT", "SIGINT"),
    Act.BLOCK_AND_KILL: _block(by_file=False),
    Act.BLOCK_AND_KILL_FILE: _block(by_file=True),
    Act.RIVAL: _rival,
}
