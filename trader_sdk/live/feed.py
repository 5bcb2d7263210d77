"""Bars for the session: history over REST, new ones from the stream where it is in time and from REST where not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.live.events import bar_time
from trader_sdk.live.schedule import Schedule
from trader_sdk.live.worker import BrokerWorker

BARRIER_SECONDS: Final = 3.0
"""How long the stream is waited for, unless the configuration says otherwise."""
_STRETCH: Final = 2.0
"""Nights, weekends and holidays: calendar time asked for beyond the bars' own, doubled until it is enough."""
_MOST_DOUBLINGS: Final = 6


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
        self.corrections: list[Bar] = []
        self.came_streamed = False
        self.is_degraded: Callable[[], bool] = lambda: False
        self.is_doubted: Callable[[Bar], bool] = lambda _: False

    @property
    def uses_stream(self) -> bool:
        """Return whether closed bars of this timeframe come over the stream."""
        return self._schedule.timeframe is Timeframe.MIN_1

    async def history(self, symbol: str, count: int, now: datetime) -> Bars:
        """Return the last ``count`` final bars at ``now``; fewer where the venue has no more."""
        span = timedelta(seconds=self._schedule.timeframe.seconds) * count * _STRETCH
        bars = await self._final_bars(symbol, now - span, now)
        for _ in range(_MOST_DOUBLINGS):
            if len(bars) >= count:
                break
            span *= 2
            longer = await self._final_bars(symbol, now - span, now)
            bars = longer
        return bars.slice(max(len(bars) - count, 0), len(bars))

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
        self._streamed[bar.symbol][bar.t] = bar
        if bar.t == self._awaited:
            self._missing.discard(bar.symbol)
            if not self._missing:
                self._arrived.set()
        return True

    async def closed(self, now: datetime) -> Mapping[str, list[Bar]]:
        """Return each symbol's bars that became final since the last call, oldest first; none where none did."""
        newest = self._schedule.newest_final(now)
        if self.uses_stream and newest is not None and not self.is_degraded():
            await self._wait_for(newest)
        self.came_streamed = False
        found: dict[str, list[Bar]] = {}
        for symbol in self._symbols:
            bars = self._from_stream(symbol, newest)
            self.came_streamed |= bool(bars)
            if bars is None:
                bars = await self._from_rest(symbol, now)
            if bars:
                found[symbol] = bars
                self.seen(symbol, bars[-1].t)
        self._drop_old()
        return found

    async def _wait_for(self, newest: int) -> None:
        """Wait until every symbol's newest bar came over the stream, at most the barrier."""
        missing = {s for s in self._symbols if newest not in self._streamed[s] and self._last.get(s, 0) < newest}
        self._awaited, self._missing = newest, missing
        self._arrived.clear()
        if missing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), self._barrier_seconds)

    def _from_stream(self, symbol: str, newest: int | None) -> list[Bar] | None:
        """Return the stream's bars if they continue where we stand without a gap, else None."""
        if not self.uses_stream or newest is None:
            return None
        if self._last.get(symbol, 0) >= newest:
            return []
        last, streamed = self._last.get(symbol, 0), self._streamed[symbol]
        bars = [streamed[t] for t in sorted(streamed) if last < t <= newest]
        if not bars or bars[-1].t != newest:
            return None
        for bar in bars:
            if self._schedule.missing_between(last, bar.t):
                return None
            last = bar.t
        return None if any(map(self.is_doubted, bars)) else bars

    async def _from_rest(self, symbol: str, now: datetime) -> list[Bar]:
        last = self._last.get(symbol)
        start = now - timedelta(days=7) if last is None else bar_time(last)
        bars = await self._final_bars(symbol, start, now)
        return [bars.at(index) for index in range(len(bars)) if bars.t[index] > (last or 0)]

    async def _final_bars(self, symbol: str, start: datetime, now: datetime) -> Bars:
        timeframe, adjustment = self._schedule.timeframe, self._adjustment
        bars = await self._worker.call(lambda: self._broker.bars(symbol, timeframe, start, now, adjustment=adjustment))
        final = len(bars)
        while final and not self._schedule.is_final(int(bars.t[final - 1]), now):
            final -= 1
        return bars.slice(0, final)

    def _drop_old(self) -> None:
        for symbol, bars in self._streamed.items():
            last = self._last.get(symbol, 0)
            self._streamed[symbol] = {t: bar for t, bar in bars.items() if t > last}
