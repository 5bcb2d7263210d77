"""A real S3 server in a process of its own, and a wire between a server and us that can be cut."""

from __future__ import annotations

import json
import secrets
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from trader_sdk.archive.manager import TrainingArchiveManager

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
        self._stalls = False
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

    def stall(self, after_bytes: int) -> None:
        """Keep connections open and forward nothing, after as many bytes more from us to the server."""
        self._stalls, self.bytes_until_cut = True, after_bytes

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
                            if not self._stalls:
                                self.cut()
                                return
                            continue
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
def database_wire(database: Any) -> Iterator[Wire]:
    """Put a wire that can be cut between this process and PostgreSQL."""

    def connect() -> socket.socket:
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(database.folder / ".s.PGSQL.5432"))
        return far

    wire = Wire(connect)
    yield wire
    wire.close()


@dataclass(frozen=True)
class Shop:
    """An archive and what two hosts need to use it.

    Attributes:
        kind: Where it lies.
        name: What commands call it.
        move: Makes this process another host: its own cache, its own home.
        samples: Builders of what a trainer hands over.
        folder: For checkpoints.
        config: The ``trader.toml`` that names it.
        bucket, database: Where it lies, None where it does not.
    """

    kind: str
    name: str
    move: Callable[[str], None]
    samples: Any
    folder: Path
    config: Path
    bucket: Bucket | None
    database: Any

    def archive(self, seed: int = 0, **changes: Any) -> Any:
        """Archive one model, with a checkpoint of its own for each seed."""
        final = self.samples.write_checkpoint(self.folder / f"{seed}.safetensors", seed)
        manager = TrainingArchiveManager(self.name)
        return manager.archive_training_run(self.samples.summary_of(self.samples.model_summary(final, **changes)))


KINDS = ("folder", "s3", "s3+postgres", "folder+postgres")


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, open_shop: Callable[..., Shop]) -> Shop:
    """Configure an empty archive of each kind."""
    return open_shop(str(request.param))


@pytest.fixture
def open_shop(
    request: pytest.FixtureRequest, tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Shop]:
    """Return a function that configures an empty archive of a kind."""
    return lambda kind, **settings: _shop(kind, settings, request, tmp_path, samples, monkeypatch)


def _shop(
    kind: str,
    settings: dict[str, Any],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    samples: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    settings = {"store": str(tmp_path / "archive"), **settings}
    bucket = request.getfixturevalue("bucket") if kind.startswith("s3") else None
    database = request.getfixturevalue("database") if kind.endswith("postgres") else None
    if bucket is not None:
        settings["store"] = bucket.url
    if database is not None:
        settings = {"index": database.url(), **settings}
    config = tmp_path / "trader.toml"
    config.write_text("[archive.desk]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    monkeypatch.setenv("TRADER_CONFIG", str(config))

    def move(host: str) -> None:
        monkeypatch.setenv("TRADER_ARCHIVE_CACHE", str(tmp_path / host / "cache"))
        monkeypatch.setenv("HOME", str(tmp_path / host))

    move("trainer-host")
    return Shop(kind, "desk", move, samples, tmp_path / "ckpt", config, bucket, database)
