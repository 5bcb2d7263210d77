"""The index follows the chain: it reads what is behind its head, and is made again where it is wrong."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from trader_sdk.archive.index.archive_index import ArchiveIndex, Step
from trader_sdk.archive.store.chain import ChainHead, HeadMovedError
from trader_sdk.contract.errors import ArchiveError, StorageError, UsageError

Chain = Any
"""The builder of conftest.py, which cannot be imported from here."""


def head_of(chain: Chain) -> ChainHead:
    return chain.head()  # type: ignore[no-any-return] # the builder's own


class Counting:
    """A chain that counts what was read of it."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.read_records = 0

    where = "counted"

    def head(self) -> ChainHead:
        return head_of(self.chain)

    def read(self, after: ChainHead | None = None) -> Any:
        found = self.chain.read(after)
        self.read_records += len(found.records)
        return found


def test_following_reads_the_tail_alone(chain: Chain, index: ArchiveIndex, some_runs: Callable[[Chain], None]) -> None:
    """What was indexed is not read again."""
    some_runs(chain)
    counting = Counting(chain)
    assert index.follow(counting) == (Step.REBUILT, head_of(chain), "there was none")  # type: ignore[arg-type] # reading is all that is asked
    assert counting.read_records == len(chain.records)
    assert index.follow(counting).step is Step.CURRENT  # type: ignore[arg-type] # as above
    chain.run(("AAPL", "APPROVED", 9, "d"))
    assert index.follow(counting).step is Step.CAUGHT_UP  # type: ignore[arg-type] # as above
    assert counting.read_records == len(chain.records)
    assert index.head() == head_of(chain)


def test_empty_chain_has_an_empty_index(chain: Chain, index: ArchiveIndex) -> None:
    """Before the first record there is nothing, and the first one is taken in."""
    assert index.head() is None
    assert index.follow(chain).head == ChainHead(0, "")
    chain.run(("AAPL", "APPROVED", 1, "d"))
    index.follow(chain)
    assert index.head() == head_of(chain)


def test_index_of_another_chain_is_made_again_and_it_is_said(
    chain: Chain, chain_in: type[Chain], index: ArchiveIndex, some_runs: Callable[[Chain], None]
) -> None:
    """Its head is not in this chain: longer, shorter or other, nothing of it is kept."""
    some_runs(chain)
    other = chain_in()
    for number in range(3):
        other.run(("MSFT", "APPROVED", number, None))
    index.follow(chain)
    for right in (other, chain):
        with structlog.testing.capture_logs() as logs:
            followed = index.follow(in_file(right))
        assert followed.step is Step.REBUILT
        assert "is another one in the chain" in followed.why
        assert [(log["event"], log["why"]) for log in logs] == [("index_rebuilt", followed.why)]
        assert index.head() == head_of(right)


def in_file(chain: Chain) -> Any:
    """Return a chain that refuses a head which it does not have, as chains that lie somewhere do."""
    from trader_sdk.archive.store.chain import broken

    class Refusing(Counting):
        def read(self, after: ChainHead | None = None) -> Any:
            if after is not None and after.seq:
                known = self.chain.records[: after.seq][-1]
                if (known.seq, known.sha256) != (after.seq, after.sha256):
                    raise broken(self.where, f"record {after.seq}", "another")
            return super().read(after)

    return Refusing(chain)


def test_advancing_is_refused_when_another_writer_was_faster(
    chain: Chain, index: ArchiveIndex, some_runs: Callable[[Chain], None]
) -> None:
    """Compare and swap on the head: it raised and nothing changed."""
    some_runs(chain)
    index.follow(chain)
    before, seen = index.dump(), head_of(chain)
    chain.run(("AAPL", "APPROVED", 7, "d"))
    index.advance(chain.records[-1:], seen)
    after = index.dump()
    with pytest.raises(HeadMovedError):
        index.advance(chain.records[-1:], seen)
    assert index.dump() == after != before


