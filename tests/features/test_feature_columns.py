"""The table of columns: groups, counts, ranges, stated memory, scale, and finite values on any valid bars."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.spec import MARKET_FEATURES, MODEL_SPECS
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features import (
    ACCOUNT_COLUMNS,
    FEATURE_SETS,
    MARKET_COLUMNS,
    MEMORY,
    REQUIRED_HISTORY,
    SIZING_COLUMNS,
    FeatureSchema,
    build_schema,
    market_features,
)
from trader_sdk.features.columns import Group

NAMES = [column.name for column in MARKET_COLUMNS]
LOWS = np.array([column.low for column in MARKET_COLUMNS], np.float32)
HIGHS = np.array([column.high for column in MARKET_COLUMNS], np.float32)
GROUPS = [
    (Group.PRICE_ACTION, 0, 6),
    (Group.INTRADAY, 7, 10),
    (Group.CALENDAR, 11, 17),
    (Group.REGIME, 18, 29),
    (Group.TECHNICAL, 30, 43),
    (Group.MULTI_WINDOW, 44, 52),
]
SchemaOf = Callable[[Bars], FeatureSchema]


@pytest.mark.parametrize(("group", "first", "last"), GROUPS)
def test_columns_stand_where_the_protocol_puts_their_group(group: Group, first: int, last: int) -> None:
    """Positions and counts of the groups are given by the model version protocol."""
    assert [index for index, column in enumerate(MARKET_COLUMNS) if column.group is group] == list(
        range(first, last + 1)
    )


def test_account_columns_are_the_protocols() -> None:
    """Names and order of the last six are given."""
    assert [column.name for column in (*ACCOUNT_COLUMNS, *SIZING_COLUMNS)] == [
        "total_pnl_pct",
        "win_rate",
        "drawdown",
        "position_pct",
        "available_pct",
        "account_change",
    ]


@pytest.mark.parametrize("version", list(MODEL_SPECS))
def test_feature_sets_are_as_wide_as_every_model_version(version: str) -> None:
    """The registry's widths and the table's agree."""
    spec = MODEL_SPECS[version]
    assert sum(len(FEATURE_SETS[name]) for name in spec.feature_sets) == spec.n_features


def test_every_column_is_documented_and_bounded() -> None:
    """Names are unique; formula, unit, range and source are stated; memory is finite."""
    assert len(set(NAMES)) == MARKET_FEATURES
    for column in MARKET_COLUMNS:
        assert all((column.formula, column.unit, column.source)), column.name
        assert column.low < column.high, column.name
    assert MEMORY <= 400
    assert REQUIRED_HISTORY == 100 + MEMORY


def other_prices(bars: Bars, stop: int) -> Bars:
    """Return the bars with everything before ``stop`` replaced by a wilder market."""
    chance = np.random.default_rng(5)
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    stretch = np.exp(np.cumsum(chance.normal(0, 0.02, stop)))
    for name in ("open", "high", "low", "close"):
        columns[name][:stop] *= stretch
    columns["high"][:stop] *= 1 + chance.random(stop)
    columns["volume"][:stop] = np.rint(columns["volume"][:stop] * chance.random(stop) * 9)
    return replace(bars, **columns)


@pytest.mark.parametrize("memory", sorted({column.memory for column in MARKET_COLUMNS}))
def test_a_column_depends_on_no_bar_beyond_its_stated_memory(minutes: Bars, schema_of: SchemaOf, memory: int) -> None:
    """Another past beyond the memory leaves the value equal to the bit."""
    bars = minutes.slice(0, 780)  # the last bar closes a session, so the session's columns reach furthest
    schema = schema_of(bars)
    newest = market_features(bars, schema)[-1]
    changed = market_features(other_prices(bars, len(bars) - 1 - memory), schema)[-1]
    for index, column in enumerate(MARKET_COLUMNS):
        if column.memory <= memory:
            assert changed[index] == newest[index], column.name


def test_stated_memory_is_no_longer_than_needed(minutes: Bars, schema_of: SchemaOf) -> None:
    """The oldest bar that a column states can change it; truncated averages are exempt, their last weight is tiny."""
    bars = minutes.slice(0, 780)
    bars = replace(bars, open=bars.low + 0.3 * (bars.high - bars.low))  # the simulator's opens have no gap
    schema = schema_of(bars)
    # float32 cannot show the last weight of a filter that has nearly forgotten.
    exempt = {column.name for column in MARKET_COLUMNS if column.group is Group.REGIME or column.memory in (140, 279)}
    exempt |= {"macd", "macd_histogram"}
    newest = market_features(bars, schema)[-1]
    for memory in sorted({column.memory for column in MARKET_COLUMNS if column.memory}):
        changed = market_features(other_prices(bars, len(bars) - memory), schema)[-1]
        for index, column in enumerate(MARKET_COLUMNS):
            if column.memory == memory and column.name not in exempt:
                assert changed[index] != newest[index], column.name


def test_rows_do_not_change_when_later_bars_come(daily: Bars, schema_of: SchemaOf) -> None:
    """A row is fixed once its bar has closed."""
    schema = schema_of(daily)
    whole = market_features(daily, schema)
    for stop in (MEMORY + 1, 700, 1100):
        np.testing.assert_array_equal(market_features(daily.slice(0, stop), schema), whole[: stop - MEMORY])


@pytest.mark.parametrize("which", ["daily", "minutes"])
def test_columns_are_scale_free(which: str, request: pytest.FixtureRequest, schema_of: SchemaOf) -> None:
    """Prices in another currency and volumes in another unit change nothing."""
    bars = request.getfixturevalue(which).slice(0, 900)
    scaled = replace(
        bars,
        **{name: getattr(bars, name) * 137.0 for name in ("open", "high", "low", "close")},
        volume=bars.volume * 0.003,
    )
    schema = schema_of(bars)
    np.testing.assert_allclose(market_features(scaled, schema), market_features(bars, schema), atol=2e-5)


def test_intraday_columns_are_zero_for_daily_bars(daily: Bars, schema_of: SchemaOf) -> None:
    """A day has no inside."""
    assert not market_features(daily, schema_of(daily))[:, 7:11].any()


def test_regime_columns_are_probabilities(minutes: Bars, schema_of: SchemaOf) -> None:
    """Each chain's three states sum to one."""
    bars = minutes.slice(0, 3000)
    regimes = market_features(bars, schema_of(bars))[:, 18:30].reshape(-1, 4, 3)
    np.testing.assert_allclose(regimes.sum(axis=2), 1.0, atol=1e-6)
    assert regimes.min() >= 0.0


