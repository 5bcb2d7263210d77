"""Whatever befalls the bars and wherever streaming begins: a row is the whole history's, to the last bit."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import DataError, UsageError
from trader_sdk.features import (
    MEMORY,
    REQUIRED_HISTORY,
    FeatureProvider,
    FeatureSchema,
    ObservationBuilder,
    Ohlcv53Provider,
    market_features,
)
from trader_sdk.features.streaming import MarketState

SchemaOf = Callable[[Bars], FeatureSchema]
Befallen = Callable[..., Bars]

SUMMER_TIME, EARLY_CLOSE_DAY = 18_720, 88_530
MISHAPS = st.fixed_dictionaries(
    {
        "missing": st.sampled_from([0.0, 0.01, 0.2]),
        "silent": st.sampled_from([0.0, 0.1, 1.0]),
        "flat": st.sampled_from([0, 3, 150]),
        "split": st.sampled_from([1.0, 0.25, 20.0]),
        "seed": st.integers(0, 2**32 - 1),
    }
)
NONE = {"missing": 0.0, "silent": 0.0, "flat": 0, "split": 1.0, "seed": 0}


def rows_streamed(bars: Bars, schema: FeatureSchema) -> np.ndarray:
    """Return the rows that pushing every bar gives."""
    state = MarketState(schema)
    rows = [state.push(bars.at(index)) for index in range(len(bars))]
    assert all(row is None for row in rows[:MEMORY])
    return np.stack(rows[MEMORY:])


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 88_000), start=st.integers(0, 260), mishaps=MISHAPS)
@example(first=SUMMER_TIME - 520, start=17, mishaps=NONE)
@example(first=EARLY_CLOSE_DAY - 500, start=3, mishaps=NONE)
def test_a_row_does_not_depend_on_where_streaming_began(
    minutes: Bars, befallen: Befallen, schema_of: SchemaOf, first: int, start: int, mishaps: dict[str, float]
) -> None:
    """Gaps, halts, silence, standstill, splits, summer time, early closes: equal bytes from any starting point."""
    bars = befallen(minutes, first, 700, **mishaps)
    schema = schema_of(bars)
    whole = market_features(bars, schema)
    part = bars.slice(min(start, len(bars) - MEMORY - 1), len(bars))
    streamed = rows_streamed(part, schema)
    assert streamed.tobytes() == whole[-len(streamed) :].tobytes()


@settings(max_examples=12, deadline=None)
@given(start=st.integers(0, 1_100), mishaps=MISHAPS)
def test_a_daily_row_does_not_depend_on_where_streaming_began(
    daily: Bars, befallen: Befallen, schema_of: SchemaOf, start: int, mishaps: dict[str, float]
) -> None:
    """The same for real days, which have no sessions inside."""
    bars = befallen(daily, 0, len(daily), **mishaps)
    schema = schema_of(bars)
    part = bars.slice(min(start, len(bars) - MEMORY - 1), len(bars)).slice(0, MEMORY + 60)
    whole = market_features(bars, schema)
    streamed = rows_streamed(part, schema)
    place = int(np.searchsorted(bars.t, part.t[0]))
    assert streamed.tobytes() == whole[place : place + len(streamed)].tobytes()


def moved(bar: Bar, factor: float) -> Bar:
    """Return the bar with other prices and another volume."""
    prices = {name: getattr(bar, name) * factor for name in ("open", "high", "low", "close")}
    return bar._replace(**prices, volume=bar.volume * 2.0 + 1.0)


@settings(max_examples=12, deadline=None)
@given(
    first=st.integers(0, 88_000),
    length=st.integers(REQUIRED_HISTORY - 120, REQUIRED_HISTORY + 80),
    ago=st.lists(st.tuples(st.integers(0, 520), st.floats(0.9, 1.1)), min_size=1, max_size=4),
    late=st.integers(1, 300),
)
def test_revised_and_late_bars_give_what_the_corrected_history_gives(
    minutes: Bars,
    befallen: Befallen,
    schema_of: SchemaOf,
    first: int,
    length: int,
    ago: list[tuple[int, float]],
    late: int,
) -> None:
    """Corrections of the newest and of older bars, a bar that comes late, and what follows."""
    bars = befallen(minutes, first, length + 5)
    schema = schema_of(bars)
    corrected = {bar.t: bar for bar in (bars.at(index) for index in range(length))}
    held_back = bars.at(length - 1 - late)
    provider = Ohlcv53Provider(schema)
    for bar in corrected.values():
        if bar.t != held_back.t:
            provider.push(bar)
    for back, factor in ago:
        bar = moved(bars.at(max(length - 1 - back, 0)), factor)
        corrected[bar.t] = bar
        provider.revise(bar)
    if held_back.t not in {bars.at(max(length - 1 - back, 0)).t for back, _ in ago}:
        provider.revise(held_back)
    for index in range(length, length + 5):
        provider.revise(bars.at(index))
        corrected[bars.at(index).t] = bars.at(index)
    expected = Ohlcv53Provider(schema)
    for t in sorted(corrected):
        expected.push(corrected[t])
    assert provider.ready == expected.ready
    assert provider.window.tobytes() == expected.window.tobytes()


def test_correcting_the_newest_bar_twice_counts_the_last_word(daily: Bars, schema_of: SchemaOf) -> None:
    """Each correction replaces the one before it, at the seams of the rings too."""
    schema = schema_of(daily)
    provider = Ohlcv53Provider(schema, daily.slice(0, 500))
    for index in range(500, 1_300):
        bar = daily.at(index)
        provider.push(moved(bar, 1.3))
        provider.revise(moved(bar, 0.8))
        provider.revise(bar)
    assert provider.window.tobytes() == market_features(daily.slice(0, 1_300), schema)[-100:].tobytes()


def test_a_bar_older_than_the_window_needs_changes_nothing(daily: Bars, schema_of: SchemaOf) -> None:
    """What lies beyond the required history is forgotten, so its correction is no news."""
    provider = Ohlcv53Provider(schema_of(daily), daily.slice(0, 900))
    before = provider.window
    provider.revise(moved(daily.at(900 - REQUIRED_HISTORY - 1), 3.0))
    assert provider.window.tobytes() == before.tobytes()
    provider.revise(moved(daily.at(900 - REQUIRED_HISTORY + 200), 3.0))
    assert provider.window.tobytes() != before.tobytes()


@pytest.mark.parametrize("change", [{"close": float("nan")}, {"symbol": "IBM"}, {"high": 1e-9}])
@pytest.mark.parametrize("index", [699, 600, 700])
def test_a_bad_correction_is_refused_and_changes_nothing(
    daily: Bars, schema_of: SchemaOf, index: int, change: dict[str, object]
) -> None:
    """Whether it corrects the newest bar, an older one, or is new."""
    provider = Ohlcv53Provider(schema_of(daily), daily.slice(0, 690))
    provider.extend(daily.slice(690, 700))
    before = provider.window
    with pytest.raises(DataError):
        provider.revise(daily.at(index)._replace(**change))
    assert provider.window.tobytes() == before.tobytes()


HUGE = {"open": 1e308, "high": 1e308, "low": 1e308, "close": 1e308, "volume": 1e300}


@pytest.mark.parametrize(("way", "index"), [("push", 700), ("revise", 699), ("revise", 650)])
def test_numbers_that_overflow_are_refused_and_change_nothing(
    daily: Bars, schema_of: SchemaOf, way: str, index: int
) -> None:
    """The next right bar is taken as if the other had never come."""
    schema = schema_of(daily)
    provider = Ohlcv53Provider(schema, daily.slice(0, 690))
    provider.extend(daily.slice(690, 700))
    before = provider.window
    with np.errstate(all="ignore"), pytest.raises(DataError, match="too far apart"):
        getattr(provider, way)(daily.at(index)._replace(**HUGE))
    assert provider.window.tobytes() == before.tobytes()
    for later in range(700, 760):
        provider.push(daily.at(later))
    assert provider.window.tobytes() == market_features(daily.slice(0, 760), schema)[-100:].tobytes()


def test_prices_of_next_to_nothing_are_refused_as_data(daily: Bars, schema_of: SchemaOf) -> None:
    """A share of such a price is 0: a typed refusal, from streaming as from the whole history."""
    nothing = np.full(500, 5e-324)
    bars = replace(
        daily.slice(0, 500), open=nothing, high=nothing, low=nothing, close=nothing.copy(), volume=np.zeros(500)
    )
    with np.errstate(all="ignore"), pytest.raises(DataError, match="too far apart"):
        market_features(bars, schema_of(bars))
    with pytest.raises(DataError, match="too far apart"):
        rows_streamed(bars, schema_of(bars))


class Plain:
    """A user's provider with nothing but the protocol."""

    def __init__(self, schema: FeatureSchema) -> None:
        self._inner = Ohlcv53Provider(schema)
        self.schema, self.required_history = self._inner.schema, self._inner.required_history
        self.push, self.observe, self.history = self._inner.push, self._inner.observe, self._inner.history

    @property
    def ready(self) -> bool:
        """Return whether the window is full."""
        return self._inner.ready


