"""Real replies of a paper account, written down without what is private, and their shape compared with ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import requests

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Timeouts, Venue
from trader_sdk.broker.transport import BoundedSession
from trader_sdk.contract.errors import BrokerError, ConfigError

_PRIVATE: Final = frozenset({"id", "account_number", "account_id", "client_order_id", "replaces", "replaced_by"})
_LIMITS: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT.*")
_ORDER_ID: Final = "{order}"
"""Stands for the venue's id of the order that the recording itself placed: nobody else's order is touched."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request of a recording; ``orders`` marks those that place or end an order."""

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    is_data: bool = False
    orders: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """One reply: status, which rate limit headers it had, and its body without what is private."""

    name: str
    status: int
    limit_headers: tuple[str, ...]
    body: Any


@dataclass(frozen=True, slots=True)
class Unlike:
    """Something in which two venues' replies differ."""

    name: str
    where: str
    real: str
    ours: str


def asks(symbol: str, name: str) -> tuple[Ask, ...]:
    """Return what is asked, in order: reads, refusals, and the life of one order that cannot trade.

    Args:
        symbol: An equity; its order is one share at a dollar, cancelled at once.
        name: Makes the order's id; the venue takes each id once for ever.
    """
    order = {"symbol": symbol, "side": "buy", "type": "limit", "time_in_force": "day", "limit_price": "1.00"}
    ours = {**order, "qty": "1", "client_order_id": name}
    days = "start=2012-07-02&end=2012-07-06"
    by_id = f"/v2/orders:by_client_order_id?client_order_id={name}"
    return (
        Ask("account", "GET", "/v2/account"),
        Ask("clock", "GET", "/v2/clock"),
        Ask("calendar", "GET", f"/v2/calendar?{days}"),
        Ask("asset", "GET", f"/v2/assets/{symbol}"),
        Ask("asset unknown", "GET", "/v2/assets/NOSUCHSYMBOL"),
        Ask("positions", "GET", "/v2/positions"),
        Ask("position unknown", "GET", "/v2/positions/NOSUCHSYMBOL"),
        Ask("orders", "GET", "/v2/orders?status=all&limit=5"),
        Ask("order unknown", "GET", "/v2/orders:by_client_order_id?client_order_id=nobody-made-this"),
        Ask("fills", "GET", "/v2/account/activities/FILL?page_size=5"),
        Ask("bars", "GET", f"/v2/stocks/bars?symbols={symbol}&timeframe=1Day&{days}", is_data=True),
        Ask("order without quantity", "POST", "/v2/orders", order, orders=True),
        Ask("order below a cent", "POST", "/v2/orders", {**ours, "limit_price": "1.001"}, orders=True),
        Ask("order of too much", "POST", "/v2/orders", {**ours, "qty": "999999999"}, orders=True),
        Ask("order", "POST", "/v2/orders", ours, orders=True),
        Ask("order by our id", "GET", by_id, orders=True),
        Ask("order with a used id", "POST", "/v2/orders", ours, orders=True),
        Ask("cancel", "DELETE", f"/v2/orders/{_ORDER_ID}", orders=True),
        Ask("order after its cancel", "GET", by_id, orders=True),
    )  # fmt: skip


def record(endpoint: Endpoint, credentials: Credentials, wanted: Sequence[Ask]) -> list[Recorded]:
    """Ask a venue and return its replies; nothing is asked twice.

    Args:
        endpoint: Alpaca's paper venue, or an exchange on this machine. Never one of real money.
        credentials: Its keys; they are in no reply that is returned.
        wanted: What to ask, in order.

    Raises:
        ConfigError: The endpoint is one of real money.
        BrokerError: The venue could not be reached.
    """
    if endpoint.venue is Venue.LIVE:
        raise ConfigError("CONFIG", "nothing is recorded with real money", expected="the paper endpoint")
    session = BoundedSession(endpoint.rest_url, Timeouts())
    session.headers.update(
        {"APCA-API-KEY-ID": credentials.key_id.reveal(), "APCA-API-SECRET-KEY": credentials.secret_key.reveal()}
    )
    order_id = "none"
    replies: list[Recorded] = []
    with session:
        for ask in wanted:
            asked = replace(ask, path=ask.path.replace(_ORDER_ID, order_id))
            status, headers, body = _reply(session, endpoint, credentials, asked)
            replies.append(Recorded(ask.name, status, headers, redacted(body)))
            if ask.name == "order" and isinstance(body, dict):
                order_id = str(body.get("id", order_id))
    return replies


