"""The index's tables. Text and integers only, so that SQLite and PostgreSQL hold the same rows.

Times are RFC 3339 UTC. ``audit_seq`` is the audit record that a row comes from; ``place`` orders rows of one record.
A change here is a migration in ``migrations/versions`` and its id in :data:`REVISION`.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

REVISION: Final = "0004"
"""The newest migration: the schema below."""

METADATA: Final = sa.MetaData()

# In SQLite the rows lie in their key's order: one tree to write where there would be two.
_CLUSTERED: Final[dict[str, Any]] = {"sqlite_with_rowid": False}
_MODEL: Final = ("symbol", "timeframe", "version_id", "policy_sha256")


def _text(name: str, *, key: bool = False, optional: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=key, nullable=optional)


def _number(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, primary_key=key, autoincrement=False, nullable=False)


HEAD: Final = sa.Table("head", METADATA, _number("only", key=True), _number("seq"), _text("sha256"))
"""One row: the record that the index reaches."""

RUNS: Final = sa.Table(
    "runs",
    METADATA,
    _text("timestamp", key=True),
    _number("audit_seq"),
    _text("at"),
    _text("who"),
    _number("approved"),
    _number("review"),
    _number("dropped"),
    _text("files"),
    **_CLUSTERED,
)
VERDICTS: Final = sa.Table(
    "verdicts",
    METADATA,
    _number("audit_seq", key=True),
    _number("place", key=True),
    _text("id"),
    _text("run"),
    _text("version_id"),
    _text("symbol"),
    _text("timeframe"),
    _text("class"),
    _text("tier", optional=True),
    _text("policy_sha256"),
    _text("data_digest", optional=True),
    _text("digest"),
    _text("at"),
    _text("judged_first", optional=True),
    _text("judged_last", optional=True),
    sa.Index("verdicts_by_slot", "symbol", "timeframe", "audit_seq"),
    sa.Index("verdicts_by_version", "symbol", "timeframe", "version_id", "audit_seq"),
    **_CLUSTERED,
)
"""Found by id through their run, whose timestamp every id ends with."""

MOVES: Final = sa.Table(
    "moves",
    METADATA,
    _text("symbol", key=True),
    _text("timeframe", key=True),
    _number("audit_seq", key=True),
    _number("place", key=True),
    _text("version_id"),
    _text("policy_sha256"),
    _text("since"),
    **_CLUSTERED,
)
"""Every champion of every slot; the last is the champion now."""

CHALLENGERS: Final = sa.Table(
    "challengers",
    METADATA,
    *(_text(name, key=True) for name in _MODEL),
    _number("audit_seq"),
    _number("place"),
    _text("since"),
    **_CLUSTERED,
)
OVERRIDES: Final = sa.Table(
    "overrides",
    METADATA,
    _number("audit_seq", key=True),
    _text("verdict"),
    _text("document"),
    sa.Index("overrides_by_verdict", "verdict", "audit_seq"),
)
RECALLS: Final = sa.Table("recalls", METADATA, _number("audit_seq", key=True), _text("who"), _text("why"), _text("at"))
RECALLED_NAMES: Final = sa.Table(
    "recalled_names", METADATA, _text("name", key=True), _number("audit_seq", key=True), **_CLUSTERED
)
