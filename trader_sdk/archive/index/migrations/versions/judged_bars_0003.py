"""Which bars judged each verdict, and runs counted by slot alone.

The rows of 0002 do not say the first, so they go, and the index is filled from the chain.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = ("runs", "verdicts", "moves", "challengers", "overrides", "recalls", "recalled_names", "head")


def upgrade() -> None:
    """Empty the tables and change two."""
    for table in _TABLES:
        op.execute(sa.delete(sa.table(table)))
    for name in ("judged_first", "judged_last"):
        op.add_column("verdicts", sa.Column(name, sa.String))
    op.drop_table("trials")
    op.create_table(
        "trials",
        *(sa.Column(name, sa.String, primary_key=True, nullable=False) for name in ("symbol", "timeframe")),
        sa.Column("runs", sa.Integer, autoincrement=False, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Leave nothing; the index is derived."""
    for table in ("trials", *reversed(_TABLES)):
        op.drop_table(table)
