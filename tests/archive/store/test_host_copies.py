"""What a host keeps of a shared archive: a witness, a cache, and a stand-in only where that is allowed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from trader_sdk.approved import deployable, load_approved
from trader_sdk.archive.governance import recall
from trader_sdk.archive.location import locate
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.shared import SharedPlace
from trader_sdk.archive.verify import verify
from trader_sdk.contract.errors import ArchiveError, SdkError, StorageError


def shared(name: str) -> SharedPlace:
    place = locate(name)
    assert isinstance(place, SharedPlace)
    return place


def test_damaged_copy_heals_itself(open_shop: Callable[..., Any]) -> None:
    """A flipped byte of a cached file is fetched again; a damaged copy of the chain says what to remove."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    shop.move("trader-host")
    sha256 = load_approved(shop.name, "AAPL").sha256
    root = shared(shop.name).root
    (cached,) = root.glob("*/models/*")
    cached.write_bytes(b"x" + cached.read_bytes()[1:])
    assert load_approved(shop.name, "AAPL").sha256 == sha256
    assert f"sha256:{hashlib.sha256(cached.read_bytes()).hexdigest()}" == sha256
    (root / "audit.jsonl").write_bytes(b"nonsense\n")
    with pytest.raises(ArchiveError) as caught:
        load_approved(shop.name, "AAPL")
    assert caught.value.code == "E606"
    assert str(root) in str(caught.value.remedy)


def test_rewritten_chain_is_seen_by_a_host_that_knew_it(open_shop: Callable[..., Any], database: Any) -> None:
    """Even by the database's owner: this host kept the head."""
    shop = open_shop("s3+postgres")
    version = shop.archive(0).assessments[0].version_id
    recall(shop.name, [version], why="leak")
    shop.move("trader-host")
    with pytest.raises(SdkError):
        load_approved(shop.name, "AAPL")
    database.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
    database.execute("DELETE FROM audit WHERE seq = 2")
    with pytest.raises(ArchiveError) as caught:
        load_approved(shop.name, "AAPL")
    assert caught.value.code == "E606"


def test_copy_stands_in_only_where_it_is_allowed(
    open_shop: Callable[..., Any], s3_wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without offline_hours E610; with them the model, with a note that says since when; never for real money."""
    shop = open_shop("s3")
    shop.archive(0)
    shop.archive(1, symbol="IBM")
    load_approved(shop.name, "AAPL")
    s3_wire.cut()
    with pytest.raises(ArchiveError) as caught:
        load_approved(shop.name, "AAPL")
    assert caught.value.code == "E610"
    assert "offline_hours" in str(caught.value)
    shop.config.write_text(shop.config.read_text() + "offline_hours = 24\n")
    model = load_approved(shop.name, "AAPL")
    (note,) = [finding for finding in model.report.findings if finding.code == "W612"]
    assert "record 2" in note.actual
    with pytest.raises(ArchiveError) as caught:
        load_approved(shop.name, "AAPL", mode="LIVE")
    assert caught.value.code == "E610"
    with pytest.raises(ArchiveError) as caught:  # nothing is written on the strength of a copy
        shop.archive(2)
    assert caught.value.code == "E610"
    s3_wire.mend()
    assert not [finding for finding in load_approved(shop.name, "AAPL").report.findings if finding.code == "W612"]


def test_copy_that_lacks_a_file_is_refused_by_row(open_shop: Callable[..., Any], s3_wire: Any) -> None:
    """Offline, what was loaded before loads; what was not is E610, and no older model takes its place."""
    shop = open_shop("s3", offline_hours=24)
    shop.archive(0)
    shop.archive(1, symbol="IBM")
    shop.move("trader-host")
    load_approved(shop.name, "AAPL")
    s3_wire.cut()
    rows = {row.symbol: row for row in deployable(shop.name, symbols=["AAPL", "IBM"])}
    assert rows["AAPL"].chosen
    assert not rows["IBM"].chosen
    assert rows["IBM"].refusal.code == "E610"


@pytest.mark.parametrize("hours", [-1.0, 25.0])
def test_copy_too_old_or_from_the_future_does_not_stand_in(
    hours: float, open_shop: Callable[..., Any], s3_wire: Any
) -> None:
    """A day is allowed: 25 hours are too many, and a clock that went back proves nothing."""
    shop = open_shop("s3", offline_hours=24)
    shop.archive(0)
    place = shared(shop.name)
    place.refresh()
    seen = place.mirror.seen()
    assert seen is not None
    place.clock = lambda: seen.at + timedelta(hours=hours)
    s3_wire.cut()
    with pytest.raises(ArchiveError) as caught:
        load_approved(place, "AAPL")
    assert caught.value.code == "E610"


def test_reader_needs_read_access_only(open_shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A role with SELECT and a key that may get and list: everything is read, nothing is written anywhere."""
    shop = open_shop("s3+postgres")
    bucket, database = shop.bucket, shop.database
    run = shop.archive(0)
    before = (set(shared(shop.name).store.list()), database.execute("SELECT count(*) FROM audit"))
    shop.move("trader-host")
    as_reader(shop, monkeypatch)
    assert load_approved(shop.name, "AAPL").approval.version_id == run.assessments[0].version_id
    assert verify(shop.name).faults == ()
    assert TrainingArchiveManager(shop.name).get_approved_models(run.timestamp) == ["AAPL_1Day"]
    for act in (lambda: shop.archive(1), lambda: recall(shop.name, ["x"], why="y")):
        with pytest.raises(ArchiveError) as caught:
            act()
        assert caught.value.code == "E610"
        assert "role" in str(caught.value.remedy)
    for variable, value in bucket.environment().items():
        monkeypatch.setenv(variable, value)
    assert (set(shared(shop.name).store.list()), database.execute("SELECT count(*) FROM audit")) == before


def as_reader(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in shop.bucket.environment("reader").items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TRADER__ARCHIVE__DESK__INDEX", shop.database.url("reader"))


def test_two_threads_of_a_host_share_its_copy(open_shop: Callable[..., Any]) -> None:
    """Both load; the copy's chain is whole afterwards."""
    shop = open_shop("s3+postgres")
    for seed in range(3):
        shop.archive(seed)
    shop.move("trader-host")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(load_approved(shop.name, "AAPL"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len({model.sha256 for model in found}) == 1
    assert len(found) == 4
    assert len(ArchiveReader(shop.name).chain.records) == 3


def test_copy_that_cannot_be_kept_is_typed(open_shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file lies where the cache would: what to do is in the error."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    blocked = shop.folder / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("TRADER_ARCHIVE_CACHE", str(blocked))
    with pytest.raises(StorageError) as caught:
        load_approved(shop.name, "AAPL")
    assert "TRADER_ARCHIVE_CACHE" in str(caught.value.remedy)
