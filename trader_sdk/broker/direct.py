"""A request over a connection that stands already: written in one piece, once, and its reply read to the end.

``requests`` and ``urllib3`` look for a connection, a proxy, certificates and reasons to try again with every request,
which takes longer than all the rest of sending an order. Here none of that is left to look for: the connection is one
that they opened, and any failure closes it and is the caller's to judge.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any

import requests
import urllib3
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3.connection import HTTPConnection


def exchange(
    connection: HTTPConnection, request: requests.PreparedRequest, *, read_seconds: float, cookies: RequestsCookieJar
) -> requests.Response:
    """Send a request once and return its whole reply, whatever its status.

    Args:
        connection: Open and idle, from ours to the venue without a proxy that must be spoken to.
        request: With a body of bytes, or none.
        read_seconds: Bound of each read.
        cookies: Take those that the reply sets.

    Raises:
        requests.exceptions.RequestException: No whole reply came; the connection is closed, so that a reply that
            comes later is nobody's. What became of the request is not known.
    """
    sock, is_over = connection.sock, False
    try:
        sock.settimeout(read_seconds)
        write(sock, _written(connection, request))
        reply = HTTPResponse(sock, method=request.method)
        reply.begin()
        content = reply.read()
        is_over = not reply.will_close
    except TimeoutError as error:
        raise requests.exceptions.ReadTimeout(error, request=request) from error
    except (OSError, HTTPException) as error:
        raise requests.exceptions.ConnectionError(error, request=request) from error
    finally:
        if not is_over:
            connection.close()
    if "Set-Cookie" in reply.headers:
        told: tuple[Any, Any] = MockResponse(reply.headers), MockRequest(request)
        cookies.extract_cookies(*told)
    return _response(request, reply, content)


def write(sock: socket.socket, data: bytes) -> None:
    """Hand a whole request to the system."""
    sock.sendall(data)


def _written(connection: HTTPConnection, request: requests.PreparedRequest) -> bytes:
    """Return a request as ``urllib3`` writes it."""
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    port = "" if connection.port == connection.default_port else f":{connection.port}"
    headers: Mapping[str, Any] = request.headers
    lines = [f"{request.method} {request.path_url} HTTP/1.1", f"Host: {host}{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    body: Any = request.body
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def _response(request: requests.PreparedRequest, reply: HTTPResponse, content: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code, response.reason = reply.status, reply.reason
    response.headers = CaseInsensitiveDict(reply.headers.items())
    response.encoding = get_encoding_from_headers(response.headers)
    response.request, response.url = request, str(request.url)
    response.raw = io.BytesIO(content)
    if "Content-Encoding" in response.headers:
        response.raw = urllib3.HTTPResponse(response.raw, headers=response.headers, preload_content=False)
    return response
