"""Many symbols in one step: what as many providers compute, to the last bit."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import ContractError, DataError
from trader_sdk.decision_streams import DecisionStreams
from trader_sdk.features import (
    MEMORY,
    REQUIRED_HISTORY,
    FeatureProvider,
    FeatureSchema,
    ObservationBuilder,
    Ohlcv53Provider,
    UniverseProvider,
    market_features,
)
from trader_sdk.features.columns import LONGEST_SESSION
from trader_sdk.model import NativeModelWrapper

SchemaOf = Callable[..., FeatureSchema]
Befallen = Callable[..., Bars]

EARLY_CLOSE_DAY = 88_530
GOLDEN = Path(__file__).parents[2] / "compat" / "golden" / "2.3.0" / "checkpoint.pt"


def stretches(
    bars: Bars, befallen: Befallen, count: int, first: int, length: int, *, missing: float = 0.02
) -> list[Bars]:
    """Return symbols of the same minutes with prices of their own, some of them with holes."""
    made = []
    for index in range(count):
        other = (first + 1_000 * index) % (len(bars) - length)
        prices = bars.slice(other, other + length)
        same_time = replace(prices, symbol=f"S{index}", t=bars.t[first : first + length].copy())
        made.append(befallen(same_time, 0, length, missing=missing * (index % 3), silent=0.02, seed=index))
    return made


def by_minute(histories: Iterable[Bars]) -> list[list[Bar]]:
    """Return each minute's bars, in an order that changes."""
    minutes: dict[int, list[Bar]] = {}
    for bars in histories:
        for index in range(len(bars)):
            minutes.setdefault(int(bars.t[index]), []).append(bars.at(index))
    return [each if t % 7 else each[::-1] for t, each in sorted(minutes.items())]


def assert_equal_to_history(universe: UniverseProvider, histories: Sequence[Bars]) -> None:
    """Require every symbol's window to be its own whole history's."""
    for bars in histories:
        expected = market_features(bars, universe.schema)[-100:]
        assert universe.of(bars.symbol).window.tobytes() == expected.tobytes(), bars.symbol


@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_universe_equals_separate_providers(
    minutes: Bars, befallen: Befallen, schema_of: SchemaOf, count: int
) -> None:
    """Over an early close, with missing bars and silent ones; a width of one too."""
    histories = stretches(minutes, befallen, count, EARLY_CLOSE_DAY - 350, 560)
    universe = UniverseProvider(schema_of(minutes), [bars.symbol for bars in histories])
    for each in by_minute(histories):
        universe.push_many(each)
    assert_equal_to_history(universe, histories)


def test_a_universe_of_days_equals_separate_providers(daily: Bars, befallen: Befallen, schema_of: SchemaOf) -> None:
    """Days have no sessions inside; the split is among them."""
    histories = [replace(daily.slice(40 * index, 40 * index + 700), symbol=f"S{index}") for index in range(4)]
    universe = UniverseProvider(schema_of(daily), [bars.symbol for bars in histories])
    universe.extend(histories)
    assert_equal_to_history(universe, histories)


@settings(max_examples=5, deadline=None)
@given(
    first=st.integers(0, 80_000),
    missing=st.sampled_from([0.0, 0.02, 0.3]),
    added=st.integers(REQUIRED_HISTORY - 200, REQUIRED_HISTORY + 30),
    corrected=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 350)), max_size=3),
)
def test_symbols_added_in_mid_session_and_corrected_bars_give_the_same_rows(
    minutes: Bars,
    befallen: Befallen,
    schema_of: SchemaOf,
    first: int,
    missing: float,
    added: int,
    corrected: list[tuple[int, int]],
) -> None:
    """A symbol that joins with its history, and corrections of any age, leave every row what it should be."""
    histories = stretches(minutes, befallen, 4, first, 540, missing=missing)
    joins = next(bars for bars in histories[::-1])
    universe = UniverseProvider(schema_of(minutes), [bars.symbol for bars in histories[:-1]])
    for count, each in enumerate(by_minute(histories)):
        if count == added:
            seen = int(np.searchsorted(joins.t, each[0].t))
            universe.add(joins.symbol).extend(joins.slice(0, seen))
        universe.push_many([bar for bar in each if bar.symbol in universe.symbols])
    for which, ago in corrected:
        bars = histories[which]
        index = len(bars) - ago
        close = bars.close.copy()
        close[index] = bars.low[index]
        histories[which] = replace(bars, close=close)
        universe.revise(histories[which].at(index))
    assert_equal_to_history(universe, histories)


