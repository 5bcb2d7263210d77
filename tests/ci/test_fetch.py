"""Fetching and caching: bounded, verified, whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.ci.cache import DigestCache
from trader_sdk.ci.fetch import FetchLimits, UnreachableError, display_url, file_of, is_url
from trader_sdk.contract.errors import CheckpointError, SdkError, StorageError, UsageError

CONTENT = b"a model" * 1000
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
OTHER = "sha256:" + "0" * 64


@pytest.fixture
def cache(tmp_path: Path, desk: Path) -> DigestCache:
    return DigestCache(tmp_path / "held", FetchLimits(max_bytes=100_000, silence_seconds=5, total_seconds=10))


def held(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "held").rglob("*") if path.is_file())


def test_fetched_file_is_kept_under_its_digest_and_fetched_once(tmp_path: Path, cache: DigestCache, web: Any) -> None:
    """The second run needs no network."""
    web.files["/a.pt"] = CONTENT
    for _ in range(2):
        assert cache.get(f"{web.url}/a.pt", DIGEST).read_bytes() == CONTENT
    assert web.asked == ["/a.pt"]
    assert held(tmp_path) == [DIGEST.removeprefix("sha256:")]


def test_damaged_copy_is_fetched_again(cache: DigestCache, web: Any) -> None:
    """What lies in the cache is verified whenever it is used."""
    web.files["/a.pt"] = CONTENT
    cache.get(f"{web.url}/a.pt", DIGEST).write_bytes(b"damaged")
    assert cache.get(f"{web.url}/a.pt", DIGEST).read_bytes() == CONTENT


def test_redirect_to_http_is_followed(cache: DigestCache, web: Any) -> None:
    """Release pages redirect to their storage."""
    web.files["/b"], web.redirects["/a"] = CONTENT, "/b"
    assert cache.get(f"{web.url}/a", DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,x", "gopher://127.0.0.1/"])
def test_redirect_elsewhere_is_refused(tmp_path: Path, cache: DigestCache, web: Any, target: str) -> None:
    """A server cannot make the check read a local file."""
    web.redirects["/a"] = target
    with pytest.raises(CheckpointError) as refused:
        cache.get(f"{web.url}/a")
    assert not isinstance(refused.value, UnreachableError)
    assert held(tmp_path) == []


def test_downgrade_from_https_is_refused() -> None:
    """What started encrypted does not go on in the open."""
    from email.message import Message
    from io import BytesIO
    from urllib.request import Request

    from trader_sdk.ci.fetch import _Redirects

    def to(target: str) -> object:
        request = Request("https://models.example/a?token=secret")
        return _Redirects().redirect_request(request, BytesIO(), 302, "", Message(), target)  # type: ignore[arg-type]  # a plain message will do

    assert to("https://storage.example/a") is not None
    with pytest.raises(CheckpointError) as refused:
        to("http://storage.example/a")
    assert "secret" not in str(refused.value)


def _loop(web: Any) -> str:
    web.redirects |= {"/a": "/b", "/b": "/a"}
    return f"{web.url}/a"


def _chain(web: Any) -> str:
    web.redirects |= {f"/{n}": f"/{n + 1}" for n in range(50)}
    return f"{web.url}/0"


def _absent(web: Any) -> str:
    return f"{web.url}/absent"


def _closed(web: Any) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/a"


def _bad_name(web: Any) -> str:
    return "http://a..b/ü x"


@pytest.mark.parametrize("place", [_loop, _chain])
def test_endless_redirects_are_an_error(tmp_path: Path, cache: DigestCache, web: Any, place: Any) -> None:
    """Circles and long chains end; a golden that hides behind one is not merely missing."""
    with pytest.raises(CheckpointError) as refused:
        cache.get(place(web), DIGEST)
    assert (type(refused.value), refused.value.code) == (CheckpointError, "E101")
    assert len(web.asked) < 20
    assert held(tmp_path) == []


@pytest.mark.parametrize("place", [_absent, _closed, _bad_name])
def test_unreachable_place_is_said_and_leaves_nothing(tmp_path: Path, cache: DigestCache, web: Any, place: Any) -> None:
    """A 404, a closed port and an impossible name: one error, no file."""
    with pytest.raises(UnreachableError) as refused:
        cache.get(place(web), DIGEST)
    assert (refused.value.code, refused.value.exit_code) == ("E101", 3)
    assert held(tmp_path) == []


def test_other_bytes_are_refused_and_not_kept(tmp_path: Path, cache: DigestCache, web: Any) -> None:
    """A replaced file at the same address is an error, never a missing golden."""
    web.files["/a"] = CONTENT
    with pytest.raises(CheckpointError) as refused:
        cache.get(f"{web.url}/a", OTHER)
    assert refused.value.code == "E103"
    assert (refused.value.expected, refused.value.found) == (OTHER, DIGEST)
    assert held(tmp_path) == []


@pytest.mark.parametrize(("announced", "code"), [(10_000_000, "E107"), (50_000, "E101")])
def test_false_length_is_refused(tmp_path: Path, cache: DigestCache, web: Any, announced: int, code: str) -> None:
    """Too large by its own word is not begun; fewer bytes than announced were cut short."""
    web.files["/a"], web.lengths["/a"] = CONTENT, announced
    with pytest.raises(CheckpointError) as refused:
        cache.get(f"{web.url}/a")
    assert refused.value.code == code
    assert held(tmp_path) == []


@pytest.fixture
def flood() -> Iterator[str]:
    """Serve one endless answer that announces no length."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pour() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x" * 65536)
            except OSError:
                return

    thread = threading.Thread(target=pour, name="flood", daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/a"
    listener.close()
    thread.join()


def test_endless_answer_is_cut_at_the_limit(tmp_path: Path, cache: DigestCache, flood: str) -> None:
    """A stream without an end is too large (E107), and its beginning is thrown away."""
    with pytest.raises(CheckpointError) as refused:
        cache.get(flood)
    assert refused.value.code == "E107"
    assert held(tmp_path) == []


DRIPS = {
    "in-a-header": b"HTTP/1.1 200 OK\r\nX-Drip: " + b"x" * 60_000,
    "many-headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 99,
    "in-the-status-line": b"HTTP/1.1 200 " + b"O" * 60_000,
    "in-the-body": b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000,
    "in-a-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nEA60\r\n" + b"x" * 60_000,
    "after-continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000,
}


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes], str]]:
    """Return a function that starts a server which answers a byte each hundredth of a second, never silent for long."""
    over, listeners, threads = threading.Event(), [], []

    def drip(listener: socket.socket, content: bytes) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                for byte in content:
                    connection.sendall(bytes([byte]))
                    if over.wait(0.01):
                        return

    def start(content: bytes) -> str:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threads.append(threading.Thread(target=drip, args=(listeners[-1], content), name="drip", daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listeners[-1].getsockname()[1]}/a"

    yield start
    over.set()
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("where", DRIPS)
def test_drip_is_given_up_wherever_it_drips(
    tmp_path: Path, desk: Path, dripping: Callable[[bytes], str], where: str
) -> None:
    """Ten minutes of an answer that is never silent end at the deadline: status line, headers, body, chunks."""
    limits = FetchLimits(silence_seconds=5, total_seconds=0.3)
    with pytest.raises(UnreachableError) as refused:
        DigestCache(tmp_path / "held", limits).get(dripping(DRIPS[where]))
    assert "not finished after 0.3 seconds" in str(refused.value.found)
    assert held(tmp_path) == []


def test_handshake_that_drips_is_given_up(tmp_path: Path, desk: Path, dripping: Callable[[bytes], str]) -> None:
    """The deadline holds before a byte of HTTP: a TLS record that never ends."""
    limits = FetchLimits(silence_seconds=5, total_seconds=0.3)
    url = dripping(b"\x16\x03\x03\x3f\xff" + b"\x02" * 16_383).replace("http://", "https://")
    with pytest.raises(UnreachableError, match=r"not finished after 0\.3 seconds"):
        DigestCache(tmp_path / "held", limits).get(url)


def test_drip_within_the_deadline_is_fetched(tmp_path: Path, desk: Path, dripping: Callable[[bytes], str]) -> None:
    """Slow is no fault: an answer of a hundred drips arrives whole."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b"y" * 40
    limits = FetchLimits(silence_seconds=20, total_seconds=60)
    assert DigestCache(tmp_path / "held", limits).get(dripping(answer)).read_bytes() == b"y" * 40


def test_slow_answer_is_given_up(tmp_path: Path, desk: Path, flood: str) -> None:
    """A steady drip does not hold a pipeline: the whole download has a deadline."""
    limits = FetchLimits(silence_seconds=5, total_seconds=0)
    with pytest.raises(UnreachableError, match="could not be fetched") as refused:
        DigestCache(tmp_path / "held", limits).get(flood)
    assert "not finished after 0 seconds" in str(refused.value.found)


def test_silent_server_is_given_up(tmp_path: Path, desk: Path) -> None:
    """A server that accepts and says nothing is unreachable."""
    cache = DigestCache(tmp_path / "held", FetchLimits(silence_seconds=0.05))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
        with pytest.raises(UnreachableError) as refused:
            cache.get(url)
    assert "no answer in time" in str(refused.value.found)


def test_cache_that_cannot_be_written_is_a_storage_error(tmp_path: Path, desk: Path, web: Any) -> None:
    """A file where the folder should be: exit 8, and nothing was fetched."""
    (tmp_path / "held").write_text("")
    with pytest.raises(StorageError):
        DigestCache(tmp_path / "held").get(f"{web.url}/a")
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    ["ftp://h/a", "s3://bucket/a", "http://", "https://me:secret@h.example/a", "http://h:port/a", "file://host/a", "http://[::1/a"],
)  # fmt: skip
def test_url_that_cannot_be_fetched_is_a_usage_error(url: str) -> None:
    """Other schemes, credentials and malformed URLs are refused before anything is asked."""
    with pytest.raises(UsageError) as refused:
        file_of(url)
    assert "secret" not in str(refused.value)


def test_file_url_is_a_path() -> None:
    """A file URL needs no cache."""
    assert file_of("file:///a%20b/c.pt") == Path("/a b/c.pt")
    assert file_of("https://h.example/c.pt") is None


def test_urls_are_told_from_paths() -> None:
    """A scheme and two slashes make a URL."""
    assert [is_url(text) for text in ("https://h/a", "s3://b/a", "C:/a.pt", "models/a.pt")] == [
        True,
        True,
        False,
        False,
    ]


def test_shown_url_keeps_secrets() -> None:
    """Signatures and passwords never reach a report."""
    shown = display_url("https://me:pw@h.example:8443/a.pt?X-Signature=abc#sha256=1")
    assert shown == "https://h.example:8443/a.pt?..."


def test_unreachable_error_survives_pickling() -> None:
    """It crosses process borders like every other error."""
    import pickle

    error: SdkError = UnreachableError("E101", "gone", where="x")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again)) == (UnreachableError, str(error))
