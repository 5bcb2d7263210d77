"""The leaderboard: variants on the same bars, net of costs, with what luck could have done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.metrics import conditional_value_at_risk, drawdown, equity_of
from trader_sdk.contract.costs import CostModel, cost_model, cost_model_of
from training.zoo.plays import Paired, Play, Series, paired
from training.zoo.statistics import (
    MIN_BARS,
    Moments,
    Overfitting,
    backtest_overfitting,
    deflated_sharpe,
    in_blocks,
    interval_of_mean,
    minimum_track_record,
    probabilistic_sharpe,
)
from training.zoo.superiority import MOST_BLOCKS, Superiority, superiority

Floats = NDArray[np.float64]

COSTS_SHOWN: Final = (1, 2, 3)
_NO_DEVIATION: Final = 1e-15


def costs_of(symbol: str) -> CostModel:
    """Return what trading a symbol costs, by its asset class: a pair with a slash is crypto.

    Example:
        >>> costs_of("BTC/USD").id, costs_of("AAPL").id
        ('crypto@1', 'us_equity@1')
    """
    return cost_model(cost_model_of(symbol))


@dataclass(frozen=True, slots=True)
class Row:
    """One variant's line. Fractions unless said otherwise; compounded over all bars.

    Attributes:
        name: Of the variant.
        n_bars, n_trades: Bars that all variants saw, and positions taken on them.
        gross: Return before costs.
        turnover: Absolute change of weight a bar, mean.
        cost: Sum of the costs.
        net, net_2x, net_3x: Return at one, two and three times the costs.
        sharpe, sortino: A year, net; NaN where nothing deviates.
        cvar: Mean of the worst 5 % of bars.
        max_drawdown: Deepest fall of equity.
        hit_rate: Share of the bars with a position that gained; NaN without one.
        low, high: 95 % interval of the mean net return a year.
        edge: Mean net return a year beyond the baseline's; NaN without a baseline.
        edge_2x: The same at twice the costs.
        probabilistic: Probability that the true Sharpe ratio is above zero; None for insufficient.
        deflated: Probability that it is no luck of the best of all trials; None for insufficient.
        track_record: Bars that this Sharpe ratio needs for 95 %; None for insufficient.
    """

    name: str
    n_bars: int
    n_trades: int
    gross: float
    turnover: float
    cost: float
    net: float
    net_2x: float
    net_3x: float
    sharpe: float
    sortino: float
    cvar: float
    max_drawdown: float
    hit_rate: float
    low: float
    high: float
    edge: float
    edge_2x: float
    probabilistic: float | None
    deflated: float | None
    track_record: float | None

    @property
    def is_sufficient(self) -> bool:
        """Return whether there are enough bars to say anything about luck."""
        return self.probabilistic is not None


@dataclass(frozen=True, slots=True)
class Board:
    """Variants ranked by what they earned net of costs.

    Attributes:
        rows: The best first.
        paired: The series that the rows were made of.
        baseline: Name of the baseline; None where there is none.
        n_trials: How many variants were ever tried.
        superiority: Of the set over the baseline, or over nothing; None for insufficient.
        overfitting: Of choosing among the set; None for insufficient.
        bars_per_year: Of the calendar.
    """

    rows: tuple[Row, ...]
    paired: Paired
    baseline: str | None
    n_trials: int
    superiority: Superiority | None
    overfitting: Overfitting | None
    bars_per_year: float

    def row(self, name: str) -> Row | None:
        """Return a variant's line; None where it was not compared."""
        return next((row for row in self.rows if row.name == name), None)


def leaderboard(plays: Sequence[Play], **asked: Any) -> Board:
    """Rank variants on the bars that all of them saw.

    Args:
        plays: One a variant and symbol.
        **asked: As for :func:`ranked`.
    """
    return ranked(paired(plays), **asked)


