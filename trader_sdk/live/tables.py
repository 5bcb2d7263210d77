"""The journal's tables: the event chain, and what people query, both written in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import JournalEntry, rfc3339

JOURNAL_SCHEMA: Final = 1

SCHEMA_SQL: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, prev TEXT NOT NULL, at TEXT NOT NULL, event TEXT NOT NULL,
                     run_id TEXT NOT NULL, body TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE);
CREATE TABLE bars_seen (symbol TEXT, bar TEXT, close TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (symbol, bar));
CREATE TABLE decisions (symbol TEXT, bar TEXT, action TEXT NOT NULL, reason TEXT, client_order_id TEXT,
                        model_sha256 TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (symbol, bar));
CREATE TABLE intents (client_order_id TEXT PRIMARY KEY, symbol TEXT NOT NULL, bar TEXT NOT NULL, leg TEXT NOT NULL,
                      attempt INTEGER NOT NULL, side TEXT NOT NULL, qty TEXT NOT NULL, order_type TEXT NOT NULL,
                      time_in_force TEXT NOT NULL, limit_price TEXT, decision_price TEXT NOT NULL, seq INTEGER NOT NULL,
                      UNIQUE (symbol, bar, leg, attempt));
CREATE TABLE order_events (seq INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL, event TEXT NOT NULL,
                           report TEXT NOT NULL, filled_qty TEXT NOT NULL, filled_avg_price TEXT,
                           broker_order_id TEXT, detail TEXT NOT NULL);
CREATE INDEX order_events_by_order ON order_events (client_order_id);
CREATE TABLE fills (client_order_id TEXT, cum_qty TEXT, at TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL,
                    qty TEXT NOT NULL, price TEXT NOT NULL, fee TEXT NOT NULL, execution_id TEXT UNIQUE,
                    seq INTEGER NOT NULL, PRIMARY KEY (client_order_id, cum_qty));
CREATE TABLE sleeves (seq INTEGER PRIMARY KEY, symbol TEXT NOT NULL, cause TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE limits_state (seq INTEGER PRIMARY KEY, name TEXT NOT NULL, value TEXT NOT NULL, cause TEXT NOT NULL);
CREATE TABLE models (symbol TEXT PRIMARY KEY, sha256 TEXT NOT NULL, version TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE loads (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, symbol TEXT NOT NULL, sha256 TEXT, outcome TEXT NOT NULL,
                    detail TEXT NOT NULL);
"""

Statement: TypeAlias = tuple[str, tuple[Any, ...]]


def event_statement(event: JournalEntry, body_text: str) -> Statement:
    """Return the insert of one link of the chain."""
    row = (event.seq, event.prev, rfc3339(event.at), event.event.value, event.run_id, body_text, event.sha256)
    return "INSERT INTO events VALUES (?,?,?,?,?,?,?)", row


def table_statements(event: JournalEntry) -> list[Statement]:
    """Return the rows that ``event`` adds to the tables that people query."""
    project = _PROJECTIONS.get(event.event)
    return project(event) if project is not None else []


def _bar_closed(event: JournalEntry) -> list[Statement]:
    body = event.body
    # A revised bar replaces the row; the chain keeps both.
    sql = "INSERT OR REPLACE INTO bars_seen VALUES (?,?,?,?)"
    return [(sql, (body["symbol"], body["bar"], body["close"], event.seq))]


def _decision_made(event: JournalEntry) -> list[Statement]:
    names = ("symbol", "bar", "action", "reason", "client_order_id", "model_sha256")
    return [("INSERT INTO decisions VALUES (?,?,?,?,?,?,?)", (*(event.body[name] for name in names), event.seq))]


_INTENT_COLUMNS: Final = (
    "client_order_id",
    "symbol",
    "bar",
    "leg",
    "attempt",
    "side",
    "qty",
    "order_type",
    "time_in_force",
    "limit_price",
    "decision_price",
)


def _intent_recorded(event: JournalEntry) -> list[Statement]:
    row = (*(event.body[name] for name in _INTENT_COLUMNS), event.seq)
    return [("INSERT INTO intents VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", row), *_order_reported(event)]


def _order_reported(event: JournalEntry) -> list[Statement]:
    names = ("report", "filled_qty", "filled_avg_price", "broker_order_id", "detail")
    row = (event.seq, event.body["client_order_id"], event.event.value, *(event.body[name] for name in names))
    return [("INSERT INTO order_events VALUES (?,?,?,?,?,?,?,?)", row)]


def _fill_recorded(event: JournalEntry) -> list[Statement]:
    body = event.body
    row = (
        *(body["client_order_id"], body["cum_qty"], rfc3339(event.at), body["symbol"], body["side"], body["qty"]),
        *(body["price"], body["fee"], body["execution_id"], event.seq),
    )
    return [("INSERT INTO fills VALUES (?,?,?,?,?,?,?,?,?,?)", row)]


def _sleeve_changed(event: JournalEntry) -> list[Statement]:
    body = event.body
    row = (event.seq, body["symbol"], body["cause"], canonical_json(dict(body["sleeve"])).decode())
    return [("INSERT INTO sleeves VALUES (?,?,?,?)", row)]


def _limit_changed(event: JournalEntry) -> list[Statement]:
    row = (event.seq, event.body["limit"], event.body["symbol"], event.body["cause"])
    return [("INSERT INTO limits_state VALUES (?,?,?,?)", row)]


def _state_changed(event: JournalEntry) -> list[Statement]:
    row = (event.seq, "state", event.body["state"], event.body["cause"])
    return [("INSERT INTO limits_state VALUES (?,?,?,?)", row)]


def _model_loaded(event: JournalEntry) -> list[Statement]:
    body = event.body
    model = (body["symbol"], body["sha256"], body["version"], event.seq)
    load = (event.seq, rfc3339(event.at), body["symbol"], body["sha256"], "loaded", body["version_id"])
    return [
        ("INSERT OR REPLACE INTO models VALUES (?,?,?,?)", model),
        ("INSERT INTO loads VALUES (?,?,?,?,?,?)", load),
    ]


def _model_refused(event: JournalEntry) -> list[Statement]:
    body = event.body
    row = (event.seq, rfc3339(event.at), body["symbol"], body["sha256"], body["code"], body["message"])
    return [("INSERT INTO loads VALUES (?,?,?,?,?,?)", row)]


_PROJECTIONS: Final[Mapping[JournalEvent, Callable[[JournalEntry], list[Statement]]]] = {
    JournalEvent.BAR_CLOSED: _bar_closed,
    JournalEvent.DECISION_MADE: _decision_made,
    JournalEvent.INTENT_RECORDED: _intent_recorded,
    JournalEvent.ORDER_SENT: _order_reported,
    JournalEvent.ORDER_ACKNOWLEDGED: _order_reported,
    JournalEvent.ORDER_REFUSED: _order_reported,
    JournalEvent.ORDER_UNKNOWN: _order_reported,
    JournalEvent.ORDER_UPDATED: _order_reported,
    JournalEvent.FILL_RECORDED: _fill_recorded,
    JournalEvent.SLEEVE_CHANGED: _sleeve_changed,
    JournalEvent.LIMIT_CHANGED: _limit_changed,
    JournalEvent.STATE_CHANGED: _state_changed,
    JournalEvent.MODEL_LOADED: _model_loaded,
    JournalEvent.MODEL_REFUSED: _model_refused,
}
