"""Bars for the session: from the stream where it is in time and whole, from REST where not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from trader_sdk.broker.port import SessionView
from trader_sdk.contract.bars import Bar, Bars, DataKind
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.live.events import bar_ns, bar_time
from trader_sdk.live.feed import Feed
from trader_sdk.live.schedule import Schedule
from trader_sdk.live.worker import BrokerWorker

OPEN = datetime(2021, 11, 24, 14, 30, tzinfo=UTC)
SESSION = SessionView(date(2021, 11, 24), OPEN, OPEN + timedelta(minutes=390))
SCHEDULE = Schedule.of(Timeframe.MIN_1, [SESSION])


def minute(number: int, close: float = 10.0) -> Bar:
    """Return minute ``number`` of the session."""
    return Bar("SIM", bar_ns(OPEN + timedelta(minutes=number)), 10.0, max(10.0, close), min(10.0, close), close, 100.0)


class Shelf:
    """Minutes over REST, and how often they were asked for."""

    def __init__(self, *bars: Bar) -> None:
        self.stored, self.calls = list(bars), 0
        self.asked: list[tuple[str, ...]] = []

    def histories(
        self, symbols: Sequence[str], timeframe: Timeframe, start: datetime, end: datetime, *, adjustment: str
    ) -> dict[str, Bars]:
        """Return the stored minutes of each symbol that start within ``start`` to ``end``."""
        self.calls += 1
        self.asked.append(tuple(symbols))
        return {symbol: self._bars(symbol, timeframe, start, end, adjustment) for symbol in symbols}

    def _bars(self, symbol: str, timeframe: Timeframe, start: datetime, end: datetime, adjustment: str) -> Bars:
        rows = [bar for bar in self.stored if bar.symbol == symbol and start <= bar_time(bar.t) <= end]
        columns = {
            name: np.array([getattr(bar, name) for bar in rows], np.float64)
            for name in ("open", "high", "low", "close", "volume")
        }
        times = np.array([bar.t for bar in rows], np.int64)
        return Bars(symbol, timeframe, times, **columns, kind=DataKind.SIMULATED, feed="sim", adjustment=adjustment)


def closed(
    shelf: Shelf,
    heard: list[Bar],
    at_minute: int,
    after: int | None = None,
    doubts: Callable[[Bar], bool] = lambda _: False,
) -> list[Bar]:
    """Return what the feed gives at the end of a minute, having heard some bars."""

    async def ask() -> list[Bar]:
        worker = BrokerWorker()
        broker: Any = shelf
        feed = Feed(broker, worker, SCHEDULE, ["SIM"], barrier_seconds=0.01)
        feed.is_doubted = doubts
        feed.start_after("SIM", None if after is None else minute(after).t)
        for bar in heard:
            feed.heard(bar)
        try:
            found = await feed.closed(OPEN + timedelta(minutes=at_minute))
            assert await feed.closed(OPEN + timedelta(minutes=at_minute)) == {}
            return found.get("SIM", [])
        finally:
            worker.close()

    return asyncio.run(ask())


def test_feed_waits_for_no_bar_that_closed_before_it_listened() -> None:
    """A start does not lose the barrier on a bar that only REST can tell; the next minute is waited for."""

    async def ask() -> tuple[list[Bar], list[Bar]]:
        worker = BrokerWorker()
        broker: Any = Shelf(minute(3))
        feed = Feed(broker, worker, SCHEDULE, ["SIM"], barrier_seconds=3_600)
        feed.start_after("SIM", minute(2).t)
        try:
            first = await feed.closed(OPEN + timedelta(minutes=4))
            second = asyncio.ensure_future(feed.closed(OPEN + timedelta(minutes=5)))
            await asyncio.sleep(0)
            assert not second.done()
            feed.heard(minute(4))
            return first["SIM"], (await second)["SIM"]
        finally:
            worker.close()

    assert asyncio.run(asyncio.wait_for(ask(), 30)) == ([minute(3)], [minute(4)])


def test_feed_takes_the_streams_bar_when_it_continues_ours() -> None:
    """A bar that follows the last one needs no request."""
    shelf = Shelf()
    assert closed(shelf, [minute(3)], 4, after=2) == [minute(3)]
    assert shelf.calls == 0


def test_feed_fills_a_gap_from_rest_when_the_stream_lost_bars() -> None:
    """The stream jumped: all that is missing comes from REST, once and in order."""
    shelf = Shelf(*(minute(n) for n in range(6)))
    assert closed(shelf, [minute(5)], 6, after=2) == [minute(3), minute(4), minute(5)]


def test_feed_asks_rest_when_the_stream_is_mute() -> None:
    """An open stream that says nothing costs the barrier and no more."""
    assert closed(Shelf(minute(3)), [], 4, after=2) == [minute(3)]


def test_feed_gives_nothing_when_nobody_traded() -> None:
    """A minute without a trade has no bar anywhere, and none is invented."""
    assert closed(Shelf(minute(2)), [], 4, after=2) == []


def test_feed_takes_a_revision_that_came_in_time_and_no_bar_twice() -> None:
    """The same minute again replaces the first; old and foreign bars are ignored."""
    heard = [minute(3, 9.0), minute(3, 11.0), minute(1), minute(3)._replace(symbol="OTHER")]
    assert closed(Shelf(), heard, 4, after=2) == [minute(3, 11.0)]


def test_feed_leaves_a_bar_that_is_still_forming() -> None:
    """REST also lists the minute in progress; it is not closed, so it is not given."""
    shelf = Shelf(minute(3), minute(4))
    assert closed(shelf, [], 4, after=2) == [minute(3)]


def test_feed_asks_rest_for_a_streamed_bar_that_is_doubted() -> None:
    """A bar that does not fit to its market is not taken from the stream alone."""
    shelf = Shelf(minute(3))
    assert closed(shelf, [minute(3, 99.0)], 4, after=2, doubts=lambda bar: bar.close > 50) == [minute(3)]
    assert closed(shelf, [minute(3, 11.0)], 4, after=2, doubts=lambda bar: bar.close > 50) == [minute(3, 11.0)]
    assert shelf.calls == 1


def test_feed_reads_many_histories_together_and_those_that_lack_bars_again() -> None:
    """One request for all; a symbol that nobody traded in some minutes is asked for once more, alone, further back."""
    whole = [minute(n)._replace(symbol=symbol) for symbol in ("A", "B") for n in range(20)]
    thin = [minute(n)._replace(symbol="C") for n in (3, 7, 19)]
    shelf = Shelf(*whole, *thin)

    async def ask() -> dict[str, Bars]:
        worker = BrokerWorker()
        broker: Any = shelf
        try:
            feed = Feed(broker, worker, SCHEDULE, ["A", "B", "C"])
            return await feed.histories(["A", "B", "C"], 3, OPEN + timedelta(minutes=20))
        finally:
            worker.close()

    found = asyncio.run(ask())
    assert {symbol: [bar_ns(OPEN + timedelta(minutes=n)) for n in (17, 18, 19)] for symbol in "AB"} == {
        symbol: found[symbol].t.tolist() for symbol in "AB"
    }
    assert len(found["C"]) == 3
    assert shelf.asked[0] == ("A", "B", "C")
    assert set(shelf.asked[1:]) == {("C",)}


def test_feed_asks_once_for_all_that_the_stream_left_out() -> None:
    """A mute stream of many symbols costs one request, and each gets its own bars."""
    shelf = Shelf(*(minute(n)._replace(symbol=symbol) for symbol in ("A", "B") for n in range(5)))

    async def ask() -> dict[str, list[Bar]]:
        worker = BrokerWorker()
        broker: Any = shelf
        try:
            feed = Feed(broker, worker, SCHEDULE, ["A", "B", "C"])
            for symbol, seen in (("A", 1), ("B", 3), ("C", 3)):
                feed.start_after(symbol, minute(seen).t)
            return dict(await feed.closed(OPEN + timedelta(minutes=5)))
        finally:
            worker.close()

    found = asyncio.run(ask())
    assert {symbol: [bar.t for bar in bars] for symbol, bars in found.items()} == {
        "A": [minute(n).t for n in (2, 3, 4)],
        "B": [minute(4).t],
    }
    assert shelf.calls == 1


def while_waited_for(shelf: Shelf, heard: list[Bar], *, why: Callable[[Bar], str | None] = lambda _: None) -> list[Bar]:
    """Return what the feed gives at the ends of minutes 5 and 6, having heard bars while it waited for minute 4's."""

    async def ask() -> list[Bar]:
        worker = BrokerWorker()
        broker: Any = shelf
        feed = Feed(broker, worker, SCHEDULE, ["SIM"], barrier_seconds=0.5)
        feed.on_heard, feed.is_doubted = why, lambda bar: why(bar) is not None
        feed.start_after("SIM", minute(3).t)
        await feed.closed(OPEN + timedelta(minutes=4))  # the first look waits for nothing
        waiting = asyncio.create_task(feed.closed(OPEN + timedelta(minutes=5)))
        await asyncio.sleep(0)
        for bar in heard:
            feed.heard(bar)
        given = dict(await waiting)
        later = await feed.closed(OPEN + timedelta(minutes=6))
        worker.close()
        return [*given.get("SIM", []), *later.get("SIM", [])]

    return asyncio.run(ask())


