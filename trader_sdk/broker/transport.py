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
from itertools import count
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from trader_sdk.broker.direct import Head, exchange
from trader_sdk.broker.endpoint import Timeouts, is_loopback


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
        self.is_over = False
        self.connection: HTTPConnection | None = None
        self.due = time.monotonic() + seconds

    def cancel(self) -> None:
        with self._lock:
            self.is_over, self._sock = True, None

    def watch(self, connection: HTTPConnection) -> None:
        with self._lock:
            if self.fired:
                raise ConnectTimeoutError("the deadline was over before the request was sent")
            self.connection, self._sock = connection, connection.sock

    def fire(self) -> None:
        with self._lock:
            if self.is_over:
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
                while (left := self._seconds_left()) is None or left > 0:
                    self._changed.wait(left)
                deadline = heappop(self._due)[2]
            deadline.fire()

    def _seconds_left(self) -> float | None:
        """Return the time to the next deadline, None where there is none; those of a burst that were met go at once."""
        while self._due and self._due[0][2].is_over:
            heappop(self._due)
        return self._due[0][0] - time.monotonic() if self._due else None


_watchman: Final = _Watchman()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watchman.forget)

_in_flight: Final = threading.local()


def _watch(connection: Any) -> None:
    deadline: _Deadline | None = getattr(_in_flight, "deadline", None)
    if deadline is not None:
        deadline.watch(connection)


class _Watched:
    """What both sorts of connections need: a deadline that can cut them and knows them."""

    sock: socket.socket | None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # a mixin over urllib3's connections
        _watch(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watch(self)
        super().request(*args, **kwargs)  # type: ignore[misc]  # a mixin over urllib3's connections


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
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


_PLAIN: Final = frozenset({"headers", "json", "params", "allow_redirects", "timeout"})
_MOST_KINDS: Final = 64


@dataclass(slots=True)
class _Kind:
    """A kind of request: as it was prepared once, how it is sent, and what the last one took and wrote."""

    request: requests.PreparedRequest
    settings: Mapping[str, Any]
    connection: HTTPConnection | None = None
    head: Head | None = None

    def went(self, connection: HTTPConnection | None) -> None:
        """Note the connection that one took; those that follow it write the same head."""
        self.connection = connection
        self.head = None if connection is None else Head.of(connection, self.request)

    @property
    def standing(self) -> HTTPConnection | None:
        """Return the connection where it still stands, and nothing waits to be read: that would be another's reply."""
        known = self.connection
        return known if known is not None and known.is_connected and not self.settings["proxies"] else None


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
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        self._in_use = threading.Lock()
        self.mount("https://", _WatchedAdapter(max_retries=0))
        self.mount("http://", _WatchedAdapter(max_retries=0))

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request and read its whole reply.

        Raises:
            requests.exceptions.RequestException: No complete reply came in time, or it was a redirect.
            RuntimeError: Another thread's request is under way; nothing was sent.
        """
        if not self._in_use.acquire(blocking=False):
            # Both would take the connection that stands, and each could read the other's reply.
            raise RuntimeError("this session belongs to another thread")
        try:
            return self._request(method, url, args, kwargs)
        finally:
            self._in_use.release()

    def _request(
        self, method: str, url: str | bytes, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> requests.Response:
        kwargs["timeout"] = (self._timeouts.connect_seconds, self._timeouts.read_seconds)
        kwargs["allow_redirects"] = False
        with _deadline(self._timeouts.total_seconds) as deadline:
            if args or kwargs.keys() - _PLAIN or len(self.cookies):
                response = super().request(method, url, *args, **kwargs)
            else:
                response = self._sent(self._kind(method, url, kwargs), kwargs, deadline)
            _ = response.content  # the whole reply is read within the deadline
        self._on_reply(response)
        if 300 <= response.status_code < 400:
            raise RedirectedError(f"redirected with {response.status_code}", response=response)
        return response

    def _kind(self, method: str, url: str | bytes, options: Mapping[str, Any]) -> _Kind:
        """Return what requests have in common that differ in their body alone; the latest few kinds are kept."""
        headers, params = options.get("headers") or {}, options.get("params")
        key = (method, url, tuple(headers.items()), repr(params), options.get("json") is None)
        kind = self._kinds.pop(key, None)
        if kind is None:
            asked = requests.Request(method.upper(), url, headers=headers, params=params, json=options.get("json"))
            prepared = self.prepare_request(asked)
            prepared.body = None  # each request has its own
            kind = _Kind(prepared, self.merge_environment_settings(str(prepared.url), {}, None, None, None))
        self._kinds[key] = kind
        if len(self._kinds) > _MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
        return kind

    def _sent(self, kind: _Kind, options: Mapping[str, Any], deadline: _Deadline) -> requests.Response:
        """Send a request once: over the connection that stands, or as ``requests`` does."""
        standing = kind.standing
        if standing is not None and kind.head is not None:
            data = kind.head.with_body(options.get("json"))
            try:
                deadline.watch(standing)
            except ConnectTimeoutError as error:
                raise requests.exceptions.ConnectTimeout(error) from error
            read_seconds = self._timeouts.read_seconds
            return exchange(standing, kind.request, data, read_seconds=read_seconds, cookies=self.cookies)
        prepared = kind.request.copy()
        prepared.prepare_body(None, None, options.get("json"))
        response = self.send(prepared, timeout=options["timeout"], allow_redirects=False, **kind.settings)
        kind.went(deadline.connection)
        return response


@contextmanager
def _deadline(seconds: float) -> Iterator[_Deadline]:
    deadline = _in_flight.deadline = _Deadline(seconds)
    _watchman.guard(deadline)
    try:
        yield deadline
    except requests.exceptions.RequestException as error:
        if deadline.fired and not isinstance(error, requests.exceptions.ConnectTimeout):
            raise DeadlineExceededError(f"no complete reply within {seconds} s") from error
        raise
    finally:
        deadline.cancel()
        _in_flight.deadline = None
    if deadline.fired:
        raise DeadlineExceededError(f"no complete reply within {seconds} s")
