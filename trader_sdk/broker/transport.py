"""An HTTP session that always ends in time, never follows a redirect and never tries twice."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from http.client import HTTPResponse
from itertools import count
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.cookies import extract_cookies_to_jar
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from trader_sdk.broker.endpoint import Timeouts, is_loopback
from trader_sdk.broker.plain_head import plain_head


class DeadlineExceededError(requests.exceptions.Timeout):
    """The whole exchange took longer than its total deadline, whatever trickled in meanwhile."""


class RedirectedError(requests.exceptions.RequestException):
    """The venue answered with a redirect: the address is wrong, and what became of the request is not known."""


class _Deadline:
    """Cuts the socket in use when time is over, which ends any read that a trickle of bytes keeps alive."""

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._is_over = False
        self.due = time.monotonic() + seconds

    def cancel(self) -> None:
        with self._lock:
            self._is_over, self._sock = True, None

    def watch(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self.fired:
                raise ConnectTimeoutError("the deadline was over before the request was sent")
            self._sock = sock

    def fire(self) -> None:
        with self._lock:
            if self._is_over:
                return
            self.fired = True
            if self._sock is not None:
                # The plain socket's shutdown, also for TLS: SSLSocket.shutdown would drop the layer that the reading
                # thread stands in. An already closed socket is what we want.
                with suppress(OSError):
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


class _Watchman:
    """Fires deadlines from one thread for all: starting a timer's thread a request costs as much as sending it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over, as after a fork, in which threads and held locks do not come along."""
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, _Deadline]] = []
        self._thread: threading.Thread | None = None
        self._count = count()

    def guard(self, deadline: _Deadline) -> None:
        """Fire ``deadline`` when it is due, unless it was cancelled."""
        with self._changed:
            heappush(self._due, (deadline.due, next(self._count), deadline))
            if self._thread is None:
                self._thread = threading.Thread(target=self._walk, name="deadlines", daemon=True)
                self._thread.start()
            elif self._due[0][2] is deadline:
                self._changed.notify()

    def _walk(self) -> None:
        while True:
            with self._changed:
                while not self._due or (left := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left if self._due else None)
                deadline = heappop(self._due)[2]
            deadline.fire()


_watchman: Final = _Watchman()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watchman.forget)

_in_flight: Final = threading.local()


def _watch(sock: Any) -> None:
    deadline: _Deadline | None = getattr(_in_flight, "deadline", None)
    if deadline is not None:
        deadline.watch(sock)


class _PlainResponse(HTTPResponse):
    """A reply whose head is read at once where it is as plain as nearly all are; any other is ``http.client``'s."""

    def begin(self) -> None:
        head = plain_head(self.fp.peek(1))
        if head is None:
            super().begin()
            return
        self.fp.read(head.size)
        self.version, self.code, self.status, self.reason = 11, head.status, head.status, head.reason
        self.headers = self.msg = head.fields
        self.chunked, self.chunk_left, self.length, self.will_close = False, None, head.length, False


class _Watched:
    """What both sorts of connections need: a deadline that can cut them, and requests that leave in one piece."""

    sock: socket.socket | None
    response_class: Any = _PlainResponse
    _gathered: list[bytes] | None = None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # a mixin over urllib3's connections
        _watch(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watch(self.sock)
        self._gathered = []
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]  # a mixin over urllib3's connections
            whole = b"".join(self._gathered)
        finally:
            self._gathered = None
        super().send(whole)  # type: ignore[misc]  # a mixin over urllib3's connections

    def send(self, data: Any) -> None:
        if self._gathered is None or not isinstance(data, bytes):
            super().send(data)  # type: ignore[misc]  # a mixin over urllib3's connections
        else:
            self._gathered.append(data)


class _WatchedHTTPConnection(_Watched, HTTPConnection):
    pass