def test_a_universe_grows_beyond_the_room_it_was_made_with(
    minutes: Bars, befallen: Befallen, schema_of: SchemaOf
) -> None:
    """Symbols come one after another; those that were there lose nothing."""
    histories = stretches(minutes, befallen, 7, 5_000, 570)
    universe = UniverseProvider(schema_of(minutes))
    for bars in histories:
        universe.add(bars.symbol)
        universe.start(bars.slice(0, len(bars) - 10))
        for symbol in universe.symbols:
            assert universe.of(symbol).ready
    for each in by_minute([bars.slice(len(bars) - 10, len(bars)) for bars in histories]):
        universe.push_many(each)
    assert_equal_to_history(universe, histories)


def test_a_symbol_of_a_universe_is_a_provider(minutes: Bars, befallen: Befallen, schema_of: SchemaOf) -> None:
    """What observes one model's symbol cannot tell it from a provider of its own."""
    histories = stretches(minutes, befallen, 3, 9_000, 600, missing=0.0)
    schema = schema_of(minutes)
    universe = UniverseProvider(schema, [bars.symbol for bars in histories])
    for bars in histories:
        member = universe.of(bars.symbol)
        assert isinstance(member, FeatureProvider)
        builder, own = ObservationBuilder(member), ObservationBuilder(Ohlcv53Provider(schema))
        account = np.linspace(-1, 1, 6).astype(np.float32)
        for taking in (builder, own):
            taking.extend(bars.slice(0, 560))
            taking.extend(bars.slice(560, 570))
            taking.push(bars.at(570))
            taking.revise(bars.at(571))
            taking.revise(bars.at(300)._replace(close=bars.low[300]))
        assert builder.ready
        assert builder.observe(account).tobytes() == own.observe(account).tobytes()
        assert member.row is not None
        assert member.row.tobytes() == member.window[-1].tobytes()
        assert member.history(bars).tobytes() == market_features(bars, schema).tobytes()
        assert (member.schema, member.required_history) == (schema, REQUIRED_HISTORY)


def test_sessions_of_different_ages_are_kept_apart(minutes: Bars, schema_of: SchemaOf) -> None:
    """A symbol that traded all night and one that began an hour ago see their own session only."""
    length = MEMORY + 60
    times = minutes.t[0] + np.arange(length) * 60 * 10**9
    schema = schema_of(replace(minutes.slice(0, length), t=times, calendar="24/7"))
    histories = []
    for index, gap in enumerate((0, 60, LONGEST_SESSION)):
        bars = replace(minutes.slice(50 * index, 50 * index + length), symbol=f"S{index}", t=times, calendar="24/7")
        late = bars.t + np.where(np.arange(length) >= length - gap, 86_400 * 10**9, 0) if gap else bars.t
        histories.append(replace(bars, t=late))
    universe = UniverseProvider(schema, [bars.symbol for bars in histories])
    universe.extend(histories)
    assert_equal_to_history(universe, histories)


def test_rows_of_a_step_decide_as_separate_models_do(minutes: Bars, befallen: Befallen, schema_of: SchemaOf) -> None:
    """From bars to actions: one step of features, one of decisions, and what each model alone decides."""
    model = NativeModelWrapper(GOLDEN)
    histories = stretches(minutes, befallen, 3, 30_000, 540)
    universe = UniverseProvider(schema_of(minutes, "2.3.0"), [bars.symbol for bars in histories])
    streams = DecisionStreams({bars.symbol: model for bars in histories})
    for each in by_minute(histories):
        rows = universe.push_many(each)
        assert set(rows) <= {bar.symbol for bar in each}
        streams.push(rows)
        streams.prepare()
    decisions = streams.decide()
    assert set(decisions) == set(universe.symbols)
    for symbol in universe.symbols:
        assert decisions[symbol].name == model.decide(universe.of(symbol).observe()).name
    corrected = histories[0].at(len(histories[0]) - 30)
    universe.revise(corrected._replace(close=corrected.low))
    streams.replace("S0", universe.of("S0").window)
    assert streams.decide()["S0"].name == model.decide(universe.of("S0").observe()).name


