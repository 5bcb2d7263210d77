"""What a reply means for an order, as one table: accepted, refused for a known reason, or not known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trader_sdk.broker.port import RefusalKind, UnknownCause

LONGEST_TEXT: Final = 300


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: a reply with this status, this code if given, and this text in its message means ``kind``."""

    http_status: int
    code: int | None
    contains: str
    kind: RefusalKind


RULES: Final = (
    Rule(400, None, "", RefusalKind.INVALID),
    Rule(401, None, "", RefusalKind.AUTH),
    Rule(403, None, "insufficient buying power", RefusalKind.BUYING_POWER),
    Rule(403, None, "insufficient day trading buying power", RefusalKind.BUYING_POWER),
    Rule(403, None, "insufficient balance for usd", RefusalKind.BUYING_POWER),
    Rule(403, None, "insufficient balance", RefusalKind.INSUFFICIENT_QTY),
    Rule(403, None, "insufficient qty", RefusalKind.INSUFFICIENT_QTY),
    Rule(403, None, "wash trade", RefusalKind.WASH_TRADE),
    Rule(403, None, "opposite side", RefusalKind.WASH_TRADE),
    Rule(403, None, "short sell order is open", RefusalKind.WASH_TRADE),
    Rule(403, None, "short", RefusalKind.NOT_SHORTABLE),
    Rule(403, None, "not tradable", RefusalKind.NOT_TRADABLE),
    Rule(403, None, "not fractionable", RefusalKind.INVALID),
    Rule(403, None, "minimal", RefusalKind.INVALID),
    Rule(403, None, "notional amount", RefusalKind.INVALID),
    Rule(403, 40310000, "", RefusalKind.FORBIDDEN),
    Rule(403, 40310100, "", RefusalKind.FORBIDDEN),
    Rule(403, None, "", RefusalKind.AUTH),
    Rule(404, None, "asset", RefusalKind.NOT_TRADABLE),
    Rule(404, None, "", RefusalKind.NOT_FOUND),
    Rule(422, None, "client_order_id must be unique", RefusalKind.DUPLICATE_CLIENT_ORDER_ID),
    Rule(422, None, "wash trade", RefusalKind.WASH_TRADE),
    Rule(422, None, "insufficient qty", RefusalKind.INSUFFICIENT_QTY),
    Rule(422, None, "short", RefusalKind.NOT_SHORTABLE),
    Rule(422, None, "not tradable", RefusalKind.NOT_TRADABLE),
    Rule(422, None, "not active", RefusalKind.NOT_TRADABLE),
    Rule(422, None, "could not find asset", RefusalKind.NOT_TRADABLE),
    Rule(422, None, "not cancelable", RefusalKind.NOT_CANCELABLE),
    Rule(422, None, "not open", RefusalKind.NOT_CANCELABLE),
    Rule(422, None, "order is already", RefusalKind.NOT_CANCELABLE),
    Rule(422, None, "", RefusalKind.INVALID),
    Rule(429, None, "", RefusalKind.RATE_LIMITED),
)
"""First match wins. Texts are compared in lower case, because the venue gives many reasons one code.

Any other status, and any 4xx without the venue's own JSON (401 and 429 excepted, which also proxies in front of the
venue send without passing the request on), leaves the outcome unknown.
"""

_CERTAIN_WITHOUT_BODY: Final = frozenset({401, 429})


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that did not give a usable reply.

    Args:
        meaning: A known refusal, or why the outcome is not known.
        http_status: None when no status came.
        code: The venue's own code.
        message: The venue's or the transport's text, shortened and without secrets.
        extras: The reply's further fields.
    """

    meaning: RefusalKind | UnknownCause
    http_status: int | None = None
    code: int | None = None
    message: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_certain(self) -> bool:
        """Return whether the venue certainly did nothing."""
        return isinstance(self.meaning, RefusalKind)


def classify(http_status: int, code: int | None, message: str, *, from_venue: bool) -> RefusalKind | UnknownCause:
    """Return what an HTTP reply of 400 or more means.

    Args:
        http_status: The reply's status.
        code: The code in its body, if there is one.
        message: The message in its body, if there is one.
        from_venue: Whether the body was the venue's JSON rather than a page of something in between.

    Example:
        >>> classify(403, 40310000, "insufficient buying power", from_venue=True)
        <RefusalKind.BUYING_POWER: 'BUYING_POWER'>
        >>> classify(502, None, "", from_venue=False)
        <UnknownCause.SERVER_ERROR: 'SERVER_ERROR'>
    """
    if http_status >= 500:
        return UnknownCause.SERVER_ERROR
    if not from_venue and http_status not in _CERTAIN_WITHOUT_BODY:
        return UnknownCause.BAD_BODY
    text = message.lower()
    for rule in RULES:
        if rule.http_status == http_status and rule.code in (None, code) and rule.contains in text:
            return rule.kind
    return UnknownCause.UNEXPECTED_STATUS


def failure_of(http_status: int, text: str, headers: Mapping[str, str], *, now_unix_seconds: float) -> Failure:
    """Return what a reply of 400 or more means, reading its body without trusting it.

    Args:
        http_status: The reply's status.
        text: Its body, JSON or not.
        headers: Its headers; the time of the limit's reset is taken from them on 429.
        now_unix_seconds: Wall clock, for that time.
    """
    body = _json_object(text)
    code = body.pop("code", None)
    message = body.pop("message", None)
    extras = body | (_retry_after(headers, now_unix_seconds) if http_status == 429 else {})
    from_venue = isinstance(message, str)
    said = message if isinstance(message, str) else text
    number = code if isinstance(code, int) else None
    meaning = classify(http_status, number, said, from_venue=from_venue)
    return Failure(meaning, http_status, number, said[:LONGEST_TEXT], extras)


def _json_object(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(body) if isinstance(body, dict) else {}


def _retry_after(headers: Mapping[str, str], now_unix_seconds: float) -> dict[str, float]:
    """Return how long the venue asks to wait, bounded to a minute because its clock may differ from ours."""
    for name, base in (("Retry-After", 0.0), ("X-RateLimit-Reset", now_unix_seconds)):
        try:
            seconds = float(headers.get(name, "")) - base
        except ValueError:
            continue
        return {"retry_after_seconds": min(max(seconds, 0.0), 60.0)}
    return {}
