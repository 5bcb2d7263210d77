"""Without a count of a slot's runs, which its verdicts tell, and an order of challengers: a run writes fewer pages."""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = ("runs", "verdicts", "moves", "challengers", "overrides", "recalls", "recalled_names", "head")


def upgrade() -> None:
    """Drop both."""
    op.drop_table("trials")
    op.drop_index("challengers_by_age", "challengers")


def downgrade() -> None:
    """Leave nothing; the index is derived."""
    for table in reversed(_TABLES):
        op.drop_table(table)
