"""The rules of the reference page, a test each: halts, splits, silence, warm-up, and what training may use of it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.data import get_calendar, has_window_gap, whole_windows
from trader_sdk.features import (
    MARKET_COLUMNS,
    MEMORY,
    REQUIRED_HISTORY,
    WINDOW,
    FeatureSchema,
    Ohlcv53Provider,
    market_features,
)
from trader_sdk.features.columns import Group
from trader_sdk.features.docs import RULES, features_page

SchemaOf = Callable[[Bars], FeatureSchema]

NAMES = [column.name for column in MARKET_COLUMNS]
OF_THE_CLOCK = np.array([column.group in (Group.CALENDAR, Group.INTRADAY) for column in MARKET_COLUMNS])
COLUMNS = ("t", "open", "high", "low", "close", "volume")
PRICES = ("open", "high", "low", "close")


def without(bars: Bars, rows: slice) -> Bars:
    """Return the bars without some of them."""
    there = np.ones(len(bars), np.bool_)
    there[rows] = False
    return replace(bars, **{name: getattr(bars, name)[there] for name in COLUMNS})


def test_a_halt_is_missing_bars_like_any_other(minutes: Bars, schema_of: SchemaOf) -> None:
    """Columns that do not read the clock see the bars there are, as if they had followed each other."""
    halted = without(minutes.slice(0, 700), slice(600, 615))
    closed_up = replace(halted, t=minutes.t[: len(halted)].copy())
    schema = schema_of(minutes)
    rows, expected = market_features(halted, schema), market_features(closed_up, schema)
    np.testing.assert_array_equal(rows[:, ~OF_THE_CLOCK], expected[:, ~OF_THE_CLOCK])
    assert (rows[:, OF_THE_CLOCK] != expected[:, OF_THE_CLOCK]).any()


def test_after_a_split_the_history_is_read_anew(daily: Bars, schema_of: SchemaOf) -> None:
    """Raw bars over a split show a crash that never was; the adjusted history shows none, streamed or not."""
    raw = replace(daily, **{name: getattr(daily, name).copy() for name in COLUMNS})
    raw = replace(raw, **{name: np.where(np.arange(len(raw)) < 800, 4.0, 1.0) * getattr(raw, name) for name in PRICES})
    schema = schema_of(daily)
    assert market_features(raw, schema)[800 - MEMORY, NAMES.index("return_1")] == -5.0
    provider = Ohlcv53Provider(schema, raw.slice(0, 800))
    adjusted = Ohlcv53Provider(schema, daily.slice(0, 800))
    np.testing.assert_allclose(provider.window, adjusted.window, atol=2e-5)  # scale-free: the past looks the same
    adjusted.push(daily.at(800))
    assert adjusted.window.tobytes() == market_features(daily.slice(0, 801), schema)[-100:].tobytes()


def test_a_bar_without_volume_moves_no_price_column(minutes: Bars, schema_of: SchemaOf) -> None:
    """Silence is a valid bar: what is made of prices alone does not hear it."""
    bars = minutes.slice(0, 500)
    volume = bars.volume.copy()
    volume[450:460] = 0.0
    schema = schema_of(bars)
    rows, silent = market_features(bars, schema), market_features(replace(bars, volume=volume), schema)
    of_volume = {"vwap_distance", "session_volume_ratio", "money_flow_14", "chaikin_20", "volume_ratio_20"}
    changed = {NAMES[index] for index in np.flatnonzero((rows != silent).any(axis=0))}
    assert changed == of_volume


def test_no_observation_before_the_window_is_full(minutes: Bars, schema_of: SchemaOf) -> None:
    """The last bar that is needed makes the difference."""
    provider = Ohlcv53Provider(schema_of(minutes), minutes.slice(0, REQUIRED_HISTORY - 1))
    with pytest.raises(DataError, match="window is not full"):
        provider.observe(np.zeros(6, np.float32))
    provider.push(minutes.at(REQUIRED_HISTORY - 1))
    assert provider.observe(np.zeros(6, np.float32)).shape == (WINDOW * 59,)


def test_rows_that_training_may_end_a_window_with_are_those_live_decides_on(minutes: Bars) -> None:
    """`whole_windows(...)[MEMORY:]` lies beside the rows: the live rule at each of their bars."""
    calendar = get_calendar("XNYS")
    bars = without(minutes.slice(0, 900), slice(650, 653))
    usable = whole_windows(bars, calendar)[MEMORY:]
    assert len(usable) == len(bars) - MEMORY
    for row in range(0, len(usable), 7):
        t = bars.t[: MEMORY + row + 1]
        assert usable[row] == (not has_window_gap(t, bars.timeframe, calendar))
    assert not usable.all()
    assert usable.any()


@pytest.mark.parametrize("case", sorted(RULES))
def test_every_rule_is_on_the_page(case: str) -> None:
    """The page is made of the same table."""
    assert f"| {case} | {RULES[case]} |" in features_page()
