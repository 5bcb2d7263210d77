"""Store or database away, a writer that dies, bytes that were swapped: typed, nothing lost, nothing half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.cleaning import remove_leftovers
from trader_sdk.archive.governance import recall
from trader_sdk.archive.location import locate
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.shared import SharedPlace, object_name
from trader_sdk.archive.store.postgres import PostgresChain
from trader_sdk.archive.store.s3 import S3Address, S3Objects
from trader_sdk.archive.verify import Kind, verify
from trader_sdk.contract.audit import AuditKind, Who
from trader_sdk.contract.errors import ArchiveError

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def shared(name: str) -> SharedPlace:
    place = locate(name)
    assert isinstance(place, SharedPlace)
    return place


def summary_of(shop: Any, seed: int = 0) -> dict[str, Any]:
    final = shop.samples.write_checkpoint(shop.folder / f"{seed}.safetensors", seed)
    return dict(shop.samples.summary_of(shop.samples.model_summary(final)))


class Died(BaseException):
    """Stands for a process that ends here."""


@pytest.fixture
def dies_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Return a function that ends the writer at its n-th write to store or database, and lists those before."""

    done: list[str] = []
    limit = [10**9]
    for owner, name in ((S3Objects, "put_new"), (PostgresChain, "append")):
        real = getattr(owner, name)

        def call(*args: Any, _real: Any = real, _name: str = name, **kwargs: Any) -> Any:
            if len(done) == limit[0]:
                raise Died
            done.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    def arm(n: int) -> list[str]:
        done.clear()
        limit[0] = n
        return done

    return arm


@pytest.mark.parametrize("kind", ["s3", "s3+postgres"])
def test_writer_that_dies_at_any_write_leaves_no_half_run(
    kind: str, open_shop: Callable[..., Any], dies_at: Callable[[int], list[str]]
) -> None:
    """Each write in turn is the last one: no run is visible, what is there is whole, and writing goes on."""
    shop = open_shop(kind)
    first = shop.archive(0)
    summary = summary_of(shop, 1)
    n, run = 0, None
    while run is None:
        done = dies_at(n)
        try:
            run = TrainingArchiveManager(shop.name).archive_training_run(summary)
        except Died:
            assert list(ArchiveReader(shop.name).state.runs) == [first.timestamp]
            n += 1
    assert n == len(done) >= 7
    found = verify(shop.name)
    assert found.faults == ()
    assert found.runs == 2
    assert {remark.kind for remark in found.remarks} <= {Kind.ORPHAN, Kind.INDEX_LAGS}


_WRITER = """
import os, signal, sys
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.store.{module} import {owner}
real = {owner}.{method}
left = [{after}]
def call(*args, **kwargs):
    if left[0] == 0 and not {done_first}:
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args, **kwargs)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return result
{owner}.{method} = call
TrainingArchiveManager("desk").archive_training_run(sys.argv[1])
"""
_PUT = {"module": "s3", "owner": "S3Objects", "method": "put_new"}
_COMMIT = {"module": "postgres", "owner": "PostgresChain", "method": "append"}


