"""Replies that go wrong: one function an effect, on a reply that was captured whole."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_LONGEST_SECONDS: Final = 120.0
"""How long a reply is kept back at most, so that nothing outlives its test."""


@dataclass(slots=True)
class Captured:
    """A reply of the application, kept back."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def take(self, message: Message) -> None:
        """Keep a message of the application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")

    async def send(self, send: Send, *, keep: int | None = None) -> None:
        """Send the reply; ``keep`` bytes of a body that was promised whole, if given."""
        length = str(len(self.body)).encode()
        headers = [pair for pair in self.headers if pair[0].lower() != b"content-length"]
        # A 204 has no body, and a length of zero is not allowed to be stated.
        stated = [] if self.status == 204 else [(b"content-length", length)]
        await send({"type": "http.response.start", "status": self.status, "headers": [*headers, *stated]})
        body = self.body if keep is None else self.body[:keep]
        await send({"type": "http.response.body", "body": body, "more_body": keep is not None})


async def served(app: ASGIApp, scope: Scope, body: bytes) -> Captured:
    """Return what the application answers to a request whose body was already read."""
    reply = Captured()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope, receive, reply.take)
    return reply


async def whole_body(receive: Receive) -> bytes:
    """Read a request's body to its end."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def answer(status: int, headers: Mapping[str, str], body: str | Mapping[str, Any]) -> Captured:
    """Return a made-up reply; an object becomes JSON."""
    is_text = isinstance(body, str)
    kind = "text/html" if is_text else "application/json"
    pairs = [(name.lower().encode(), value.encode()) for name, value in {"content-type": kind, **headers}.items()]
    payload = body.encode() if isinstance(body, str) else json.dumps(dict(body)).encode()
    return Captured(status, pairs, payload)


def merged(data: Any, patch: Mapping[str, Any]) -> Any:
    """Return JSON data with ``patch`` merged in (RFC 7386); a list has it merged into each of its items.

    Example:
        >>> merged({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "a": None})
        {'b': {'c': 3}}
    """
    if isinstance(data, list):
        return [merged(item, patch) for item in data]
    if not isinstance(data, dict):
        return dict(patch)
    changed = {key: value for key, value in data.items() if patch.get(key, value) is not None or value is None}
    for key, value in patch.items():
        if isinstance(value, Mapping):
            changed[key] = merged(changed.get(key, {}), value)
        elif value is not None:
            changed[key] = value
    return changed


def skewed(data: Any, seconds: float) -> Any:
    """Return JSON data with every time in it moved by ``seconds``.

    Example:
        >>> skewed({"t": "2020-01-02T14:30:00Z", "x": 1}, 60)
        {'t': '2020-01-02T14:31:00Z', 'x': 1}
    """
    if isinstance(data, list):
        return [skewed(item, seconds) for item in data]
    if isinstance(data, dict):
        return {key: skewed(value, seconds) for key, value in data.items()}
    if isinstance(data, str) and _TIME.match(data):
        moved = datetime.fromisoformat(data) + timedelta(seconds=seconds)
        return moved.isoformat().replace("+00:00", "Z")
    return data


async def hang(receive: Receive) -> None:
    """Wait until the client has had enough."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    try:
        await asyncio.wait_for(gone(), _LONGEST_SECONDS)
    except TimeoutError:
        return


async def drip(reply: Captured, send: Send, seconds: float) -> None:
    """Send a reply one byte at a time, until the client has had enough."""
    await reply.send(send, keep=0)
    deadline = asyncio.get_running_loop().time() + _LONGEST_SECONDS
    for byte in reply.body:
        await asyncio.sleep(seconds)
        if asyncio.get_running_loop().time() > deadline:
            break
        await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def reset(transport: asyncio.Transport | None) -> None:
    """End a connection with a reset, as a crashed machine in between would."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
