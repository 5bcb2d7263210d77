"""The journal: durable, chained, folded, and refused where it is not ours."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import StorageError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.faults.strikes import fill_up
from trader_sdk.live.events import (
    Draft,
    JournalEntry,
    fill_body,
    intent_body,
    intent_of,
    report_body,
    rfc3339,
    sleeve_body,
    sleeve_of,
)
from trader_sdk.live.journal import JOURNAL_FILE, RESERVE_FILE, Journal, Stamp, last_event, read_events
from trader_sdk.live.ledger import fold
from trader_sdk.live.recovery import backup, examine
from trader_sdk.orders import (
    FillDelta,
    OrderEvent,
    OrderIntent,
    OrderReport,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from trader_sdk.portfolio import Sleeve, SleeveFill

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
STAMP = Stamp("account-1", "PAPER-LOCAL", "run-1")


def intent(number: int = 0) -> OrderIntent:
    """Return an order of bar ``number``."""
    return OrderIntent(
        *(f"id-{number}", "AAPL", number * 60 * 10**9, "e", 0, Side.BUY, Decimal("2.5"), OrderType.LIMIT),
        *(TimeInForce.DAY, Decimal("101.5"), Decimal("101.25"), AT, AT + timedelta(seconds=90)),
    )


def started() -> list[Draft]:
    """Return the entries that open a run with one sleeve."""
    run = {"mode": "PAPER-LOCAL", "account_id": "account-1", "epoch": 1}
    armed = {"symbol": "AAPL", "cause": "armed", "sleeve": sleeve_body(Sleeve.start(Decimal(1000)))}
    return [Draft(JournalEvent.RUN_STARTED, AT, run), Draft(JournalEvent.SLEEVE_CHANGED, AT, armed)]


def ordered(number: int) -> list[Draft]:
    """Return the entries of an order that is recorded, acknowledged and filled."""
    order = intent(number)
    committed = report_body(order.client_order_id, "AAPL", OrderReport(OrderEvent.COMMITTED))
    filled = OrderReport(OrderEvent.FILLED_ALL, order.qty, Decimal(100), f"b-{number}")
    delta = FillDelta(order.qty, Decimal(100), order.qty)
    return [
        Draft(JournalEvent.INTENT_RECORDED, AT, {**intent_body(order), **committed}),
        Draft(JournalEvent.ORDER_UPDATED, AT, report_body(order.client_order_id, "AAPL", filled)),
        Draft(JournalEvent.FILL_RECORDED, AT, fill_body(order, delta, fee=Decimal(0), execution_id=f"x-{number}")),
    ]


@given(body=st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False) | st.none()))
def test_entry_is_the_digest_of_its_whole_content_whatever_its_body_holds(body: dict[str, object]) -> None:
    """Putting the text together around the body gives the canonical JSON of everything, so old journals stay whole."""
    assume(math.inf not in body.values() and -math.inf not in body.values())
    entry = JournalEntry.link(Draft(JournalEvent.NOTIFIED, AT, body), seq=7, prev="sha256:0", run_id='ä "run"')
    content = {"seq": 7, "prev": "sha256:0", "at": rfc3339(AT), "event": "notified", "run_id": 'ä "run"', "body": body}
    assert entry.sha256 == sha256_of(content)
    assert entry.is_intact


def test_journal_rebuilds_its_books_when_it_is_opened_again(tmp_path: Path) -> None:
    """Orders, fills and sleeves are a fold over the events: reopening gives the same state hash."""
    with Journal.open(tmp_path, STAMP) as journal:
        for drafts in (started(), ordered(0), ordered(1)):
            journal.append(drafts)
        before = journal.ledger.state_hash()
        assert journal.ledger.sleeves["AAPL"].qty == Decimal(5)
    with Journal.open(tmp_path, STAMP) as journal:
        assert journal.ledger.state_hash() == before
        assert journal.ledger.orders["id-1"].state.status is OrderStatus.FILLED
    assert fold(read_events(tmp_path)).state_hash() == before
    assert last_event(tmp_path) is JournalEvent.FILL_RECORDED


def test_journal_records_a_bar_whole_or_not_at_all(tmp_path: Path) -> None:
    """If one entry of a transaction cannot be written, none is, and nothing is taken afterwards."""
    with Journal.open(tmp_path, STAMP) as journal:
        journal.append(started() + ordered(0))
        before = read_events(tmp_path)
        with pytest.raises(StorageError) as caught:
            journal.append(ordered(1) + ordered(0))
        assert caught.value.exit_code == 8
        assert read_events(tmp_path) == before
        assert "id-1" not in journal.ledger.orders
        assert not journal.is_usable
        with pytest.raises(StorageError):
            journal.append(ordered(2))


def test_journal_holds_one_order_a_bar_leg_and_attempt(tmp_path: Path) -> None:
    """Two intents for the same bar, leg and attempt cannot both become durable."""
    with Journal.open(tmp_path, STAMP) as journal:
        journal.append(started() + ordered(0))
        twin = {**ordered(0)[0].body, "client_order_id": "another-id"}
        with pytest.raises(StorageError):
            journal.append([Draft(JournalEvent.INTENT_RECORDED, AT, twin)])


@pytest.mark.parametrize(
    "stamp", [Stamp("account-2", "PAPER-LOCAL", "run-1"), Stamp("account-1", "LIVE", "run-1")], ids=["account", "mode"]
)
def test_journal_is_refused_when_it_is_another_accounts_or_modes(tmp_path: Path, stamp: Stamp) -> None:
    """A stamp that differs refuses to open, and changes nothing."""
    Journal.open(tmp_path, STAMP).close()
    with pytest.raises(StorageError) as caught:
        Journal.open(tmp_path, stamp)
    assert caught.value.code == "JOURNAL"
    Journal.open(tmp_path, STAMP).close()


def test_journal_is_locked_when_another_process_writes(tmp_path: Path) -> None:
    """A second process on the same folder is told so."""
    code = (
        "import sys; from pathlib import Path; from trader_sdk.live.journal import lock_folder\n"
        "from trader_sdk.contract.errors import StorageError\n"
        "try: lock_folder(Path(sys.argv[1]))\n"
        "except StorageError as error: sys.exit(error.exit_code)\n"
    )
    with Journal.open(tmp_path, STAMP):
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 8
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def _damaged(folder: Path, sql: str, *values: object) -> None:
    """Write five events and change one behind the journal's back."""
    with Journal.open(folder, STAMP) as journal:
        journal.append(started() + ordered(0))
    with sqlite3.connect(folder / JOURNAL_FILE) as connection:
        connection.execute(sql, values)


