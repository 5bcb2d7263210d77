"""What is walked and what is noted on the way: prices, windows, and the record that becomes a ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
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

    @property
    def start_at(self) -> Ints:
        """Return the starts of the traded bars, ns UTC."""
        return self.prices.t[self.window.start : self.window.stop]

    def market_return(self) -> Floats:
        """Return ``open[t+1] / open[t] - 1`` of the traded bars; the last one's to its close."""
        first, stop = self.window.start, self.window.stop
        exits = np.append(self.prices.open[first + 1 : stop], self.prices.close[stop - 1])
        returns: Floats = exits / self.prices.open[first:stop] - 1.0
        return returns


class Block(NamedTuple):
    """Some bars that are decided on, counted from each track's first one.

    Attributes:
        bars: On whose closes decisions are taken.
        n_tracks: Tracks that run so long: the first ones of the desk.
        n_left: Those that go on after the bar that follows the block.
    """

    bars: range
    n_tracks: int
    n_left: int


class Desk(NamedTuple):
    """A group of tracks that are walked at once, the longest first, and what trading on them means."""

    spec: ModelSpec
    tracks: Sequence[Track]
    costs: CostModel
    limits: ExecutionLimits

    @property
    def last_years(self) -> float:
        """Return how long a bar is, in years."""
        return self.tracks[0].prices.last_years

    def blocks(self, most: int) -> Iterator[Block]:
        """Yield all bars that are decided on, at most so many at a time; where a track ends, a block does."""
        first, lengths = 0, [len(track.window) for track in self.tracks]
        for end in sorted({length - 1 for length in lengths}):
            running, left = (sum(length - 1 >= bar for length in lengths) for bar in (end, end + 1))
            while first < end:
                bars = range(first, min(first + most, end))
                yield Block(bars, running, left if bars.stop == end else running)
                first = bars.stop

    def scene(self, block: Block, *, copies: int = 1) -> Scene:
        """Return what is traded on a block's bars and the one after, (bars + 1, copies * tracks) each."""
        tracks = self.tracks[: block.n_tracks]
        starts = [track.window.start + block.bars.start for track in tracks]
        columns = [
            _columns(track.prices, start, len(block.bars) + 1) for track, start in zip(tracks, starts, strict=True)
        ]
        return Scene(*(np.tile(np.stack(each, axis=1), (1, copies)) for each in zip(*columns, strict=True)))

    def segments(self, block: Block) -> NDArray[np.float32]:
        """Return the feature rows of a block's windows, (tracks, bars + window - 1, 53)."""
        before = self.spec.window - 1
        starts = [track.window.start + block.bars.start for track in self.tracks[: block.n_tracks]]
        rows = [slice(start - before, start + len(block.bars)) for start in starts]
        return np.stack([track.market[at] for track, at in zip(self.tracks, rows, strict=False)])

    def window_at(self, track: int, bar: int) -> NDArray[np.float32]:
        """Return the feature rows that a decision on a track's bar sees, (window, 53)."""
        stop = self.tracks[track].window.start + bar + 1
        return self.tracks[track].market[stop - self.spec.window : stop]


class Scene(NamedTuple):
    """Some bars of a group of lanes, (bars, lanes) each: as in :class:`Turn`, by the bar of the decision."""

    open: Floats
    close: Floats
    years: Floats
    asked: Bools

    def turn(self, row: int) -> Turn:
        """Return what lies between the decisions on a bar and their fills."""
        return Turn(self.close[row], self.open[row + 1], self.years[row + 1], self.asked[row])


def _columns(prices: Prices, start: int, count: int) -> tuple[Floats, Floats, Floats, Bools]:
    rows, before = slice(start, start + count), prices.t[max(start - 1, 0) : start]
    years = np.diff(prices.t[rows], prepend=before if len(before) else prices.t[:1]) / NANOSECONDS_PER_YEAR
    asked = np.ones(count, np.bool_) if prices.asked is None else prices.asked[rows]
    return prices.open[rows], prices.close[rows], years, asked


class Step(NamedTuple):
    """What lanes did from one close to the next; (lanes,) each.

    Attributes:
        actions: int64, decided on the close.
        equity_at_open: Before the fill at the next open.
        weight: Held over the bar that follows, after the fill.
        cost: Of the fill and of borrowing, over that equity.
        trades: Net results of trades that became flat, over that equity; NaN where none did.
        equity: At the bar's close.
        position_weight: Position over equity there.
    """

    actions: Ints
    equity_at_open: Floats
    weight: Floats
    cost: Floats
    trades: Floats
    equity: Floats
    position_weight: Floats


class Closing(NamedTuple):
    """Lanes whose track ended and whose positions were closed at the last close; (lanes,) each, zero for the others.

    Attributes:
        lanes: Which.
        cost: Of closing, over equity at the last fill.
        trades: As in :class:`Step`.
        cash: What is left.
    """

    lanes: NDArray[np.bool_]
    cost: Floats
    trades: Floats
    cash: Floats


class Notes(Protocol):
    """Who hears what lanes do."""

    def note(self, bar: int, step: Step) -> None:
        """Hear what was decided on the bar before, and what ``bar`` brought."""

    def close_out(self, bar: int, closing: Closing) -> None:
        """Hear which lanes ended on ``bar``, noted already; the others go on in the same order."""


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

    def note(self, bar: int, step: Step) -> None:
        """Note what was decided on the bar before, and what ``bar`` brought."""
        self.actions[bar - 1] = step.actions
        self.equity_at_open[bar], self.weight[bar], self.cost[bar] = step.equity_at_open, step.weight, step.cost
        self.equity[bar], self.position_weight[bar] = step.equity, step.position_weight
        self._close_trades(step.trades)

    def close_out(self, bar: int, closing: Closing) -> None:
        """Note the fills that close every position at the last bar, the same for all."""
        self.cost[bar] += closing.cost
        self.equity[bar] = closing.cash
        self.position_weight[bar] = 0.0
        self._close_trades(closing.trades)

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

    def _close_trades(self, trades: Floats) -> None:
        for column in np.flatnonzero(~np.isnan(trades)).tolist():
            self.trades[column].append(float(trades[column]))

    def walk(self, column: int, track: Track) -> Walk:
        """Return what one track's columns tell."""
        ledger = Ledger(
            weight=self.weight[:, column],
            market_return=track.market_return(),
            cost=self.cost[:, column],
            trades=np.array(self.trades[column]),
            start_at=track.start_at,
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
    check_windows(tracks, first=first)
    lengths = {len(track.window) for track in tracks}
    if len(lengths) != 1:
        raise DataError("BARS", "windows must share one length", found=sorted(lengths))
    return lengths.pop()


def check_windows(tracks: Sequence[Track], *, first: int) -> None:
    """Refuse windows that cannot be traded.

    Args:
        tracks: At least one.
        first: Rows that must lie before each window.

    Raises:
        DataError: A window is out of range, or shorter than two bars.
    """
    windows = [track.window for track in tracks]
    if min(map(len, windows)) < 2:
        raise DataError("BARS", "windows must have at least 2 bars", found=sorted(map(len, windows)))
    if any(track.window.start < first or track.window.stop > len(track.market) for track in tracks):
        rows = min(len(track.market) for track in tracks)
        raise DataError("BARS", "a window is out of range", expected=f"{first}..{rows}", found=windows)
