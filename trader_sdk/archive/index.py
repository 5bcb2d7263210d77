"""The derived index: one SQLite file and ``index.json``, both rebuilt from the chain whenever they disagree with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trader_sdk.archive.codec import encode
from trader_sdk.archive.layout import DATABASE_FILE, INDEX_FILE
from trader_sdk.archive.slots import ArchiveState, RunRef, VerdictRef
from trader_sdk.archive.store.audit import ChainHead
from trader_sdk.archive.store.durable import replace_derived
from trader_sdk.contract.errors import ArchiveError

INDEX_SCHEMA: Final = 1

_METADATA: Final = sa.MetaData()
_RUNS: Final = sa.Table(
    "runs",
    _METADATA,
    sa.Column("timestamp", sa.String, primary_key=True),
    sa.Column("audit_seq", sa.Integer, nullable=False, unique=True),
    sa.Column("approved", sa.Integer, nullable=False),
    sa.Column("review", sa.Integer, nullable=False),
    sa.Column("dropped", sa.Integer, nullable=False),
)
_VERDICTS: Final = sa.Table(
    "verdicts",
    _METADATA,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False, index=True),
    sa.Column("version_id", sa.String, nullable=False),
    sa.Column("symbol", sa.String, nullable=False),
    sa.Column("timeframe", sa.String, nullable=False),
    sa.Column("class", sa.String, nullable=False),
    sa.Column("policy_sha256", sa.String, nullable=False),
    sa.Column("data_digest", sa.String),
    sa.Index("verdicts_by_data", "symbol", "timeframe", "data_digest"),
    sa.Index("verdicts_by_class", "symbol", "timeframe", "class"),
)
_HEAD: Final = sa.Table(
    "head",
    _METADATA,
    sa.Column("schema", sa.Integer, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
)


class SqliteIndex:
    """Rows about runs and verdicts, for questions that the chain answers only by reading it whole.

    Args:
        root: The archive's folder.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / DATABASE_FILE
        self._engine = sa.create_engine(f"sqlite:///{self.path}", poolclass=sa.NullPool)
        sa.event.listen(self._engine, "connect", _use_wal)

    def head(self) -> ChainHead | None:
        """Return the record that the index reaches, ``None`` where there is no index or an unreadable one."""
        if not self.path.exists():
            return None
        try:
            with self._engine.connect() as connection:
                row = connection.execute(sa.select(_HEAD).where(_HEAD.c.schema == INDEX_SCHEMA)).first()
        except sa.exc.DatabaseError:
            return None
        return ChainHead(row.seq, row.sha256) if row else None

    def rebuild(self, state: ArchiveState, head: ChainHead) -> None:
        """Replace everything by what the chain says.

        Raises:
            ArchiveError: E604 if the file cannot be replaced.
        """
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        with self._writing() as connection:
            _METADATA.create_all(connection)
            _insert(connection, state.runs.values(), state.verdicts.values())
            connection.execute(sa.insert(_HEAD).values(schema=INDEX_SCHEMA, seq=head.seq, sha256=head.sha256))

    def add(self, run: RunRef, verdicts: Iterable[VerdictRef], head: ChainHead) -> None:
        """Add one committed run."""
        with self._writing() as connection:
            _insert(connection, [run], verdicts)
            connection.execute(sa.update(_HEAD).values(seq=head.seq, sha256=head.sha256))

    def runs(self) -> list[dict[str, Any]]:
        """Return the entries of ``index.json``, in order of commitment."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(_RUNS).order_by(_RUNS.c.audit_seq))
            return [{"path": row.timestamp, **row._asdict()} for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._typed(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._typed(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DatabaseError as error:
            raise ArchiveError("E604", "the index cannot be used", where=str(self.path), found=error.orig) from error


def write_index_json(root: Path, runs: Iterable[Mapping[str, Any]]) -> None:
    """Write ``index.json`` from the entries of committed runs."""
    fields = ("timestamp", "path", "approved", "review", "dropped", "audit_seq")
    document = {"schema": INDEX_SCHEMA, "runs": [{name: run[name] for name in fields} for run in runs]}
    replace_derived(root / INDEX_FILE, encode(document))


def _use_wal(connection: Any, _record: object) -> None:
    # NORMAL is enough: the index is derived, and a lost commit is seen and rebuilt.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _insert(connection: sa.Connection, runs: Iterable[RunRef], verdicts: Iterable[VerdictRef]) -> None:
    run_rows = [
        {
            "timestamp": run.timestamp,
            "audit_seq": run.seq,
            "approved": run.approved,
            "review": run.review,
            "dropped": run.dropped,
        }
        for run in runs
    ]
    verdict_rows = [
        {
            "id": ref.id,
            "run": ref.run,
            "version_id": ref.version_id,
            "symbol": ref.slot.symbol,
            "timeframe": ref.slot.timeframe.value,
            "class": ref.gate_class.value,
            "policy_sha256": ref.policy_sha256,
            "data_digest": ref.data_digest,
        }
        for ref in verdicts
    ]
    if run_rows:
        connection.execute(sa.insert(_RUNS), run_rows)
    if verdict_rows:
        connection.execute(sa.insert(_VERDICTS), verdict_rows)