@pytest.mark.parametrize("column", ["prev", "at", "event", "run_id", "body", "sha256"])
def test_edit_of_any_field_of_an_event_is_found(tmp_path: Path, column: str) -> None:
    """The chain covers every field; a reader refuses, and the trader goes on with what is true and keeps the rest."""
    edits = {"at": "2026-01-05T15:00:01Z", "event": "notified", "body": '{"symbol":"MSFT"}'}
    last = "seq = (SELECT max(seq) FROM events)"
    _damaged(tmp_path, f"UPDATE events SET {column} = ? WHERE {last}", edits.get(column, "sha256:0"))  # noqa: S608 - a column's name
    with pytest.raises(StorageError) as caught:
        read_events(tmp_path)
    assert caught.value.code == "JOURNAL"
    assert examine(tmp_path).is_torn
    with Journal.open(tmp_path, STAMP) as journal:
        assert journal.repaired is not None
        assert (journal.repaired.cut, journal.repaired.is_rebuilt) == (1, False)
        assert len(read_events(tmp_path)) == len(started() + ordered(0)) - 1
        assert (journal.repaired.kept / JOURNAL_FILE).is_file()
        journal.append([Draft(JournalEvent.RUN_FINISHED, AT, {"exit_code": 0})])
    assert examine(tmp_path).is_whole


@pytest.mark.parametrize("sql", ["DELETE FROM events WHERE seq = 2", "UPDATE events SET body = '{}' WHERE seq = 1"])
def test_journal_begins_anew_when_its_middle_is_damaged(tmp_path: Path, sql: str) -> None:
    """What follows a broken link may be as wrong: all of it is put aside, none of it is thrown away."""
    _damaged(tmp_path, sql)
    with pytest.raises(StorageError):
        read_events(tmp_path)
    with Journal.open(tmp_path, STAMP) as journal:
        assert journal.repaired is not None
        assert journal.repaired.is_rebuilt
        assert journal.ledger.epoch == 0
        assert (journal.repaired.kept / JOURNAL_FILE).is_file()


