"""The planted market: its constants measured on its bars, its labels, and its stability."""

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import PlantedMarket, find_gaps, get_calendar, load_bars, planted_bars

COLUMNS = ("t", "open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def planted() -> Bars:
    """Return the demo's market."""
    return planted_bars()


def autocorrelation(returns: np.ndarray, lag: int) -> float:
    """Return the autocorrelation of returns at a lag."""
    return float(np.corrcoef(returns[:-lag], returns[lag:])[0, 1])


def test_planted_bars_are_labelled_simulated(planted: Bars) -> None:
    """Nothing that reads the bars can take them for real ones."""
    assert (planted.kind, planted.feed, planted.symbol) == (DataKind.SIMULATED, "simulated", "SIM")
    assert (planted.timeframe, len(planted)) == (Timeframe.MIN_1, 62_000)


def test_planted_bars_have_the_digest_they_always_had(planted: Bars) -> None:
    """The demo's archive names this digest: another one would orphan it."""
    assert planted.digest == "sha256:4822d2f48ea274f666732694ee5ed7e752629b5e1eadff072e2024763d6e614a"


def test_planted_bars_fill_whole_sessions(planted: Bars) -> None:
    """Bars lie on New York's sessions without a gap, 390 to a day."""
    assert not find_gaps(planted.t, planted.timeframe, get_calendar("XNYS"))
    days = np.unique(planted.t // (86_400 * 10**9), return_counts=True)[1]
    assert set(days[:-1].tolist()) == {390}


def test_a_longer_planted_series_begins_with_the_shorter_one(planted: Bars) -> None:
    """A demo can replay bars after the training data: they continue it."""
    longer = planted_bars(PlantedMarket(n_bars=62_390))
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(longer, column)[:62_000], getattr(planted, column))


def test_every_planted_bar_opens_at_the_close_before(planted: Bars) -> None:
    """A decision on a close is filled at that price, costs aside."""
    np.testing.assert_array_equal(planted.open[1:], planted.close[:-1])


def test_planted_returns_have_the_stated_volatility_and_tails(planted: Bars) -> None:
    """Bars move 0.20 % and have fat tails and clustered volatility."""
    returns = np.diff(np.log(planted.close))
    assert returns.std() == pytest.approx(0.002, rel=0.05)
    assert np.mean(returns**4) / np.mean(returns**2) ** 2 > 6
    assert autocorrelation(returns**2, 1) > 0.05


def test_planted_returns_revert_with_the_stated_half_life(planted: Bars) -> None:
    """The lag-one autocorrelation is that of an OU process: -(1 - rho) / 2 of its share of the variance."""
    market = PlantedMarket()
    assert market.rho == pytest.approx(0.8706, abs=1e-4)
    assert market.r_squared == pytest.approx(0.064, abs=5e-4)
    expected = -market.reverting_share * (1 - market.rho) / 2
    assert autocorrelation(np.diff(np.log(planted.close)), 1) == pytest.approx(expected, abs=0.015)


def test_noise_has_no_autocorrelation_and_the_same_volatility() -> None:
    """Edge 0 keeps everything but the edge."""
    noise = load_bars("noise:seed=11", "SIM", "1Min")
    returns = np.diff(np.log(noise.close))
    assert noise.kind is DataKind.SIMULATED
    assert abs(autocorrelation(returns, 1)) < 0.03
    assert returns.std() == pytest.approx(0.002, rel=0.08)


def test_another_seed_makes_another_market(planted: Bars) -> None:
    """The seed is not ignored."""
    assert planted_bars(PlantedMarket(seed=8)).digest != planted.digest


@pytest.mark.parametrize(
    "constants", [{"edge": 1.1}, {"edge": -0.1}, {"edge": float("nan")}, {"n_bars": 0}, {"seed": -1}]
)
def test_planted_market_refuses_constants_out_of_range(constants: dict[str, float]) -> None:
    """An impossible market is a typed error, not a strange one."""
    with pytest.raises(DataError, match="cannot be made"):
        PlantedMarket(**constants)


def test_planted_bars_refuse_a_real_symbol() -> None:
    """Simulated bars never carry the name of a company."""
    with pytest.raises(DataError, match="simulated symbol"):
        planted_bars(symbol="AAPL")
