"""A venue that misbehaves on request, byte by byte, on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.alpaca_http import ReadRetry
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Timeouts, Venue
from trader_sdk.broker.port import OrderRequest, Side

KEY, SECRET = "PKTESTKEY000", "sssecret-of-tests"
Behaviour = Callable[["RawVenue", socket.socket], None]
ORDER: dict[str, Any] = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "client_order_id": "lt1-one",
    "created_at": "2021-03-16T18:38:01.942282123Z",
    "submitted_at": "2021-03-16T18:38:01.937734Z",
    "updated_at": "2021-03-16T18:38:01.942282Z",
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "qty": "1",
    "notional": None,
    "filled_qty": "0",
    "filled_avg_price": None,
    "type": "market",
    "order_type": "market",
    "side": "buy",
    "time_in_force": "day",
    "limit_price": None,
    "stop_price": None,
    "status": "accepted",
    "extended_hours": False,
}


class RawVenue:
    """Accepts connections and does to each what the script says; the last behaviour repeats.

    ``requests`` holds the request lines that were read, ``seen`` is set with the first, ``left`` once a connection was
    let go of.
    """

    def __init__(self, *script: Behaviour) -> None:
        self.requests: list[str] = []
        self.wire: list[bytes] = []
        self.seen = threading.Event()
        self.left = threading.Event()
        self.closing = threading.Event()
        self._script = list(script)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Return the base address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Stop listening and let go of every connection."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def read_request(self, conn: socket.socket) -> None:
        """Read one request with its body and note its first line."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(conn)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += self._receive(conn)
        self.wire.append(head + b"\r\n\r\n" + body)
        self.requests.append(head.split(b"\r\n")[0].decode())
        self.seen.set()

    @staticmethod
    def _receive(conn: socket.socket) -> bytes:
        data = conn.recv(65536)
        if not data:
            raise ConnectionError("the client went away")
        return data

    def _serve(self) -> None:
        count = 0
        while not self.closing.is_set():
            try:
                conn, _ = self._listener.accept()
            except OSError:
                return
            behaviour = self._script[min(count, len(self._script) - 1)]
            count += 1
            threading.Thread(target=self._behave, args=(behaviour, conn), daemon=True).start()

    def _behave(self, behaviour: Behaviour, conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            behaviour(self, conn)
        self.left.set()


def hang(venue: RawVenue, conn: socket.socket) -> None:
    """Read the request and never answer."""
    venue.read_request(conn)
    venue.closing.wait(60)


def drip_head(venue: RawVenue, conn: socket.socket) -> None:
    """Answer one byte at a time, for ever, within the headers."""
    venue.read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    _drip(venue, conn)


def drip_body(venue: RawVenue, conn: socket.socket) -> None:
    """Answer one byte at a time, for ever, within the body."""
    venue.read_request(conn)
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    _drip(venue, conn)


def _drip(venue: RawVenue, conn: socket.socket) -> None:
    while not venue.closing.wait(0.02):
        conn.sendall(b" ")


def reset_before_read(_: RawVenue, conn: socket.socket) -> None:
    """Reset the connection once a request is on its way, without reading a byte of it."""
    conn.recv(1, socket.MSG_PEEK)
    _reset_on_close(conn)


def _reset_on_close(conn: socket.socket) -> None:
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_after_read(venue: RawVenue, conn: socket.socket) -> None:
    """Read the whole request, then reset the connection."""
    venue.read_request(conn)
    _reset_on_close(conn)


def close_after_read(venue: RawVenue, _conn: socket.socket) -> None:
    """Read the whole request, then hang up politely."""
    venue.read_request(_conn)


def truncated(venue: RawVenue, conn: socket.socket) -> None:
    """Promise a whole order and send half of it."""
    venue.read_request(conn)
    body = json.dumps(ORDER).encode()
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])


def answering(
    status: int, body: object = "", headers: Mapping[str, str] | None = None, *, stays: bool = False
) -> Behaviour:
    """Return a behaviour that answers with ``status`` and ``body`` (bytes and text as they are, others as JSON)."""
    reply = _reply(status, body, headers or {}, stays=stays)

    def behave(venue: RawVenue, conn: socket.socket) -> None:
        venue.read_request(conn)
        conn.sendall(reply)

    return behave


def _reply(status: int, body: object, headers: Mapping[str, str], *, stays: bool) -> bytes:
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    payload = text if isinstance(text, bytes) else text.encode()
    lines = [f"HTTP/1.1 {status} X", f"Connection: {'keep-alive' if stays else 'close'}"]
    if "Transfer-Encoding" not in headers:
        lines.append(f"Content-Length: {len(payload)}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def in_turn(*steps: Behaviour) -> Behaviour:
    """Return a behaviour that does several things one after the other on one connection."""

    def behave(venue: RawVenue, conn: socket.socket) -> None:
        for step in steps:
            step(venue, conn)

    return behave


def stray(_: RawVenue, conn: socket.socket) -> None:
    """Answer although nothing was asked, as a reply does that comes late."""
    conn.sendall(_reply(200, ORDER | {"client_order_id": "lt1-another"}, {}, stays=True))


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        hang,
        drip_head,
        drip_body,
        reset_before_read,
        reset_after_read,
        close_after_read,
        truncated,
        stray,
    )
}


def _behaviour(step: str | tuple[Any, ...] | list[Any], *, stays: bool = False) -> Behaviour:
    if isinstance(step, list):
        return in_turn(*(_behaviour(one, stays=True) for one in step))
    return BEHAVIOURS[step] if isinstance(step, str) else answering(*step, stays=stays)


def endpoint_at(url: str) -> Endpoint:
    """Return a local endpoint whose addresses are all at ``url``."""
    stream = url.replace("http", "ws")
    return Endpoint(Venue.LOCAL, url, url, stream, stream, requests_per_minute=None)


@pytest.fixture
def raw_venue() -> Iterator[Callable[..., RawVenue]]:
    """Start venues that misbehave as told; all are closed at the end.

    Each connection is told by name or by ``(status, body, headers)``; a list is what one connection does in turn.
    """
    venues: list[RawVenue] = []

    def start(*script: str | tuple[Any, ...] | list[Any]) -> RawVenue:
        venues.append(RawVenue(*map(_behaviour, script)))
        return venues[-1]

    yield start
    for venue in venues:
        venue.close()


@pytest.fixture
def broker_at() -> Iterator[Callable[[str], AlpacaBroker]]:
    """Build brokers with short bounds; all are closed at the end."""
    brokers: list[AlpacaBroker] = []

    def build(url: str) -> AlpacaBroker:
        brokers.append(
            AlpacaBroker(
                endpoint_at(url),
                Credentials.of(KEY, SECRET),
                timeouts=Timeouts(connect_seconds=1.0, read_seconds=0.25, total_seconds=1.5),
                retry=ReadRetry(attempts=3, wait_seconds=0.01),
            )
        )
        return brokers[-1]

    yield build
    for broker in brokers:
        broker.close()


@pytest.fixture
def order_body() -> Callable[..., dict[str, Any]]:
    """Build an order as the venue would report it, with changes."""
    return lambda **changes: ORDER | changes


@pytest.fixture
def one_order() -> OrderRequest:
    """Return a small market order."""
    return OrderRequest("lt1-one", "AAPL", Side.BUY, qty=Decimal(1))