@pytest.mark.parametrize(("damage", "is_rebuilt"), [(b"not a database at all, " * 50, True), (b"", False)])
def test_file_that_is_no_journal_is_put_aside(tmp_path: Path, damage: bytes, is_rebuilt: bool) -> None:
    """Bytes that SQLite cannot read are kept beside a new journal; an empty file is a journal that has not begun."""
    (tmp_path / JOURNAL_FILE).write_bytes(damage)
    with Journal.open(tmp_path, STAMP) as journal:
        assert (journal.repaired is not None) is is_rebuilt
        journal.append(started())
    assert examine(tmp_path).is_whole


def test_backup_says_the_same_while_the_journal_is_written(tmp_path: Path) -> None:
    """The copy, put back into an empty folder, has the same books; an existing file is never overwritten."""
    with Journal.open(tmp_path / "run", STAMP) as journal:
        journal.append(started() + ordered(0))
        assert backup(tmp_path / "run", tmp_path / "copy.db") == len(started() + ordered(0))
        journal.append(ordered(1))
        with pytest.raises(StorageError):
            backup(tmp_path / "run", tmp_path / "copy.db")
    (tmp_path / "restored").mkdir()
    (tmp_path / "copy.db").replace(tmp_path / "restored" / JOURNAL_FILE)
    assert read_events(tmp_path / "restored") == read_events(tmp_path / "run")[: len(started() + ordered(0))]
    assert (tmp_path / "restored" / JOURNAL_FILE).stat().st_mode & 0o777 == 0o600


def test_full_disk_takes_the_last_records_from_the_reserve(tmp_path: Path) -> None:
    """SQLite itself says that the disk is full: nothing more is taken until the reserve is given back."""
    with Journal.open(tmp_path, STAMP) as journal:
        journal.append(started())
        assert (tmp_path / RESERVE_FILE).stat().st_size >= 1 << 20
        fill_up(journal)
        for number in range(200):
            try:
                journal.append(ordered(number))
            except StorageError:
                break
        assert not journal.is_usable
        known = len(read_events(tmp_path))
        assert journal.reopen_with_reserve()
        journal.append([Draft(JournalEvent.RUN_FINISHED, AT, {"exit_code": 8})])
        assert not (tmp_path / RESERVE_FILE).exists()
    assert len(read_events(tmp_path)) == known + 1


def test_failed_fsync_is_never_taken_for_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an input or output error the file counts as lost, whatever the next write would say."""

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with Journal.open(tmp_path, STAMP) as journal:
        journal.append(started())
        with monkeypatch.context() as broken:
            broken.setattr(Journal, "_insert", fails)
            with pytest.raises(StorageError):
                journal.append(ordered(0))
        assert not journal.reopen_with_reserve()
        with pytest.raises(StorageError):
            journal.append(ordered(0))


CRASHER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_journal as t
from trader_sdk.live.journal import Journal
journal = Journal.open(Path(sys.argv[1]), t.STAMP)
journal.append(t.started())
for number in range(1000):
    journal.append(t.ordered(number))
    print(number, flush=True)
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("number", [0, 7])
def test_journal_keeps_what_was_committed_when_the_process_is_killed(tmp_path: Path, number: int) -> None:
    """After kill -9 everything whose append returned is there, whole, and the chain holds."""
    argv = [sys.executable, "-c", CRASHER, str(tmp_path), str(Path(__file__).parent), str(number)]
    killed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Journal.open(tmp_path, STAMP) as journal:
        assert len(journal.ledger.orders) == number + 1
        assert journal.ledger.totals.fills == number + 1
        journal.append(ordered(number + 1))


def test_journal_refuses_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A state folder below a file is a typed storage error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        Journal.open(tmp_path / "file" / "state", STAMP)
    assert (caught.value.code, caught.value.exit_code) == ("STORAGE", 8)


def test_bodies_give_back_what_they_were_made_from() -> None:
    """Intents and sleeves survive the journal to the last digit."""
    sleeve = Sleeve.start(Decimal("12345.67")).fill(SleeveFill(Decimal("0.123456789"), Decimal("33.3333")))
    assert sleeve_of(sleeve_body(sleeve)) == sleeve
    assert intent_of(intent_body(intent(3))) == intent(3)


def test_tables_hold_what_people_query(tmp_path: Path) -> None:
    """Intents, order events, fills and sleeves are rows beside the chain."""
    with Journal.open(tmp_path, STAMP) as journal:
        journal.append(started() + ordered(0))
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 - names of tables
            for name in ("events", "intents", "order_events", "fills", "sleeves")
        }
    assert counts == {"events": 5, "intents": 1, "order_events": 2, "fills": 1, "sleeves": 1}