def ranked(
    pairs: Paired,
    *,
    baseline: str | None,
    n_trials: int,
    bars_per_year: float,
    seed: int = 0,
    test: Callable[..., Superiority | None] = superiority,
) -> Board:
    """Rank variants net of costs.

    Args:
        pairs: Their series on the same bars.
        baseline: The variant that the others must beat; None for nothing at all.
        n_trials: How many variants were ever tried, failed and dropped ones too; not below those that are shown.
        bars_per_year: Bars a year of the calendar.
        seed: Of the bootstraps: the same plays give the same board.
        test: Tests the set at once, as :func:`~training.zoo.superiority.superiority` does.

    Returns:
        The board; without a common bar it has no rows.
    """
    names = list(pairs.series)
    known = baseline if baseline in pairs.series else None
    challengers = [name for name in names if name != known]
    n_trials = max(n_trials, len(challengers), 1)
    if not challengers:
        rows = _rows(pairs, known, n_trials, bars_per_year, seed) if names else ()
        return Board(rows, pairs, known, n_trials, None, None, bars_per_year)
    returns = pairs.returns(challengers)
    against = pairs.series[known].net() if known else np.zeros(len(returns))
    overfitting = backtest_overfitting(in_blocks(returns, MOST_BLOCKS)) if len(returns) >= MIN_BARS else None
    tested = test(challengers, returns, against, seed=seed)
    rows = _rows(pairs, known, n_trials, bars_per_year, seed)
    return Board(rows, pairs, known, n_trials, tested, overfitting, bars_per_year)


def _rows(pairs: Paired, baseline: str | None, n_trials: int, bars_per_year: float, seed: int) -> tuple[Row, ...]:
    names = list(pairs.series)
    low, high = interval_of_mean(pairs.returns(names), seed=seed)
    moments = {name: Moments.of(series.worse) for name, series in pairs.series.items()}
    rows = []
    for place, name in enumerate(names):
        others = np.array([m.sharpe for other, m in moments.items() if m and other not in (name, baseline)])
        figures = _figures(pairs.series[name], bars_per_year)
        rows.append(
            Row(
                name=name,
                **figures,
                low=float(low[place]) * bars_per_year,
                high=float(high[place]) * bars_per_year,
                edge=_edge(pairs, name, baseline, 1) * bars_per_year,
                edge_2x=_edge(pairs, name, baseline, 2) * bars_per_year,
                **_luck(moments[name], others, n_trials),
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.net, row.name)))


def _edge(pairs: Paired, name: str, baseline: str | None, times_costs: int) -> float:
    if baseline is None:
        return math.nan
    return float(np.mean(pairs.series[name].net(times_costs) - pairs.series[baseline].net(times_costs)))


def _luck(moments: Moments | None, others: Floats, n_trials: int) -> dict[str, Any]:
    if moments is None:
        return {"probabilistic": None, "deflated": None, "track_record": None}
    return {
        "probabilistic": probabilistic_sharpe(moments),
        "deflated": deflated_sharpe(moments, others, n_trials),
        "track_record": minimum_track_record(moments),
    }


def _figures(series: Series, bars_per_year: float) -> dict[str, Any]:
    net = series.net()
    compounded = [float(equity_of(series.net(times))[-1]) - 1.0 for times in COSTS_SHOWN]
    deviation = float(net.std(ddof=1)) if len(net) > 1 else 0.0
    downside = math.sqrt(float(np.mean(np.minimum(net, 0.0) ** 2)))
    mean, year = float(net.mean()), math.sqrt(bars_per_year)
    return {
        "n_bars": len(net),
        "n_trades": series.n_trades,
        "gross": float(equity_of(series.gross)[-1]) - 1.0,
        "turnover": float(series.turnover.mean()),
        "cost": float(series.cost.sum()),
        **dict(zip(("net", "net_2x", "net_3x"), compounded, strict=True)),
        "sharpe": mean / deviation * year if deviation > _NO_DEVIATION else math.nan,
        "sortino": mean / downside * year if downside > _NO_DEVIATION else math.nan,
        "cvar": conditional_value_at_risk(net),
        "max_drawdown": drawdown(equity_of(net)),
        "hit_rate": float(np.mean(net[series.exposed] > 0)) if series.exposed.any() else math.nan,
    }
