"""Bar by bar equals all at once, to the last bit."""

from collections.abc import Callable

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import aggregate
from trader_sdk.features import MEMORY, REQUIRED_HISTORY, WINDOW, FeatureSchema, Ohlcv53Provider, market_features
from trader_sdk.features.streaming import MarketState

SchemaOf = Callable[[Bars], FeatureSchema]


def assert_streams_equal(bars: Bars, schema: FeatureSchema, starts: list[int], after: int = 3) -> None:
    """Push bars one at a time from each start and compare every window with the whole history's."""
    rows = market_features(bars, schema)
    for start in starts:
        provider = Ohlcv53Provider(schema)
        for index in range(start, start + REQUIRED_HISTORY + after):
            assert provider.ready == (index >= start + REQUIRED_HISTORY)
            provider.push(bars.at(index))
            if provider.ready:
                first = index - REQUIRED_HISTORY + 1
                np.testing.assert_array_equal(provider.window, rows[first : first + WINDOW])


def test_daily_streaming_equals_history_from_20_starting_points(daily: Bars, schema_of: SchemaOf) -> None:
    """Twenty starts over real days, the split and the crash among them."""
    starts = np.linspace(0, len(daily) - REQUIRED_HISTORY - 4, 20).astype(int).tolist()
    assert_streams_equal(daily, schema_of(daily), starts)


def test_minute_streaming_equals_history_from_20_starting_points(minutes: Bars, schema_of: SchemaOf) -> None:
    """Twenty starts, each window over the change to summer time or over an early close."""
    hours = (minutes.t // (3_600 * 10**9)) % 24
    change = int(np.flatnonzero((hours[1:] == 13) & (np.diff(minutes.t) > 3_600 * 10**9))[0]) + 1
    spring = minutes.slice(change - 700, change + 700)
    starts = np.linspace(100, 700, 14).astype(int).tolist()
    assert_streams_equal(spring, schema_of(spring), starts)
    autumn = minutes.slice(len(minutes) - 1000, len(minutes))
    starts = np.linspace(0, len(autumn) - REQUIRED_HISTORY - 4, 6).astype(int).tolist()
    assert_streams_equal(autumn, schema_of(autumn), starts)


@pytest.mark.parametrize("timeframe", [Timeframe.MIN_5, Timeframe.HOUR_1])
def test_longer_intraday_streaming_equals_history(minutes: Bars, schema_of: SchemaOf, timeframe: Timeframe) -> None:
    """Aggregated bars keep the same promise."""
    bars = aggregate(minutes, timeframe)
    assert_streams_equal(bars, schema_of(bars), [0, 300])


def test_streaming_equals_history_over_several_turns_of_its_ring(minutes: Bars, schema_of: SchemaOf) -> None:
    """Two thousand bars in a row: buffers are reused and nothing is left over."""
    bars = minutes.slice(0, 2000)
    schema = schema_of(bars)
    state = MarketState(schema)
    streamed = [state.push(bars.at(index)) for index in range(len(bars))]
    assert all(row is None for row in streamed[:MEMORY])
    np.testing.assert_array_equal(np.stack(streamed[MEMORY:]), market_features(bars, schema))


@pytest.mark.parametrize("which", ["daily", "minutes"])
def test_a_provider_started_from_history_equals_one_that_saw_every_bar(
    which: str, request: pytest.FixtureRequest, schema_of: SchemaOf
) -> None:
    """Start-up in one step is start-up bar by bar, and what follows is equal too."""
    bars = request.getfixturevalue(which).slice(0, 1300)
    schema = schema_of(bars)
    slow, fast = Ohlcv53Provider(schema), Ohlcv53Provider(schema, bars.slice(0, 700))
    for index in range(700):
        slow.push(bars.at(index))
    for index in range(700, 1300):
        np.testing.assert_array_equal(fast.window, slow.window)
        slow.push(bars.at(index))
        fast.push(bars.at(index))
    np.testing.assert_array_equal(fast.window, slow.window)


def test_history_shorter_than_required_is_taken_bar_by_bar(daily: Bars, schema_of: SchemaOf) -> None:
    """A young symbol starts with what there is and becomes ready later."""
    provider = Ohlcv53Provider(schema_of(daily), daily.slice(0, 480))
    assert not provider.ready
    for index in range(480, REQUIRED_HISTORY):
        provider.push(daily.at(index))
    assert provider.ready
    np.testing.assert_array_equal(provider.window, market_features(daily.slice(0, REQUIRED_HISTORY), provider.schema))
