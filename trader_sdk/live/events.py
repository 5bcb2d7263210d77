"""Journal entries: links of a hash chain, and the plain-data form of what they carry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.orders import (
    FillDelta,
    OrderEvent,
    OrderIntent,
    OrderReport,
    OrderType,
    Side,
    TimeInForce,
)
from trader_sdk.portfolio import Sleeve

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a place in the chain.

    Attributes:
        event: What happened.
        at: Venue time, aware UTC.
        body: Plain JSON data; money as text, times as RFC 3339.
    """

    event: JournalEvent
    at: datetime
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One link of the chain: ``sha256`` covers everything else, ``prev`` is the digest of the link before."""

    seq: int
    prev: str
    at: datetime
    event: JournalEvent
    run_id: str
    body: Mapping[str, Any]
    sha256: str

    @classmethod
    def link(cls, draft: Draft, *, seq: int, prev: str, run_id: str, body_text: str | None = None) -> JournalEntry:
        """Return ``draft`` as the link after ``prev``; ``body_text`` is its body's canonical JSON where it is known."""
        text = body_text if body_text is not None else body_text_of(draft)
        sha256 = _digest(seq, prev, draft.at, draft.event, run_id, text)
        return cls(seq, prev, draft.at, draft.event, run_id, draft.body, sha256)

    @property
    def is_intact(self) -> bool:
        """Return whether the digest is that of the content."""
        text = canonical_json(dict(self.body)).decode()
        return _digest(self.seq, self.prev, self.at, self.event, self.run_id, text) == self.sha256


def body_text_of(draft: Draft) -> str:
    """Return the canonical JSON of a body, as the journal keeps it."""
    return canonical_json(dict(draft.body)).decode()


def _digest(seq: int, prev: str, at: datetime, event: JournalEvent, run_id: str, body_text: str) -> str:
    """Return the digest of the canonical JSON of a link, put together around its body's: a body is written once."""
    before, run = encode_basestring(prev), encode_basestring(run_id)
    head = f'{{"at":"{rfc3339(at)}","body":{body_text},"event":"{event.value}",'
    content = f'{head}"prev":{before},"run_id":{run},"seq":{seq}}}'
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


@lru_cache(maxsize=1024)  # hundreds of entries of one bar carry the same few times
def rfc3339(at: datetime) -> str:
    """Return ``at`` as RFC 3339 UTC with microseconds where there are any.

    Example:
        >>> rfc3339(datetime(2026, 1, 5, 15, 0, tzinfo=UTC))
        '2026-01-05T15:00:00Z'
    """
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Return the aware time that :func:`rfc3339` wrote."""
    return datetime.fromisoformat(text)


def bar_time(t: int) -> datetime:
    """Return nanoseconds since the epoch as an aware time."""
    return _EPOCH + timedelta(microseconds=t // 1_000)


def bar_ns(at: datetime) -> int:
    """Return an aware time as nanoseconds since the epoch.

    Example:
        >>> bar_ns(bar_time(1_700_000_040_000_000_000))
        1700000040000000000
    """
    return ((at - _EPOCH) // timedelta(microseconds=1)) * 1_000


def plain(amount: Decimal) -> str:
    """Return an amount without an exponent, as text."""
    return f"{amount.normalize():f}" if amount else "0"


def _optional(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def intent_body(intent: OrderIntent) -> dict[str, Any]:
    """Return an intent as plain data."""
    return {
        "client_order_id": intent.client_order_id,
        "symbol": intent.symbol,
        "bar": rfc3339(bar_time(intent.bar_at)),
        "leg": intent.leg,
        "attempt": intent.attempt,
        "side": intent.side.value,
        "qty": plain(intent.qty),
        "order_type": intent.order_type.value,
        "time_in_force": intent.time_in_force.value,
        "limit_price": _optional(intent.limit_price),
        "decision_price": plain(intent.decision_price),
        "send_at": rfc3339(intent.send_at),
        "fresh_until": rfc3339(intent.fresh_until),
    }


def intent_of(body: Mapping[str, Any]) -> OrderIntent:
    """Return the intent that :func:`intent_body` wrote."""
    return OrderIntent(
        client_order_id=body["client_order_id"],
        symbol=body["symbol"],
        bar_at=bar_ns(parse_time(body["bar"])),
        leg=body["leg"],
        attempt=body["attempt"],
        side=Side(body["side"]),
        qty=Decimal(body["qty"]),
        order_type=OrderType(body["order_type"]),
        time_in_force=TimeInForce(body["time_in_force"]),
        limit_price=_decimal(body["limit_price"]),
        decision_price=Decimal(body["decision_price"]),
        send_at=parse_time(body["send_at"]),
        fresh_until=parse_time(body["fresh_until"]),
    )


def report_body(client_order_id: str, symbol: str, report: OrderReport) -> dict[str, Any]:
    """Return what a source said of an order as plain data."""
    return {
        "client_order_id": client_order_id,
        "symbol": symbol,
        "report": report.event.value,
        "filled_qty": plain(report.filled_qty),
        "filled_avg_price": _optional(report.filled_avg_price),
        "broker_order_id": report.broker_order_id,
        "detail": report.detail,
    }


def report_of(body: Mapping[str, Any]) -> OrderReport:
    """Return the report that :func:`report_body` wrote."""
    return OrderReport(
        event=OrderEvent(body["report"]),
        filled_qty=Decimal(body["filled_qty"]),
        filled_avg_price=_decimal(body["filled_avg_price"]),
        broker_order_id=body["broker_order_id"],
        detail=body["detail"],
    )


def fill_body(intent: OrderIntent, delta: FillDelta, *, fee: Decimal, execution_id: str | None) -> dict[str, Any]:
    """Return a newly booked part of an order as plain data."""
    return {
        "client_order_id": intent.client_order_id,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "qty": plain(delta.qty),
        "price": plain(delta.price),
        "fee": plain(fee),
        "cum_qty": plain(delta.cum_qty),
        "execution_id": execution_id,
        "decision_price": plain(intent.decision_price),
    }


_SLEEVE_MONEY: Final = ("initial", "cash", "qty", "peak", "trade_cash", "best_trade", "worst_trade")


def sleeve_body(sleeve: Sleeve) -> dict[str, Any]:
    """Return a sleeve as plain data."""
    return {
        field.name: _optional(getattr(sleeve, field.name))
        if field.name in _SLEEVE_MONEY
        else getattr(sleeve, field.name)
        for field in fields(sleeve)
    }


def sleeve_of(body: Mapping[str, Any]) -> Sleeve:
    """Return the sleeve that :func:`sleeve_body` wrote."""
    money = {name: _decimal(body[name]) for name in _SLEEVE_MONEY}
    values: dict[str, Any] = {**body, **money}
    return Sleeve(**values)