@pytest.fixture
def universe(minutes: Bars, befallen: Befallen, schema_of: SchemaOf) -> UniverseProvider:
    """Return three symbols that are ready."""
    made = UniverseProvider(schema_of(minutes), ["S0", "S1", "S2"])
    for bars in stretches(minutes, befallen, 3, 20_000, 500, missing=0.0):
        made.start(bars)
    return made


HUGE = {"open": 1e308, "high": 1e308, "low": 1e308, "close": 1e308, "volume": 1e300}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"close": float("nan")}, "not a positive number"),
        ({"low": 0.0}, "not a positive number"),
        ({"volume": float("inf")}, "volume"),
        ({"high": 1e-9}, "outside low"),
        ({"t": 0}, "not newer"),
        ({"symbol": "S9"}, "does not hold"),
        ({"symbol": "S0"}, "two bars of one symbol"),
        (HUGE, "too far apart"),
    ],
)
def test_one_bad_bar_refuses_the_step_and_changes_nothing(
    universe: UniverseProvider, minutes: Bars, befallen: Befallen, change: dict[str, object], words: str
) -> None:
    """The message names its symbol; after the refusal the right bars are taken as if nothing had happened."""
    histories = stretches(minutes, befallen, 3, 20_000, 510, missing=0.0)
    newest = [bars.at(500) for bars in histories]
    before = [universe.of(symbol).window.tobytes() for symbol in universe.symbols]
    with pytest.raises(DataError, match=words) as caught:
        universe.push_many([newest[0], newest[1]._replace(**change), newest[2]])
    assert change.get("symbol", "S1") in str(caught.value) or words.startswith("two")
    assert [universe.of(symbol).window.tobytes() for symbol in universe.symbols] == before
    for index in range(500, 510):
        universe.push_many([bars.at(index) for bars in histories])
    assert_equal_to_history(universe, histories)


def test_a_bad_correction_changes_nothing(universe: UniverseProvider, minutes: Bars, befallen: Befallen) -> None:
    """Neither of the symbol nor of the others."""
    bar = stretches(minutes, befallen, 1, 20_000, 500, missing=0.0)[0].at(450)
    before = [universe.of(symbol).window.tobytes() for symbol in universe.symbols]
    with np.errstate(all="ignore"):
        for change in (HUGE, {"close": -1.0}):
            with pytest.raises(DataError):
                universe.revise(bar._replace(**change))
    universe.revise(bar._replace(t=0))  # too old to matter
    assert [universe.of(symbol).window.tobytes() for symbol in universe.symbols] == before


def test_a_symbol_takes_its_own_bars_only(universe: UniverseProvider, minutes: Bars, befallen: Befallen) -> None:
    """A bar that went to the wrong symbol is refused there, and no symbol is held twice."""
    other = stretches(minutes, befallen, 2, 20_000, 510, missing=0.0)[1]
    member = universe.of("S0")
    for take in (lambda: member.push(other.at(500)), lambda: member.revise(other.at(3)), lambda: member.extend(other)):
        with pytest.raises(DataError, match="another symbol"):
            take()
    with pytest.raises(DataError, match="already"):
        universe.add("S0")
    with pytest.raises(DataError, match="does not hold"):
        universe.of("S9")


def test_an_empty_step_is_nothing(universe: UniverseProvider, minutes: Bars) -> None:
    """No bar of any symbol, and a start from no bars."""
    before = universe.of("S0").window.tobytes()
    universe.push_many([])
    universe.start(replace(minutes.slice(0, 0), symbol="S0"))
    assert universe.of("S0").window.tobytes() == before


def test_columns_of_another_release_are_refused(daily: Bars, schema_of: SchemaOf) -> None:
    """As a provider of one symbol would."""
    schema = schema_of(daily)
    with pytest.raises(ContractError, match="E309"):
        UniverseProvider(schema.model_copy(update={"versions": (2, *schema.versions[1:])}))


@pytest.mark.parametrize("width", [2, 3, 8, 17, 500])
def test_sums_down_the_symbols_add_from_the_newest_bar_on(width: int) -> None:
    """numpy adds whole rows in order: the order of the whole history, on which equal bits rest."""
    chance = np.random.default_rng(width)
    values = chance.normal(size=(400, width)) * 10.0 ** chance.integers(-9, 9, size=(400, width))
    rows = values[37:287]
    expected = rows[0].copy()
    for row in rows[1:]:
        expected += row
    assert np.add.reduce(rows, axis=0).tobytes() == expected.tobytes()
