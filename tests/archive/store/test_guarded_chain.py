"""What the database and the store themselves hold: nobody changes a record, nobody writes in another's name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from trader_sdk.archive.store.chain import START
from trader_sdk.archive.store.faults import OverwritesError, RefusedError
from trader_sdk.archive.store.folder import FolderStore
from trader_sdk.archive.store.object_chain import ObjectChain
from trader_sdk.archive.store.postgres import PostgresChain
from trader_sdk.archive.store.s3 import S3Address, S3Objects
from trader_sdk.contract.audit import AuditKind, Who
from trader_sdk.contract.errors import ArchiveError

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WRITER = Who(kind="database", name="writer")


def psycopg_error(database: Any, url: str, statement: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)  # type: ignore[call-overload] # the test's own text
    return str(caught.value.sqlstate)


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET kind = 'x'", "DELETE FROM audit", "TRUNCATE audit", "UPDATE audit SET record = ''"]
)
def test_database_refuses_to_change_a_record(database: Any, statement: str) -> None:
    """Also from the role that wrote it."""
    chain = PostgresChain(database.url())
    chain.append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=WRITER, at=AT)
    assert psycopg_error(database, database.url(), statement) == "23514"
    assert len(chain.read().records) == 1


def test_database_refuses_a_record_in_anothers_name(database: Any) -> None:
    """The role is who acts, whatever a client says."""
    chain = PostgresChain(database.url())
    for who in (Who(kind="database", name="reader"), Who(kind="os", name="writer")):
        with pytest.raises(RefusedError) as caught:
            chain.append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=who, at=AT)
        assert caught.value.code == "E610"
    assert chain.read().records == ()


def test_database_refuses_a_record_that_continues_nothing(database: Any) -> None:
    """A client of somebody else's cannot leave a hole."""
    chain = PostgresChain(database.url())
    chain.append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=WRITER, at=AT)
    record = '{"who": {"kind": "database", "name": "writer"}}'
    for seq, prev in ((3, "x"), (2, "sha256:" + 64 * "0")):
        row = f"({seq}, 'd', '{prev}', 'recall', 'writer', now(), '{record}')"
        insertion = f"INSERT INTO audit VALUES {row}"  # noqa: S608 # the test's own text
        assert psycopg_error(database, database.url(), insertion) == "23514"


def test_reader_role_reads_and_writes_nothing(database: Any) -> None:
    """Read access is enough to read, and a write is refused with what to do."""
    written = PostgresChain(database.url()).append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=WRITER, at=AT)
    chain = PostgresChain(database.url("reader"))
    assert chain.read().records == (written,)
    assert chain.role == "reader"
    with pytest.raises(RefusedError) as caught:
        chain.append(AuditKind.RECALL, {"names": ["y"], "why": "z"}, who=Who(kind="database", name="reader"), at=AT)
    assert "INSERT on audit" in str(caught.value.remedy)
    assert PostgresChain(database.url()).read().records == (written,)


def test_reader_of_an_empty_database_makes_nothing(database: Any) -> None:
    """No table appears by looking."""
    assert PostgresChain(database.url("reader")).read().records == ()
    assert database.execute("SELECT * FROM pg_tables WHERE schemaname = current_schema") == []


def test_schema_of_a_later_release_is_refused(database: Any) -> None:
    """E604, and nothing is written into what is not understood."""
    chain = PostgresChain(database.url())
    chain.append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=WRITER, at=AT)
    database.execute("INSERT INTO archive_schema VALUES (99)")
    with pytest.raises(ArchiveError) as caught:
        PostgresChain(database.url()).append(AuditKind.RECALL, {"names": ["x"]}, who=WRITER, at=AT)
    assert caught.value.code == "E604"


class Forgetful(BaseHTTPRequestHandler):
    """An S3-speaking server that ignores ``If-None-Match``: every put wins."""

    objects: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        """Store whatever comes."""
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"")

    def do_GET(self) -> None:
        """Return what was stored last."""
        found = self.objects.get(self.path)
        self._answer(404 if found is None else 200, found or b"")

    def _answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 09:30:00 GMT")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Objects]:
    """Start a server that gives a name to everybody who asks."""
    Forgetful.objects.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    yield S3Objects(S3Address("bucket", "desk", f"http://127.0.0.1:{server.server_port}"))
    server.shutdown()
    server.server_close()


def test_store_that_ignores_create_once_is_refused_before_the_first_commit(forgetful: S3Objects) -> None:
    """E611, and no record lies there."""
    with pytest.raises(OverwritesError) as caught:
        ObjectChain(forgetful).append(AuditKind.RECALL, {"names": ["x"]}, who=WRITER, at=AT, expected=START)
    assert caught.value.code == "E611"
    assert "index" in str(caught.value.remedy)
    assert not any("audit" in name for name in Forgetful.objects)


def test_store_that_ignores_create_once_serves_beside_a_database(forgetful: S3Objects, database: Any) -> None:
    """Objects by digest are the same for everybody; the claims go through PostgreSQL."""
    assert forgetful.put_new("objects/a", b"x")
    chain = PostgresChain(database.url())
    assert chain.append(AuditKind.RECALL, {"names": ["x"], "why": "y"}, who=WRITER, at=AT, expected=START).seq == 1


def test_create_once_is_probed_once_a_process(tmp_path: Any) -> None:
    """Two requests at the first commit, none later."""
    puts: list[str] = []

    class Counting(FolderStore):
        def put_new(self, name: str, data: bytes) -> bool:
            puts.append(name)
            return super().put_new(name, data)

    chain = ObjectChain(Counting(tmp_path))
    for _ in range(3):
        chain.append(AuditKind.RECALL, {"names": ["x"]}, who=WRITER, at=AT)
    assert [name.split("/")[0] for name in puts] == ["probe", "probe", "audit", "audit", "audit"]