@pytest.mark.parametrize("index", [650, 700, 701, 100])
def test_a_builder_revises_for_providers_that_cannot(daily: Bars, schema_of: SchemaOf, index: int) -> None:
    """An older, the newest, a new and a long forgotten bar: as if it had been there from the start."""
    schema = schema_of(daily)
    builder = ObservationBuilder(Plain(schema), lambda: Plain(schema))
    assert isinstance(builder.provider, FeatureProvider)
    builder.extend(daily.slice(0, 701))
    bar = moved(daily.at(index), 1.2)
    builder.revise(bar)
    expected = Ohlcv53Provider(schema, daily.slice(0, 701))
    expected.revise(bar)
    account = np.zeros(6, np.float32)
    assert builder.observe(account).tobytes() == expected.observe(account).tobytes()


def test_a_builder_that_cannot_start_over_says_so(daily: Bars, schema_of: SchemaOf) -> None:
    """A provider without `revise`, given without a way to make another, keeps what it has."""
    builder = ObservationBuilder(Plain(schema_of(daily)))
    builder.extend(daily.slice(0, 600))
    before = builder.observe(np.zeros(6, np.float32))
    with pytest.raises(UsageError, match="not new"):
        builder.revise(daily.at(599))
    assert builder.observe(np.zeros(6, np.float32)).tobytes() == before.tobytes()


def test_a_symbol_that_trades_through_the_night_looks_back_on_the_longest_session(
    schema_of: SchemaOf, minutes: Bars
) -> None:
    """A UTC day has 1,440 minutes; session columns see the newest 390, streamed or not."""
    bars = minutes.slice(0, 1_900)
    bars = replace(bars, t=bars.t[0] + np.arange(len(bars)) * 60 * 10**9, calendar="24/7")
    schema = schema_of(bars)
    assert rows_streamed(bars, schema).tobytes() == market_features(bars, schema).tobytes()
