"""What is walked and what is noted on the way: prices, windows, and the record that becomes a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.sleeve import Fills, SleeveArray
from trader_sdk.contract.spec import ModelSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_DECISION: Final = -1
"""Stands in :attr:`Walk.actions` at a window's last bar, where the position is closed instead."""
INITIAL_EQUITY: Final = 10_000.0
_SECONDS_PER_YEAR: Final = 365 * 86_400


class Prices(NamedTuple):
    """Bars as the simulation needs them: starts (ns, UTC), opens, closes, each (T,), and the length of a bar."""

    t: Ints
    open: Floats
    close: Floats
    seconds: int


@dataclass(frozen=True, slots=True)
class Walk:
    """What a policy did in one window of n bars, flat at its start and closed at its last bar.

    Attributes:
        ledger: Bar returns and trades, the input of the metric set.
        actions: int64 (n,) action decided on each close; ``NO_DECISION`` at the last.
        equity: float64 (n,) sleeve equity at each close, the forced close's costs included.
        position_weight: float64 (n,) position value as a fraction of equity at each close.
    """

    ledger: Ledger
    actions: Ints
    equity: Floats
    position_weight: Floats


class Track(NamedTuple):
    """One sleeve's way: feature rows float32 (T, 53), prices aligned with them, and the rows that are traded."""

    market: NDArray[np.float32]
    prices: Prices
    window: range


class Desk(NamedTuple):
    """A group of tracks that are walked at once, what trading on them means, and where it is noted."""

    spec: ModelSpec
    tracks: Sequence[Track]
    costs: CostModel
    limits: ExecutionLimits
    recorder: Recorder

    @property
    def length(self) -> int:
        """Return the bars of each track."""
        return len(self.tracks[0].window)

    @property
    def years(self) -> float:
        """Return how long a bar is, in years."""
        return self.tracks[0].prices.seconds / _SECONDS_PER_YEAR

    def prices(self) -> tuple[Floats, Floats]:
        """Return opens and closes of the traded bars, (length, tracks) each."""
        rows = [slice(track.window.start, track.window.stop) for track in self.tracks]
        opens = np.stack([track.prices.open[at] for track, at in zip(self.tracks, rows, strict=True)], axis=1)
        return opens, np.stack([track.prices.close[at] for track, at in zip(self.tracks, rows, strict=True)], axis=1)


@dataclass(frozen=True, slots=True)
class Recorder:
    """What happened bar by bar on each track: (bars, tracks) arrays, and a list of trades each."""

    actions: Ints
    weight: Floats
    cost: Floats
    equity: Floats
    position_weight: Floats
    equity_at_open: Floats
    trades: list[list[float]]

    @classmethod
    def empty(cls, length: int, count: int) -> Recorder:
        """Return a recorder of ``count`` sleeves at rest."""
        shape = (length, count)
        return cls(
            actions=np.full(shape, NO_DECISION, dtype=np.int64),
            weight=np.zeros(shape),
            cost=np.zeros(shape),
            equity=np.full(shape, INITIAL_EQUITY),
            position_weight=np.zeros(shape),
            equity_at_open=np.full(shape, INITIAL_EQUITY),
            trades=[[] for _ in range(count)],
        )

    def fill(self, bar: int, fills: Fills, before: Floats, position: Floats) -> None:
        """Note fills at a bar's open, and the equity and position there."""
        self.equity_at_open[bar] = before
        self.weight[bar] = position / before
        self.cost[bar] = fills.cost / before
        self._close_trades(fills, before)

    def mark(self, bar: int, sleeves: SleeveArray, close: Floats) -> None:
        """Note equity and position at a bar's close."""
        self.equity[bar] = sleeves.equity(close)
        self.position_weight[bar] = sleeves.position_value(close) / self.equity[bar]

    def close_out(self, fills: Fills, cash: Floats) -> None:
        """Note the fills that close every position at the last bar."""
        before = self.equity_at_open[-1]
        self.cost[-1] += fills.cost / before
        self.equity[-1] = cash
        self.position_weight[-1] = 0.0
        self._close_trades(fills, before)

    def lone(self) -> LoneNotes:
        """Return the columns of the only track, to be written bar by bar."""
        return LoneNotes(
            actions=self.actions[:, 0],
            equity_at_open=self.equity_at_open[:, 0],
            weight=self.weight[:, 0],
            cost=self.cost[:, 0],
            equity=self.equity[:, 0],
            position_weight=self.position_weight[:, 0],
            trades=self.trades[0],
        )

    def _close_trades(self, fills: Fills, equity: Floats) -> None:
        for column in np.flatnonzero(~np.isnan(fills.closed_trade_net)):
            self.trades[column].append(float(fills.closed_trade_net[column] / equity[column]))

    def walk(self, column: int, prices: Prices, window: range) -> Walk:
        """Return what one track's columns tell."""
        rows = slice(window.start, window.stop)
        exits = np.append(prices.open[window.start + 1 : window.stop], prices.close[window.stop - 1])
        ledger = Ledger(
            weight=self.weight[:, column],
            market_return=exits / prices.open[rows] - 1.0,
            cost=self.cost[:, column],
            trades=np.array(self.trades[column]),
            start_at=prices.t[rows],
        )
        return Walk(ledger, self.actions[:, column], self.equity[:, column], self.position_weight[:, column])


class LoneNotes(NamedTuple):
    """The columns of one track, written bar by bar."""

    actions: Ints
    equity_at_open: Floats
    weight: Floats
    cost: Floats
    equity: Floats
    position_weight: Floats
    trades: list[float]

    def bar(
        self, bar: int, action: int, before: float, weight: float, cost: float, equity: float, position: float
    ) -> None:
        """Note what was decided on ``bar`` and what the next one brought."""
        self.actions[bar] = action
        self.equity_at_open[bar + 1], self.weight[bar + 1], self.cost[bar + 1] = before, weight, cost
        self.equity[bar + 1], self.position_weight[bar + 1] = equity, position

    def close_out(self, cost: float, net: float | None, cash: float) -> None:
        """Note the fill that closes the position at the last bar."""
        before = float(self.equity_at_open[-1])
        self.cost[-1] += cost / before
        self.equity[-1], self.position_weight[-1] = cash, 0.0
        if net is not None:
            self.trades.append(net / before)


def common_length(tracks: Sequence[Track], *, first: int) -> int:
    """Return the length that all tracks share.

    Args:
        tracks: At least one.
        first: Rows that must lie before each window.

    Raises:
        DataError: A window is out of range or of another length than the first, or shorter than two bars.
    """
    windows = [track.window for track in tracks]
    lengths = {len(window) for window in windows}
    if len(lengths) != 1 or min(lengths) < 2:
        raise DataError("BARS", "windows must share one length of at least 2 bars", found=sorted(lengths))
    if any(track.window.start < first or track.window.stop > len(track.market) for track in tracks):
        rows = min(len(track.market) for track in tracks)
        raise DataError("BARS", "a window is out of range", expected=f"{first}..{rows}", found=windows)
    return lengths.pop()
