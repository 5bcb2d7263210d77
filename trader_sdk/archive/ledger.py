"""What a policy did on one window: weights, market returns, costs and closed trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import DataError

Floats = NDArray[np.float64]
FLAT: float = 1e-9
"""Weights within this of zero count as flat: what rounding leaves of a closed position."""


@dataclass(frozen=True)
class Ledger:
    """One window that starts flat and is closed at its last bar with costs.

    Args:
        weight: (T,) signed position value over sleeve equity held over bar t, decided on the close of t-1 and filled
            at the open of t.
        market_return: (T,) ``open[t+1] / open[t] - 1``; the last bar of the window ``close[t] / open[t] - 1``.
        cost: (T,) costs of the fill at the open of t over sleeve equity, not negative; the last bar's holds the
            cost of the forced close too.
        trades: (n,) flat-to-flat trades net of costs, as fractions of equity, a forced close among them.
        start_at: int64 (T,) bar starts, nanoseconds since the epoch, UTC.

    Raises:
        DataError: Lengths differ, a number is not finite, a cost is negative or time does not increase.
    """

    weight: Floats
    market_return: Floats
    cost: Floats
    trades: Floats
    start_at: NDArray[np.int64]

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise DataError("BARS", "; ".join(faults), where="ledger")

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def net_return(self) -> Floats:
        """Return (T,) ``weight * market_return - cost``."""
        return self.weight * self.market_return - self.cost

    def excess_return(self, mean_market_return: float) -> Floats:
        """Return (T,) the net return with the market's mean return taken out of what was held."""
        return self.weight * (self.market_return - mean_market_return) - self.cost

    @property
    def has_exposure(self) -> bool:
        """Return whether a position was held on any bar."""
        return bool((np.abs(self.weight) > FLAT).any())


class Holding(NamedTuple):
    """One flat-to-flat stretch: bars ``first`` to ``last``, both inclusive, the bar that paid the exit included."""

    first: int
    last: int


def holdings(weight: Floats) -> list[Holding]:
    """Return the flat-to-flat stretches of one window's weights.

    A position that changes sign passes through flat. The exit is paid at the fill of the bar after the last held
    one, so that bar belongs to the stretch where it is flat.

    Args:
        weight: (T,) weights.

    Example:
        >>> holdings(np.array([0.0, 0.1, 0.2, 0.0, -0.1]))
        [Holding(first=1, last=3), Holding(first=4, last=4)]
    """
    side = np.where(np.abs(weight) > FLAT, np.sign(weight), 0.0)
    edges = np.flatnonzero(np.diff(side)) + 1
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [len(side)]])
    found = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        if start < stop and side[start] != 0.0:
            exit_is_flat = stop < len(side) and side[stop] == 0.0
            found.append(Holding(start, stop if exit_is_flat else stop - 1))
    return found


def _faults(ledger: Ledger) -> list[str]:
    columns = {"market_return": ledger.market_return, "cost": ledger.cost, "start_at": ledger.start_at}
    faults = [f"{name} has {len(c)} rows, weight {len(ledger)}" for name, c in columns.items() if len(c) != len(ledger)]
    numbers = {"weight": ledger.weight, "market_return": ledger.market_return, "cost": ledger.cost}
    faults += [f"{name} is not finite" for name, c in numbers.items() if not np.isfinite(c).all()]
    if not np.isfinite(ledger.trades).all():
        faults.append("trades are not finite")
    if (ledger.cost < 0).any():
        faults.append("cost is negative")
    if (np.diff(ledger.start_at) <= 0).any():
        faults.append("time does not increase")
    return faults
