"""What is walked: prices, windows, and the blocks of bars that lanes stand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import ExecutionLimits
from trader_sdk.contract.spec import ModelSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

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
