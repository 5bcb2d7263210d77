"""Reading a reply by itself and as the standard library does says the same of any bytes, or is refused by both."""

from __future__ import annotations

import socket
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trader_sdk.broker import direct

LINES = st.sampled_from(
    [
        "Content-Type: application/json",
        "content-length: 5",
        "Content-Length: 5",
        "Content-Length: 7",
        "Content-Length: 0",
        "Content-Length:5",
        "Content-Length:  5",
        "Content-Length: 5 ",
        "Content-Length: -1",
        "Content-Length: 5, 5",
        "Content-Length: " + 5_000 * "1",
        "Content-Length: \u00b25",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Connection: keep-alive",
        "X-Request-ID: 7",
        "X-Empty: ",
        "X-Bare: a\nContent-Length: 3",
        "X-Return: a\rb",
        "X-Latin: \u00e4",
        " folded: 5",
        "no colon",
        ": nameless",
        "Set-Cookie: lane=7",
        "Set-Cookie: other=8",
    ]
)
FIRST = st.sampled_from(
    [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 422 Unprocessable Entity",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 999 Odd",
        "HTTP/1.1 2x0 Odd",
        "HTTP/1.1 200 A\rB",
        "HTTP/1.0 200 OK",
        "HTTP/2 200",
        "garbage",
        "",
    ]
)
BODIES = st.sampled_from([b"", b"12345", b"123456789", b"5\r\n12345\r\n0\r\n\r\n", b"12\r\n\r\n"])


def said(read: Any, data: bytes, cut: int) -> Any:
    """Return what a reader says of bytes that arrive in two pieces and end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(data[:cut])
        theirs.sendall(data[cut:])
        theirs.shutdown(socket.SHUT_WR)
        try:
            return read(ours)
        except (HTTPException, OSError) as error:
            return type(error)


def by_itself(sock: socket.socket) -> Any:
    """Read as the broker's session does."""
    reply = direct._read(sock, "POST")
    return reply.status, reply.reason, list(reply.headers), reply.content


def as_the_library(sock: socket.socket) -> Any:
    """Read as the standard library does."""
    reply = HTTPResponse(sock, method="POST")
    reply.begin()
    return reply.status, reply.reason, reply.headers.items(), reply.read()


@given(first=FIRST, lines=st.lists(LINES, max_size=4), body=BODIES, cut=st.integers(0, 120))
@example(first="HTTP/1.1 200 OK", lines=["Content-Length: 5"], body=b"12345", cut=30)
@example(first="HTTP/1.1 200 OK", lines=["X-Bare: a\nContent-Length: 3", "Content-Length: 5"], body=b"12345", cut=0)
def test_any_reply_is_read_as_the_library_reads_it(first: str, lines: list[str], body: bytes, cut: int) -> None:
    """Whatever its head says, wherever it is cut; what the library cannot read is not read."""
    data = "\r\n".join([first, *lines, "", ""]).encode("latin-1") + body
    try:
        expected = said(as_the_library, data, cut)
    except ValueError:
        expected = ValueError  # digits beyond what an integer is read from
    try:
        found = said(by_itself, data, cut)
    except ValueError:
        found = ValueError
    assert found == expected


@pytest.mark.parametrize("extra", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_bytes_behind_a_reply_end_the_connection(extra: bytes) -> None:
    """They would be taken for the reply to the next order."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + extra
    assert said(lambda sock: direct._read(sock, "POST").will_close, data, 10) is bool(extra)