def _reply(
    session: BoundedSession, endpoint: Endpoint, credentials: Credentials, ask: Ask
) -> tuple[int, tuple[str, ...], Any]:
    base = endpoint.data_url if ask.is_data else endpoint.rest_url
    try:
        reply = session.request(ask.method, f"{base}{ask.path}", json=ask.body)
    except requests.exceptions.RequestException as error:
        found = credentials.redact(str(error))
        raise BrokerError("E801", "the venue could not be asked", where=ask.name, found=found) from error
    text = credentials.redact(reply.text)
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = {"not json": text[:200]}
    return reply.status_code, tuple(name for name in _LIMITS if name in reply.headers), body


def redacted(body: Any) -> Any:
    """Return a reply's body without names of the account and of its orders.

    Example:
        >>> redacted({"id": "904837e3", "status": "ACTIVE", "legs": [{"id": "1"}]})
        {'id': 'redacted', 'status': 'ACTIVE', 'legs': [{'id': 'redacted'}]}
    """
    if isinstance(body, list):
        return [redacted(one) for one in body]
    if not isinstance(body, dict):
        return body
    return {
        name: "redacted" if name in _PRIVATE and isinstance(value, str) else redacted(value)
        for name, value in body.items()
    }


def shape_of(body: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield each place of a reply and what kind of value stands there; a list is its first element.

    Example:
        >>> dict(shape_of({"qty": "1.5", "legs": None, "bars": [{"c": 10.2}]}))
        {'.qty': 'decimal text', '.legs': 'null', '.bars[].c': 'number'}
    """
    match body:
        case dict():
            for name, value in body.items():
                yield from shape_of(value, f"{where}.{name}")
        case list():
            yield from shape_of(body[0], f"{where}[]") if body else iter([(f"{where}[]", "empty")])
        case bool():
            yield where, "bool"
        case int() | float():
            yield where, "number"
        case None:
            yield where, "null"
        case _:
            yield where, _kind_of_text(str(body))


def _kind_of_text(text: str) -> str:
    if _DECIMAL.fullmatch(text):
        return "decimal text"
    return "time" if _TIME.fullmatch(text) else "text"


def unlike(real: Sequence[Recorded], ours: Sequence[Recorded]) -> list[Unlike]:
    """Return in what our exchange's replies differ from recorded ones: status, error code, keys and kinds of values.

    Values are not compared: the accounts differ. A null, or a list that is empty on one side, is compared no further.
    """
    found: list[Unlike] = []
    known = {reply.name: reply for reply in ours}
    for reply in real:
        other = known.get(reply.name)
        if other is None:
            found.append(Unlike(reply.name, "reply", str(reply.status), "not asked"))
            continue
        if reply.status != other.status:
            found.append(Unlike(reply.name, "status", str(reply.status), str(other.status)))
        if _code(reply.body) != _code(other.body):
            found.append(Unlike(reply.name, "code", str(_code(reply.body)), str(_code(other.body))))
        if reply.limit_headers != other.limit_headers:
            found.append(Unlike(reply.name, "headers", " ".join(reply.limit_headers), " ".join(other.limit_headers)))
        found += _unlike_shapes(reply, other)
    return found


def _code(body: Any) -> Any:
    return body.get("code") if isinstance(body, dict) else None


def _unlike_shapes(reply: Recorded, other: Recorded) -> Iterator[Unlike]:
    theirs, ours = dict(shape_of(reply.body)), dict(shape_of(other.body))
    open_ends = [where for where, kind in (*theirs.items(), *ours.items()) if kind in ("null", "empty")]
    for where in sorted(theirs.keys() | ours.keys()):
        if any(where.startswith(end.removesuffix("[]")) for end in open_ends):
            continue
        real, here = theirs.get(where, "absent"), ours.get(where, "absent")
        if real != here:
            yield Unlike(reply.name, where, real, here)


def as_document(venue: str, symbol: str, replies: Sequence[Recorded]) -> dict[str, Any]:
    """Return a recording as plain data."""
    return {"schema": 1, "venue": venue, "symbol": symbol, "replies": [asdict(reply) for reply in replies]}


def from_document(document: Any) -> tuple[str, list[Recorded]]:
    """Return the symbol and the replies of a recording.

    Raises:
        ConfigError: It is none.
    """
    try:
        if document["schema"] != 1:
            raise ValueError(f"schema {document['schema']}")
        replies = [
            Recorded(one["name"], int(one["status"]), tuple(one["limit_headers"]), one["body"])
            for one in document["replies"]
        ]
        return str(document["symbol"]), replies
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError("CONFIG", "not a recording", expected="a file of `trader exchange record`") from error
