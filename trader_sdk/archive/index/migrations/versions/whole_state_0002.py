"""Everything that is asked for: slots, overrides, recalls and trials beside runs and verdicts.

The rows of 0001 do not say what the new columns hold, so they go, and the index is filled from the chain.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = ("runs", "verdicts", "moves", "challengers", "trials", "overrides", "recalls", "recalled_names", "head")


def upgrade() -> None:
    """Make the tables anew."""
    for table in ("verdicts", "runs", "head"):
        op.drop_table(table)
    _runs_and_verdicts()
    _slots()
    _decisions()
    op.create_table("head", _number("only", key=True), _number("seq"), _text("sha256"))


def downgrade() -> None:
    """Leave nothing; the index is derived."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _runs_and_verdicts() -> None:
    op.create_table(
        "runs",
        _text("timestamp", key=True),
        _number("audit_seq"),
        *(_text(name) for name in ("at", "who")),
        *(_number(name) for name in ("approved", "review", "dropped")),
        _text("files"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "verdicts",
        *(_number(name, key=True) for name in ("audit_seq", "place")),
        *(_text(name) for name in ("id", "run", "version_id", "symbol", "timeframe", "class")),
        sa.Column("tier", sa.String),
        _text("policy_sha256"),
        sa.Column("data_digest", sa.String),
        *(_text(name) for name in ("digest", "at")),
        sqlite_with_rowid=False,
    )
    op.create_index("verdicts_by_slot", "verdicts", ["symbol", "timeframe", "audit_seq"])
    op.create_index("verdicts_by_version", "verdicts", ["symbol", "timeframe", "version_id", "audit_seq"])


def _slots() -> None:
    slot = ("symbol", "timeframe")
    op.create_table(
        "moves",
        *(_text(name, key=True) for name in slot),
        *(_number(name, key=True) for name in ("audit_seq", "place")),
        *(_text(name) for name in ("version_id", "policy_sha256", "since")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "challengers",
        *(_text(name, key=True) for name in (*slot, "version_id", "policy_sha256")),
        *(_number(name) for name in ("audit_seq", "place")),
        _text("since"),
        sqlite_with_rowid=False,
    )
    op.create_index("challengers_by_age", "challengers", [*slot, "audit_seq", "place"])
    op.create_table(
        "trials",
        *(_text(name, key=True) for name in (*slot, "data_digest")),
        _number("runs"),
        sqlite_with_rowid=False,
    )


def _decisions() -> None:
    op.create_table("overrides", _number("audit_seq", key=True), _text("verdict"), _text("document"))
    op.create_index("overrides_by_verdict", "overrides", ["verdict", "audit_seq"])
    op.create_table("recalls", _number("audit_seq", key=True), *(_text(name) for name in ("who", "why", "at")))
    op.create_table("recalled_names", _text("name", key=True), _number("audit_seq", key=True), sqlite_with_rowid=False)


def _text(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String, primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, primary_key=key, autoincrement=False, nullable=False)
