"""The index's questions and changes, written in SQLAlchemy's language and run on the driver.

SQLAlchemy's execution layer costs several times what these statements cost, so each is compiled once a dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg

from trader_sdk.archive.index.schema import (
    CHALLENGERS,
    HEAD,
    METADATA,
    MOVES,
    OVERRIDES,
    RECALLED_NAMES,
    RECALLS,
    RUNS,
    VERDICTS,
)

Parameters: TypeAlias = dict[str, Any]
Record: TypeAlias = tuple[Any, ...]


class Cursor(Protocol):
    """What a driver's cursor is asked for."""

    rowcount: int

    def fetchone(self) -> Record | None:
        """Return the next row."""

    def fetchall(self) -> list[Record]:
        """Return the rows that are left."""

    def executemany(self, sql: str, rows: Sequence[Parameters]) -> object:
        """Run a statement for many rows."""


class Driver(Protocol):
    """A connection of sqlite3 or psycopg."""

    def execute(self, sql: str, parameters: Parameters = ...) -> Cursor:
        """Run a statement."""

    def cursor(self) -> Cursor:
        """Return a cursor."""

    def commit(self) -> None:
        """End the transaction."""

    def rollback(self) -> None:
        """Take the transaction back."""


class Session:
    """A driver's connection with its dialect: runs the statements of this module.

    Args:
        driver: The connection.
        dialect: What its SQL looks like.
    """

    __slots__ = ("_sql_of", "dialect_name", "driver")

    def __init__(self, driver: Driver, dialect: sa.Dialect) -> None:
        self.driver = driver
        self.dialect_name = dialect.name
        self._sql_of = _COMPILERS[dialect.name]

    def run(self, statement: sa.ClauseElement, parameters: Parameters | None = None) -> Cursor:
        """Run a statement; parameters are named as its columns are."""
        return self.driver.execute(self._sql_of(statement), parameters or {})

    def one(self, statement: sa.ClauseElement, parameters: Parameters | None = None) -> Record | None:
        """Return the first row."""
        return self.run(statement, parameters).fetchone()

    def every(self, statement: sa.ClauseElement, parameters: Parameters | None = None) -> list[Record]:
        """Return all rows."""
        return self.run(statement, parameters).fetchall()

    def insert_all(self, statement: sa.ClauseElement, rows: Sequence[Parameters]) -> None:
        """Run a statement for many rows."""
        if rows:
            self.driver.cursor().executemany(self._sql_of(statement), rows)


@cache
def _sqlite(statement: sa.ClauseElement) -> str:
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


@cache
def _postgresql(statement: sa.ClauseElement) -> str:
    return str(statement.compile(dialect=psycopg.dialect()))  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped


_COMPILERS: Final = {"sqlite": _sqlite, "postgresql": _postgresql}


def _of(table: sa.Table, *columns: str) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == sa.bindparam(name) for name in columns))


_SLOT: Final = ("symbol", "timeframe")


def _limited(select: sa.Select[Any]) -> sa.Select[Any]:
    # SQLite has no limit without an offset, and would otherwise ask for one more parameter.
    return select.limit(sa.bindparam("limit", type_=sa.Integer)).offset(sa.literal_column("0"))


READ_HEAD: Final = sa.select(HEAD.c.seq, HEAD.c.sha256)
INSERT_HEAD: Final = sa.insert(HEAD)
MOVE_HEAD: Final = (
    sa.update(HEAD)
    .values(seq=sa.bindparam("new_seq"), sha256=sa.bindparam("new_sha256"))
    .where(HEAD.c.seq == sa.bindparam("old_seq"), HEAD.c.sha256 == sa.bindparam("old_sha256"))
)

INSERT_RUN: Final = sa.insert(RUNS)
ONE_RUN: Final = sa.select(RUNS).where(_of(RUNS, "timestamp"))
ALL_RUNS: Final = sa.select(RUNS).order_by(RUNS.c.audit_seq)
COUNT_RUNS: Final = sa.select(sa.func.count()).select_from(RUNS)

INSERT_VERDICT: Final = sa.insert(VERDICTS)
_WITH_RUN: Final = sa.join(VERDICTS, RUNS, VERDICTS.c.audit_seq == RUNS.c.audit_seq)
_IN_RUN: Final = sa.select(VERDICTS).select_from(_WITH_RUN).where(RUNS.c.timestamp == sa.bindparam("run"))
ONE_VERDICT: Final = _IN_RUN.where(_of(VERDICTS, "id"))
ALL_VERDICTS: Final = sa.select(VERDICTS).order_by(VERDICTS.c.audit_seq, VERDICTS.c.place)
VERDICTS_OF_RUN: Final = _IN_RUN.order_by(VERDICTS.c.place)
VERDICTS_OF_SYMBOL: Final = ALL_VERDICTS.where(_of(VERDICTS, "symbol"))
VERDICTS_OF_SLOT: Final = _limited(
    sa.select(VERDICTS)
    .where(_of(VERDICTS, *_SLOT), VERDICTS.c.audit_seq < sa.bindparam("before"))
    .order_by(VERDICTS.c.audit_seq.desc())
)
VERDICTS_OF_VERSION: Final = (
    sa.select(VERDICTS).where(_of(VERDICTS, *_SLOT, "version_id")).order_by(VERDICTS.c.audit_seq.desc())
)

