"""What variants did, bar by bar, and the bars that all of them saw: nothing is compared on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import FLAT

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Play:
    """One variant on one symbol.

    Attributes:
        name: Of the variant.
        symbol: What it traded.
        start_at: int64 (T,) bar starts, ns UTC, increasing.
        weight: (T,) signed weight held over the bar.
        market_return: (T,) of the market over it.
        cost: (T,) of the fill at its open, over equity.
    """

    name: str
    symbol: str
    start_at: Times
    weight: Floats
    market_return: Floats
    cost: Floats

    def at(self, times: Times) -> Play:
        """Return the same on some of its bars."""
        if len(times) == len(self.start_at):
            return self
        rows = np.searchsorted(self.start_at, times)
        columns = (self.weight, self.market_return, self.cost)
        return Play(self.name, self.symbol, times, *(column[rows] for column in columns))


@dataclass(frozen=True, slots=True)
class Series:
    """One variant over all symbols, which share its capital equally; (T,) each, a bar an entry.

    Attributes:
        name: Of the variant.
        start_at: Bar starts, ns UTC.
        gross: Return before costs.
        cost: Costs, once.
        excess: Return before costs of what was held beyond the market's mean.
        turnover: Absolute change of weight.
        exposed: Whether any position was held.
        n_trades: Positions taken, over all symbols.
    """

    name: str
    start_at: Times
    gross: Floats
    cost: Floats
    excess: Floats
    turnover: Floats
    exposed: NDArray[np.bool_]
    n_trades: int

    def net(self, times_costs: int = 1) -> Floats:
        """Return (T,) returns net of so many times the costs."""
        return self.gross - times_costs * self.cost

    @property
    def worse(self) -> Floats:
        """Return net or excess net returns, whichever have the smaller mean: a rising market is no skill."""
        net, excess = self.net(), self.excess - self.cost
        return net if net.mean() <= excess.mean() else excess


@dataclass(frozen=True, slots=True)
class Paired:
    """Variants on the bars that all of them saw.

    Attributes:
        series: One a variant, by name, in the order they were given; none where nothing was common.
        unseen: Variants that saw no bar at all, and so are compared with nothing.
        symbols: Symbols with common bars.
    """

    series: Mapping[str, Series]
    unseen: tuple[str, ...]
    symbols: tuple[str, ...]

    def returns(self, names: Sequence[str], times_costs: int = 1) -> Floats:
        """Return (T, N) net returns of some variants."""
        return np.stack([self.series[name].net(times_costs) for name in names], axis=1)


def paired(plays: Sequence[Play]) -> Paired:
    """Return every variant's series on the bars and symbols that all have in common.

    Args:
        plays: One a variant and symbol; a variant that was declared and saw nothing has empty ones.
    """
    names = list(dict.fromkeys(play.name for play in plays))
    seen = {name for name in names if any(len(play.start_at) for play in plays if play.name == name)}
    unseen = tuple(name for name in names if name not in seen)
    by_symbol: dict[str, dict[str, Play]] = {}
    for play in plays:
        if play.name in seen:
            by_symbol.setdefault(play.symbol, {})[play.name] = play
    common = {
        symbol: reduce(np.intersect1d, (play.start_at for play in each.values()))
        for symbol, each in by_symbol.items()
        if set(each) == seen
    }
    common = {symbol: times for symbol, times in common.items() if len(times)}
    if not common:
        return Paired({}, unseen, ())
    grid = reduce(np.union1d, common.values())
    series = {
        name: _series(name, grid, [by_symbol[symbol][name].at(times) for symbol, times in common.items()])
        for name in names
        if name in seen
    }
    return Paired(series, unseen, tuple(common))


def _series(name: str, grid: Times, plays: Sequence[Play]) -> Series:
    sums = SeriesSums(grid, 1)
    for play in plays:
        weight = np.concatenate([[0.0], play.weight])[:, None]
        sums.add(play.start_at, weight, play.cost[:, None], play.market_return, float(play.market_return.mean()))
    (series,) = sums.series([name])
    return series


class SeriesSums:
    """What variants did on each bar, summed over symbols as these are added.

    Args:
        grid: int64 (T,) starts of all bars, increasing.
        n_variants: How many are summed beside one another.
    """

    def __init__(self, grid: Times, n_variants: int) -> None:
        self._grid, self._symbols = grid, np.zeros(len(grid))
        self._totals = np.zeros((5, n_variants, len(grid)))
        self._n_trades = np.zeros(n_variants, dtype=np.int64)

    def add(self, times: Times, weight: Floats, cost: Floats, market_return: Floats, mean_return: float) -> None:
        """Add some bars of one symbol, each at most once.

        Args:
            times: int64 (n,) bar starts, of the grid.
            weight: (n + 1, variants) held over the bar before, and over each bar.
            cost: (n, variants) of the fills.
            market_return: (n,) of the symbol.
            mean_return: Of the symbol, over all bars that will be added.
        """
        held = np.abs(weight) > FLAT
        side = np.where(held, np.sign(weight), 0.0)
        self._n_trades += np.count_nonzero((side[1:] != 0) & (np.diff(side, axis=0) != 0), axis=0)
        gross = weight[1:] * market_return[:, None]
        turnover = np.abs(np.diff(weight, axis=0))
        rows = np.searchsorted(self._grid, times)
        columns = (gross, cost, gross - weight[1:] * mean_return, turnover, held[1:])
        for total, column in zip(self._totals, columns, strict=True):
            total[:, rows] += column.T
        self._symbols[rows] += 1

    def series(self, names: Sequence[str]) -> list[Series]:
        """Return the series of all variants, by their names in order; symbols share the capital equally."""
        means = np.divide(self._totals, self._symbols, out=self._totals)
        self._totals = np.zeros((5, 0, 0))
        return [
            Series(name, self._grid, gross, cost, excess, turnover, held > 0, int(trades))
            for name, (gross, cost, excess, turnover, held), trades in zip(
                names, means.transpose(1, 0, 2), self._n_trades, strict=True
            )
        ]
