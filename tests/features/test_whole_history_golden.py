"""Whole histories as they were computed before streaming was rewritten: not a bit may move."""

from pathlib import Path

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import aggregate, load_bars
from trader_sdk.features import build_schema, market_features

GOLDEN = np.load(Path(__file__).with_name("whole_history.npz"))
"""Rows of the first release of `ohlcv53@1`, and the logarithms of the machine that they were computed on."""
SAME_LOGARITHM = np.array_equal(np.log(np.exp(np.linspace(-12, 12, 97))), GOLDEN["log_probe"])


def rows_of(bars: Bars) -> np.ndarray:
    """Return the market columns of some bars."""
    schema = build_schema("2.3.0", bars.timeframe, calendar="XNYS", feed=bars.feed, adjustment=bars.adjustment)
    return market_features(bars, schema)


def assert_unchanged(rows: np.ndarray, name: str) -> None:
    """Require equal bits, or one step of float32 where this machine's logarithm is not the golden's."""
    golden = GOLDEN[name]
    if SAME_LOGARITHM:
        assert rows.tobytes() == golden.tobytes()
    else:
        assert (np.abs(rows - golden) <= np.spacing(np.maximum(np.abs(rows), np.float32(1e-3)))).all()


def test_daily_rows_are_what_they_were() -> None:
    """Real days."""
    assert_unchanged(rows_of(load_bars("vendored", "AAPL", "1Day"))[300:420], "AAPL_1Day")


def test_minute_rows_are_what_they_were_over_the_seam_of_blocks() -> None:
    """Simulated minutes; a long history is computed in blocks, and rows 20,000 to 20,119 span none of the present."""
    bars = load_bars("planted:bars=30000", "SIM", "1Min")
    assert_unchanged(rows_of(bars)[20_000:20_120], "planted_1Min")
    assert_unchanged(rows_of(bars.slice(20_000 - 4_096 + 60, 20_600))[4_036:4_156], "planted_1Min")


def test_aggregated_rows_are_what_they_were() -> None:
    """Five minutes."""
    assert_unchanged(
        rows_of(aggregate(load_bars("planted:bars=90000", "SIM", "1Min"), Timeframe.MIN_5))[-60:], "planted_5Min"
    )


@pytest.mark.parametrize("length", [4_484, 4_485, 4_486, 9_000])
def test_rows_do_not_depend_on_the_blocks_that_they_are_computed_in(length: int) -> None:
    """Just below, at and beyond the seam between two blocks."""
    bars = load_bars("planted:bars=9000", "SIM", "1Min")
    whole = rows_of(bars)
    assert rows_of(bars.slice(0, length)).tobytes() == whole[: length - 389].tobytes()
    assert rows_of(bars.slice(37, length)).tobytes() == whole[37 : length - 389].tobytes()
