"""The generated reference page."""

from pathlib import Path

from trader_sdk.features import FEATURE_SETS
from trader_sdk.features.docs import PAGE, features_page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_table_generates() -> None:
    """Run ``python -m trader_sdk.features.docs`` after changing a column."""
    assert (ROOT / PAGE).read_text("utf-8") == features_page()


def test_the_page_names_every_column_once_and_every_rule() -> None:
    """A reader finds each column and the rule for each awkward case."""
    page = features_page()
    for column in (column for columns in FEATURE_SETS.values() for column in columns):
        assert page.count(f"| `{column.name}` |") == 1
    for case in ("missing bars", "halts", "zero volume", "splits", "early closes", "daylight saving"):
        assert f"| {case} |" in page
