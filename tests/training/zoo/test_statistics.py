"""What luck can do: against published examples, the libraries that are kept for it, and worlds without skill."""

import math

import numpy as np
import pytest
from empyrical import max_drawdown, sharpe_ratio, sortino_ratio

from training.zoo.leaderboard import leaderboard
from training.zoo.plays import Play
from training.zoo.statistics import (
    Moments,
    backtest_overfitting,
    deflated_sharpe,
    expected_max_sharpe,
    in_blocks,
    interval_of_mean,
    minimum_track_record,
    probabilistic_sharpe,
)
from training.zoo.superiority import superiority

DAY = 86_400 * 10**9


@pytest.mark.parametrize(("n_trials", "deflated"), [(100, 0.9004), (46, 0.9505)])
def test_deflated_sharpe_gives_what_its_paper_published(n_trials: int, deflated: float) -> None:
    """Bailey and Lopez de Prado (2014): a Sharpe of 2.5 over five years, fat left tails; 100 trials are many."""
    daily = Moments(n_bars=1250, sharpe=2.5 / math.sqrt(250), skew=-3.0, kurtosis=10.0)
    spread = math.sqrt(0.5 / 250 / 2) * np.array([-1.0, 1.0])
    assert expected_max_sharpe(0.5 / 250, 100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(daily, spread, n_trials) == pytest.approx(deflated, abs=6e-4)


def test_track_record_gives_what_its_paper_published() -> None:
    """Bailey and Lopez de Prado (2012): 2.73 years for a daily Sharpe of 2 over 1; none is long enough below it."""
    daily = Moments(1, 2 / math.sqrt(252), 0.0, 3.0)
    assert minimum_track_record(daily, 1 / math.sqrt(252)) / 252 == pytest.approx(2.73, abs=0.005)
    assert minimum_track_record(daily, 3 / math.sqrt(252)) == math.inf


def test_sharpe_statistics_agree_with_skfolio_on_skewed_returns() -> None:
    """The library's own probabilistic ratio, and its expected maximum of many trials."""
    from skfolio.measures import expected_max_sharpe_ratio
    from skfolio.measures import probabilistic_sharpe_ratio as theirs

    returns = np.random.default_rng(0).gamma(2.0, 0.01, 400) - 0.019
    moments = Moments.of(returns)
    assert moments is not None
    assert probabilistic_sharpe(moments, 0.02) == pytest.approx(theirs(returns, benchmark_sharpe_ratio=0.02), abs=2e-3)
    assert expected_max_sharpe(0.01, 40) == pytest.approx(expected_max_sharpe_ratio(40, 0.1))


def test_ratios_of_the_board_agree_with_empyrical() -> None:
    """Sharpe, Sortino and drawdown of a made-up play."""
    rng = np.random.default_rng(1)
    weight, market = rng.choice((-0.2, 0.0, 0.2), 300), rng.normal(0.001, 0.02, 300)
    play = Play("a", "SIM", np.arange(300) * DAY, weight, market, np.full(300, 1e-5))
    (row,) = leaderboard([play], baseline=None, n_trials=1, bars_per_year=252).rows
    net = weight * market - 1e-5
    assert row.sharpe == pytest.approx(sharpe_ratio(net))
    assert row.sortino == pytest.approx(sortino_ratio(net))
    assert row.max_drawdown == pytest.approx(-max_drawdown(net))


def test_superiority_agrees_with_the_library_it_stands_on() -> None:
    """Hansen's p-value is arch's on standardised differences; the step-wise test names the only one with an edge."""
    from arch.bootstrap import SPA

    rng = np.random.default_rng(2)
    returns, benchmark = rng.normal(0, 0.01, (500, 6)), rng.normal(0, 0.01, 500)
    returns[:, 3] += 0.003
    names = [f"v{place}" for place in range(6)]
    found = superiority(names, returns, benchmark, seed=5)
    assert found is not None
    beyond = returns - benchmark[:, None]
    theirs = SPA(np.zeros(500), -beyond / beyond.std(axis=0), block_size=8, reps=500, seed=5)
    theirs.compute()
    assert found.p_value == pytest.approx(theirs.pvalues["consistent"])
    assert found.superior == ("v3",)


def test_set_that_is_the_benchmark_itself_cannot_be_tested() -> None:
    """Variants that did what the benchmark did, and too few bars, are insufficient instead of a p-value."""
    same = np.random.default_rng(3).normal(size=100)
    assert superiority(["a"], same[:, None], same) is None
    assert superiority(["a"], same[:50, None] + 1, same[:50]) is None
    assert Moments.of(np.zeros(100)) is None
    assert Moments.of(same[:59]) is None


def test_overfitting_is_a_coin_toss_without_skill_and_none_with_it() -> None:
    """Choosing among noise is below the median half of the time; a true best one is chosen and stays best."""
    rng = np.random.default_rng(4)
    noise = [backtest_overfitting(rng.normal(0, 0.01, (600, 20))) for _ in range(12)]
    assert 0.35 < float(np.mean([each.probability for each in noise if each])) < 0.65
    skilled = rng.normal(0, 0.01, (600, 20))
    skilled[:, 7] += 0.006
    found = backtest_overfitting(skilled)
    assert found is not None
    assert found.probability == 0.0
    assert found.n_splits == 252
    assert backtest_overfitting(skilled[:90]) is None
    assert backtest_overfitting(skilled[:, :1]) is None


def test_overfitting_is_that_of_splits_counted_one_by_one() -> None:
    """Against a direct reading of the paper: every half of the blocks, ranked with numpy's own ratios."""
    from itertools import combinations

    returns = np.random.default_rng(5).normal(0, 0.01, (120, 5))
    below = []
    for half in combinations(range(4), 2):
        inside = np.concatenate([returns[30 * b : 30 * b + 30] for b in half])
        outside = np.concatenate([returns[30 * b : 30 * b + 30] for b in range(4) if b not in half])
        best = int((inside.mean(0) / inside.std(0)).argmax())
        ratios = outside.mean(0) / outside.std(0)
        below.append((1 + (ratios < ratios[best]).sum()) / 6 <= 0.5)
    found = backtest_overfitting(returns, n_blocks=4)
    assert found is not None
    assert found.probability == pytest.approx(float(np.mean(below)))


def test_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    """Of 200 columns of noise, about 95 % of the intervals hold zero."""
    low, high = interval_of_mean(np.random.default_rng(6).normal(size=(400, 200)))
    held = float(np.mean((low < 0) & (high > 0)))
    assert 0.88 < held < 0.99


def test_blocks_keep_the_sum_of_the_bars_they_are_made_of() -> None:
    """Whatever is longer than the most blocks is summed, from the newest bar back."""
    returns = np.arange(1001.0)
    blocks = in_blocks(returns, 100)
    assert len(blocks) == 91
    assert blocks.sum() == returns.sum()