INSERT_MOVE: Final = sa.insert(MOVES)
_HELD: Final = ("audit_seq", "place", "version_id", "policy_sha256", "since")
MOVES_OF_SLOT: Final = (
    sa.select(*(MOVES.c[name] for name in _HELD))
    .where(_of(MOVES, *_SLOT))
    .order_by(MOVES.c.audit_seq.desc(), MOVES.c.place.desc())
)
LAST_MOVES: Final = _limited(MOVES_OF_SLOT)
_ONE: Final[sa.ColumnClause[int]] = sa.literal_column("1")
_NONE: Final[sa.ColumnClause[int]] = sa.literal_column("0")
_MODEL: Final = ("version_id", "policy_sha256")
# A value of two columns: joined, it would be copied into a table of its own and the verdicts sorted.
_CHAMPION: Final = MOVES_OF_SLOT.with_only_columns(*(MOVES.c[name] for name in _MODEL)).limit(_ONE).offset(_NONE)
CHAMPION_VERDICT: Final = (
    sa.select(VERDICTS)
    .where(
        _of(VERDICTS, *_SLOT),
        sa.tuple_(*(VERDICTS.c[name] for name in _MODEL)) == _CHAMPION.scalar_subquery(),
    )
    .order_by(VERDICTS.c.audit_seq.desc())
    .limit(_ONE)
    .offset(_NONE)
)
MOVED_SLOTS: Final = sa.select(MOVES.c.symbol, MOVES.c.timeframe).order_by(MOVES.c.audit_seq, MOVES.c.place)

INSERT_CHALLENGER: Final = sa.insert(CHALLENGERS)


def _replacing(insert: sqlite.Insert | postgresql.Insert) -> sa.ClauseElement:
    newer = {column: insert.excluded[column] for column in ("audit_seq", "place", "since")}
    return insert.on_conflict_do_update(index_elements=list(CHALLENGERS.primary_key), set_=newer)


PUT_CHALLENGER: Final = {
    "sqlite": _replacing(sqlite.insert(CHALLENGERS)),
    "postgresql": _replacing(postgresql.insert(CHALLENGERS)),
}
DELETE_CHALLENGER: Final = sa.delete(CHALLENGERS).where(_of(CHALLENGERS, *_SLOT, "version_id", "policy_sha256"))
CHALLENGERS_OF_SLOT: Final = (
    sa.select(*(CHALLENGERS.c[name] for name in _HELD))
    .where(_of(CHALLENGERS, *_SLOT))
    .order_by(CHALLENGERS.c.audit_seq.desc(), CHALLENGERS.c.place.desc())
)
NEWEST_CHALLENGERS: Final = _limited(CHALLENGERS_OF_SLOT)

INSERT_OVERRIDE: Final = sa.insert(OVERRIDES)
ALL_OVERRIDES: Final = sa.select(OVERRIDES.c.verdict, OVERRIDES.c.document).order_by(OVERRIDES.c.audit_seq)
NEWEST_OVERRIDE: Final = (
    sa.select(OVERRIDES.c.document).where(_of(OVERRIDES, "verdict")).order_by(OVERRIDES.c.audit_seq.desc())
)

INSERT_RECALL: Final = sa.insert(RECALLS)
INSERT_RECALLED_NAME: Final = sa.insert(RECALLED_NAMES)
ALL_RECALLS: Final = sa.select(RECALLS).order_by(RECALLS.c.audit_seq)
ONE_RECALL: Final = sa.select(RECALLS).where(_of(RECALLS, "audit_seq"))
NAMES_OF_RECALL: Final = sa.select(RECALLED_NAMES.c.name).where(_of(RECALLED_NAMES, "audit_seq"))
FIRST_RECALL: Final = sa.select(sa.func.min(RECALLED_NAMES.c.audit_seq)).where(_of(RECALLED_NAMES, "name"))

TRIALS_OF: Final = sa.select(sa.func.count()).select_from(VERDICTS).where(_of(VERDICTS, *_SLOT))
LOOKS_AT: Final = (
    sa.select(sa.func.count())
    .select_from(VERDICTS)
    .where(
        _of(VERDICTS, *_SLOT),
        sa.or_(
            _of(VERDICTS, "data_digest"),
            VERDICTS.c.judged_first.is_(None),
            sa.and_(
                VERDICTS.c.judged_first <= sa.bindparam("judged_last"),
                VERDICTS.c.judged_last >= sa.bindparam("judged_first"),
            ),
        ),
    )
)
"""Verdicts about bars of which some are asked for; those that do not say theirs are among them."""
_JUDGED_SLOT: Final = tuple(VERDICTS.c[name] for name in _SLOT)
NEXT_JUDGED_SLOT: Final = (
    sa.select(*_JUDGED_SLOT)
    .where(sa.tuple_(*(sa.bindparam(name) for name in _SLOT)) < sa.tuple_(*_JUDGED_SLOT))
    .order_by(*_JUDGED_SLOT)
    .limit(_ONE)
    .offset(_NONE)
)
"""The first judged slot behind one, whatever lies in either."""

CLEAR: Final = {table.name: sa.delete(table) for table in METADATA.sorted_tables}
DUMP: Final = {table.name: sa.select(table).order_by(*table.primary_key) for table in METADATA.sorted_tables}
