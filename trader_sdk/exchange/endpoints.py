"""Small HTTP things that every group of endpoints shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trader_sdk.exchange.gatekeeper import MAX_BODY_BYTES, is_count
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.parse import Unreadable, parse_body
from trader_sdk.exchange.rejections import Rejection, invalid

Handler = Callable[[Hub, Request], Awaitable[Response]]


def route(hub: Hub, method: str, path: str, handler: Handler) -> Route:
    """Return a route whose handler gets the hub, and whose unreadable requests are answered."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(hub, request)
        except Unreadable as error:
            return refused(error.rejection)

    return Route(path, endpoint, methods=[method], name=f"{method} {path}")


def refused(rejection: Rejection) -> JSONResponse:
    """Return a refusal as the protocol writes it."""
    return JSONResponse(rejection.body(), rejection.http_status)


async def read_json(request: Request) -> dict[str, Any]:
    """Return the body's object, never reading more than the limit.

    Raises:
        Unreadable: It is too long or not a JSON object.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Unreadable(Rejection(413, 41310000, f"a request has at most {MAX_BODY_BYTES} bytes"))
    return parse_body(bytes(body)) if body else {}


def whole_number(request: Request, name: str, default: int, *, most: int) -> int:
    """Return a query parameter as an integer from 1 to ``most``; more counts as ``most``.

    Raises:
        Unreadable: It is no number, or less than 1.
    """
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if not is_count(text) or int(text) < 1:
        raise Unreadable(invalid(f"invalid {name}: {text}"))
    return min(int(text), most)