def test_feed_gives_what_came_while_it_waited_as_what_came_before() -> None:
    """A bar alone, one that was revised at once, and the next minute's, which is kept for its own turn."""
    assert while_waited_for(Shelf(minute(5)), [minute(4)]) == [minute(4), minute(5)]
    assert while_waited_for(Shelf(minute(5)), [minute(4), minute(4, 11.0)]) == [minute(4, 11.0), minute(5)]
    shelf = Shelf()
    assert while_waited_for(shelf, [minute(4), minute(5)]) == [minute(4), minute(5)]
    assert shelf.calls == 0


def test_feed_asks_rest_for_a_bar_that_was_doubted_while_it_waited() -> None:
    """Whether it is believed is asked once more at the end, and REST says what was meant."""
    shelf = Shelf(minute(4, 10.1), minute(5))
    wild = minute(4, 99.0)
    given = while_waited_for(shelf, [wild], why=lambda bar: "a jump" if bar == wild else None)
    assert given == [minute(4, 10.1), minute(5)]


def test_feed_gives_no_bar_again_that_was_read_otherwise_while_it_waited() -> None:
    """A model that came meanwhile brought its symbol's history up to the very bar that the stream told."""

    async def ask() -> dict[str, list[Bar]]:
        worker = BrokerWorker()
        broker: Any = Shelf()
        symbols = ["SIM", "OTHER"]
        feed = Feed(broker, worker, SCHEDULE, symbols, barrier_seconds=0.5)
        for symbol in symbols:
            feed.start_after(symbol, minute(3).t)
        await feed.closed(OPEN + timedelta(minutes=4))
        waiting = asyncio.create_task(feed.closed(OPEN + timedelta(minutes=5)))
        await asyncio.sleep(0)
        feed.heard(minute(4))
        feed.start_after("SIM", minute(4).t)
        feed.heard(minute(4)._replace(symbol="OTHER"))
        found = dict(await waiting)
        worker.close()
        return found

    assert list(asyncio.run(ask())) == ["OTHER"]
