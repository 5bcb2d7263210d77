"""An end for a whole exchange over HTTP: a timeout of a socket ends silence only, never a drip."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from typing import Any, Self


class Deadline:
    """Shuts every connection that it watches when the time is over; use as a context.

    Args:
        seconds: From entering the context on.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._strike)
        self._timer.daemon = True
        self._watched: list[socket.socket] = []
        self._lock = threading.Lock()
        self.passed = ""
        """What to say once the time is over; empty before."""

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._watched:
                held.close()
            self._watched.clear()

    def connect(self, *arguments: Any, **options: Any) -> socket.socket:
        """Connect as :func:`socket.create_connection` does, and watch the connection."""
        connection = socket.create_connection(*arguments, **options)
        with self._lock:
            # A duplicate: TLS takes the socket itself away, and shutting one of them shuts the connection of both.
            self._watched.append(connection.dup())
            if self.passed:
                self._shut()
        return connection

    def _strike(self) -> None:
        with self._lock:
            self.passed = f"not finished after {self._seconds:g} seconds"
            self._shut()

    def _shut(self) -> None:
        for held in self._watched:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)


class WatchedConnection(http.client.HTTPConnection):
    """A connection that ends at a deadline, whatever the other side drips."""

    def __init__(self, deadline: Deadline, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # http.client's own place for another way to connect, before TLS: a handshake must not drip either.
        self._create_connection = deadline.connect


class WatchedTLSConnection(http.client.HTTPSConnection):
    """The same over TLS."""

    def __init__(self, deadline: Deadline, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = deadline.connect
