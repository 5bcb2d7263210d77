"""One vocabulary in three forms, equal in float64: float32 rows would hide most differences in the last bits."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features import MEMORY
from trader_sdk.features.across import Across, SymbolsRing
from trader_sdk.features.arithmetic import ArrayArithmetic, FloatArithmetic
from trader_sdk.features.depth import asked_depths, ring_depths
from trader_sdk.features.formulas import exponential_weights
from trader_sdk.features.lookback import History, Latest, Lookback
from trader_sdk.features.streaming import SeriesRing

LENGTH, AGE = 420, 37
WEIGHTS = exponential_weights(0.2, 140)
WORDS: dict[str, Callable[[Lookback], object]] = {
    "now": lambda back: back.now("x", 7),
    "total": lambda back: back.total("x", 200),
    "short total after a long one": lambda back: (back.total("x", 100), back.total("x", 14))[1],
    "long total after a short one": lambda back: (back.total("x", 14), back.total("x", 390))[1],
    "highest": lambda back: back.highest("x", 14),
    "lowest": lambda back: back.lowest("x", 14),
    "since_highest": lambda back: back.since_highest("tied", 25),
    "since_lowest": lambda back: back.since_lowest("tied", 25),
    "weighted": lambda back: back.weighted("x", WEIGHTS),
    "spread mean": lambda back: back.spread("x", 50)[0],
    "spread square": lambda back: back.spread("x", 100)[1],
    "deviation mean": lambda back: back.absolute_deviation("x", 20)[0],
    "deviation": lambda back: back.absolute_deviation("x", 20)[1],
    "session_first": lambda back: back.session_first("x"),
    "session_total": lambda back: back.session_total("x"),
    "session_highest": lambda back: back.session_highest("x"),
    "session_lowest": lambda back: back.session_lowest("x"),
}


def series_of(seed: int) -> dict[str, np.ndarray]:
    """Return numbers of very different sizes, so that the order of adding shows, and others that tie."""
    chance = np.random.default_rng(seed)
    sizes = 10.0 ** chance.integers(-6, 6, LENGTH)
    return {
        "x": chance.normal(size=LENGTH) * sizes,
        "tied": chance.integers(0, 4, LENGTH).astype(np.float64),
        "session_age": np.minimum(np.arange(LENGTH), AGE + seed % 3).astype(np.float64),
    }


def latest_of(series: dict[str, np.ndarray]) -> Latest:
    """Return the view of one symbol's newest bar."""
    ring = SeriesRing(tuple(series))
    for index in range(LENGTH):
        ring.offer({name: float(values[index]) for name, values in series.items()})
        if index < LENGTH - 1:
            ring.keep()
    return Latest({name: float(values[-1]) for name, values in series.items()}, ring.recent)


def across_of(each: list[dict[str, np.ndarray]]) -> Across:
    """Return the view of many symbols' newest bars."""
    now = {name: np.array([series[name][-1] for series in each]) for name in each[0]}
    rings = {name: SymbolsRing(MEMORY + 1, len(each)) for name in now}
    for index in range(LENGTH):
        for name, ring in rings.items():
            ring.offer(np.array([series[name][index] for series in each]))
            if index < LENGTH - 1:
                ring.keep(np.array([], np.intp))
    return Across(now, rings)


@pytest.mark.parametrize("word", list(WORDS))
def test_three_forms_of_a_word_give_one_float64(word: str) -> None:
    """A history, one newest bar, and many newest bars."""
    each = [series_of(seed) for seed in range(5)]
    across = np.asarray(WORDS[word](across_of(each)))
    for column, series in enumerate(each):
        history = np.asarray(WORDS[word](History(series, MEMORY)))[-1]
        latest = WORDS[word](latest_of(series))
        assert isinstance(latest, float)
        assert latest.hex() == float(history).hex() == float(across[column]).hex()


NUMBERS = [0.0, -0.0, 1.5, -2.0, 1e-300, 3e200, float("inf"), float("nan")]


@pytest.mark.parametrize("name", ["larger", "smaller"])
@pytest.mark.parametrize("other", [0.0, 1e-9, -2.0, 3e200])
def test_the_larger_and_smaller_of_floats_are_those_of_arrays(name: str, other: float) -> None:
    """Not a number stays so, and of two zeros the same one is taken."""
    arrays, floats = getattr(ArrayArithmetic(), name), getattr(FloatArithmetic(), name)
    for value in NUMBERS:
        expected = arrays(np.full(16, value), other)
        assert np.float64(floats(value, other)).tobytes() == expected[3].tobytes() == expected[15].tobytes()


@settings(max_examples=60, deadline=None)
@given(value=st.floats(1e-12, 1e12))
def test_functions_of_floats_are_those_of_arrays(value: float) -> None:
    """Wherever in an array a number stands, and alone."""
    for name in ("log", "root", "sine", "cosine"):
        among = getattr(ArrayArithmetic(), name)(np.full(11, value))
        assert {float(each).hex() for each in among} == {getattr(FloatArithmetic(), name)(value).hex()}


def test_a_choice_between_floats_is_that_between_arrays() -> None:
    """Both branches are given; one is taken."""
    assert FloatArithmetic().where(True, 1.0, 2.0) == float(ArrayArithmetic().where(np.True_, 1.0, 2.0)) == 1.0
    assert FloatArithmetic().where(False, 1.0, 2.0) == float(ArrayArithmetic().where(np.False_, 1.0, 2.0)) == 2.0


@settings(max_examples=25, deadline=None)
@given(drops=st.lists(st.integers(0, 1_600), max_size=40))
def test_a_ring_remembers_what_was_kept(drops: list[int]) -> None:
    """Values that were taken back leave no trace, at the seams too."""
    ring, kept = SeriesRing(("x",)), [0.0] * (MEMORY + 1)
    for step in range(1_600):
        ring.offer({"x": float(step)})
        kept.append(float(step))
        if step % 97 == 0 or step in drops:
            np.testing.assert_array_equal(ring.recent("x", MEMORY + 1), kept[: -MEMORY - 2 : -1])
        ring.keep()
        if step in drops:
            ring.drop()
            kept.pop()


@settings(max_examples=25, deadline=None)
@given(absent=st.lists(st.lists(st.integers(0, 2), max_size=3, unique=True), min_size=150, max_size=150))
def test_a_ring_of_symbols_keeps_the_past_of_those_that_are_absent(absent: list[list[int]]) -> None:
    """Each symbol's newest values are those of its own bars."""
    depth = 20
    ring, kept = SymbolsRing(depth, 3, (2,)), [[0.0] * depth for _ in range(3)]
    for step, missing in enumerate(absent):
        ring.offer(np.full((2, 3), float(step)))
        for column in range(3):
            expected = [float(step), *kept[column][:-depth:-1]]
            np.testing.assert_array_equal(ring.recent(depth)[:, 0, column], expected)
            if column not in missing:
                kept[column].append(float(step))
        ring.keep(np.array(missing, np.intp))


def test_rings_are_as_deep_as_the_formulas_ask() -> None:
    """Days have no sessions to look back on; a lag counts the current bar too."""
    minutes, days = ring_depths(Timeframe.MIN_1), ring_depths(Timeframe.DAY_1)
    assert max(minutes.values()) == MEMORY + 1
    assert max(days.values()) <= 280
    assert set(days) < set(minutes)
    assert asked_depths([lambda back: back.now("x", 3) + back.total("y", 9)]) == {"x": 4, "y": 9}