@pytest.mark.parametrize("which", ["daily", "minutes"])
def test_columns_are_of_order_one(which: str, request: pytest.FixtureRequest, schema_of: SchemaOf) -> None:
    """A network needs no further normalisation, and clipping is rare."""
    bars = request.getfixturevalue(which).slice(0, 20_000)
    rows = market_features(bars, schema_of(bars))
    assert np.abs(rows.mean(axis=0)).max() <= 1.0
    assert rows.std(axis=0).max() < 1.5
    edges = {"session_cos", "session_sin", "weekday_cos", "year_sin", "year_cos", "month_progress", "aroon_25"}
    for index, column in enumerate(MARKET_COLUMNS):
        if column.name not in edges and column.group is not Group.INTRADAY:
            clipped = np.mean((rows[:, index] == column.low) | (rows[:, index] == column.high))
            assert clipped < 0.03, column.name


def test_too_few_bars_give_no_rows(daily: Bars, schema_of: SchemaOf) -> None:
    """L bars are history, not an observation."""
    schema = schema_of(daily)
    assert market_features(daily.slice(0, MEMORY), schema).shape == (0, 53)
    assert market_features(daily.slice(0, 0), schema).shape == (0, 53)
    assert market_features(daily.slice(0, MEMORY + 1), schema).shape == (1, 53)


def test_bars_of_another_timeframe_are_refused(daily: Bars, minutes: Bars, schema_of: SchemaOf) -> None:
    """Minutes never pass for days."""
    with pytest.raises(DataError, match="another timeframe"):
        market_features(minutes.slice(0, 500), schema_of(daily))


def test_zero_volume_is_a_valid_bar(minutes: Bars, schema_of: SchemaOf) -> None:
    """Volume ratios take the value of no volume; where nothing ever traded, volume columns are 0."""
    bars = minutes.slice(0, 500)
    volume = bars.volume.copy()
    volume[-1] = 0.0
    row = market_features(replace(bars, volume=volume), schema_of(bars))[-1]
    assert row[NAMES.index("volume_ratio_20")] == pytest.approx(np.log(0.01 / 1.01), abs=1e-6)
    silent = market_features(replace(bars, volume=np.zeros(len(bars))), schema_of(bars))
    for name in ("volume_ratio_20", "session_volume_ratio", "money_flow_14", "chaikin_20"):
        assert not silent[:, NAMES.index(name)].any(), name


def test_a_missing_bar_is_not_made_up(minutes: Bars, schema_of: SchemaOf) -> None:
    """Formulas count the bars there are: the return over one bar spans the hole."""
    bars = minutes.slice(0, 500)
    columns = {name: np.delete(getattr(bars, name), 480) for name in ("t", "open", "high", "low", "close", "volume")}
    row = market_features(replace(bars, **columns).slice(0, 481), schema_of(bars))[-1]
    returns = np.diff(np.log(np.delete(bars.close, 480)))[:480]
    volatility = np.sqrt(np.mean(returns[-50:] ** 2))
    assert row[0] == pytest.approx(np.log(bars.close[481] / bars.close[479]) / volatility, rel=1e-5)


