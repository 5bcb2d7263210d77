"""Rows as they have always been: a formula may not change under an old version number."""

import json
from pathlib import Path

import numpy as np
import pytest

from trader_sdk.data import load_bars
from trader_sdk.features import MARKET_COLUMNS, build_schema, market_features

GOLDEN = json.loads(Path(__file__).with_name("golden_rows.json").read_text("utf-8"))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["timeframe"])
def test_rows_are_those_of_the_stated_formula_versions(case: dict[str, object]) -> None:
    """A changed formula needs a new version, and with it another feature hash; then add rows, change none."""
    bars = load_bars(case["source"], case["symbol"], case["timeframe"])
    schema = build_schema("2.3.0", case["timeframe"], calendar="XNYS", feed=bars.feed, adjustment=bars.adjustment)
    rows = market_features(bars, schema)
    for column in MARKET_COLUMNS:
        assert case["versions"][column.name] == column.version, column.name
    for index, values in case["rows"].items():
        np.testing.assert_allclose(rows[int(index)], values, atol=1e-5, err_msg=f"row {index}")
