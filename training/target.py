"""What training rewards: the next bar's return, or one that looks further, or past what a market and a trend explain.

The target is never seen: observations, sizing, costs and every metric stay as they are. A shift is added to the reward,
the position's weight times how much the target's return differs from the bar's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.data import load_bars
from training.config import TrainConfig
from training.market import Market

Floats = NDArray[np.float64]

RESIDUAL_BARS: Final = 60
"""Past bars that a residual's intercept and beta are estimated on."""
MIN_PEER_SHARE: Final = 0.5
"""Share of the block's bars that at least one peer must have too."""


def target_shift(market: Market, block: range, config: TrainConfig, source: str) -> Floats | None:
    """Return what to add to each bar's return before it is rewarded; None where the target is the bar itself.

    Args:
        market: Prices of the symbol.
        block: Rows of TRAIN; no return of a later row is read.
        config: ``horizon``, ``residual_momentum``, ``cross_sectional_demean`` and ``peers``.
        source: Where a peer without a source of its own comes from.

    Returns:
        float64 (T,): entry t belongs to the return from the close of row t to that of row t + 1; zero outside of the
        block.

    Raises:
        DataError: A demeaned target without peers, or with peers that have other bars.
    """
    if not config.has_target:
        return None
    close = market.prices.close[block.start : block.stop]
    own = np.diff(np.log(close))
    target = own.copy()
    peers = _peer_mean(market, block, config, source)
    if config.cross_sectional_demean:
        target -= _demeaned_by(peers, own, config)
    if config.residual_momentum:
        target = residuals(target, None if config.cross_sectional_demean else peers)
    if config.horizon > 1:
        target = forward_mean(target, config.horizon)
    shift = np.zeros(len(market.features))
    shift[block.start : block.stop - 1] = np.expm1(target) - np.expm1(own)
    return shift


def forward_mean(returns: Floats, horizon: int) -> Floats:
    """Return (n,) the mean of each return and the ``horizon - 1`` after it; of those that are left at the end.

    Example:
        >>> forward_mean(np.array([1.0, 2.0, 6.0]), 2).tolist()
        [1.5, 4.0, 6.0]
    """
    total = np.concatenate([[0.0], np.cumsum(returns)])
    first = np.arange(len(returns))
    stop = np.minimum(first + horizon, len(returns))
    mean: Floats = (total[stop] - total[first]) / (stop - first)
    return mean


def residuals(returns: Floats, factor: Floats | None, window: int = RESIDUAL_BARS) -> Floats:
    """Return what a trend, and a factor where there is one, do not explain, both estimated on past bars only.

    Args:
        returns: (n,) log returns.
        factor: (n,) log returns of the market beside it, NaN where it has none; None for the trend alone.
        window: Past bars of an estimate; before there are so many, a return is its own residual.

    Source:
        Blitz, Huij, Martens (2011), Residual Momentum; here with rolling windows of bars instead of 36 months.
    """
    explained = np.zeros_like(returns)
    if len(returns) <= window:
        return returns - explained
    trend = _past_mean(returns, window)
    explained[window:] = trend
    if factor is not None:
        known = np.nan_to_num(factor)
        middle = _past_mean(known, window)
        covariance = _past_mean(returns * known, window) - trend * middle
        variance = np.maximum(_past_mean(known * known, window) - middle * middle, 1e-18)
        beyond = np.where(np.isnan(factor[window:]), 0.0, known[window:] - middle)
        explained[window:] += covariance / variance * beyond
    return returns - explained


def _past_mean(values: Floats, window: int) -> Floats:
    """Return (n - window,) the mean of the ``window`` values before each."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    mean: Floats = (total[window:-1] - total[: -window - 1]) / window
    return mean


def _peer_mean(market: Market, block: range, config: TrainConfig, source: str) -> Floats | None:
    if not config.peers:
        return None
    bars = market.bars
    peers = [load_peer(name, source, bars) for name in config.peers]
    starts = market.prices.t[block.start : block.stop]
    return mean_return(starts, peers)


def load_peer(name: str, source: str, bars: Bars) -> Bars:
    """Return the bars of ``SYMBOL`` from the run's own source, or of ``SYMBOL@SOURCE``."""
    symbol, _, own = name.partition("@")
    return load_bars(own or source, symbol, bars.timeframe)


def mean_return(starts: NDArray[np.int64], peers: Sequence[Bars]) -> Floats:
    """Return (n - 1,) the mean log return of the peers from each bar to the next; NaN where none has both bars."""
    log_close = np.full((len(peers), len(starts)), np.nan)
    for row, peer in zip(log_close, peers, strict=True):
        place = np.minimum(np.searchsorted(peer.t, starts), len(peer.t) - 1)
        there = peer.t[place] == starts
        row[there] = np.log(peer.close[place[there]])
    change = np.diff(log_close, axis=1)
    count = np.isfinite(change).sum(axis=0)
    total = np.nansum(change, axis=0)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _demeaned_by(peers: Floats | None, own: Floats, config: TrainConfig) -> Floats:
    if peers is None:
        raise DataError(
            "BARS",
            "a cross-sectional target needs a cross-section",
            where="cross_sectional_demean",
            expected="peers",
            found="none",
            remedy="Name peers, as --peers IBM,MSFT.",
        )
    share = float(np.isfinite(peers).mean())
    if share < MIN_PEER_SHARE:
        raise DataError(
            "BARS",
            "the peers have other bars than the symbol",
            where="peers",
            expected=f"at least {MIN_PEER_SHARE:.0%} of the bars of TRAIN",
            found=f"{share:.0%} with {', '.join(config.peers)}",
            remedy="Name peers with the same bars.",
        )
    # The symbol belongs to its cross-section too.
    count = len(config.peers)
    mean: Floats = np.where(np.isnan(peers), own, (own + count * np.nan_to_num(peers)) / (count + 1))
    return mean