def test_an_early_close_ends_the_session_early(schema_of: SchemaOf, minutes: Bars) -> None:
    """On 2021-11-26 the last bar lies at 209/390 of a regular session, and the session has its own range."""
    day = minutes.t // (86_400 * 10**9)
    lengths = np.unique(day, return_counts=True)
    short = lengths[0][lengths[1] == 210]
    assert len(short) == 1, "the fixture reaches the early close"
    last = int(np.flatnonzero(day == short[0])[-1])
    bars = minutes.slice(last - 600, last + 1)
    row = market_features(bars, schema_of(bars))[-1]
    assert row[NAMES.index("session_cos")] == pytest.approx(np.cos(np.pi * 209 / 390), abs=1e-6)
    high, low = np.log(bars.high[-210:].max()), np.log(bars.low[-210:].min())
    location = (2 * np.log(bars.close[-1]) - high - low) / (high - low)
    assert row[NAMES.index("session_location")] == pytest.approx(location, abs=1e-6)


def test_daylight_saving_does_not_move_the_session(minutes: Bars, schema_of: SchemaOf) -> None:
    """On both sides of the change the first bar of a session has progress 0, whatever UTC says."""
    days = minutes.t // (86_400 * 10**9)
    first = np.flatnonzero(np.diff(days, prepend=-1))
    hours = (minutes.t[first] // (3_600 * 10**9)) % 24
    change = int(np.flatnonzero(np.diff(hours))[0])
    assert (hours[change], hours[change + 1]) == (14, 13)
    bars = minutes.slice(int(first[change]) - 500, int(first[change + 1]) + 1)
    rows = market_features(bars, schema_of(bars))
    for row in (rows[-1], rows[-1 - (first[change + 1] - first[change])]):
        assert row[NAMES.index("session_cos")] == 1.0
        assert row[NAMES.index("session_sin")] == 0.0


def any_bars(seed: int, move: float, jumps: int, volume: str, price: float, intraday: bool) -> Bars:
    """Return valid bars: any volatility from none to absurd, huge jumps, odd volumes, price levels far apart."""
    chance = np.random.default_rng(seed)
    length = MEMORY + 30
    steps = chance.normal(0, move, length)
    steps[chance.integers(0, length, jumps)] = chance.choice([-9.0, 9.0], jumps)
    close = price * np.exp(np.clip(np.cumsum(steps), -20, 20))
    open_ = close * np.exp(chance.normal(0, move, length))
    wick = np.exp(np.abs(chance.normal(0, move, (2, length))))
    volumes = {
        "none": np.zeros(length),
        "rare": np.where(chance.random(length) < 0.05, 1.0, 0.0),
        "tiny": chance.random(length) * 1e-9,
        "huge": chance.random(length) * 1e15,
    }
    step = 60 if intraday else 86_400
    return Bars(
        symbol="X/USD",
        timeframe=Timeframe.MIN_1 if intraday else Timeframe.DAY_1,
        t=(1_600_000_000 // step + np.arange(length)) * step * 10**9,
        open=open_,
        high=np.maximum(open_, close) * wick[0],
        low=np.minimum(open_, close) / wick[1],
        close=close,
        volume=volumes[volume],
        kind=DataKind.SIMULATED,
        feed="simulated",
        adjustment="raw",
        calendar="24/7",
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    move=st.sampled_from([0.0, 1e-12, 1e-6, 1e-3, 0.1, 2.0]),
    jumps=st.integers(0, 4),
    volume=st.sampled_from(["none", "rare", "tiny", "huge"]),
    price=st.sampled_from([1e-8, 1e-2, 1.0, 1e5, 1e12]),
    intraday=st.booleans(),
)
def test_columns_are_finite_and_in_range_on_any_valid_bars(
    seed: int, move: float, jumps: int, volume: str, price: float, intraday: bool
) -> None:
    """Constant prices, huge jumps, no volume: every value is finite, float32 and inside its column's range."""
    bars = any_bars(seed, move, jumps, volume, price, intraday)
    with np.errstate(all="raise", under="ignore"):
        rows = market_features(
            bars, build_schema("2.3.0", bars.timeframe, calendar="24/7", feed="simulated", adjustment="raw")
        )
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert (rows >= LOWS).all()
    assert (rows <= HIGHS).all()


def test_constant_prices_say_nothing(schema_of: SchemaOf) -> None:
    """Where nothing moves, columns of movement are 0."""
    bars = any_bars(1, 0.0, 0, "none", 10.0, True)
    row = dict(zip(NAMES, market_features(bars, schema_of(bars))[-1].tolist(), strict=True))
    for name in ("return_1", "body", "rsi_14", "macd", "adx_14", "stochastic_14", "z_score_20", "deviation_100"):
        assert abs(row[name]) < 1e-6, name


def test_prices_that_overflow_are_refused(schema_of: SchemaOf) -> None:
    """Numbers no market has are a typed error, not an infinity in an observation."""
    bars = any_bars(1, 1e-3, 0, "rare", 1.0, True)
    huge = replace(
        bars,
        **{name: getattr(bars, name) * 1e307 for name in ("open", "high", "low", "close")},
        volume=np.full(len(bars), 1e300),
    )
    with np.errstate(all="ignore"), pytest.raises(DataError, match="too far apart"):
        market_features(huge, schema_of(bars))
