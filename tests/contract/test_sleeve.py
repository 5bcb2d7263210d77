"""Sleeves: money is conserved, trades run from flat to flat, columns are as defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.sleeve import SleeveArray

COSTS = cost_model("us_equity@1")
CRYPTO = cost_model("crypto@1")
prices = st.floats(1.0, 1000.0)


@given(path=st.lists(st.tuples(prices, st.floats(-50, 50)), min_size=1, max_size=20))
def test_sleeve_conserves_money_at_every_fill(path: list[tuple[float, float]]) -> None:
    """Equity before a fill is equity after it plus the fill's cost, at the fill's reference price."""
    for model in (COSTS, CRYPTO):
        sleeve = SleeveArray.start(np.array([10_000.0]))
        for price, delta in path:
            at = np.array([price])
            before = sleeve.equity(at)
            fills = sleeve.fill(np.array([delta]), at, model)
            assert sleeve.equity(at) + fills.cost == pytest.approx(before, rel=1e-12, abs=1e-7)
            assert fills.cost >= 0


def test_sleeve_round_trip_at_an_unchanged_price_costs_exactly_the_costs() -> None:
    """Ten shares at 100 and back lose two sides of 2.5 bps and count as one losing trade."""
    sleeve = SleeveArray.start(np.array([10_000.0]))
    price = np.array([100.0])
    sleeve.fill(np.array([10.0]), price, COSTS)
    fills = sleeve.fill(np.array([-10.0]), price, COSTS)
    assert sleeve.cash[0] == pytest.approx(10_000 - 2 * 1_000 * 0.00025)
    assert fills.closed_trade_net[0] == pytest.approx(-0.5)
    assert (sleeve.closed[0], sleeve.wins[0], sleeve.shares[0]) == (1, 0, 0.0)


def test_sleeve_columns_follow_their_definitions() -> None:
    """One winning trade, then a position of a tenth of equity below its peak."""
    sleeve = SleeveArray.start(np.array([1_000.0]))
    sleeve.fill(np.array([1.0]), np.array([100.0]), COSTS)
    sleeve.fill(np.array([-1.0]), np.array([200.0]), COSTS)
    sleeve.mark(np.array([200.0]))
    sleeve.fill(np.array([1.0]), np.array([150.0]), COSTS)
    price = np.array([100.0])
    equity = sleeve.equity(price)[0]
    columns = sleeve.columns(price, 6)[0]
    assert columns == pytest.approx(
        [
            np.tanh(10 * (equity - 1000) / 1000),
            1.0,
            (sleeve.peak[0] - equity) / sleeve.peak[0],
            100 / equity / 0.2,
            sleeve.cash[0] / equity - 0.3,
            np.log10(equity / 1000),
        ],
        rel=1e-6,
    )
    assert sleeve.columns(price, 3).shape == (1, 3)
    assert sleeve.columns(price, 0).shape == (1, 0)


def test_sleeve_columns_stay_finite_when_everything_is_lost() -> None:
    """A short that ruined its sleeve gives clipped columns, no NaN."""
    sleeve = SleeveArray.start(np.array([1_000.0]))
    sleeve.fill(np.array([-9.0]), np.array([100.0]), COSTS)
    assert np.isfinite(sleeve.columns(np.array([1_000.0]), 6)).all()


def test_sleeve_reset_restarts_only_the_chosen_ones() -> None:
    """An episode that ended does not disturb its neighbours."""
    sleeve = SleeveArray.start(np.array([1_000.0, 1_000.0]))
    sleeve.fill(np.array([1.0, 2.0]), np.array([100.0, 100.0]), COSTS)
    sleeve.reset(np.array([True, False]), np.array([500.0, 500.0]))
    assert sleeve.shares.tolist() == [0.0, 2.0]
    assert sleeve.initial.tolist() == [500.0, 1_000.0]


def test_sleeve_borrow_is_charged_to_shorts_only() -> None:
    """A year of borrow on a short of 1000 costs 50 bps; a long pays nothing."""
    sleeve = SleeveArray.start(np.array([10_000.0, 10_000.0]))
    price = np.array([100.0, 100.0])
    sleeve.fill(np.array([-10.0, 10.0]), price, COSTS)
    assert sleeve.pay_borrow(price, COSTS, 1.0).tolist() == pytest.approx([5.0, 0.0])
