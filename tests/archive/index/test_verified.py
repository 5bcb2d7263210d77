"""What decides comes from the chain as this host verified it: no file of the archive can say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from trader_sdk.archive.index.archive_index import ArchiveIndex
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import FoldedState, SlotKey, fold
from trader_sdk.archive.verified import copy_of, verified_state
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.timeframe import Timeframe

Chain = Any
"""The builder of conftest.py, which cannot be imported from here."""
Write = Callable[[Chain], None]
KEY = SlotKey("AAPL", Timeframe.DAY_1)


@pytest.fixture
def long_chain(chain_in: type[Chain], some_runs: Write, tmp_path: Path) -> Chain:
    """Return a chain in a folder."""
    chain = chain_in(tmp_path / "archive")
    some_runs(chain)
    return chain


def look(chain: Chain, copies: Path, folded_records: int = 0) -> Any:
    return verified_state(chain.log, copies=copies, folded_records=folded_records)


def plain(state: Any) -> tuple[Any, ...]:
    return dict(state.runs), dict(state.verdicts), dict(state.slots), dict(state.overrides), list(state.recalls)


def test_copy_says_what_the_fold_says(long_chain: Chain, tmp_path: Path) -> None:
    """Folded in memory or asked of this host's own index: the same state, and one file where one is kept."""
    copies = tmp_path / "copies"
    folded = look(long_chain, copies, folded_records=1000)
    assert isinstance(folded.state, FoldedState)
    assert not copies.exists()
    for _ in range(2):
        kept = look(long_chain, copies)
        assert (kept.head, plain(kept.state)) == (folded.head, plain(folded.state))
        long_chain.run(("AAPL", "APPROVED", 9, "d"))
        folded = look(long_chain, copies, folded_records=1000)
    assert list(copies.glob("*.sqlite")) == [copy_of(long_chain.log, copies)]


def test_known_records_are_not_read_again(long_chain: Chain, tmp_path: Path) -> None:
    """Only what follows is: bytes that this host verified before may be gone from the file for good."""
    look(long_chain, tmp_path)
    lines = long_chain.log.path.read_bytes().splitlines(keepends=True)
    long_chain.log.path.write_bytes(b"".join([b"{}\n" * (len(lines) - 1), lines[-1]]))
    long_chain.run(("AAPL", "APPROVED", 9, "d"))
    kept = look(long_chain, tmp_path)
    assert plain(kept.state) == plain(fold(long_chain.records))
    with pytest.raises(ArchiveError) as caught:
        long_chain.log.read()
    assert caught.value.code == "E606"


@pytest.mark.parametrize("attack", ["last record rewritten", "cut", "another archive", "all rewritten"])
def test_chain_that_does_not_continue_what_was_seen_is_refused(
    chain_in: type[Chain], long_chain: Chain, tmp_path: Path, attack: str
) -> None:
    """Even one that holds by itself: this host's copy is a head kept elsewhere, and the message says what to do."""
    look(long_chain, tmp_path)
    path = long_chain.log.path
    path.unlink()
    forged = chain_in(path.parent)
    match attack:
        case "last record rewritten":
            for record in long_chain.records[:-1]:
                forged.add(record.kind, record.body, record.at)
            forged.recall("m-3")
        case "cut":
            for record in long_chain.records[:3]:
                forged.add(record.kind, record.body, record.at)
        case "another archive":
            for number in range(20):
                forged.run(("AAPL", "APPROVED", number, "d"))
        case _:
            for record in long_chain.records:
                forged.add(record.kind, {**record.body, "why": "forged"}, record.at)
    assert forged.log.read().head == forged.head()
    with pytest.raises(ArchiveError) as caught:
        look(forged, tmp_path)
    assert caught.value.code == "E606"
    assert str(copy_of(long_chain.log, tmp_path)) in caught.value.remedy
    copy_of(long_chain.log, tmp_path).unlink()
    assert look(forged, tmp_path).head == forged.head()


def test_edited_index_of_the_archive_decides_nothing(
    long_chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody makes himself champion and forgets the recall in the archive's own index: nobody asks it."""
    monkeypatch.setattr("trader_sdk.archive.verified.FOLDED_RECORDS", 0)
    monkeypatch.setenv("TRADER_ARCHIVE_CACHE", str(tmp_path / "cache"))
    root = long_chain.log.path.parent
    index = ArchiveIndex.in_folder(root)
    index.follow(long_chain.log)
    with index.database.writing() as session:
        session.driver.execute("UPDATE moves SET version_id = 'forged'")
        session.driver.execute("DELETE FROM recalled_names")
        session.driver.execute("DELETE FROM verdicts")
    index.close()
    state = ArchiveReader(root).state
    assert not isinstance(state, FoldedState)
    assert plain(state) == plain(fold(long_chain.records))
    assert state.trials(KEY, None) == 3


def test_readers_write_nothing_into_the_archive(
    long_chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an index, with a stale one, with a damaged one: it is read, and stays as it is."""
    monkeypatch.setattr("trader_sdk.archive.verified.FOLDED_RECORDS", 0)
    monkeypatch.setenv("TRADER_ARCHIVE_CACHE", str(tmp_path / "cache"))
    root = long_chain.log.path.parent
    for content in (None, b"", b"no database" * 100):
        if content is not None:
            (root / "index.sqlite").write_bytes(content)
        before = {path.name: path.read_bytes() for path in root.iterdir()}
        assert plain(ArchiveReader(root).state) == plain(fold(long_chain.records))
        assert {path.name: path.read_bytes() for path in root.iterdir()} == before


def test_archive_is_read_when_the_copy_cannot_be_kept(long_chain: Chain, tmp_path: Path) -> None:
    """A cache that is a file, or damaged: slower, and it is said."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with structlog.testing.capture_logs() as logs:
        found = look(long_chain, blocked)
    assert isinstance(found.state, FoldedState)
    assert [log["event"] for log in logs] == ["verified_copy_unused"]
    look(long_chain, tmp_path)
    copy_of(long_chain.log, tmp_path).write_bytes(b"garbage" * 1000)
    with structlog.testing.capture_logs() as logs:
        assert plain(look(long_chain, tmp_path).state) == plain(fold(long_chain.records))
    assert [log["event"] for log in logs] == ["index_rebuilt"]


def test_broken_tail_is_refused_and_a_torn_one_is_not_committed(long_chain: Chain, tmp_path: Path) -> None:
    """What is behind the known head is checked as strictly as before."""
    look(long_chain, tmp_path)
    head, path = long_chain.head(), long_chain.log.path
    whole = path.read_bytes()
    long_chain.run(("AAPL", "APPROVED", 9, "d"))
    line = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + line[:-20])
    assert look(long_chain, tmp_path).head == head
    path.write_bytes(whole + line.replace(b"m-9", b"m-8"))
    with pytest.raises(ArchiveError) as caught:
        look(long_chain, tmp_path)
    assert caught.value.code == "E606"
    path.write_bytes(whole + line)
    assert look(long_chain, tmp_path).head == long_chain.head()


def test_archives_do_not_share_a_copy(chain_in: type[Chain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders named alike from two working directories are two archives."""
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        paths.append(copy_of(chain_in(Path("training_archives")).log, tmp_path))
    assert len(set(paths)) == 2
