"""Venue time: the instants at which a replayed market moves, and what the engine is told at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND
from trader_sdk.exchange.events import BarRange, BarsOpened, BarsTraded, Input, Opening, SessionClosed, SessionOpened
from trader_sdk.exchange.market import FINAL_AFTER_CLOSE_NS, Int64, Market, Track
from trader_sdk.exchange.sessions import Session, at_new_york

_EVENING: Final = time(19, 0)
_DAY_NS: Final = 86_400 * NANOSECONDS_PER_SECOND
_BEFORE_FIRST_NS: Final = 300 * NANOSECONDS_PER_SECOND


class Phase(StrEnum):
    """What the venue has just done.

    ``start`` before anything, ``open`` a session began, ``bar`` an intraday bar ended, ``close`` a session ended,
    ``final`` daily bars became final, ``evening`` the opening auction takes orders again, ``wait`` only time passed.
    """

    START = "start"
    OPEN = "open"
    BAR = "bar"
    CLOSE = "close"
    FINAL = "final"
    EVENING = "evening"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment of the replay.

    Attributes:
        at: Nanoseconds UTC.
        inputs: What the engine is told, in order.
        released: Bars that became visible.
    """

    at: int
    phase: Phase
    inputs: tuple[Input, ...]
    released: tuple[Bar, ...]


class Replay:
    """The timeline of a market from ``start_ns`` on; pure, asked by index.

    Args:
        market: Bars and sessions.
        start_ns: Bars that start before this are history.
        participation: Largest share of a bar's volume that may trade.
    """

    def __init__(self, market: Market, start_ns: int, participation: Decimal) -> None:
        self.market = market
        self.start_ns = start_ns
        self._participation = participation
        self._kept: tuple[int, Instant] | None = None
        self._first: Mapping[str, int] = {
            symbol: int(np.searchsorted(track.bars.t, start_ns)) for symbol, track in market.tracks.items()
        }

    def __len__(self) -> int:
        return len(self._times)

    @cached_property
    def begins_at(self) -> int:
        """Return the venue time at the start: after the last session before the first replayed bar, or as it opens."""
        opens = [int(track.opens_at[self._first[s]]) for s, track in self._replayed()]
        if not opens:
            return self.start_ns
        first = min(opens)
        if not self._has_equities or self.market.sessions.running(first - 1) is not None:
            return first
        before = self.market.sessions.last_closed(first)
        if before is None:
            return first - _BEFORE_FIRST_NS
        return before.closes_at + (0 if self.market.timeframe.is_intraday else FINAL_AFTER_CLOSE_NS)

    def last_prices(self) -> dict[str, Decimal]:
        """Return each symbol's last close before the replay; its first open where there is no history."""
        prices = {}
        for symbol, track in self.market.tracks.items():
            first = self._first[symbol]
            price = track.bars.close[first - 1] if first else track.bars.open[0]
            prices[symbol] = _decimal(price)
        return prices

    def initial_inputs(self) -> tuple[Input, ...]:
        """Return what the engine is told at :attr:`begins_at`: a session that runs already, and its bar."""
        session = self.market.sessions.running(self.begins_at) if self._has_equities else None
        openings = self._openings(self.begins_at)
        started: tuple[Input, ...] = () if session is None else (SessionOpened(session.closes_at),)
        return (*started, BarsOpened(openings)) if openings else started

    def time_of(self, index: int) -> int | None:
        """Return when instant ``index`` is, None after the last."""
        return int(self._times[index]) if index < len(self._times) else None

    def instant(self, index: int) -> Instant:
        """Return what happens at instant ``index``; the last answer is kept, as it is asked before and when due."""
        if self._kept is None or self._kept[0] != index:
            self._kept = (index, self._make_instant(index))
        return self._kept[1]

    def _make_instant(self, index: int) -> Instant:
        at = int(self._times[index])
        closing = self._session_with(at, closes=True)
        opening = self._session_with(at, closes=False)
        inputs: list[Input] = []
        ranges = tuple(self._range(track, i) for _, track, i in self._bars_at(at, "ends_at"))
        if ranges:
            inputs.append(BarsTraded(ranges))
        if closing is not None:
            inputs.append(SessionClosed())
        if opening is not None:
            inputs.append(SessionOpened(opening.closes_at))
        openings = self._openings(at)
        if openings or opening is not None:
            inputs.append(BarsOpened(openings, is_auction=opening is not None))
        released = tuple(track.bars.at(i) for _, track, i in self._bars_at(at, "visible_at"))
        return Instant(at, self._phase(opening, closing, released), tuple(inputs), released)

    def _phase(self, opening: Session | None, closing: Session | None, released: tuple[Bar, ...]) -> Phase:
        if closing is not None:
            return Phase.CLOSE
        if opening is not None:
            return Phase.OPEN
        if released:
            return Phase.BAR if self.market.timeframe.is_intraday else Phase.FINAL
        return Phase.EVENING if self._has_equities and not self.market.timeframe.is_intraday else Phase.BAR

    def _replayed(self) -> list[tuple[str, Track]]:
        tracks = self.market.tracks.items()
        return [(symbol, track) for symbol, track in tracks if self._first[symbol] < len(track.bars)]

    @cached_property
    def _has_equities(self) -> bool:
        return any(series.calendar == "XNYS" for series in self.market.bars.values())

    @cached_property
    def _times(self) -> Int64:
        times: list[Int64] = []
        for symbol, track in self._replayed():
            rest = slice(self._first[symbol], None)
            times += [track.opens_at[rest], track.ends_at[rest], track.visible_at[rest]]
        if not times:
            return np.array([], dtype=np.int64)
        last = max(int(column[-1]) for column in times)
        every = np.unique(np.concatenate([*times, self._session_times(last)]))
        return every[every > self.begins_at]

    def _session_times(self, last: int) -> Int64:
        if not self._has_equities:
            return np.array([], dtype=np.int64)
        marks: list[int] = []
        for session in self.market.sessions.between(self.begins_at - _DAY_NS, last):
            marks += [session.opens_at, session.closes_at]
            if not self.market.timeframe.is_intraday:
                marks.append(at_new_york(session.day, _EVENING))
        return np.array([at for at in marks if self.begins_at < at <= last], dtype=np.int64)

    def _session_with(self, at: int, *, closes: bool) -> Session | None:
        if not self._has_equities:
            return None
        if not closes:
            session = self.market.sessions.running(at)
            return session if session is not None and session.opens_at == at else None
        session = self.market.sessions.running(at - 1)
        return session if session is not None and session.closes_at == at else None

    def _bars_at(self, at: int, column: str) -> list[tuple[str, Track, int]]:
        found = []
        for symbol, track in self._replayed():
            times: Int64 = getattr(track, column)
            index = int(np.searchsorted(times, at))
            if self._first[symbol] <= index < len(times) and times[index] == at:
                found.append((symbol, track, index))
        return found

    def _openings(self, at: int) -> tuple[Opening, ...]:
        return tuple(self._opening(track, index) for _, track, index in self._bars_at(at, "opens_at"))

    def _opening(self, track: Track, index: int) -> Opening:
        bars = track.bars
        liquidity = _decimal(bars.volume[index]) * self._participation
        return Opening(bars.symbol, _decimal(bars.open[index]), liquidity)

    @staticmethod
    def _range(track: Track, index: int) -> BarRange:
        bars = track.bars
        return BarRange(bars.symbol, _decimal(bars.high[index]), _decimal(bars.low[index]), _decimal(bars.close[index]))


def _decimal(value: float) -> Decimal:
    """Return a float64 as the shortest decimal that reads back as it."""
    return Decimal(repr(float(value)))
