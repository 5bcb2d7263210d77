"""Policies without any skill, and policies with an edge of a known size, as weights and returns for the gate's metrics.

Everything is drawn in arrays of (runs, bars). A bar is a day of a market with 20 % volatility a year and Student t5
tails; a position is 20 % of equity, the most a sleeve ever holds; costs are those of the house's equity model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger, holdings
from trader_sdk.contract.costs import cost_model

Floats = NDArray[np.float64]
Generator = np.random.Generator

BARS_A_YEAR = 252
VOLATILITY = 0.20 / np.sqrt(BARS_A_YEAR)
DRIFT_A_YEAR = 0.15
WEIGHT = 0.20
SIDE = float(cost_model("us_equity@1").side_fraction)
HOLDING_BARS = (2.0, 5.0, 20.0)
TAKE_PROFIT = 0.005
N_WINDOWS = 7
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class Runs:
    """Many runs of one population, (n, T) each; windows are equal parts of T, flat at their start.

    Attributes:
        weight: Held over each bar.
        market_return: Of the market over each bar.
        cost: Of the fills at each bar's open, and of the forced close at a window's last bar.
    """

    weight: Floats
    market_return: Floats
    cost: Floats

    def t(self) -> Floats:
        """Return (n,) the t statistic of each run, the worse of raw and excess: what the metric set calls t."""
        mean_market = self.market_return.mean(axis=1, keepdims=True)
        raw = self.weight * self.market_return - self.cost
        excess = self.weight * (self.market_return - mean_market) - self.cost
        return np.minimum(_t(raw), _t(excess))

    def ledgers(self, run: int) -> list[Ledger]:
        """Return one run's windows as the archive's own ledgers."""
        starts = np.arange(self.weight.shape[1], dtype=np.int64) * _DAY_NS
        return [self._ledger(run, part, starts) for part in np.split(np.arange(len(starts)), N_WINDOWS)]

    def _ledger(self, run: int, part: NDArray[np.int64], starts: NDArray[np.int64]) -> Ledger:
        weight, market, cost = (column[run, part] for column in (self.weight, self.market_return, self.cost))
        net = weight * market - cost
        trades = np.array([net[first : last + 1].sum() for first, last in holdings(weight)])
        return Ledger(weight, market, cost, trades, starts[part])


def usable_bars(n_bars: int) -> int:
    """Return how many of ``n_bars`` lie in equal windows."""
    return n_bars // N_WINDOWS * N_WINDOWS


def noise(rng: Generator, n_runs: int, n_bars: int) -> Runs:
    """Return random entries and exits, long or short, on a market that goes nowhere."""
    market = _market(rng, n_runs, n_bars)
    side = rng.choice((-1.0, 1.0), size=(n_runs, 1))
    return _priced(WEIGHT * side * _random_holdings(rng, n_runs, n_bars), market)


def drift(rng: Generator, n_runs: int, n_bars: int) -> Runs:
    """Return random long-only policies, in the market most of the time, while it rises 15 % a year."""
    market = _market(rng, n_runs, n_bars) + DRIFT_A_YEAR / BARS_A_YEAR
    return _priced(WEIGHT * _random_holdings(rng, n_runs, n_bars, flat_share=0.2), market)


def never_realise_a_loss(rng: Generator, n_runs: int, n_bars: int) -> Runs:
    """Return policies that sell with a gain of half a percent or not at all, on a market that goes nowhere."""
    market = _market(rng, n_runs, n_bars)
    held, window = np.zeros((n_runs, n_bars)), n_bars // N_WINDOWS
    gain, inside = np.zeros(n_runs), np.zeros(n_runs, dtype=bool)
    enters = rng.random((n_runs, n_bars)) < 0.5
    for bar in range(n_bars):
        if bar % window == 0:
            inside[:], gain[:] = False, 0.0
            continue
        gain = np.where(inside, gain + market[:, bar - 1], 0.0)
        inside = np.where(inside, gain <= TAKE_PROFIT, enters[:, bar])
        held[:, bar] = inside
    return _priced(WEIGHT * held, market)


def with_edge(rng: Generator, n_runs: int, n_bars: int, true_t: float, n_trades: int) -> Runs:
    """Return policies whose held bars earn so much more than the others that t is ``true_t`` after costs.

    Args:
        rng: Source of draws.
        n_runs, n_bars: Shape.
        true_t: What the t statistic measures without luck.
        n_trades: About how often they trade: held half of the time, so long that this many holdings fit.
    """
    held = _random_holdings(rng, n_runs, n_bars, mean_bars=(n_bars / (2.0 * n_trades),))
    share = float(held.mean())
    fills = np.abs(np.diff(held, axis=1, prepend=0.0)).mean()
    deviation = WEIGHT * VOLATILITY * np.sqrt(share)
    wanted = true_t / np.sqrt(n_bars) * deviation + WEIGHT * SIDE * fills
    edge = wanted / (WEIGHT * share * (1.0 - share))
    return _priced(WEIGHT * held, _market(rng, n_runs, n_bars) + edge * (held - share))


SKILL_LESS: dict[str, Callable[[Generator, int, int], Runs]] = {
    "noise": noise,
    "drift 15 % a year": drift,
    "never realises a loss": never_realise_a_loss,
}


def _market(rng: Generator, n_runs: int, n_bars: int) -> Floats:
    # A t5 has a variance of 5/3.
    return rng.standard_t(5, size=(n_runs, n_bars)) * (VOLATILITY / np.sqrt(5.0 / 3.0))


def _random_holdings(
    rng: Generator,
    n_runs: int,
    n_bars: int,
    flat_share: float = 0.5,
    mean_bars: tuple[float, ...] = HOLDING_BARS,
) -> Floats:
    """Return (n, T) of 0 and 1: held or flat for random times, flat at the first bar of each window."""
    leaves = 1.0 / rng.choice(mean_bars, size=(n_runs, 1))
    enters = np.minimum(leaves * (1.0 - flat_share) / flat_share, 1.0)
    chance, window = rng.random((n_runs, n_bars)), n_bars // N_WINDOWS
    held, inside = np.zeros((n_runs, n_bars)), np.zeros(n_runs, dtype=bool)
    for bar in range(n_bars):
        if bar % window == 0:
            inside[:] = False
            continue
        inside = np.where(inside, chance[:, bar] >= leaves[:, 0], chance[:, bar] < enters[:, 0])
        held[:, bar] = inside
    return held


def _priced(weight: Floats, market: Floats) -> Runs:
    window = weight.shape[1] // N_WINDOWS
    change = np.abs(np.diff(weight, axis=1, prepend=0.0))
    firsts = np.arange(0, weight.shape[1], window)
    change[:, firsts] = np.abs(weight[:, firsts])
    lasts = firsts + window - 1
    change[:, lasts] += np.abs(weight[:, lasts])
    return Runs(weight, market, SIDE * change)


def _t(returns: Floats) -> Floats:
    deviation = returns.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(deviation > 0, returns.mean(axis=1) / deviation, -np.inf) * np.sqrt(returns.shape[1])
    return found
