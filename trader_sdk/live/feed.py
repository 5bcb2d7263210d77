"""Bars for the session: history over REST, new ones from the stream where it is in time and from REST where not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.live.events import bar_time
from trader_sdk.live.schedule import Schedule
from trader_sdk.live.worker import BrokerWorker

BARRIER_SECONDS: Final = 3.0
"""How long the stream is waited for, unless the configuration says otherwise."""
_MOST_DOUBLINGS: Final = 6
"""How often a longer past is asked for where the calendar's bars are not all there: nobody traded in some minutes."""
_MOST_TOGETHER: Final = 200
"""Symbols in one request, so that its address stays short."""
_BARS_TOGETHER: Final = 10_000
"""Bars expected of one request: a page of the venue's."""
_UNKNOWN_PAST: Final = timedelta(days=7)
"""How far back a symbol's bars are read of which none was given yet."""


class Feed:
    """Closed bars of a few symbols, each given once and in order.

    Args:
        broker: The venue.
        worker: The thread for broker calls.
        schedule: When bars are final.
        symbols: Whose bars.
        adjustment: What prices are adjusted for, as the models' schemas say.
        barrier_seconds: How long after a minute's end the stream is waited for before REST is asked.

    Attributes:
        corrections: Bars that the stream corrected after they were given; whoever applies them empties it.
        came_streamed: Whether any of the last bars came over the stream.
        is_degraded: Says whether the stream is known to bring nothing, so that it is not waited for.
        is_doubted: Says whether a streamed bar is not believed, so that REST is asked for it.
        on_heard: Told of each bar of the stream at once, and says why it is not believed, None if it is: what can be
            said of it by itself need not wait for the last.
    """

    def __init__(
        self,
        broker: port.BrokerPort,
        worker: BrokerWorker,
        schedule: Schedule,
        symbols: Sequence[str],
        *,
        adjustment: str = "split",
        barrier_seconds: float = BARRIER_SECONDS,
    ) -> None:
        self._barrier_seconds = barrier_seconds
        self._broker, self._worker, self._schedule = broker, worker, schedule
        self._symbols, self._adjustment = tuple(symbols), adjustment
        self._last: dict[str, int] = {}
        self._streamed: dict[str, dict[int, Bar]] = {symbol: {} for symbol in symbols}
        self._arrived = asyncio.Event()
        self._awaited, self._missing = 0, set[str]()
        self._whole: dict[str, tuple[int, Bar]] = {}  # awaited, believed, and all that is new since the bar before
        self._has_looked = False
        self.corrections: list[Bar] = []
        self.came_streamed = False
        self.is_degraded: Callable[[], bool] = lambda: False
        self.is_doubted: Callable[[Bar], bool] = lambda _: False
        self.on_heard: Callable[[Bar], str | None] = lambda _: None

    @property
    def uses_stream(self) -> bool:
        """Return whether closed bars of this timeframe come over the stream."""
        return self._schedule.timeframe is Timeframe.MIN_1

    async def history(self, symbol: str, count: int, now: datetime) -> Bars:
        """Return the last ``count`` final bars at ``now``; fewer where the venue has no more."""
        return (await self.histories([symbol], count, now))[symbol]

    async def histories(self, symbols: Sequence[str], count: int, now: datetime) -> dict[str, Bars]:
        """Return :meth:`history` of each of ``symbols``, many of them in one request."""
        found: dict[str, Bars] = {}
        lacking, span = list(symbols), now - self._schedule.bars_back(count, now)
        for _ in range(_MOST_DOUBLINGS + 1):
            found |= await self._final_bars(lacking, now - span, now, expected=count)
            lacking = [symbol for symbol in lacking if len(found[symbol]) < count]
            if not lacking:
                break
            span *= 2
        return {symbol: bars.slice(max(len(bars) - count, 0), len(bars)) for symbol, bars in found.items()}

    def seen(self, symbol: str, bar_at: int) -> None:
        """Note that a bar needs not be given again."""
        self._last[symbol] = max(self._last.get(symbol, 0), bar_at)

    def start_after(self, symbol: str, bar_at: int | None) -> None:
        """Give bars after ``bar_at`` from now on, all of them if it is None."""
        if bar_at is None:
            self._last.pop(symbol, None)
        else:
            self._last[symbol] = bar_at

    def heard(self, bar: Bar) -> bool:
        """Keep a bar of the stream, a revision replacing what it revises; return False if it came too late for that."""
        if bar.symbol not in self._streamed or bar.t <= self._last.get(bar.symbol, 0):
            return False
        kept = self._streamed[bar.symbol]
        kept[bar.t] = bar
        self._whole.pop(bar.symbol, None)
        why = self.on_heard(bar)
        if bar.t == self._awaited:
            last = self._last.get(bar.symbol, 0)
            if why is None and len(kept) == 1 and not self._schedule.missing_between(last, bar.t):
                self._whole[bar.symbol] = last, bar
            self._missing.discard(bar.symbol)
            if not self._missing:
                self._arrived.set()
        return True

    async def closed(self, now: datetime) -> Mapping[str, list[Bar]]:
        """Return each symbol's bars that became final since the last call, oldest first; none where none did."""
        newest = self._schedule.newest_final(now)
        # What closed before the first look closed before anybody listened: the stream does not tell it any more.
        if self.uses_stream and newest is not None and self._has_looked and not self.is_degraded():
            await self._wait_for(newest)
        self._has_looked = True
        found: dict[str, list[Bar]] = {}
        behind: list[str] = []
        streamed = newest if self.uses_stream else None
        whole, self._whole = self._whole, {}
        for symbol in self._symbols:
            bars = None if streamed is None else self._from_stream(symbol, streamed, whole.get(symbol))
            if bars:
                found[symbol] = bars
            elif bars is None:
                behind.append(symbol)
        self.came_streamed = bool(found)
        if behind:
            found |= await self._from_rest(behind, now)
        for symbol, bars in found.items():
            self._take(symbol, bars[-1].t)
        return found

    def _take(self, symbol: str, bar_at: int) -> None:
        """Note that a bar was given, and forget what the stream brought up to it."""
        self.seen(symbol, bar_at)
        kept = self._streamed[symbol]
        if len(kept) == 1 and bar_at in kept:
            kept.clear()  # as nearly always, and hundreds of symbols are at it
        for t in [t for t in kept if t <= bar_at]:
            del kept[t]

    async def _wait_for(self, newest: int) -> None:
        """Wait until every symbol's newest bar came over the stream, at most the barrier."""
        missing = {s for s in self._symbols if newest not in self._streamed[s] and self._last.get(s, 0) < newest}
        self._awaited, self._missing, self._whole = newest, missing, {}
        self._arrived.clear()
        if missing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), self._barrier_seconds)

    def _from_stream(self, symbol: str, newest: int, whole: tuple[int, Bar] | None) -> list[Bar] | None:
        """Return the stream's bars if they continue where we stand without a gap, else None.

        Args:
            symbol: Whose bars.
            newest: The bar that is to be there.
            whole: What was all that was new when it arrived, and after which bar; nothing where nobody looked.
        """
        last, streamed = self._last.get(symbol, 0), self._streamed[symbol]
        if whole is not None and whole[0] == last and whole[1].t == newest:
            return [whole[1]]  # as nearly always
        if last >= newest:
            return []
        if newest not in streamed:
            return None
        bars = [streamed[t] for t in sorted(streamed) if last < t <= newest]
        for bar in bars:
            if self._schedule.missing_between(last, bar.t):
                return None
            last = bar.t
        return None if any(map(self.is_doubted, bars)) else bars

    async def _from_rest(self, symbols: Sequence[str], now: datetime) -> dict[str, list[Bar]]:
        """Return what REST has since the last bar of each symbol; those that stand alike are asked for together."""
        since = {s: bar_time(self._last[s]) if s in self._last else now - _UNKNOWN_PAST for s in symbols}
        found: dict[str, list[Bar]] = {}
        for _, alike in groupby(sorted(symbols, key=since.__getitem__), lambda symbol: since[symbol].date()):
            names = list(alike)
            for symbol, bars in (await self._final_bars(names, since[names[0]], now)).items():
                last = self._last.get(symbol, 0)
                new = [bars.at(index) for index in range(len(bars)) if bars.t[index] > last]
                if new:
                    found[symbol] = new
        return found

    async def _final_bars(
        self, symbols: Sequence[str], start: datetime, now: datetime, *, expected: int = 1
    ) -> dict[str, Bars]:
        """Return the final bars of each symbol, so many symbols a request that they fill about a page."""
        together = max(min(_MOST_TOGETHER, _BARS_TOGETHER // expected), 1)
        found: dict[str, Bars] = {}
        for first in range(0, len(symbols), together):
            found |= await self._worker.call(partial(self._read, symbols[first : first + together], start, now))
        return {symbol: self._without_open(bars, now) for symbol, bars in found.items()}

    def _read(self, symbols: Sequence[str], start: datetime, end: datetime) -> Mapping[str, Bars]:
        timeframe = self._schedule.timeframe
        return self._broker.histories(symbols, timeframe, start, end, adjustment=self._adjustment)

    def _without_open(self, bars: Bars, now: datetime) -> Bars:
        """Return bars without those at the end that may still change."""
        final = len(bars)
        while final and not self._schedule.is_final(int(bars.t[final - 1]), now):
            final -= 1
        return bars if final == len(bars) else bars.slice(0, final)
