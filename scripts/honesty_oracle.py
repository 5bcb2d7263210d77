"""What the best rule earns that knows a planted market's hidden state: the yardstick of the honesty table.

It knows how far the price is from where it reverts to, and the volatility of the bar. It is long or flat, with the
largest position in quiet bars and less in wild ones, decides on a close, fills at the next open and pays the same costs
as everybody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.execution import DEFAULT_LIMITS
from trader_sdk.data.simulators import PlantedMarket, hidden_state, planted_bars

BARS_A_YEAR = 252
TUNED_ON = 90_001
"""Seed of the market that an oracle's two thresholds are chosen on; the table has no such market."""
LEVELS = tuple(level * 1e-4 for level in range(-3, 13))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Oracle:
    """Buy above one forecast of the next bar's return, sell below another; both for bars of mean volatility."""

    buy_above: float
    sell_below: float

    def weights(self, forecast: Floats, largest: Floats) -> Floats:
        """Return the weight decided on each close, (T,): the largest of the bar at a signal, then held."""
        held = 0.0
        weight = np.empty(len(forecast))
        for index, (each, most) in enumerate(zip(forecast.tolist(), largest.tolist(), strict=True)):
            if each > self.buy_above:
                held = max(held, most)
            elif each < self.sell_below:
                held = 0.0
            weight[index] = held
        return weight


@dataclass(frozen=True)
class Seen:
    """A market as an oracle sees it: forecast and largest position on each close, and what a fill at the open gains."""

    forecast: Floats
    largest: Floats
    gained: Floats

    @classmethod
    def of(cls, market: PlantedMarket) -> Seen:
        """Return what the oracle sees of a market."""
        bars, hidden = planted_bars(market), hidden_state(market)
        forecast = -(1.0 - market.rho) * hidden.reverted / hidden.deviation
        quiet = np.minimum(1.0, float(np.median(hidden.deviation)) / hidden.deviation)
        largest = float(DEFAULT_LIMITS.cap_fraction) * quiet
        return cls(forecast[:-2], largest[:-2], bars.open[2:] / bars.open[1:-1] - 1.0)

    def sharpe(self, oracle: Oracle) -> float:
        """Return the annual Sharpe ratio after costs; 0 for an oracle that never trades."""
        weight = oracle.weights(self.forecast, self.largest)
        side = float(cost_model("us_equity@1").side_fraction)
        net = weight * self.gained - side * np.abs(np.diff(weight, prepend=0.0))
        deviation = float(net.std(ddof=1))
        return float(net.mean()) / deviation * math.sqrt(BARS_A_YEAR) if deviation > 0 else 0.0


def tuned(edge: float, n_bars: int) -> Oracle:
    """Return the best oracle of one market of this edge."""
    seen = Seen.of(PlantedMarket(seed=TUNED_ON, edge=edge, n_bars=n_bars))
    grid = [Oracle(buy, sell) for buy in LEVELS for sell in LEVELS if sell < buy]
    return max(grid, key=seen.sharpe)


def oracle_sharpes(edge: float, seeds: range, n_bars: int) -> list[float]:
    """Return its annual net Sharpe ratio on other markets, one a seed."""
    oracle = tuned(edge, n_bars)
    return [Seen.of(PlantedMarket(seed=seed, edge=edge, n_bars=n_bars)).sharpe(oracle) for seed in seeds]
