"""Hindsight labels: what a trader who knew the next bars would have done, as classes of the action head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.spec import ModelSpec
from training.market import Market

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def forward_returns(market: Market, block: range, horizon: int) -> tuple[Ints, Floats]:
    """Return the rows of ``block`` that have ``horizon`` bars of future inside it, none missing, and what they return.

    Args:
        market: Prices.
        block: No price outside of it is read.
        horizon: Bars from the open after a row on.

    Raises:
        DataError: The block is shorter than the horizon.
    """
    rows = block.start + np.flatnonzero(market.steps_ahead(block) > horizon)
    if not len(rows):
        raise DataError("BARS", "the horizon is longer than the block, or its bars", where="horizon", found=horizon)
    opens = market.prices.open
    return rows, opens[rows + 1 + horizon] / opens[rows + 1] - 1.0


def size_bounds(returns: Floats, spec: ModelSpec, costs: CostModel) -> dict[int, Floats]:
    """Return by direction what a return must exceed to be worth each of its sizes, fitted on TRAIN alone.

    The smallest size must pay for a round trip; the larger ones split what does into equal shares.
    """
    round_trip = 2.0 * float(costs.side_fraction)
    bounds = {}
    for direction in (1, -1):
        count = sum(action.direction == direction for action in spec.actions)
        worth = direction * returns[direction * returns > round_trip]
        cuts = np.quantile(worth, np.arange(1, count) / count) if len(worth) else np.full(count - 1, np.inf)
        bounds[direction] = np.concatenate([[round_trip], cuts])
    return bounds


def hindsight_labels(returns: Floats, spec: ModelSpec, bounds: dict[int, Floats]) -> Ints:
    """Return the action index that hindsight chooses for each return, int64 (n,); HOLD where none pays.

    Args:
        returns: (n,) forward returns.
        spec: Whose actions.
        bounds: From :func:`size_bounds`.
    """
    labels = np.full(len(returns), next(i for i, action in enumerate(spec.actions) if action.direction == 0))
    for direction, cuts in bounds.items():
        by_size = sorted((a.size, i) for i, a in enumerate(spec.actions) if a.direction == direction)
        rank = np.searchsorted(cuts, direction * returns, side="left")
        for place, (_, index) in enumerate(by_size, start=1):
            labels[rank == place] = index
    return labels.astype(np.int64)
