"""What stands before every request: keys, request size, rate limit and its headers."""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.rejections import UNAUTHORIZED

MAX_BODY_BYTES: Final = 64 * 1024
_WINDOW_SECONDS: Final = 60.0
_MAX_DIGITS: Final = 9
_OPEN_PATHS: Final = ("/_control/health",)


def is_count(text: str) -> bool:
    """Return whether a text is a number of at most nine plain digits."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


class Keys:
    """The one pair of keys that this venue knows."""

    def __init__(self, key: str, secret: str) -> None:
        self._pair = (key.encode(), secret.encode())

    def match(self, key: str, secret: str) -> bool:
        """Return whether both are right; takes the same time either way."""
        right_key = hmac.compare_digest(self._pair[0], key.encode(errors="surrogatepass"))
        right_secret = hmac.compare_digest(self._pair[1], secret.encode(errors="surrogatepass"))
        return right_key and right_secret

    def in_headers(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request carries the keys, as APCA headers or as Basic authorization."""
        if "apca-api-key-id" in headers:
            return self.match(headers["apca-api-key-id"], headers.get("apca-api-secret-key", ""))
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            key, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return self.match(key, secret)


class RateLimit:
    """A fixed window of one minute.

    Args:
        per_minute: Requests that a window allows; None allows all and still fills the headers.
        clock: Seconds, wall or venue time.
    """

    def __init__(self, per_minute: int | None, clock: Callable[[], float]) -> None:
        self._limit = per_minute
        self._clock = clock
        self._window = -1.0
        self._used = 0

    def take(self) -> bool:
        """Count one request; return whether it is allowed."""
        window = self._clock() // _WINDOW_SECONDS
        if window != self._window:
            self._window, self._used = window, 0
        self._used += 1
        return self._limit is None or self._used <= self._limit

    def headers(self) -> dict[str, str]:
        """Return the three headers that every reply carries."""
        limit = 200 if self._limit is None else self._limit
        remaining = limit if self._limit is None else max(0, limit - self._used)
        reset = math.ceil((self._clock() // _WINDOW_SECONDS + 1) * _WINDOW_SECONDS)
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(reset),
        }


class Gatekeeper:
    """ASGI middleware: refuses early, else hands on through the fault seam."""

    def __init__(self, app: ASGIApp, *, keys: Keys, limit: RateLimit, hub: Hub) -> None:
        self._app = app
        self._keys = keys
        self._limit = limit
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; only HTTP is judged here, streams authenticate in their own protocol."""
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        is_ours = scope["path"].startswith("/_")
        refusal = self._refusal(Headers(scope=scope), is_ours=is_ours)
        send = send if is_ours else self._with_rate_headers(send)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif is_ours:
            await self._app(scope, receive, send)
        else:
            await self._hub.faults.http(self._app, scope, receive, send)

    def _refusal(self, headers: Headers, *, is_ours: bool) -> JSONResponse | None:
        if self._hub.has_failed:
            return JSONResponse({"message": "the exchange has failed"}, 503)
        if not self._keys.in_headers(headers):
            return JSONResponse({"code": UNAUTHORIZED, "message": "unauthorized."}, 401)
        if not is_ours and not self._limit.take():
            self._hub.n_throttled += 1
            return JSONResponse({"message": "too many requests."}, 429)
        length = headers.get("content-length", "0")
        if not is_count(length) or int(length) > MAX_BODY_BYTES:
            return JSONResponse({"message": f"a request has at most {MAX_BODY_BYTES} bytes"}, 413)
        return None

    def _with_rate_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                stamp = formatdate(self._hub.state.now / 1e9, usegmt=True)  # venue time, like everything here
                MutableHeaders(scope=message).update({**self._limit.headers(), "Date": stamp})
            await send(message)

        return sending
