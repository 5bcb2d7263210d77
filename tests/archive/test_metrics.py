"""The metric set: hand-computed cases, properties, and simulations of noise and of an edge."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.archive.blocks import equal_windows, split_blocks
from trader_sdk.archive.evidence import Circumstances, judge
from trader_sdk.archive.folds import N_FOLDS, fold_returns, scaled_sharpe, tier_of
from trader_sdk.archive.gate import METRICS, Tier
from trader_sdk.archive.ledger import Ledger, holdings
from trader_sdk.archive.metrics import (
    HouseMetrics,
    clamped_drawdown,
    conditional_value_at_risk,
    drawdown,
    equity_of,
    fitness,
    gate_final,
    house_metrics,
    min_active_windows,
    profit_factor,
    required_t,
    sortino,
    turnover,
)
from trader_sdk.archive.policy import HOUSE_POLICY
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import ConfigError, DataError
from trader_sdk.contract.summary import GateBlock

ROUND_TRIP = 0.0005


def ledger(weight, market, cost=0.0, trades=(), first: int = 0) -> Ledger:
    weight = np.asarray(weight, dtype=np.float64)
    return Ledger(
        weight=weight,
        market_return=np.broadcast_to(np.asarray(market, dtype=np.float64), weight.shape).copy(),
        cost=np.broadcast_to(np.asarray(cost, dtype=np.float64), weight.shape).copy(),
        trades=np.asarray(trades, dtype=np.float64),
        start_at=first + np.arange(len(weight), dtype=np.int64),
    )


def walked(sides: np.ndarray, market: np.ndarray, first: int, size: float = 0.2) -> Ledger:
    """Return the ledger of holding ``size`` on some side, half the round trip a fill, flat at the end."""
    weight = sides * size
    change = np.abs(np.diff(weight, prepend=0.0))
    cost = change * ROUND_TRIP / 2
    cost[-1] += abs(weight[-1]) * ROUND_TRIP / 2
    net = weight * market - cost
    trades = [float(net[a : b + 1].sum()) for a, b in holdings(weight)]
    return ledger(weight, market, cost, trades, first)


def judged(metrics: HouseMetrics):
    values = {name: getattr(metrics, name) for name in METRICS}
    circumstances = Circumstances("house@1", "equity", 0.001, metrics.n_trials, DataKind.REAL)
    return judge(values, GateBlock.model_validate(gate_final(metrics)), circumstances, HOUSE_POLICY)


def test_ledger_gives_net_and_excess_returns() -> None:
    """r = w R - cost, and x with the market's mean taken out of what was held."""
    one = ledger([0.0, 0.2, 0.2], [0.01, 0.03, -0.01], [0.0, 0.001, 0.0])
    assert one.net_return == pytest.approx([0.0, 0.005, -0.002])
    assert one.excess_return(0.01) == pytest.approx([0.0, 0.003, -0.004])


@pytest.mark.parametrize(
    "change",
    [
        {"cost": np.array([0.0, -0.1])},
        {"market_return": np.array([0.0, math.nan])},
        {"trades": np.array([math.inf])},
        {"weight": np.array([0.1])},
        {"start_at": np.array([1, 1], dtype=np.int64)},
    ],
)
def test_ledger_is_refused_when_it_cannot_be(change: dict) -> None:
    """Numbers that are no ledger never become metrics."""
    with pytest.raises(DataError):
        replace(ledger([0.1, 0.1], 0.0), **change)


def test_holdings_run_from_flat_to_flat_with_the_bar_that_pays_the_exit() -> None:
    """A change of sign is two trades; the last one is closed at the window's end."""
    assert holdings(np.array([0.1, 0.2, 0.0, 0.0, -0.1, 0.1])) == [(0, 2), (4, 4), (5, 5)]
    assert holdings(np.zeros(4)) == []


