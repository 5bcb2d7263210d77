"""One sleeve in Python's numbers against many in arrays: the same decisions, the same money."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trader_sdk.archive.lone_sleeve import LoneSleeve, columns_buffer
from trader_sdk.archive.walk import ActionTable, Prices, Track, Turn, Walk, fill_decisions, walk_tracks
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.sleeve import SleeveArray
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.engine.dense import DensePolicy

DAY_SECONDS = 86_400
BARS = 700


def _policy(n_account: int, n_actions: int, *, account_weight: float, seed: int = 0) -> DensePolicy:
    rng = np.random.default_rng(seed)
    width = 53 + n_account
    first = rng.normal(0, 0.01, (24, 100, width))
    first[:, :, 53:] = rng.normal(0, account_weight / 100, (24, 1, n_account))
    layers = [(first.reshape(24, -1), rng.normal(0, 0.1, 24))]
    layers += [(rng.normal(0, 0.4, (12, 24)), rng.normal(0, 0.1, 12))]
    layers += [(rng.normal(0, 1.0, (n_actions, 12)), rng.normal(0, 0.3, n_actions))]
    return DensePolicy([(w.astype(np.float32), b.astype(np.float32)) for w, b in layers], "tanh")


class Hidden:
    """A policy whose class is not known to the engines: what is not known is walked side by side, densely."""

    def __init__(self, policy: DensePolicy) -> None:
        self.market_sums, self.logits_from_sums = policy.market_sums, policy.logits_from_sums


def _market(seed: int, bars: int = BARS) -> tuple[NDArray[np.float32], Prices]:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, bars)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.02, bars))
    days = np.arange(bars) + np.arange(bars) // 5 * 2
    prices = Prices(days * DAY_SECONDS * 10**9, opens, close, DAY_SECONDS, rng.random(bars) > 0.1)
    return rng.normal(size=(bars, 53)).astype(np.float32), prices


def _same(alone: Walk, together: Walk) -> None:
    assert alone.actions.tolist() == together.actions.tolist()
    np.testing.assert_allclose(alone.equity, together.equity, rtol=1e-12)
    np.testing.assert_allclose(alone.position_weight, together.position_weight, rtol=1e-12, atol=1e-15)
    for name in ("weight", "cost", "market_return", "trades"):
        ours, theirs = getattr(alone.ledger, name), getattr(together.ledger, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("allow_short", [False, True])
@pytest.mark.parametrize("costs", ["us_equity@1", "crypto@1"])
@pytest.mark.parametrize("version", ["2.3.0", "2.4.0", "2.7.0"])
def test_lone_walk_is_the_walk_side_by_side(version: str, costs: str, allow_short: bool) -> None:
    """Every version's account columns and actions, with and without shorts, over weekends and unasked bars."""
    spec = MODEL_SPECS[version]
    policy = _policy(spec.n_account, spec.n_actions, account_weight=1.5)
    market, prices = _market(seed=11)
    tracks = [Track(market, prices, window) for window in (range(99, 350), range(400, 651))]
    arguments: dict[str, Any] = {"costs": cost_model(costs), "limits": ExecutionLimits(allow_short=allow_short)}
    alone = walk_tracks(policy, spec, tracks, **arguments)
    together = walk_tracks(Hidden(policy), spec, tracks, **arguments)
    assert len(np.unique(alone[0].actions)) > 2
    for one, other in zip(alone, together, strict=True):
        _same(one, other)


def test_walk_of_a_long_history_is_that_of_the_dense_policy() -> None:
    """Past the length from which the first layer is filtered, block after block, nothing is decided otherwise."""
    spec = MODEL_SPECS["2.7.0"]
    policy = _policy(6, 7, account_weight=1.5)
    market, prices = _market(seed=12, bars=99 + 24 * 413 + 50)
    track = Track(market, prices, range(99, len(market)))
    costs = cost_model("us_equity@1")
    (alone,) = walk_tracks(policy, spec, [track], costs=costs)
    (together,) = walk_tracks(Hidden(policy), spec, [track], costs=costs)
    assert len(np.unique(alone.actions)) > 2
    _same(alone, together)


@pytest.mark.parametrize("symbols", [7, 66])
def test_universe_walks_each_symbol_as_alone(symbols: int) -> None:
    """Symbols of one length side by side, in groups: each walk is its own, in the order that was asked for."""
    spec = MODEL_SPECS["2.7.0"]
    policy = _policy(6, 7, account_weight=1.5)
    tracks = [Track(*_market(seed, bars=160), range(99, 160)) for seed in range(symbols)]
    costs = cost_model("us_equity@1")
    universe = walk_tracks(policy, spec, tracks, costs=costs)
    assert len(universe) == symbols
    for index in range(0, symbols, 5):
        (alone,) = walk_tracks(policy, spec, [tracks[index]], costs=costs)
        _same(alone, universe[index])


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.floats(0.5, 1.6), st.floats(0.7, 1.4)), min_size=1, max_size=40),
    allow_short=st.booleans(),
    costs=st.sampled_from(["us_equity@1", "crypto@1"]),
)
def test_lone_sleeve_is_an_array_of_one(steps: list[tuple[int, float, float]], allow_short: bool, costs: str) -> None:
    """Any actions at any prices: cash, shares, trades and account columns are those of the contract's arrays."""
    spec, limits, model = MODEL_SPECS["2.7.0"], ExecutionLimits(allow_short=allow_short), cost_model(costs)
    lone, array = LoneSleeve(10_000.0, model, limits), SleeveArray.start(np.full(1, 10_000.0))
    account = np.zeros(6, np.float32)
    price = 100.0
    for action, gap, drift in steps:
        opened = price * gap
        _check_fill(lone, array, spec, action, price, opened, model, limits)
        price = opened * drift
        array.mark(np.array([price]))
        lone.peak = max(lone.peak, lone.cash + lone.shares * price)
        lone.write_columns(price, columns_buffer(account), 6)
        np.testing.assert_allclose(account, array.columns(np.array([price]), 6)[0], rtol=3e-7, atol=1e-7)


def _check_fill(
    lone: LoneSleeve, array: SleeveArray, spec: Any, action: int, price: float, opened: float, model: Any, limits: Any
) -> None:
    meaning, position = spec.actions[action], lone.shares * price
    target = position
    if meaning.direction:
        target = lone.target(meaning.direction, meaning.size, lone.cash + position, position)
    borrow = lone.pay_borrow(opened, 0.01)
    cost, net = lone.fill((target - position) / price, opened)
    turn = Turn(np.array([price]), np.array([opened]), np.array([0.01]), None)
    fills = fill_decisions(array, np.array([action]), ActionTable.of(spec), turn, model, limits)
    assert (lone.cash, lone.shares) == (array.cash[0], array.shares[0])
    assert (lone.wins, lone.closed) == (array.wins[0], array.closed[0])
    assert cost + borrow == fills.cost[0]
    assert net is None if np.isnan(fills.closed_trade_net[0]) else net == fills.closed_trade_net[0]