def test_nothing_is_taken_in_when_a_record_in_the_middle_is_wrong(chain: Chain, index: ArchiveIndex) -> None:
    """One transaction: all that is behind the head, or none of it."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    index.follow(chain)
    before, seen = index.dump(), head_of(chain)
    chain.run(("AAPL", "APPROVED", 2, "d"))
    chain.add(chain.records[0].kind, chain.records[0].body)
    with pytest.raises(ArchiveError):
        index.advance(chain.records[1:], seen)
    assert index.dump() == before


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:4000] = os.urandom(3900)
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "garbage": lambda path: path.write_bytes(b"no database " * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "first page overwritten": flip,
    "tables dropped": lambda path: execute(path, "DROP TABLE verdicts"),
    "head dropped": lambda path: execute(path, "DELETE FROM head"),
}


SILENT = ("deleted", "empty", "head dropped")
"""As if there had never been one: nothing was wrong, nothing is said."""


def execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_made_again(
    chain: Chain, tmp_path: Path, some_runs: Callable[[Chain], None], damage: str
) -> None:
    """Whatever happened to the file, the next command has the same rows again."""
    path = tmp_path / "index.sqlite"
    some_runs(chain)
    whole = ArchiveIndex(path)
    whole.follow(chain)
    expected = whole.dump()
    whole.close()
    DAMAGES[damage](path)
    chain.run(("AAPL", "APPROVED", 8, "d"))
    again = ArchiveIndex(path)
    with structlog.testing.capture_logs() as logs:
        again.follow(chain)
    assert [log["event"] for log in logs] == ([] if damage in SILENT else ["index_rebuilt"])
    fresh = ArchiveIndex(tmp_path / "fresh.sqlite")
    fresh.rebuild(chain)
    assert again.dump() == fresh.dump() != expected
    for one in (again, fresh):
        one.close()


def test_locked_file_is_named_and_nothing_is_lost(
    chain: Chain, tmp_path: Path, some_runs: Callable[[Chain], None]
) -> None:
    """Another process holds it: E605; when it lets go, the next command catches up."""
    some_runs(chain)
    index = ArchiveIndex(tmp_path / "index.sqlite", busy_seconds=0.01)
    index.follow(chain)
    chain.run(("AAPL", "APPROVED", 8, "d"))
    with contextlib.closing(sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArchiveError) as caught:
            index.follow(chain)
    assert (caught.value.code, caught.value.where) == ("E605", str(tmp_path / "index.sqlite"))
    assert index.follow(chain).step is Step.CAUGHT_UP
    index.close()


@contextlib.contextmanager
def a_user_without_rights() -> Iterator[None]:
    """Root writes everywhere, so it is nobody for the length of the block."""
    was = os.geteuid()
    os.seteuid(65534 if was == 0 else was)
    try:
        yield
    finally:
        os.seteuid(was)


def test_folder_that_cannot_be_written_is_a_typed_error(chain: Chain) -> None:
    """Read-only: nothing is made, the disk is named."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ArchiveIndex(folder / "writable.sqlite").follow(chain)  # imports everything while everything may be read
        folder.chmod(0o555)
        with a_user_without_rights(), pytest.raises(StorageError) as caught:
            ArchiveIndex(folder / "index.sqlite").follow(chain)
        folder.chmod(0o700)
        assert caught.value.where == str(folder / "index.sqlite")
        assert not (folder / "index.sqlite").exists()


def test_missing_folder_is_a_typed_error(chain: Chain, tmp_path: Path) -> None:
    """SQLite cannot open it: the disk is named, not the index blamed."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    with pytest.raises(StorageError) as caught:
        ArchiveIndex(tmp_path / "nowhere" / "index.sqlite").follow(chain)
    assert caught.value.where == str(tmp_path / "nowhere" / "index.sqlite")


def test_other_databases_are_refused(tmp_path: Path) -> None:
    """A URL of another kind is no file of that name."""
    for location in ("mysql://u@h/d", "s3://bucket/index"):
        with pytest.raises(UsageError):
            ArchiveIndex(location)


def test_database_that_goes_away_in_mid_write_loses_nothing(
    chain: Chain, database: Any, some_runs: Callable[[Chain], None]
) -> None:
    """The server ends the connection between two statements: typed, and the next command catches up."""
    some_runs(chain)
    index = ArchiveIndex(database.url())
    index.follow(chain)
    before, seen = index.dump(), head_of(chain)
    chain.run(("AAPL", "APPROVED", 8, "d"))

    def records() -> Any:
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'")
        yield chain.records[-1]

    with pytest.raises(ArchiveError) as caught:
        index.advance(records(), seen)
    assert caught.value.code == "E610"
    assert index.dump() == before
    assert index.follow(chain).step is Step.CAUGHT_UP
    index.close()


def test_database_that_is_not_there_is_named_without_its_password(chain: Chain) -> None:
    """No server: E610 at once, and the password in nothing that is shown."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    with pytest.raises(ArchiveError) as caught:
        ArchiveIndex("postgresql://ann:hunter2-planted@127.0.0.1:9/desk").follow(chain)
    assert caught.value.code == "E610"
    assert "hunter2" not in str(caught.value)


def test_role_that_may_only_read_is_refused_and_named(chain: Chain, database: Any) -> None:
    """A reader's role cannot make the index; nothing of it is there afterwards."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    with pytest.raises(ArchiveError) as caught:
        ArchiveIndex(database.url("reader")).follow(chain)
    assert caught.value.code == "E610"
    assert database.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()") == []
