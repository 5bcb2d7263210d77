"""One suite for every chain: a commit is a compare-and-swap on the head, and every edit is seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import START, ChainHead, HeadMovedError
from trader_sdk.archive.store.folder import FolderStore
from trader_sdk.archive.store.object_chain import ObjectChain, name_of
from trader_sdk.archive.store.port import AuditChain
from trader_sdk.archive.store.postgres import PostgresChain
from trader_sdk.archive.store.s3 import S3Address, S3Objects
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.errors import ArchiveError

AT = datetime(2026, 11, 21, 9, 30, 0, 123456, tzinfo=UTC)
WHO = Who(kind="database", name="writer")
KINDS = ("file", "folder", "s3", "postgres")


@pytest.fixture(params=KINDS)
def open_chain(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], AuditChain]:
    """Return a function that opens the same chain anew, as another process would."""
    if request.param == "file":
        return lambda: AuditLog(tmp_path)
    if request.param == "folder":
        return lambda: ObjectChain(FolderStore(tmp_path))
    if request.param == "s3":
        url = request.getfixturevalue("bucket").url
        return lambda: ObjectChain(S3Objects(S3Address.parse(url)))
    database = request.getfixturevalue("database")
    return lambda: PostgresChain(database.url())


def grown(chain: AuditChain, count: int) -> list[AuditRecord]:
    return [
        chain.append(AuditKind.RECALL, {"names": [str(number)], "why": "ü", "x": 1.5}, who=WHO, at=AT)
        for number in range(count)
    ]


def test_chain_links_each_record_to_the_one_before(open_chain: Callable[[], AuditChain]) -> None:
    """Numbers from one, the first names nobody, another process reads the same."""
    written = grown(open_chain(), 3)
    chain = open_chain().read()
    assert list(chain.records) == written
    assert [record.seq for record in written] == [1, 2, 3]
    assert [record.prev for record in written] == ["", written[0].sha256, written[1].sha256]
    assert open_chain().last() == written[-1]
    assert open_chain().head() == chain.head == ChainHead(3, written[-1].sha256)


def test_empty_chain_has_no_head_and_reading_makes_nothing(open_chain: Callable[[], AuditChain]) -> None:
    """Nothing to read, nothing made, no error."""
    for _ in range(2):
        assert open_chain().read().records == ()
        assert open_chain().head() == START
        assert open_chain().last() is None


def test_commit_on_a_head_that_moved_is_refused_and_nothing_is_committed(
    open_chain: Callable[[], AuditChain],
) -> None:
    """Compare and swap: also on an empty chain, also by whoever moved it."""
    chain, other = open_chain(), open_chain()
    first = chain.append(AuditKind.RECALL, {"names": ["1"], "why": "x"}, who=WHO, at=AT, expected=START)
    for one in (chain, other):
        with pytest.raises(HeadMovedError):
            one.append(AuditKind.RECALL, {"names": ["2"], "why": "x"}, who=WHO, at=AT, expected=START)
    assert open_chain().read().records == (first,)
    head = ChainHead(1, first.sha256)
    second = other.append(AuditKind.RECALL, {"names": ["2"], "why": "x"}, who=WHO, at=AT, expected=head)
    assert open_chain().read().records == (first, second)


@pytest.mark.parametrize("known", [0, 1, 3, 5])
def test_only_what_follows_a_known_head_is_read(open_chain: Callable[[], AuditChain], known: int) -> None:
    """A reader that has seen some asks for the rest."""
    written = grown(open_chain(), 5)
    after = ChainHead(known, written[known - 1].sha256) if known else START
    rest = open_chain().read(after)
    assert list(rest.records) == written[known:]
    assert rest.head == ChainHead(5, written[-1].sha256)


@pytest.mark.parametrize("known", [ChainHead(2, "sha256:" + 64 * "0"), ChainHead(9, "sha256:" + 64 * "0")])
def test_chain_that_was_cut_or_rewritten_is_seen_by_who_knew_it(
    open_chain: Callable[[], AuditChain], known: ChainHead
) -> None:
    """The head that a host has seen is kept elsewhere by definition."""
    grown(open_chain(), 3)
    with pytest.raises(ArchiveError) as caught:
        open_chain().read(known)
    assert caught.value.code == "E606"


def test_equal_records_of_two_writers_have_one_winner(bucket: Any, tmp_path: Path) -> None:
    """Two that say the same at the same time are two writers all the same."""
    for store in (S3Objects(S3Address.parse(bucket.url)), FolderStore(tmp_path)):
        chains = [ObjectChain(store) for _ in range(2)]
        won = []
        for chain in chains:
            try:
                won.append(chain.append(AuditKind.RECALL, {"names": ["x"]}, who=WHO, at=AT, expected=START))
            except HeadMovedError:
                continue
        assert len(won) == 1


def test_many_records_are_read_in_one_go(tmp_path: Path) -> None:
    """Listed in pages, fetched in parallel, in order."""
    chain = ObjectChain(FolderStore(tmp_path))
    head, written = START, []
    for _ in range(40):
        record = chain.append(AuditKind.RECALL, {"names": ["x"]}, who=WHO, at=AT, expected=head)
        head, written = ChainHead(record.seq, record.sha256), [*written, record]
    assert list(ObjectChain(FolderStore(tmp_path)).read().records) == written


@pytest.mark.parametrize("damage", ["edited", "swapped", "gap"])
def test_damaged_object_is_seen(tmp_path: Path, damage: str) -> None:
    """An edit, an exchange and a removal of a record."""
    grown(ObjectChain(FolderStore(tmp_path)), 4)
    second, third = tmp_path / name_of(2), tmp_path / name_of(3)
    if damage == "edited":
        second.write_bytes(second.read_bytes().replace(b"names", b"nomes"))
    elif damage == "swapped":
        two = second.read_bytes()
        second.write_bytes(third.read_bytes())
        third.write_bytes(two)
    else:
        second.unlink()
    with pytest.raises(ArchiveError) as caught:
        ObjectChain(FolderStore(tmp_path)).read()
    assert caught.value.code == "E606"
