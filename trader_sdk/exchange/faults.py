"""The seam where a fault plan may come between venue and client; without one nothing is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from trader_sdk.exchange.events import Intervene


class StreamName(StrEnum):
    """The two push channels."""

    TRADE_UPDATES = "trade_updates"
    MARKET_DATA = "market_data"


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that are sent in place of a message."""

    body: bytes


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """The connection ends in place of a message."""

    code: int = 1006


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a new connection of a stream meets.

    Attributes:
        refused: Code and text of the error that answers the authentication, None to let it in.
        denied: Code and text of the error that answers the subscription, None to accept it.
        close_after_seconds: When the connection is ended after it was let in, None never.
    """

    refused: tuple[int, str] | None = None
    denied: tuple[int, str] | None = None
    close_after_seconds: float | None = None


Frame = dict[str, Any] | Garbage | CloseSocket
"""What is sent on a stream: a message, or what a fault made of it."""
Interfere = Callable[[Intervene], object]


class Faults(Protocol):
    """What may go wrong on the wire; the venue itself stays right, so its log remains the truth."""

    def bind(self, interfere: Interfere) -> None:
        """Learn how something is done at the venue itself."""

    async def http(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request through ``app``, or spoil it before or after the venue has booked it."""

    def welcome(self, name: StreamName) -> Welcome:
        """Return what a connection meets that has just asked to be let in."""

    def stream(self, name: StreamName, message: dict[str, Any]) -> Sequence[Frame]:
        """Return what is sent instead of one stream message: nothing, itself, several."""

    def bars_released(self) -> None:
        """Note that the market has moved on by a bar."""

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON data for ``GET /_fault``."""


class NoFaults:
    """A wire that works."""

    def bind(self, interfere: Interfere) -> None:
        """Need nothing."""

    async def http(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        await app(scope, receive, send)

    def welcome(self, name: StreamName) -> Welcome:  # noqa: ARG002 - the port's
        """Let everybody in."""
        return Welcome()

    def stream(self, name: StreamName, message: dict[str, Any]) -> Sequence[Frame]:  # noqa: ARG002 - the port's
        """Return the message itself."""
        return (message,)

    def bars_released(self) -> None:
        """Do nothing."""

    def describe(self) -> dict[str, Any]:
        """Say that there is no plan."""
        return {"plan": None}
