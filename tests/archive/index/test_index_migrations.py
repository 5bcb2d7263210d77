"""An index of an older release is migrated, one of a newer release is left alone, and both schemas are the tables'."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from trader_sdk.archive.index.archive_index import ArchiveIndex, Step
from trader_sdk.archive.index.schema import METADATA, REVISION
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.contract.errors import ArchiveError

Chain = Any
"""The builder of conftest.py, which cannot be imported from here."""
GOLDEN = Path(__file__).parent


def old_index(path: Path) -> Path:
    """Write the index of release 0.1.0, as that release wrote it."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript((GOLDEN / "index_0_1_0.sql").read_text())
    return path


def golden_log(folder: Path) -> AuditLog:
    (folder / "audit.jsonl").write_bytes((GOLDEN / "audit_0_1_0.jsonl").read_bytes())
    return AuditLog(folder)


def test_index_of_the_first_release_is_migrated(tmp_path: Path) -> None:
    """It says so, and holds afterwards what an index made today holds."""
    log = golden_log(tmp_path)
    migrated, made = ArchiveIndex(old_index(tmp_path / "old.sqlite")), ArchiveIndex(tmp_path / "new.sqlite")
    assert migrated.head() is None
    with structlog.testing.capture_logs() as logs:
        assert migrated.follow(log).step is Step.REBUILT
    assert [log["event"] for log in logs] == ["index_migrated"]
    assert (logs[0]["revision_from"], logs[0]["revision_to"]) == ("0001", REVISION)
    made.follow(log)
    assert migrated.dump() == made.dump()
    assert len(made.dump()["runs"]) == 4
    for one in (migrated, made):
        one.close()


def test_rows_of_0003_are_kept(chain: Chain, index: ArchiveIndex) -> None:
    """Only a count and an order go, so nothing is read from the chain again."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    index.follow(chain)
    before = index.dump()
    back = (
        "CREATE TABLE trials (symbol VARCHAR, timeframe VARCHAR, runs INTEGER)",
        "CREATE INDEX challengers_by_age ON challengers (symbol, timeframe, audit_seq, place)",
        "UPDATE alembic_version SET version_num = '0003'",
    )
    with index.database.connected() as connection, connection.begin():
        for statement in back:
            connection.execute(sa.text(statement))
    assert index.follow(chain).step is Step.CURRENT
    assert index.dump() == before
    with index.database.connected() as connection:
        assert not sa.inspect(connection).has_table("trials")
        assert [one["name"] for one in sa.inspect(connection).get_indexes("challengers")] == []


def test_migrations_make_the_tables_of_the_schema(chain: Chain, index: ArchiveIndex) -> None:
    """Nothing that autogenerate would add or take away, on both databases."""
    index.follow(chain)
    with index.database.connected() as connection:
        options = {"include_object": lambda *found: found[1] != "alembic_version"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []


def test_sqlite_has_the_keys_of_the_schema(chain: Chain, tmp_path: Path) -> None:
    """What autogenerate does not compare: the primary keys, and that rows lie in their order."""
    ArchiveIndex(tmp_path / "migrated.sqlite").follow(chain)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'created.sqlite'}")
    METADATA.create_all(engine)
    engine.dispose()
    shapes = []
    for name in ("migrated", "created"):
        with closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as database:
            tables = sorted(table.name for table in METADATA.sorted_tables)
            keys = {table: database.execute(f"PRAGMA table_info({table})").fetchall() for table in tables}
            clustered = database.execute("SELECT name, wr FROM pragma_table_list WHERE schema = 'main'").fetchall()
            shapes.append((keys, sorted(one for one in clustered if one[0] in tables)))
    assert shapes[0] == shapes[1]


def test_index_of_a_newer_release_is_left_as_it_is(
    chain: Chain, index: ArchiveIndex, location: Path | str, database: Any
) -> None:
    """Typed and named; the newer release finds it untouched."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    index.follow(chain)
    before = index.dump()
    newer = sa.text("UPDATE alembic_version SET version_num = '9999'")
    with index.database.connected() as connection, connection.begin():
        connection.execute(newer)
    assert index.head() is None
    with pytest.raises(ArchiveError) as caught:
        index.follow(chain)
    assert (caught.value.code, caught.value.found) == ("E604", "9999")
    assert "Upgrade" in caught.value.remedy
    assert index.dump() == before


def test_rebuilding_replaces_the_file_of_a_newer_release(chain: Chain, tmp_path: Path) -> None:
    """Who asks for it gets an index of this release."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    index = ArchiveIndex(tmp_path / "index.sqlite")
    index.follow(chain)
    before = index.dump()
    with index.database.connected() as connection, connection.begin():
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    index.rebuild(chain)
    assert index.dump() == before
    assert index.follow(chain).step is Step.CURRENT
    index.close()