@given(st.lists(st.sampled_from([-0.1, 0.0, 1e-12, 0.1]), min_size=1, max_size=40))
def test_holdings_cover_every_exposed_bar_once(weights: list[float]) -> None:
    """No bar is in two trades and no exposed bar is in none."""
    covered = [i for first, last in holdings(np.array(weights)) for i in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    assert {i for i, w in enumerate(weights) if abs(w) > 1e-9} <= set(covered)


def test_figures_by_hand() -> None:
    """Each formula on numbers small enough to check on paper."""
    assert fitness(0.1, 100, 0.0) == pytest.approx(1.0)
    assert fitness(0.1, 100, 0.5) == pytest.approx(0.9)
    assert fitness(0.1, 100, 6.0) == 0.0
    assert profit_factor(np.array([3.0, -1.0, -1.0])) == pytest.approx(1.5)
    assert profit_factor(np.array([1.0])) == math.inf
    assert math.isnan(profit_factor(np.array([])))
    assert math.isnan(profit_factor(np.array([0.0])))
    assert drawdown(np.array([1.1, 0.88, 1.2])) == pytest.approx(0.2)
    assert drawdown(np.array([0.9])) == pytest.approx(0.1)
    assert clamped_drawdown(np.array([-0.5])) == pytest.approx(0.05)
    assert clamped_drawdown(np.array([0.5, -0.04])) == pytest.approx(0.04)
    assert sortino(np.array([0.02, -0.01])) == pytest.approx(0.005 / math.sqrt(0.00005) * math.sqrt(2))
    assert math.isnan(sortino(np.array([0.01, 0.02])))
    assert conditional_value_at_risk(np.array([-0.1, 0.0, 0.1])) == pytest.approx(-0.1)
    assert conditional_value_at_risk(np.r_[-0.2, -0.1, np.zeros(38)]) == pytest.approx(-0.15)
    assert turnover(np.array([0.2, 0.2, 0.0, 0.1])) == pytest.approx((0.2 + 0.2 + 0.1 + 0.1) / 4)
    assert [min_active_windows(n) for n in (7, 10, 14)] == [5, 7, 10]


def test_required_t_rises_with_the_number_of_trials() -> None:
    """The house's floor is 3 until the correction for trials is above it."""
    assert required_t(1) == 3.0
    assert required_t(1, min_t=0.0) == pytest.approx(2.5758, abs=1e-4)
    assert required_t(20) == pytest.approx(3.4808, abs=1e-4)
    assert required_t(1, min_t=0.0, false_approval_rate=0.5) == pytest.approx(0.0, abs=1e-12)


def test_house_metrics_by_hand() -> None:
    """Seven windows of fifty bars: long on even bars in a market that rises on even and falls on odd bars."""
    market = np.tile([0.02, -0.01], 25)
    weight = np.tile([0.1, 0.0], 25)
    trades = np.full(25, 0.002)
    windows = [ledger(weight, market, 0.0, trades, first=100 * i) for i in range(7)]
    found = house_metrics(windows, n_trials=1, bars_per_year=252)
    # Raw: half the bars earn 0.002. Excess: the mean of the market, 0.005, is taken out: 0.0015.
    ratio = 0.5 / math.sqrt(0.25 * 350 / 349)
    assert found.mean_market_return == pytest.approx(0.005)
    assert found.t == pytest.approx(ratio * math.sqrt(350))
    assert found.fitness_score == pytest.approx(ratio * math.sqrt(50))
    assert found.sharpe_annual == pytest.approx(ratio * math.sqrt(252))
    assert found.profit_factor == math.inf
    assert (found.consistency, found.max_drawdown, found.n_trades, found.n_bars) == (1.0, 0.0, 175, 350)
    assert found.net_return == pytest.approx(1.002**175 - 1)
    assert found.turnover == pytest.approx(0.1)
    assert found.tier is Tier.LIVE
    assert sum(fold.n_trades for fold in found.folds) == 175


def test_metrics_are_the_worse_of_raw_and_excess_when_the_market_only_rose() -> None:
    """Holding a rising market without skill has no excess: neither t, nor fitness, nor profit factor pass."""
    rng = np.random.default_rng(0)
    windows = []
    for i in range(7):
        market = 0.004 + rng.normal(0, 0.005, 60)
        windows.append(walked(np.ones(60), market, 100 * i))
    found = house_metrics(windows, n_trials=1, bars_per_year=252)
    raw = np.concatenate([window.net_return for window in windows])
    assert raw.mean() / raw.std(ddof=1) * math.sqrt(420) > 10
    assert found.t < 1
    assert found.profit_factor < 1.8
    assert judged(found).gate_class == "DROP"


def test_metrics_are_invalid_when_nothing_was_traded() -> None:
    """No exposure: no deviation, no trade, no consistency, and DROP."""
    windows = [ledger(np.zeros(50), 0.001, first=100 * i) for i in range(7)]
    found = house_metrics(windows, n_trials=1, bars_per_year=252)
    assert math.isnan(found.fitness_score)
    assert math.isnan(found.consistency)
    assert math.isnan(found.t)
    verdict = judged(found)
    assert verdict.gate_class == "DROP"
    assert "INVALID_METRIC" in verdict.flags


def test_consistency_counts_windows_with_exposure_only_and_too_few_are_flagged() -> None:
    """Four of seven windows with exposure are fewer than ceil(0.7 * 7)."""
    rng = np.random.default_rng(1)
    windows = []
    for i in range(7):
        market = rng.normal(0, 0.01, 60)
        sides = (market > 0).astype(float) if i < 4 else np.zeros(60)
        windows.append(walked(sides, market, 100 * i))
    found = house_metrics(windows, n_trials=1, bars_per_year=252)
    assert (found.consistency, found.active_windows) == (1.0, 4)
    verdict = judged(found)
    assert verdict.gate_class == "REVIEW"
    assert verdict.flags == ("TOO_FEW_TRADES",)


@pytest.mark.parametrize(("count", "length", "trials"), [(6, 50, 1), (15, 50, 1), (7, 49, 1), (7, 50, 0)])
def test_metrics_are_refused_when_windows_or_trials_are_out_of_range(count: int, length: int, trials: int) -> None:
    """W is 7..14, a window has at least fifty bars, trials count from one."""
    windows = [ledger(np.zeros(length), 0.0, first=1000 * i) for i in range(count)]
    with pytest.raises((ConfigError, DataError)):
        house_metrics(windows, n_trials=trials, bars_per_year=252)


def test_metrics_are_refused_when_windows_overlap_or_differ() -> None:
    """Windows are equal, in order, and share no bar."""
    same = [ledger(np.zeros(50), 0.0, first=49 * i) for i in range(7)]
    with pytest.raises(DataError, match="overlap"):
        house_metrics(same, n_trials=1, bars_per_year=252)
    unequal = [ledger(np.zeros(50 + i), 0.0, first=100 * i) for i in range(7)]
    with pytest.raises(DataError, match="not equal"):
        house_metrics(unequal, n_trials=1, bars_per_year=252)


returns = st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=60).map(np.array)


