"""The first release: runs, verdicts and the chain's head; it wrote no version."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables as the first release made them."""
    op.create_table(
        "head",
        sa.Column("schema", sa.Integer, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("timestamp", sa.String, primary_key=True),
        sa.Column("audit_seq", sa.Integer, nullable=False, unique=True),
        sa.Column("approved", sa.Integer, nullable=False),
        sa.Column("review", sa.Integer, nullable=False),
        sa.Column("dropped", sa.Integer, nullable=False),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("run", sa.String, nullable=False, index=True),
        sa.Column("version_id", sa.String, nullable=False),
        sa.Column("symbol", sa.String, nullable=False),
        sa.Column("timeframe", sa.String, nullable=False),
        sa.Column("class", sa.String, nullable=False),
        sa.Column("policy_sha256", sa.String, nullable=False),
        sa.Column("data_digest", sa.String),
    )
    op.create_index("verdicts_by_data", "verdicts", ["symbol", "timeframe", "data_digest"])
    op.create_index("verdicts_by_class", "verdicts", ["symbol", "timeframe", "class"])


def downgrade() -> None:
    """Leave nothing; the index is derived."""
    for table in ("verdicts", "runs", "head"):
        op.drop_table(table)