class _WatchedHTTPSConnection(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


_POOLS: Final = {"http": _HTTPPool, "https": _HTTPSPool}


class _WatchedAdapter(HTTPAdapter):
    """An adapter that looks up the way to a host once, not with each request."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)
        self._pools: dict[tuple[Any, ...], HTTPConnectionPool] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        origin = (request.url or "").split("/", 3)[:3]
        key = (*origin, verify, cert, *sorted((proxies or {}).items()))
        if key not in self._pools:
            self._pools[key] = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        return self._pools[key]

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return super().request_url(request, proxies) if proxies else request.path_url

    def close(self) -> None:
        self._pools.clear()
        super().close()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_PLAIN: Final = frozenset({"headers", "json", "params", "allow_redirects", "timeout"})
_MOST_KINDS: Final = 64


@dataclass(frozen=True, slots=True)
class _Template:
    """A request as it was prepared once, and how it is sent; its body is replaced each time."""

    request: requests.PreparedRequest
    adapter: BaseAdapter
    settings: Mapping[str, Any]


class BoundedSession(requests.Session):
    """A session for one thread whose every request ends within ``timeouts``.

    A name server that does not answer is bounded by the resolver's own settings, not by these.

    Args:
        base_url: Proxies and netrc of the environment are ignored when this is on loopback.
        timeouts: Bounds of one request, connect, each read and in total.
        on_reply: Told of every complete reply.
    """

    def __init__(
        self, base_url: str, timeouts: Timeouts, *, on_reply: Callable[[requests.Response], None] = lambda _: None
    ) -> None:
        super().__init__()
        self._on_reply = on_reply
        self.trust_env = not is_loopback(base_url)
        self._timeouts = timeouts
        self._known: dict[tuple[Any, ...], _Template] = {}
        self.mount("https://", _WatchedAdapter())
        self.mount("http://", _WatchedAdapter())

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request and read its whole reply.

        Raises:
            requests.exceptions.RequestException: No complete reply came in time, or it was a redirect.
        """
        kwargs["timeout"] = (self._timeouts.connect_seconds, self._timeouts.read_seconds)
        kwargs["allow_redirects"] = False
        with _deadline(self._timeouts.total_seconds):
            response = self._again(method, url, kwargs)
            if response is None:  # not its truth: a reply that refuses is false, and a request leaves once
                response = super().request(method, url, *args, **kwargs)
        self._on_reply(response)
        if 300 <= response.status_code < 400:
            raise RedirectedError(f"redirected with {response.status_code}", response=response)
        return response

    def _again(self, method: str, url: str | bytes, options: dict[str, Any]) -> requests.Response | None:
        """Send a request of a kind that was sent before: only its body is made anew, by ``requests`` itself.

        What alpaca-py asks for differs in the body alone, and preparing address, headers, proxies and certificates
        each time costs more than everything else. None, and nothing sent, where that is not so.
        """
        if options.keys() - _PLAIN or options.get("params") or len(self.cookies):
            return None
        key = (method, url, tuple(options.get("headers", {}).items()))
        template = self._known.get(key)
        if template is None:
            if len(self._known) < _MOST_KINDS:
                self._known[key] = self._template(method, url, options)
            return None
        prepared = template.request
        prepared.prepare_body(None, None, options.get("json"))
        response = template.adapter.send(prepared, timeout=options["timeout"], **template.settings)
        if "Set-Cookie" in response.headers:
            extract_cookies_to_jar(self.cookies, prepared, response.raw)
        _ = response.content  # the whole reply is read within the deadline
        return response

    def _template(self, method: str, url: str | bytes, options: dict[str, Any]) -> _Template:
        asked = requests.Request(method.upper(), url, headers=options.get("headers"), json=options.get("json"))
        prepared = self.prepare_request(asked)
        settings = self.merge_environment_settings(str(prepared.url), {}, None, None, None)
        return _Template(prepared, self.get_adapter(str(prepared.url)), settings)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    deadline = _in_flight.deadline = _Deadline(seconds)
    _watchman.guard(deadline)
    try:
        yield
    except requests.exceptions.RequestException as error:
        if deadline.fired and not isinstance(error, requests.exceptions.ConnectTimeout):
            raise DeadlineExceededError(f"no complete reply within {seconds} s") from error
        raise
    finally:
        deadline.cancel()
        _in_flight.deadline = None
    if deadline.fired:
        raise DeadlineExceededError(f"no complete reply within {seconds} s")
