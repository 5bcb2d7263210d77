"""Which bars are believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.bars import Bar
from trader_sdk.live.plausible import LEAST_JUMP, PriceLevel, misshapen

GOOD = Bar("SIM", 0, 10.0, 10.5, 9.5, 10.0, 100.0)


def level(sigma: float, count: int = 100) -> PriceLevel:
    """Return a level around 10 whose moves have a standard deviation of about ``sigma``."""
    moves = np.random.default_rng(1).normal(0, sigma, count)
    made = PriceLevel()
    for close in (*(10 * np.exp(np.cumsum(moves))), 10.0):
        made.note(GOOD._replace(close=float(close)))
    return made


@pytest.mark.parametrize(
    "bar",
    [
        GOOD._replace(close=float("nan")),
        GOOD._replace(open=0.0),
        GOOD._replace(low=-1.0),
        GOOD._replace(high=float("inf")),
        GOOD._replace(high=9.0, low=10.0),
        GOOD._replace(close=11.0),
        GOOD._replace(volume=0.0),
        GOOD._replace(volume=float("nan")),
    ],
)
def test_bar_that_no_market_prints_is_named(bar: Bar) -> None:
    """NaN, zero, negative, infinite, crossed, outside its range, without a trade."""
    assert misshapen(bar) is not None
    assert misshapen(GOOD) is None


@pytest.mark.parametrize(
    ("sigma", "close", "is_believed"),
    [
        (0.001, 10.9, True),  # below the least jump, however quiet the market was
        (0.001, 11.5, False),
        (0.001, 8.7, False),
        (0.02, 13.0, True),  # this market moves two percent a bar
        (0.02, 16.0, False),
    ],
)
def test_jump_is_measured_by_what_the_market_does(sigma: float, close: float, is_believed: bool) -> None:
    """Twenty standard deviations of the latest moves, and never less than ten percent."""
    bar = Bar("SIM", 1, close, close, close, close, 1.0)
    assert (level(sigma).doubt(bar) is None) is is_believed


def test_first_bar_is_believed_and_the_second_may_at_most_double() -> None:
    """Without a past there is nothing to compare with; with a short one there is no deviation to measure by."""
    made = PriceLevel()
    assert made.doubt(GOOD) is None
    made.note(GOOD)
    assert made.doubt(GOOD._replace(open=19.0, high=19.0, close=19.0)) is None
    assert made.doubt(GOOD._replace(open=21.0, high=21.0, close=21.0)) is not None


@given(st.floats(min_value=-LEAST_JUMP * 0.99, max_value=LEAST_JUMP * 0.99))
def test_small_move_is_never_doubted(move: float) -> None:
    """No market is so quiet that a move below the least jump is a fault of the data."""
    close = 10.0 * float(np.exp(move))
    assert level(1e-6).doubt(Bar("SIM", 1, close, close, close, close, 1.0)) is None


def test_bar_is_judged_anew_when_another_was_believed() -> None:
    """A bar is judged once however often it is asked about, until the level it is compared with moves."""
    made, far = level(0.001), Bar("SIM", 1, 11.5, 11.5, 11.5, 11.5, 1.0)
    assert made.doubt(far) == made.doubt(far) == "the price jumped from 10 to 11.5"
    made.note(GOOD._replace(close=11.4))
    assert made.doubt(far) is None
