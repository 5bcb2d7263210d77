"""The TCP connections of the server, by the client's address, so that a fault can end one."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

_open: Final[dict[tuple[str, int], asyncio.Transport]] = {}
"""Of this process: uvicorn makes a protocol object a connection and offers no place of its own to keep one."""


class TrackedProtocol(H11Protocol):
    """uvicorn's HTTP protocol that notes its connection; a websocket's upgrade keeps the note."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Note the connection."""
        super().connection_made(transport)
        _open[transport.get_extra_info("peername")[:2]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        _open.pop(self.transport.get_extra_info("peername")[:2], None)
        super().connection_lost(exc)


def transport_of(client: object) -> asyncio.Transport | None:
    """Return the connection of a scope's ``client``, None where it is gone."""
    return _open.get(tuple(client)[:2]) if isinstance(client, list | tuple) else None
