"""What is walked and what is noted on the way: prices, windows, and the record that becomes a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.sleeve import Fills, SleeveArray
from trader_sdk.contract.spec import ModelSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_DECISION: Final = -1
"""Stands in :attr:`Walk.actions` where nobody was asked: at a window's last bar, and beside a missing one."""
INITIAL_EQUITY: Final = 10_000.0
NANOSECONDS_PER_YEAR: Final = 365 * 86_400 * 10**9


class Turn(NamedTuple):
    """What lies between N decisions and the fills they become.

    Attributes:
        close: (N,) price that is decided and sized on.
        next_open: (N,) price that is filled around.
        years: (N,) calendar time from the open of the decision's bar to the fill, which a carried short pays for.
        asked: bool (N,) whether there was a decision at all; None for everywhere.
    """

    close: Floats
    next_open: Floats
    years: Floats
    asked: Bools | None


class Prices(NamedTuple):
    """Bars as the simulation needs them, (T,) each.

    Attributes:
        t: Starts, ns UTC.
        open, close: Prices.
        seconds: Length of a bar.
        asked: Whether the trader asks a model at this bar's close, and the next bar comes in time to fill what it
            answers; None for always.
    """

    t: Ints
    open: Floats
    close: Floats
    seconds: int
    asked: Bools | None = None

    @classmethod
    def of(cls, bars: Bars, first: int, whole: Bools) -> Prices:
        """Return the prices of ``bars`` from bar ``first`` on.

        Args:
            bars: T bars.
            first: Bars before it have no features.
            whole: bool (T,), whether no bar is missing in the window that ends with each. Where one is missing, and on
                a bar without volume, the trader does not decide; a decision whose next bar is missing is not filled.
        """
        filled = whole & (bars.volume > 0)
        filled[:-1] &= whole[1:]
        since = slice(first, None)
        asked = None if filled[since].all() else filled[since]
        return cls(bars.t[since], bars.open[since], bars.close[since], bars.timeframe.seconds, asked)

    def turn(self, rows: Ints, years: Floats) -> Turn:
        """Return what lies between decisions on ``rows`` (N,) and their fills; ``years`` is :attr:`years`."""
        asked = None if self.asked is None else self.asked[rows]
        return Turn(self.close[rows], self.open[rows + 1], years[rows + 1], asked)

    @property
    def years(self) -> Floats:
        """Return (T,) how long before each bar's open the bar before opened, in years; 0 for the first."""
        return np.diff(self.t, prepend=self.t[:1]) / NANOSECONDS_PER_YEAR

    @property
    def last_years(self) -> float:
        """Return how long a bar is, in years: what a position that is closed at a close was held for."""
        return self.seconds * 10**9 / NANOSECONDS_PER_YEAR


@dataclass(frozen=True, slots=True)
class Walk:
    """What a policy did in one window of n bars, flat at its start and closed at its last bar.

    Attributes:
        ledger: Bar returns and trades, the input of the metric set.
        actions: int64 (n,) action decided on each close; ``NO_DECISION`` at the last and where nobody was asked.
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
    def last_years(self) -> float:
        """Return how long a bar is, in years."""
        return self.tracks[0].prices.last_years

    def scene(self) -> Scene:
        """Return what is traded, bar by bar."""
        tracks = self.tracks
        opens, closes, years, asked = (
            np.stack(
                [column[track.window.start : track.window.stop] for column, track in zip(columns, tracks, strict=True)],
                axis=1,
            )
            for columns in zip(*(_columns(track.prices) for track in tracks), strict=True)
        )
        return Scene(opens, closes, years, asked)


class Scene(NamedTuple):
    """The traded bars of a group of tracks, (length, tracks) each: as in :class:`Turn`, by the bar of the decision."""

    open: Floats
    close: Floats
    years: Floats
    asked: Bools

    def turn(self, bar: int) -> Turn:
        """Return what lies between the decisions on ``bar`` and their fills."""
        return Turn(self.close[bar], self.open[bar + 1], self.years[bar + 1], self.asked[bar])


def _columns(prices: Prices) -> tuple[Floats, Floats, Floats, Bools]:
    everywhere = np.ones(len(prices.t), np.bool_) if prices.asked is None else prices.asked
    return prices.open, prices.close, prices.years, everywhere


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