@given(returns)
def test_drawdown_lies_between_nothing_and_everything(values: np.ndarray) -> None:
    """A drawdown is a share of a peak, and the clamp never deepens a bar's fall."""
    assert 0.0 <= drawdown(equity_of(values)) <= 1.0
    assert 0.0 <= clamped_drawdown(values) < 1.0


@given(returns, st.floats(0.1, 10))
def test_fitness_ratio_does_not_depend_on_the_size_of_positions(values: np.ndarray, scale: float) -> None:
    """Leverage alone moves neither t nor a fold's Sharpe."""
    if np.std(values) > 1e-6:
        assert scaled_sharpe(values * scale) == pytest.approx(scaled_sharpe(values), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("sharpes", "tier"),
    [
        ([1, 1, 1, 1, 1], Tier.LIVE),
        ([1, 1, 1, 1, -1], Tier.LIVE),
        ([1, 1, 1, 0, 0], Tier.PAPER),
        ([1, 1, 1, -1, -1], Tier.PAPER),
        ([1, 1, 0, -1, -1], Tier.RETRAIN),
        ([0.1, 0.1, 0.1, 0.1, 5.0], Tier.PAPER),  # deviation 2.19
        ([0.1, 0.1, 0.1, 0.1, 4.5], Tier.LIVE),  # deviation 1.97
        ([1, 1, 1, 1], Tier.RETRAIN),
        ([1, 1, 1, 1, math.nan], Tier.RETRAIN),
    ],
)
def test_tier_follows_positive_folds_and_their_deviation(sharpes: list[float], tier: Tier) -> None:
    """LIVE, PAPER and RETRAIN at their boundaries; zero is not positive."""
    assert tier_of(sharpes) is tier


