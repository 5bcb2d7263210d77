"""The seam where a fault plan may come between venue and client; without one nothing is touched."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send


class StreamName(StrEnum):
    """The two push channels."""

    TRADE_UPDATES = "trade_updates"
    MARKET_DATA = "market_data"


class Faults(Protocol):
    """What may go wrong on the wire; the venue itself stays right, so its log remains the truth."""

    async def http(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request through ``app``, or spoil it before or after the venue has booked it."""

    def stream(self, name: StreamName, message: dict[str, Any]) -> Sequence[dict[str, Any]]:
        """Return what is sent instead of one stream message: nothing, itself, several."""

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON data for ``GET /_fault``."""


class NoFaults:
    """A wire that works."""

    async def http(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        await app(scope, receive, send)

    def stream(self, name: StreamName, message: dict[str, Any]) -> Sequence[dict[str, Any]]:  # noqa: ARG002 - the port's
        """Return the message itself."""
        return (message,)

    def describe(self) -> dict[str, Any]:
        """Say that there is no plan."""
        return {"plan": None}
