"""The environment: money, time, and what an episode is."""

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.spec import MODEL_SPECS
from training.env import INITIAL_EQUITY, TradingEnvs
from training.market import Market

MarketMaker = Callable[..., Market]
EnvMaker = Callable[..., TradingEnvs]

BUY_75, SELL_75 = 3, 6


def sleeve_state(envs: TradingEnvs) -> tuple[np.ndarray, np.ndarray]:
    """Return cash and shares."""
    return envs.sleeves.cash.copy(), envs.sleeves.shares.copy()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), version=st.sampled_from(sorted(MODEL_SPECS)))
def test_money_is_conserved_at_every_step(make_envs: EnvMaker, seed: int, version: str) -> None:
    """Equity moves by market gains less costs, and cash plus market value is equity, whatever is done."""
    spec = MODEL_SPECS[version]
    envs = make_envs(spec=spec, rng=np.random.default_rng(seed))
    actions = np.random.default_rng(seed + 1).integers(0, spec.n_actions, (80, envs.num_envs))
    prices, costs = envs.market.prices, float(envs.costs.side_fraction)
    for row in actions:
        now = envs.rows
        cash, shares = sleeve_state(envs)
        equity = cash + shares * prices.close[now]
        result = envs.step(row)
        if (result.terminated | result.truncated).any():
            continue
        new_cash, new_shares = sleeve_state(envs)
        traded = np.abs(new_shares - shares) * prices.open[now + 1]
        overnight = shares * (prices.open[now + 1] - prices.close[now])
        day = new_shares * (prices.close[now + 1] - prices.open[now + 1])
        expected = equity + overnight + day - costs * traded
        assert new_cash + new_shares * prices.close[now + 1] == pytest.approx(expected, rel=1e-12)
        assert np.log(expected / equity) / envs.reward_unit == pytest.approx(result.rewards, abs=1e-9)


def test_round_trip_at_an_unchanged_price_costs_exactly_the_costs(
    make_market: MarketMaker, make_envs: EnvMaker
) -> None:
    """Bought and sold at 100: what is missing is both sides' fraction of what was traded."""
    envs = make_envs(make_market(np.full(300, 100.0)), block=range(99, 300), episode_bars=100)
    flat = envs.sleeves.shares == 0
    everyone = np.ones(envs.num_envs, dtype=np.int64)
    envs.step(everyone * BUY_75)
    bought = envs.sleeves.shares * 100.0
    envs.step(everyone * SELL_75)
    left = envs.sleeves.shares * 100.0
    lost = INITIAL_EQUITY - envs.equity()
    expected = float(envs.costs.side_fraction) * (bought + (bought - left))
    assert flat.any()
    assert lost[flat] == pytest.approx(expected[flat], rel=1e-10)  # a difference of two equities
    assert bought[flat] == pytest.approx(0.7 * 0.15 * 0.75 * INITIAL_EQUITY)


