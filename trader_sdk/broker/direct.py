"""A request over a connection that stands already: written in one piece, once, and its reply read to the end.

``requests`` and ``urllib3`` look for a connection, a proxy, certificates and reasons to try again with every request,
which takes longer than all the rest of sending an order. Here none of that is left to look for: the connection is one
that they opened, and any failure closes it and is the caller's to judge. Between two orders a process sleeps and finds
little of its code in the processor's caches when it wakes, so what counts here is how much of it there is.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterable
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import Any, Final, NamedTuple, cast

import requests
import urllib3
from requests.compat import json as complexjson  # type: ignore[attr-defined]  # what requests itself writes with
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3.connection import HTTPConnection

_READ_BYTES: Final = 65536
_END_OF_HEADERS: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(r"[2-5][0-9]{2}(?<!204)(?<!304)", re.ASCII)
_LENGTH: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_LINE: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [!-~](?:[ -~]*[!-~])?")
_FRAMING: Final = frozenset({"transfer-encoding", "connection", "set-cookie"})
"""Headers that ask for more than reading as many bytes as ``Content-Length`` says."""


class Reply(NamedTuple):
    """A whole reply; ``will_close`` says that the connection is of no more use."""

    status: int
    reason: str
    headers: Iterable[tuple[str, str]]
    content: bytes
    will_close: bool


class Head(NamedTuple):
    """What a request writes before and after the length of its body, which is all that differs between some."""

    before: bytes
    after: bytes

    @classmethod
    def of(cls, connection: HTTPConnection, request: requests.PreparedRequest) -> Head:
        """Return the head of a prepared request as ``urllib3`` writes it."""
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        port = "" if connection.port == connection.default_port else f":{connection.port}"
        lines = [f"{request.method} {request.path_url} HTTP/1.1", f"Host: {host}{port}"]
        headers = {str(name): str(value) for name, value in request.headers.items()}
        length = headers.get("Content-Length")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        whole = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if length is None:
            return cls(whole, b"")
        before, name, after = whole.partition(b"\r\nContent-Length: ")
        return cls(before + name, after[len(length) :])

    def with_body(self, plain: object) -> bytes:
        """Return a whole request with plain data as JSON, as ``requests`` writes it; without any where it is None.

        Raises:
            requests.exceptions.InvalidJSONError: The data holds NaN or infinity.
        """
        if plain is None:
            return self.before + b"0" + self.after if self.after else self.before
        try:
            body: bytes = complexjson.dumps(plain, allow_nan=False).encode("utf-8")
        except ValueError as error:
            raise requests.exceptions.InvalidJSONError(error) from error
        return b"%b%d%b%b" % (self.before, len(body), self.after, body)


def exchange(
    connection: HTTPConnection,
    request: requests.PreparedRequest,
    data: bytes,
    *,
    read_seconds: float,
    cookies: RequestsCookieJar,
) -> requests.Response:
    """Send a request once and return its whole reply, whatever its status.

    Args:
        connection: Open and idle, from ours to the venue without a proxy that must be spoken to.
        request: Named in the response.
        data: The whole request as it is written.
        read_seconds: Bound of each read.
        cookies: Take those that the reply sets.

    Raises:
        requests.exceptions.RequestException: No whole reply came; the connection is closed, so that a reply that
            comes later is nobody's. What became of the request is not known.
    """
    sock, is_over = connection.sock, False
    try:
        sock.settimeout(read_seconds)
        write(sock, data)
        reply = _read(sock, str(request.method))
        is_over = not reply.will_close
    except TimeoutError as error:
        raise requests.exceptions.ReadTimeout(error, request=request) from error
    except (OSError, HTTPException) as error:
        raise requests.exceptions.ConnectionError(error, request=request) from error
    finally:
        if not is_over:
            connection.close()
    return _response(request, reply, cookies)


def write(sock: socket.socket, data: bytes) -> None:
    """Hand a whole request to the system."""
    sock.sendall(data)


def _read(sock: socket.socket, method: str) -> Reply:
    """Return a whole reply: at once where its head is a plain one, or as the standard library reads any."""
    data = b""
    while _END_OF_HEADERS not in data and len(data) < _READ_BYTES:
        more = sock.recv(_READ_BYTES)
        if not more:
            break
        data += more
    head, _, content = data.partition(_END_OF_HEADERS)
    plain = _plain(head)
    if plain is None:
        return _read_any(sock, method, data)
    status, reason, headers, length = plain
    if len(content) < length:
        content = _rest(sock, content, length)
    return Reply(status, reason, headers.items(), content[:length], will_close=len(content) > length)


def _rest(sock: socket.socket, content: bytes, length: int) -> bytes:
    """Return a body of which a part was read already, whole or more than that."""
    whole = bytearray(content)
    while len(whole) < length:
        more = sock.recv(_READ_BYTES)
        if not more:
            raise IncompleteRead(bytes(whole), length - len(whole))
        whole += more
    return bytes(whole)


def _plain(head: bytes) -> tuple[int, str, dict[str, str], int] | None:
    """Return status, reason, headers and the length of the body of a reply that says one, None for any other."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    headers = dict(line.split(": ", 1) for line in lines if _LINE.fullmatch(line))
    names = {name.lower(): value for name, value in headers.items()}
    length = names.get("content-length", "")
    if version != "HTTP/1.1" or not _STATUS.fullmatch(status) or not _LENGTH.fullmatch(length):
        return None
    if len(names) < len(lines) or not _FRAMING.isdisjoint(names) or not reason.isprintable():
        return None
    return int(status), reason.strip(), headers, int(length)


class _Begun(io.RawIOBase):
    """A socket of whose reply a part was read already."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self._sock, self._data = sock, data

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what the standard library reads a reply from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with what comes next."""
        if not self._data:
            return self._sock.recv_into(buffer)
        part, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def _read_any(sock: socket.socket, method: str, data: bytes) -> Reply:
    reply = HTTPResponse(cast(socket.socket, _Begun(sock, data)), method=method)
    reply.begin()
    content = reply.read()
    return Reply(reply.status, reply.reason, reply.headers.items(), content, reply.will_close)


def _response(request: requests.PreparedRequest, reply: Reply, cookies: RequestsCookieJar) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = reply.status, reply.reason
    response.headers = CaseInsensitiveDict(reply.headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.request, response.url = request, str(request.url)
    response.raw = io.BytesIO(reply.content)
    if "Set-Cookie" in response.headers:
        told: Any = urllib3.HTTPHeaderDict(reply.headers)
        cookies.extract_cookies(cast(Any, MockResponse(told)), cast(Any, MockRequest(request)))
    if "Content-Encoding" in response.headers:
        response.raw = urllib3.HTTPResponse(response.raw, headers=response.headers, preload_content=False)
    return response
