"""Training targets: what is rewarded changes, what is seen and what is judged never does."""

import numpy as np
import pytest

from trader_sdk.contract.errors import DataError
from trader_sdk.data import load_bars
from training.config import preset
from training.env import TradingEnvs
from training.market import Market
from training.target import forward_mean, mean_return, residuals, target_shift

BLOCK = range(99, 700)


@pytest.mark.parametrize("horizon", [2, 20])
def test_long_horizon_rewards_the_mean_of_the_coming_bars_and_reads_none_after_train(make_market, horizon) -> None:
    """The shifted return of a bar is the mean of its horizon; prices after TRAIN change nothing."""
    market = make_market()
    config = preset("laptop", horizon=horizon)
    shift = target_shift(market, BLOCK, config, "unused")
    log = np.log(market.prices.close)
    own = np.expm1(log[201] - log[200])
    assert own + shift[200] == pytest.approx(np.expm1((log[200 + horizon] - log[200]) / horizon))
    close, open_ = market.prices.close.copy(), market.prices.open.copy()
    close[700:] *= 3.0
    assert np.array_equal(shift, target_shift(make_market(close, open_), BLOCK, config, "unused"))


def test_shift_is_what_a_held_position_is_rewarded_more_and_nothing_else_changes(make_market, make_envs) -> None:
    """Equity, positions and observations are those of the plain environment; rewards differ by weight times shift."""
    market = make_market()
    shift = np.full(len(market.features), 0.01)
    plain: TradingEnvs = make_envs(market)
    shifted: TradingEnvs = make_envs(market, shift=shift)
    actions = np.full(8, 1)
    before = plain.equity()
    first, second = plain.step(actions), shifted.step(actions)
    assert np.array_equal(plain.equity(), shifted.equity())
    assert np.array_equal(first.final.account, second.final.account)
    close = market.prices.close[plain.rows - 1]
    extra = plain.sleeves.position_value(close) * 0.01
    expected = np.log((plain.equity() + extra) / before) / plain.reward_unit
    assert second.rewards == pytest.approx(expected)
    assert not np.allclose(first.rewards, second.rewards)


def test_residuals_leave_nothing_of_a_factor_and_a_trend() -> None:
    """A return that is a trend plus two times a factor has no residual once the window is full."""
    rng = np.random.default_rng(0)
    factor = rng.normal(0, 0.01, 500)
    left = residuals(0.001 + 2.0 * factor, factor)
    assert np.abs(left[60:]).max() < 1e-9
    assert np.array_equal(left[:60], 0.001 + 2.0 * factor[:60])


def test_residuals_use_the_past_only() -> None:
    """Changing later returns leaves earlier residuals as they were."""
    rng = np.random.default_rng(1)
    returns, factor = rng.normal(0, 0.01, (2, 300))
    changed = returns.copy()
    changed[200:] = 9.0
    assert np.array_equal(residuals(returns, factor)[:200], residuals(changed, factor)[:200])


def test_forward_mean_is_the_return_itself_at_horizon_one() -> None:
    """One bar ahead is the plain target."""
    returns = np.random.default_rng(2).normal(size=50)
    assert forward_mean(returns, 1) == pytest.approx(returns)


def test_demeaned_target_of_a_symbol_among_itself_is_nothing() -> None:
    """Real symbols: against a peer that is the symbol's own twin every return is cancelled, against others not."""
    bars = load_bars("vendored", "IBM", "1Day").slice(0, 900)
    market = Market(bars, np.zeros((len(bars), 53), np.float32), warm_up=0)
    config = preset("laptop", cross_sectional_demean=True, peers=("IBM",))
    shift = target_shift(market, BLOCK, config, "vendored")
    own = np.diff(market.prices.close[99:700]) / market.prices.close[99:699]
    assert own + shift[99:699] == pytest.approx(0.0, abs=1e-12)
    others = target_shift(
        market, BLOCK, preset("laptop", cross_sectional_demean=True, peers=("MSFT", "AAPL")), "vendored"
    )
    assert float(np.std(own + others[99:699])) > 0.001
    both = mean_return(market.prices.t[99:700], [load_bars("vendored", name, "1Day") for name in ("MSFT", "AAPL")])
    assert np.log1p(own + others[99:699]) == pytest.approx(np.log1p(own) - (np.log1p(own) + 2 * both) / 3)


@pytest.mark.parametrize("peers", [(), ("SIM@noise:bars=3500",)])
def test_demeaned_target_without_a_cross_section_is_insufficient_data(make_market, peers: tuple[str, ...]) -> None:
    """No peers, or peers with other bars: refused before the first update."""
    config = preset("laptop", cross_sectional_demean=True, peers=peers)
    with pytest.raises(DataError, match="peers"):
        target_shift(make_market(), BLOCK, config, "unused")
