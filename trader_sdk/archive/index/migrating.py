"""From an older schema to today's, by alembic's migrations.

Rows are derived: a migration that cannot say what a new column holds leaves the index empty, and it is filled from the
chain again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import structlog

from trader_sdk.archive.index.database import WRITERS_LOCK
from trader_sdk.archive.index.schema import REVISION
from trader_sdk.archive.index.statements import Session
from trader_sdk.contract.errors import ArchiveError

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_UNVERSIONED: Final = "0001"
_HAS_TABLE: Final = {
    "sqlite": sa.text("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"),
    "postgresql": sa.text(
        "SELECT count(*) FROM pg_tables WHERE tablename = 'alembic_version' AND schemaname = current_schema()"
    ),
}
_VERSION: Final = sa.text("SELECT version_num FROM alembic_version")

_log = structlog.get_logger(__name__)


def revision_of(session: Session) -> str | None:
    """Return the migration that an index was last given, None where it has none."""
    count = session.one(_HAS_TABLE[session.dialect_name])
    row = session.one(_VERSION) if count is not None and count[0] else None
    return str(row[0]) if row else None


def upgrade(connection: sa.Connection, *, where: str) -> None:
    """Bring an index to today's schema in one transaction; an empty database gets it from the first migration on.

    Raises:
        ArchiveError: E604 for the schema of a newer release, which is left as it is.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    script = _script()
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})"))
        context = MigrationContext.configure(connection)
        found = context.get_current_revision()
        if found is None and sa.inspect(connection).has_table("head"):
            # The first release wrote its tables without saying which they are.
            found = _UNVERSIONED
        _check_known(script, found, where)
        with Operations.context(context):
            for revision in reversed(list(script.iterate_revisions(REVISION, found or "base"))):
                revision.module.upgrade()
                context.stamp(script, revision.revision)
    if found not in (None, REVISION):
        _log.info("index_migrated", where=where, revision_from=found, revision_to=REVISION)


def _script() -> ScriptDirectory:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def _check_known(script: ScriptDirectory, found: str | None, where: str) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise ArchiveError(
            "E604",
            "the index was made by a newer release",
            where=where,
            expected=f"revision {REVISION} or older",
            found=found,
            remedy="Upgrade trader-sdk; archiving and loading go on without this index.",
            newer=True,
        )
