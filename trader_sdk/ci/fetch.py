"""Fetching a file over http(s): bounded in time and size, never redirected to a weaker place."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, Any, BinaryIO, Final
from urllib.parse import urlsplit, urlunsplit

from trader_sdk.checkpoint.limits import MAX_FILE_BYTES
from trader_sdk.ci.deadline import Deadline, WatchedConnection, WatchedTLSConnection
from trader_sdk.contract.errors import CheckpointError, UsageError

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CHUNK: Final = 1024 * 1024
_MAX_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a download may ask for.

    Attributes:
        max_bytes: Largest file.
        silence_seconds: Longest wait for a connection or for the next bytes.
        total_seconds: Longest download, however steadily it drips.
    """

    max_bytes: int = MAX_FILE_BYTES
    silence_seconds: float = 20.0
    total_seconds: float = 300.0


class UnreachableError(CheckpointError):
    """The file could not be had at all (E101); what arrives damaged or differs is another error."""


def is_url(text: str) -> bool:
    """Return whether ``text`` is meant as a URL and not as a path."""
    return _URL.match(text) is not None


def display_url(url: str) -> str:
    """Return a URL without what may be secret in it: credentials, query, fragment.

    Example:
        >>> display_url("https://me:pw@models.example/a.pt?signature=abc#sha256=00")
        'https://models.example/a.pt?...'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
    return f"{shown}?..." if parts.query else shown


def file_of(url: str) -> Path | None:
    """Return the path of a ``file://`` URL, None for a URL that has to be fetched.

    Raises:
        UsageError: Another scheme, credentials in the URL, a file of another host, or no URL at all.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError("USAGE", "the URL is malformed", where=f"{url:.80}", found=str(error)) from error
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(urllib.request.url2pathname(parts.path))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "USAGE", "the URL cannot be fetched", where=display_url(url), expected="https://, http:// or file:///"
        )
    if "@" in parts.netloc:
        raise UsageError(
            "USAGE",
            "a URL with a password in it would end up in logs",
            where=display_url(url),
            remedy="Use a URL that needs no credentials, or one that is signed in its query.",
        )
    return None


def fetch(url: str, target: BinaryIO, limits: FetchLimits) -> str:
    """Download ``url`` into ``target`` and return ``sha256:<hex>`` of what came.

    Raises:
        UnreachableError: No connection, no answer in time, or a refusal.
        CheckpointError: E101 cut short or redirected to where it must not go; E107 larger than allowed.
    """
    sha = hashlib.sha256()
    for chunk in _chunks(url, limits):
        sha.update(chunk)
        target.write(chunk)
    return f"sha256:{sha.hexdigest()}"


def _chunks(url: str, limits: FetchLimits) -> Iterator[bytes]:
    shown = display_url(url)
    received, announced = 0, None
    deadline = Deadline(limits.total_seconds)
    try:
        with deadline, _opener(deadline).open(urllib.request.Request(url), timeout=limits.silence_seconds) as reply:  # noqa: S310 - the opener has handlers for http and https only
            announced = _announced(reply.headers)
            _refuse_large(announced or 0, limits, shown)
            while chunk := reply.read1(_CHUNK):
                received += len(chunk)
                _refuse_large(received, limits, shown)
                yield chunk
    except urllib.error.HTTPError as error:
        error.close()
        # The opener gives a redirect back as an error when it leads in circles or to another scheme.
        astray = 300 <= error.code < 400
        raise (_astray(shown) if astray else _unreachable(shown, f"HTTP {error.code}")) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        found = deadline.passed or _reason(getattr(error, "reason", error))
        raise _unreachable(shown, found) from error
    if deadline.passed:
        raise _unreachable(shown, deadline.passed)
    if announced is not None and received < announced:
        raise CheckpointError(
            "E101",
            "the download was cut short",
            where=shown,
            expected=f"{announced} bytes",
            found=received,
            remedy="Run the check again.",
        )


def _announced(headers: HTTPMessage) -> int | None:
    stated = headers.get("Content-Length", "")
    return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 20 else None


def _refuse_large(size: int, limits: FetchLimits, where: str) -> None:
    if size > limits.max_bytes:
        raise CheckpointError(
            "E107", "the file is too large", where=where, expected=f"<= {limits.max_bytes} B", found=f"{size} B"
        )


def _reason(cause: object) -> str:
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return f"{type(cause).__name__}: {cause}"[:160] if isinstance(cause, Exception) else str(cause)[:160]


def _unreachable(where: str, found: str) -> UnreachableError:
    remedy = "Check the address and whether this machine may reach it."
    return UnreachableError("E101", "the file could not be fetched", where=where, found=found, remedy=remedy)


def _astray(where: str) -> CheckpointError:
    return CheckpointError(
        "E101",
        "the address redirects to where it is not followed: in circles, to another scheme, or from https to http",
        where=where,
        expected=f"at most {_MAX_REDIRECTS} redirects within http(s)",
        remedy="Name the file's final address.",
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow few redirects, to http(s) only, and never from https to http."""

    max_redirections = _MAX_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise _astray(display_url(req.full_url))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _WatchedHTTP(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(WatchedConnection, self._deadline), req)


class _WatchedHTTPS(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(WatchedTLSConnection, self._deadline), req)


def _opener(deadline: Deadline) -> urllib.request.OpenerDirector:
    # Built by hand: the default opener also knows ftp, data and file, which a redirect could name.
    opener = urllib.request.OpenerDirector()
    handlers: tuple[Any, ...] = (
        urllib.request.ProxyHandler(),
        _WatchedHTTP(deadline),
        _WatchedHTTPS(deadline),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    )
    for handler in handlers:
        opener.add_handler(handler)
    return opener