@pytest.mark.parametrize(
    ("point", "is_committed"),
    [
        ({**_PUT, "after": 3, "done_first": True}, False),
        ({**_COMMIT, "after": 0, "done_first": False}, False),
        ({**_COMMIT, "after": 0, "done_first": True}, True),
    ],
)
def test_killed_writer_leaves_no_half_run(point: Any, is_committed: bool, open_shop: Callable[..., Any]) -> None:
    """SIGKILL among the objects, before the commit and right after it; the next writer goes on."""
    import json

    shop = open_shop("s3+postgres")
    path = shop.folder / "summary.json"
    shop.folder.mkdir()
    path.write_text(json.dumps(summary_of(shop, 1)))
    done = subprocess.run([sys.executable, "-c", _WRITER.format(**point), str(path)], timeout=120, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    shop.move("trader-host")
    if is_committed:
        assert load_approved(shop.name, "AAPL").approval
    else:
        with pytest.raises(ArchiveError) as caught:
            load_approved(shop.name, "AAPL")
        assert caught.value.code == "E608"
    shop.archive(2)
    found = verify(shop.name)
    assert found.faults == ()
    assert found.runs == 1 + is_committed


@pytest.mark.parametrize("wire", ["s3_wire", "database_wire"])
@pytest.mark.parametrize("after_bytes", [1, 3_000, 12_000])
def test_connection_lost_in_mid_write_is_typed_and_made_good(
    wire: str, after_bytes: int, open_shop: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """E610, or a success that is there; the same command afterwards archives once more, and nothing is half there."""
    cable = request.getfixturevalue(wire)
    database = request.getfixturevalue("database")
    away = {"index": database.url(host=f"127.0.0.1:{cable.port}")} if wire == "database_wire" else {}
    shop = open_shop("s3+postgres", **away)
    runs = [shop.archive(0).timestamp]
    cable.cut(after_bytes)
    failed = ""
    try:
        runs.append(shop.archive(1).timestamp)
    except ArchiveError as error:
        failed = error.code
    cable.mend()
    assert failed == "E610" or len(runs) == 2
    runs.append(shop.archive(1).timestamp)
    state = ArchiveReader(shop.name).state
    assert set(runs) <= set(state.runs)
    found = verify(shop.name)
    assert found.faults == ()
    assert found.runs == len(runs) or found.runs == len(runs) + 1


def test_answer_that_was_lost_after_the_commit_is_looked_up(
    open_shop: Callable[..., Any], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is there: the run is archived once, and its writer is told so."""
    import psycopg
    import sqlalchemy as sa

    shop = open_shop("s3+postgres")
    shop.archive(0)
    lost: list[bool] = []
    real = sa.engine.default.DefaultDialect.do_commit

    def commit(self: Any, connection: Any) -> None:
        real(self, connection)
        if self.name == "postgresql" and not lost and any("INSERT INTO audit" in one for one in statements):
            lost.append(True)
            raise sa.exc.OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection"))

    statements = [""]

    def seen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", seen)
    monkeypatch.setattr(sa.engine.default.DefaultDialect, "do_commit", commit)
    try:
        run = shop.archive(1)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", seen)
    assert lost
    assert list(ArchiveReader(shop.name).state.runs)[-1] == run.timestamp
    assert len(ArchiveReader(shop.name).state.runs) == 2


def objects_of(shop: Any) -> set[str]:
    return set(shared(shop.name).store.list("objects/"))


def test_leftover_objects_are_listed_and_removed_and_nothing_else_is(
    open_shop: Callable[..., Any], dies_at: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old enough and named by nobody: gone, and the chain says so; a young one stays."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    committed = objects_of(shop)
    with monkeypatch.context() as patch:
        request_dies(patch, 4)
        with pytest.raises(Died):
            TrainingArchiveManager(shop.name).archive_training_run(summary_of(shop, 1))
    left = objects_of(shop) - committed
    assert len(left) == 4
    orphans = {remark.what.split(":")[0] for remark in verify(shop.name).remarks if remark.kind is Kind.ORPHAN}
    assert orphans == left
    assert remove_leftovers(shop.name) == ()
    assert set(remove_leftovers(shop.name, min_age=timedelta(0))) == left
    assert objects_of(shop) == committed
    assert verify(shop.name).remarks == ()
    assert ArchiveReader(shop.name).chain.records[-1].kind == "repair"


def request_dies(patch: pytest.MonkeyPatch, n: int) -> None:
    real, calls = S3Objects.put_new, []

    def call(self: S3Objects, name: str, data: bytes) -> bool:
        if len(calls) == n:
            raise Died
        calls.append(name)
        return real(self, name, data)

    patch.setattr(S3Objects, "put_new", call)


def test_object_that_a_writer_found_there_is_put_back(
    open_shop: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is committed while an old leftover of the same bytes is removed keeps its file."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    with monkeypatch.context() as patch:
        request_dies(patch, 6)
        with pytest.raises(Died):
            shop.archive(1)
    real, raced = SharedPlace.discard, []

    def discard(self: SharedPlace, name: str) -> bytes:
        if not raced:
            raced.append(shop.archive(1).timestamp)  # finds the checkpoint's object there, and commits
        return real(self, name)

    monkeypatch.setattr(SharedPlace, "discard", discard)
    remove_leftovers(shop.name, min_age=timedelta(0))
    assert raced
    assert verify(shop.name).faults == ()


def test_leftover_runs_of_a_folder_are_removed(manager: TrainingArchiveManager, archived: Callable[..., Any]) -> None:
    """A run that was renamed into place and never committed; committed ones stay."""
    run = archived(0)
    orphan = manager.root / "20200101_000000"
    orphan.mkdir()
    (orphan / "summary.json").write_text("{}")
    assert remove_leftovers(manager.root) == ()
    assert remove_leftovers(manager.root, min_age=timedelta(0)) == (orphan.name,)
    assert not orphan.exists()
    assert run.path.exists()
    assert verify(manager.root).faults == ()


def swap(shop: Any, digest: str) -> None:
    """Put other bytes in an object's place, as somebody with every right could."""
    place = shared(shop.name)
    place.store.remove(object_name(digest))
    place.store.put_new(object_name(digest), b"swapped")


@pytest.mark.parametrize("kind", ["s3", "s3+postgres", "folder+postgres"])
def test_swapped_bytes_are_refused_and_found(kind: str, open_shop: Callable[..., Any]) -> None:
    """E602 on a host that has not loaded it yet; verify says which file on every host."""
    shop = open_shop(kind)
    verdict = shop.archive(0).assessments[0]
    deployed = next(subject for subject in verdict.subjects if subject.role == "policy_safetensors")
    swap(shop, deployed.sha256)
    assert [fault.code for fault in verify(shop.name).faults] == ["E602"]
    shop.move("trader-host")
    with pytest.raises(ArchiveError) as caught:
        load_approved(shop.name, "AAPL")
    assert caught.value.code == "E602"
    with pytest.raises(ArchiveError):  # nor does a writer take the swapped object for its own
        shop.archive(0)


def test_connections_end_with_their_use(open_shop: Callable[..., Any]) -> None:
    """A server has few to give: loads and commits leave none open."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    place = locate(shop.name)
    for _ in range(3):
        load_approved(place, "AAPL")
        recall(place, ["x"], why="y")
    open_now = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trader-sdk'"
    assert shop.database.execute(open_now) == [(0,)]


@pytest.mark.parametrize("silent_for", ["reading", "writing"])
def test_server_that_keeps_silent_is_given_up(silent_for: str, database: Any, database_wire: Any) -> None:
    """It takes the question and never answers: E610 after a while, not never."""
    who = Who(kind="database", name="writer")
    chain = PostgresChain(database.url(host=f"127.0.0.1:{database_wire.port}"), timeout_seconds=0.3)
    chain.append(AuditKind.RECALL, {"names": ["x"]}, who=who, at=AT)
    database_wire.stall(after_bytes=200)
    with pytest.raises(ArchiveError) as caught:
        chain.read() if silent_for == "reading" else chain.append(AuditKind.RECALL, {}, who=who, at=AT)
    assert caught.value.code == "E610"


def test_store_that_keeps_silent_is_given_up(bucket: Any, s3_wire: Any) -> None:
    """The same on S3."""
    store = S3Objects(S3Address.parse(bucket.url), timeout_seconds=0.3)
    assert store.put_new("objects/a", b"x")
    s3_wire.stall(after_bytes=1)
    with pytest.raises(ArchiveError) as caught:
        store.get("objects/a")
    assert caught.value.code == "E610"