def test_what_happened_does_not_change_when_the_future_does(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """Every price from bar 200 on is raised by half: what was earned and seen before stays the same to the bit."""
    market = make_market()
    factor = np.where(np.arange(len(market.features)) >= 200, 1.5, 1.0)
    raised = make_market(market.prices.close * factor, market.prices.open * factor)
    seen = [_first_forty_steps(make_envs(each, episode_bars=600)) for each in (market, raised)]
    assert (seen[0] == seen[1]).all()


def _first_forty_steps(envs: TradingEnvs) -> np.ndarray:
    envs.bar[:] = [110, 150]
    envs.sleeves.reset(np.ones(envs.num_envs, dtype=np.bool_), np.full(envs.num_envs, INITIAL_EQUITY))
    envs.age[:] = 0
    actions = np.random.default_rng(3).integers(0, 7, (40, envs.num_envs))
    seen = []
    for row in actions:
        envs.step(row)
        seen.append(np.column_stack([envs.observe().account, envs.equity()]))
    return np.array(seen)


def test_a_decision_fills_at_the_next_open(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """Bought on the close of t, paid at the open of t+1 with spread and slippage in the price."""
    envs = make_envs()
    cash, shares = sleeve_state(envs)
    now, prices = envs.rows, envs.market.prices
    envs.step(np.full(envs.num_envs, BUY_75))
    bought = envs.sleeves.shares - shares
    fill_price = prices.open[now + 1] * (1 + float(envs.costs.price_fraction))
    assert (bought > 0).any()
    assert envs.sleeves.cash == pytest.approx(cash - bought * fill_price)


def test_half_of_the_episodes_start_with_a_random_position(make_envs: EnvMaker) -> None:
    """Of 400 fresh sleeves about half hold something, within the cap, at their full equity."""
    envs = make_envs(num_envs=400)
    weight = envs.sleeves.position_value(envs.market.prices.close[envs.rows]) / INITIAL_EQUITY
    assert 150 < (weight > 0).sum() < 250
    assert weight.max() <= 0.20
    assert envs.equity() == pytest.approx(INITIAL_EQUITY)


def test_half_of_the_sleeves_start_with_a_past(make_envs: EnvMaker) -> None:
    """Their account columns take values that only an old sleeve has; equity itself is the same for all."""
    envs = make_envs(num_envs=400)
    account = envs.observe().account
    old = envs.sleeves.closed > 0
    assert 150 < old.sum() < 250
    assert account[old, 0].min() < -0.5
    assert account[old, 0].max() > 0.99
    assert (account[~old][:, [0, 2]] == 0).all()


def test_an_episode_is_truncated_after_its_bars_and_starts_elsewhere(make_envs: EnvMaker) -> None:
    """The group of one bar is cut together; nobody terminated; the final observation is of the last bar."""
    envs = make_envs()
    age = envs.age.copy()
    hold = np.zeros(envs.num_envs, dtype=np.int64)
    for _ in range(64 - age[0] - 1):
        envs.step(hold)
    last = envs.bar[0]
    result = envs.step(hold)
    assert result.truncated[:4].all()
    assert not result.terminated.any()
    assert result.final.rows[0] == last + 1
    assert envs.age[0] == 0


def test_a_ruined_environment_terminates_alone(make_market: MarketMaker, make_envs: EnvMaker) -> None:
    """The price collapses by 99.9 %: who held everything terminates, is not truncated and goes on flat."""
    close = np.where(np.arange(400) < 151, 100.0, 0.1)
    limits = ExecutionLimits(Decimal(0), Decimal(1), Decimal(1))
    envs = make_envs(make_market(close), block=range(99, 400), limits=limits, episode_bars=200)
    envs.bar[:], envs.age[:] = 148, 0
    envs.sleeves.reset(np.ones(8, dtype=np.bool_), np.full(8, INITIAL_EQUITY))
    results = [envs.step(np.array([BUY_75, 0] * 4)) for _ in range(3)]
    assert [result.terminated.tolist() for result in results] == [[False] * 8, [False] * 8, [True, False] * 4]
    assert not any(result.truncated.any() for result in results)
    assert np.isfinite(results[-1].rewards).all()
    assert (envs.bar == 151).all()


def test_environments_never_stand_outside_their_block(make_envs: EnvMaker) -> None:
    """Two thousand steps with every restart among them stay inside, and the next open exists."""
    envs = make_envs(block=range(300, 420))
    for _ in range(2000):
        envs.step(np.zeros(envs.num_envs, dtype=np.int64))
        assert envs.bar.min() >= 300
        assert envs.bar.max() < 419


def test_same_seed_gives_the_same_episodes_and_another_seed_others(make_envs: EnvMaker) -> None:
    """Starts and positions come from the given generator alone."""
    first, second, other = (make_envs(rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.bar == second.bar).all()
    assert (first.sleeves.shares == second.sleeves.shares).all()
    assert (first.bar != other.bar).any()


@pytest.mark.parametrize("block", [range(50, 400), range(99, 900), range(99, 101)])
def test_envs_refuse_a_block_they_cannot_stand_on(make_envs: EnvMaker, block: range) -> None:
    """Before the first full window, past the data, or too short."""
    with pytest.raises(DataError):
        make_envs(block=block)


def test_rewards_have_the_size_of_one(make_envs: EnvMaker) -> None:
    """A full position's returns deviate by about one unit."""
    envs = make_envs(costs=cost_model("us_equity@1"))
    rewards = [envs.step(np.full(envs.num_envs, BUY_75)).rewards for _ in range(300)]
    assert 0.5 < np.std(rewards[50:]) < 2.0
