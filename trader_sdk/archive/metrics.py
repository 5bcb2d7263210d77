"""The metric set ``house@1``: every figure the worse of raw and excess, on windows that start and end flat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.blocks import MIN_WINDOW_BARS, check_window_count
from trader_sdk.archive.folds import Fold, fold_returns, tier_of
from trader_sdk.archive.gate import Tier
from trader_sdk.archive.ledger import Ledger, holdings
from trader_sdk.contract.errors import ConfigError, DataError

Floats = NDArray[np.float64]

BAR_CLAMP: Final = 0.05
DRAWDOWN_WEIGHT: Final = 0.2
MIN_ACTIVE_SHARE: Final = 0.7
CVAR_SHARE: Final = 0.05
FALSE_APPROVAL_RATE: Final = 0.005
_NO_DEVIATION: Final = 1e-15
_EQUITY_POINTS: Final = 240
_SHOWN: Final = (
    "active_windows",
    "n_trials",
    "mean_market_return",
    "sharpe_annual",
    "sortino",
    "cvar",
    "turnover",
    "cost_total",
    "net_return",
)


@dataclass(frozen=True, slots=True)
class HouseMetrics:
    """The metric set ``house@1`` of one GATE block.

    Attributes:
        fitness_score: Mean over deviation a bar, times the root of a window's bars, less a fifth of drawdown.
        profit_factor: Gains over losses of flat-to-flat trades; +Inf without a loss, NaN without a trade.
        consistency: Windows with both returns above zero over windows with exposure; NaN without exposure.
        max_drawdown: Of the clamped equity, a fraction.
        real_drawdown: Of the equity as it was, a fraction.
        t: ``min(raw, excess)`` mean over deviation times the root of all bars.
        n_bars, n_windows, active_windows, n_trades, n_trials: Counts.
        mean_market_return: Mean return a bar of the market itself.
        sharpe_annual: Shown, never gated on.
        sortino: Mean over downside deviation, times the root of all bars.
        cvar: Mean of the worst 5 % of net bar returns, a fraction, negative for a loss.
        turnover: Absolute change of weight a bar, mean.
        cost_total: Sum of costs as fractions of equity.
        net_return: Compounded over all windows, a fraction.
        equity: At most 240 points of the equity as it was, from 1, last point included.
        folds: Five folds of the block.
        tier: Deployment tier of the folds.
    """

    fitness_score: float
    profit_factor: float
    consistency: float
    max_drawdown: float
    real_drawdown: float
    t: float
    n_bars: int
    n_windows: int
    active_windows: int
    n_trades: int
    n_trials: int
    mean_market_return: float
    sharpe_annual: float
    sortino: float
    cvar: float
    turnover: float
    cost_total: float
    net_return: float
    equity: tuple[float, ...]
    folds: tuple[Fold, ...]
    tier: Tier


def house_metrics(windows: Sequence[Ledger], *, n_trials: int, bars_per_year: float) -> HouseMetrics:
    """Compute ``house@1``.

    Args:
        windows: 7..14 ledgers of one length, at least 50 bars each, in time order.
        n_trials: How often this data was opened for judging, this time included; at least 1.
        bars_per_year: Bars a year of the calendar, for the annualised Sharpe that is shown beside.

    Returns:
        The metrics; a figure that is undefined is NaN.

    Raises:
        ConfigError: ``n_trials`` is below 1 or the number of windows is out of range.
        DataError: Windows differ in length, are too short, or overlap.

    Source:
        docs/guide/archive.md, "The metric set"
    """
    _check(windows, n_trials)
    block = _Block.of(windows)
    raw, excess = _Moments.of(block.net), _Moments.of(block.excess)
    window_bars = len(windows[0])
    active = [window.has_exposure for window in windows]
    folds = fold_returns(block.net, block.excess, block.start_at, block.trade_ends)
    worse_drawdown = max(clamped_drawdown(block.net), clamped_drawdown(block.excess))
    return HouseMetrics(
        fitness_score=_worse(
            fitness(raw.ratio, window_bars, clamped_drawdown(block.net)),
            fitness(excess.ratio, window_bars, clamped_drawdown(block.excess)),
        ),
        profit_factor=_worse(profit_factor(block.trades), profit_factor(block.excess_trades)),
        consistency=_consistency(windows, block.mean_market_return),
        max_drawdown=worse_drawdown,
        real_drawdown=drawdown(equity_of(block.net)),
        t=_worse(raw.ratio, excess.ratio) * math.sqrt(len(block.net)),
        n_bars=len(block.net),
        n_windows=len(windows),
        active_windows=sum(active),
        n_trades=len(block.trades),
        n_trials=n_trials,
        mean_market_return=block.mean_market_return,
        sharpe_annual=_worse(raw.ratio, excess.ratio) * math.sqrt(bars_per_year),
        sortino=_worse(sortino(block.net), sortino(block.excess)),
        cvar=conditional_value_at_risk(block.net),
        turnover=float(np.mean([turnover(window.weight) for window in windows])),
        cost_total=float(sum(window.cost.sum() for window in windows)),
        net_return=float(np.prod(1.0 + block.net) - 1.0),
        equity=_sampled(equity_of(block.net)),
        folds=tuple(folds),
        tier=tier_of([fold.sharpe for fold in folds]),
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """All windows one after the other."""

    net: Floats
    excess: Floats
    start_at: NDArray[np.int64]
    mean_market_return: float
    trades: Floats
    excess_trades: Floats
    trade_ends: NDArray[np.int64]

    @classmethod
    def of(cls, windows: Sequence[Ledger]) -> _Block:
        mean = float(np.mean(np.concatenate([window.market_return for window in windows])))
        excess = [window.excess_return(mean) for window in windows]
        size = len(windows[0])
        excess_trades, ends = [], []
        for index, (window, returns) in enumerate(zip(windows, excess, strict=True)):
            for first, last in holdings(window.weight):
                excess_trades.append(float(returns[first : last + 1].sum()))
                ends.append(index * size + last)
        return cls(
            net=np.concatenate([window.net_return for window in windows]),
            excess=np.concatenate(excess),
            start_at=np.concatenate([window.start_at for window in windows]),
            mean_market_return=mean,
            trades=np.concatenate([window.trades for window in windows]),
            excess_trades=np.array(excess_trades, dtype=np.float64),
            trade_ends=np.array(ends, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class _Moments:
    """Mean over deviation a bar; NaN where nothing deviates."""

    ratio: float

    @classmethod
    def of(cls, returns: Floats) -> _Moments:
        deviation = float(np.std(returns, ddof=1))
        return cls(float(np.mean(returns)) / deviation if deviation > _NO_DEVIATION else math.nan)


def fitness(ratio: float, window_bars: int, max_drawdown: float) -> float:
    """Return ``ratio * sqrt(window_bars) * max(0, 1 - 0.2 * drawdown)``; free of the timeframe.

    Example:
        >>> fitness(0.1, 100, 0.5)
        0.9
    """
    return ratio * math.sqrt(window_bars) * max(0.0, 1.0 - DRAWDOWN_WEIGHT * max_drawdown)


def profit_factor(trades: Floats) -> float:
    """Return gains over losses; +Inf without a loss, NaN where nothing was gained or lost.

    Example:
        >>> profit_factor(np.array([0.03, -0.01, 0.01, -0.01]))
        2.0
    """
    gains, losses = float(trades[trades > 0].sum()), float(-trades[trades < 0].sum())
    if losses > 0:
        return gains / losses
    return math.inf if gains > 0 else math.nan


def clamped_drawdown(returns: Floats) -> float:
    """Return peak to trough of ``equity *= clamp(1 + r, 0.95, 1.05)``, from an equity of 1."""
    return drawdown(equity_of(np.clip(returns, -BAR_CLAMP, BAR_CLAMP)))


def equity_of(returns: Floats) -> Floats:
    """Return (T,) the equity after each bar, from 1 before the first."""
    equity: Floats = np.cumprod(1.0 + returns, dtype=np.float64)
    return equity


def drawdown(equity: Floats) -> float:
    """Return the deepest fall of ``equity`` (T,) from its running peak, the start at 1 included.

    Example:
        >>> round(drawdown(np.array([1.1, 0.99, 1.2])), 6)
        0.1
    """
    curve = np.concatenate([[1.0], equity])
    return float(np.max(1.0 - curve / np.maximum.accumulate(curve)))


def sortino(returns: Floats) -> float:
    """Return mean over downside deviation times the root of the count; NaN without a downside."""
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) / downside * math.sqrt(len(returns)) if downside > _NO_DEVIATION else math.nan


def conditional_value_at_risk(returns: Floats) -> float:
    """Return the mean of the worst 5 % of returns, one bar at least."""
    worst = max(1, math.ceil(CVAR_SHARE * len(returns)))
    return float(np.mean(np.sort(returns)[:worst]))


def turnover(weight: Floats) -> float:
    """Return the mean absolute change of weight a bar; the window starts and ends flat."""
    return float(np.abs(np.diff(weight, prepend=0.0, append=0.0)).sum() / len(weight))


def required_t(n_trials: int, min_t: float = 3.0, false_approval_rate: float = FALSE_APPROVAL_RATE) -> float:
    """Return the t statistic that APPROVED needs: ``max(min_t, PHI^-1(1 - rate / trials))``.

    Example:
        >>> required_t(1), round(required_t(20), 3)
        (3.0, 3.481)
    """
    # By symmetry from the lower tail: 1 - rate / trials would round to 1 for many trials.
    return max(min_t, -NormalDist().inv_cdf(false_approval_rate / n_trials))


def min_active_windows(n_windows: int) -> int:
    """Return how many windows need exposure: ``ceil(0.7 W)``."""
    return math.ceil(MIN_ACTIVE_SHARE * n_windows - 1e-9)


def gate_final(metrics: HouseMetrics, mix: Mapping[str, float] = MappingProxyType({})) -> dict[str, Any]:
    """Return the metrics as plain data: one entry of ``gate`` in a summary.

    Args:
        metrics: Of the GATE block.
        mix: :func:`~trader_sdk.archive.action_mix.action_mix` of the same walks; a trader whose model decides very
            differently lets it only reduce. Without it nobody can tell.
    """
    gated = ("fitness_score", "profit_factor", "consistency", "max_drawdown", "t", "n_bars", "n_windows", "n_trades")
    return {
        **{name: getattr(metrics, name) for name in gated},
        "real_drawdown": metrics.real_drawdown,
        "folds": [_plain_fold(fold) for fold in metrics.folds],
        "equity": list(metrics.equity),
        "shown": {**{name: float(getattr(metrics, name)) for name in _SHOWN}, **mix},
    }


def _plain_fold(fold: Fold) -> dict[str, Any]:
    return {
        "start": _rfc3339(fold.start_at),
        "end": _rfc3339(fold.end_at),
        "net_return": fold.net_return,
        "sharpe": fold.sharpe,
        "n_trades": fold.n_trades,
    }


def _rfc3339(nanoseconds: int) -> str:
    return f"{np.datetime64(nanoseconds, 'ns').astype('datetime64[s]')}Z"


def _sampled(equity: Floats) -> tuple[float, ...]:
    curve = np.concatenate([[1.0], equity])
    picks = np.unique(np.linspace(0, len(curve) - 1, min(len(curve), _EQUITY_POINTS)).round().astype(np.int64))
    return tuple(round(float(value), 6) for value in curve[picks])


def _consistency(windows: Sequence[Ledger], mean_market_return: float) -> float:
    exposed = [window for window in windows if window.has_exposure]
    if not exposed:
        return math.nan
    totals = [(float(w.net_return.sum()), float(w.excess_return(mean_market_return).sum())) for w in exposed]
    return sum(min(total) > 0 for total in totals) / len(exposed)


def _worse(raw: float, excess: float) -> float:
    return math.nan if math.isnan(raw) or math.isnan(excess) else min(raw, excess)


def _check(windows: Sequence[Ledger], n_trials: int) -> None:
    if n_trials < 1:
        raise ConfigError("CONFIG", "trials are counted from 1", where="n_trials", found=n_trials)
    check_window_count(len(windows))
    lengths = sorted({len(window) for window in windows})
    if len(lengths) != 1 or lengths[0] < MIN_WINDOW_BARS:
        expected = f"one length of at least {MIN_WINDOW_BARS} bars"
        raise DataError("BARS", "windows are not equal or too short", where="windows", expected=expected, found=lengths)
    for before, after in pairwise(windows):
        if before.start_at[-1] >= after.start_at[0]:
            raise DataError("BARS", "windows overlap or are out of order", where="windows")