def test_folds_cover_the_block_once() -> None:
    """Five consecutive folds hold every bar and every trade."""
    net = np.full(53, 0.01)
    folds = fold_returns(net, net, np.arange(53), np.array([0, 10, 11, 52]))
    assert len(folds) == N_FOLDS
    assert [fold.start_at for fold in folds] == [0, 11, 22, 33, 43]
    assert [fold.n_trades for fold in folds] == [2, 1, 0, 0, 1]
    assert np.prod([1 + fold.net_return for fold in folds]) == pytest.approx(1.01**53)


def test_blocks_are_in_order_with_a_purge_between_and_lose_no_bar() -> None:
    """40/20/40 of what is left after warm-up and purges."""
    blocks = split_blocks(3270, warm_up=500)
    assert [len(block) for block in (blocks.train, blocks.select, blocks.gate)] == [1028, 514, 1028]
    assert (blocks.train.start, blocks.gate.stop) == (500, 3270)
    assert blocks.select.start - blocks.train.stop == blocks.gate.start - blocks.select.stop == 100


def test_blocks_take_sizes_for_simulated_markets() -> None:
    """50,000 TRAIN, 4,000 SELECT and 8,000 GATE bars."""
    blocks = split_blocks(62_200, sizes=(50_000, 4_000, 8_000))
    assert [len(block) for block in (blocks.train, blocks.select, blocks.gate)] == [50_000, 4_000, 8_000]


@given(st.integers(0, 5000), st.integers(0, 500), st.integers(0, 200))
def test_blocks_never_overlap(n_bars: int, warm_up: int, purge: int) -> None:
    """Either three separate blocks after the warm-up, or a refusal."""
    try:
        blocks = split_blocks(n_bars, warm_up=warm_up, purge=purge)
    except DataError:
        assert n_bars - warm_up - 2 * purge < 8
        return
    assert warm_up == blocks.train.start < blocks.train.stop
    assert blocks.train.stop + purge == blocks.select.start < blocks.select.stop
    assert blocks.select.stop + purge == blocks.gate.start < blocks.gate.stop == n_bars


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.0), (0.5, 0.4, 0.4), (1.2, -0.1, -0.1)])
def test_blocks_are_refused_when_shares_are_no_shares(shares) -> None:
    """Shares are positive and sum to one."""
    with pytest.raises(ConfigError):
        split_blocks(5000, shares=shares)


@given(st.integers(0, 3000), st.integers(5, 16))
def test_windows_are_equal_and_end_with_the_block(n_bars: int, count: int) -> None:
    """What does not divide is left out at the start, and a short block is refused."""
    block = range(100, 100 + n_bars)
    try:
        windows = equal_windows(block, count)
    except ConfigError:
        assert not 7 <= count <= 14
        return
    except DataError:
        assert n_bars < 50 * count
        return
    assert {len(window) for window in windows} == {n_bars // count}
    assert windows[-1].stop == block.stop
    assert all(a.stop == b.start for a, b in itertools.pairwise(windows))


def simulated(rng: np.random.Generator, edge: float, bars: int = 1050) -> HouseMetrics:
    """Return the metrics of a policy that holds for some bars on a side that foresees a share of the market."""
    windows = []
    size = bars // 7
    for i in range(7):
        market = rng.standard_t(5, size) * 0.01
        signal = edge * market / 0.01 + rng.normal(0, 1, size)
        sides = np.where(rng.random(size) < 0.7, (signal > 0).astype(float), 0.0)
        windows.append(walked(sides, market, 10_000 * i))
    return house_metrics(windows, n_trials=1, bars_per_year=252)


def test_noise_is_practically_never_approved() -> None:
    """Published: at most 0.03 % of skill-less policies; none of 400 seeded ones here."""
    rng = np.random.default_rng(20_261_121)
    classes = [judged(simulated(rng, edge=0.0)).gate_class for _ in range(400)]
    assert "APPROVED" not in classes
    assert classes.count("DROP") > 390


def test_a_planted_strong_edge_is_approved() -> None:
    """What foresees a quarter of each bar's variance clears every bar and floor."""
    rng = np.random.default_rng(7)
    verdicts = [judged(simulated(rng, edge=0.6)) for _ in range(20)]
    assert [verdict.gate_class for verdict in verdicts].count("APPROVED") == 20
    assert {verdict.tier for verdict in verdicts} <= {Tier.LIVE, Tier.PAPER}
