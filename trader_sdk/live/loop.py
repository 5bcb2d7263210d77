"""The session's loop: tick by tick, from closed bars to booked fills, until something says that it is over."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import BrokerError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.reasons import Reason
from trader_sdk.live.beside import Beside
from trader_sdk.live.clock import Tick, VenueClock
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.dispatch import Dispatch
from trader_sdk.live.doubts import Doubts
from trader_sdk.live.ending import settle, wind_down
from trader_sdk.live.events import Draft
from trader_sdk.live.heartbeat import Heartbeat
from trader_sdk.live.holds import Cause
from trader_sdk.live.looking import lacks_bars, look_at
from trader_sdk.live.opening import Session
from trader_sdk.live.operations import Operations
from trader_sdk.live.refusals import Refusals
from trader_sdk.live.report import BarTeller, Summary, summarise
from trader_sdk.live.rounds import RoundReport
from trader_sdk.live.start_guard import note_strangers
from trader_sdk.live.step import StepReport
from trader_sdk.live.streams import Streams
from trader_sdk.live.time_watch import TimeWatch
from trader_sdk.live.views import earliest
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.orders import OrderIntent
from trader_sdk.plan import PriceBand

Say = Callable[[str, Mapping[str, Any]], None]

MOST_TROUBLES: Final = 5
"""Failed reads in a row after which the run ends."""


class SessionLoop:
    """Runs an open session.

    Args:
        session: Its parts.
        config: Limits of the run.
        broker: The venue, for cancels.
        worker: The thread for broker calls.
        say: Told what people and programs are told.
    """

    def __init__(
        self, session: Session, config: LiveConfig, broker: port.BrokerPort, worker: BrokerWorker, say: Say
    ) -> None:
        self._session, self._config = session, config
        self._broker, self._say = broker, say
        self._is_local = session.mode is TradingMode.PAPER_LOCAL
        self.stop = threading.Event()
        self.operations = Operations(session, self.reconcile)
        self.beside = Beside(session, config, say)
        self.hurry = threading.Event()
        self._is_first = True
        self._troubles = 0
        self._reconciled_at = session.clock.monotonic()
        self._quiet_until: datetime | None = None
        self._streams: Streams | None = None
        refusals = Refusals(
            session.desk,
            session.journal,
            broker,
            worker,
            session.lines,
            session.book,
            self.reconcile,
            buffer_fraction=config.risk.buffer_fraction,
        )
        self._dispatch = Dispatch(session.desk, session.journal, session.states, refusals, self.reconcile)
        session.desk.recheck = partial(self._check_again)
        self._teller = BarTeller(session.journal.ledger, config.bar_limit, len(session.lines))
        self._heartbeat = Heartbeat(session.schedule, say, is_replay=self._is_local)
        self._times = TimeWatch(session.states, say, timedelta(seconds=session.schedule.timeframe.seconds))
        session.reconciler.reader.on_read = self._venue_read
        self._doubts = Doubts(session, say)
        self._closed: dict[str, list[Bar]] = {}  # given by the feed once, and kept until they are decided on

    def follow(self, streams: Streams) -> None:
        """Take the running streams, whose health decides whether positions may be opened."""
        self._streams = streams
        self._session.step.is_disturbed = streams.inbox.watch.is_flapping
        self._session.feed.is_degraded = lambda: streams.inbox.watch.is_degraded

    def note_trading_status(self, symbol: str, is_halted: bool, message: str) -> None:
        """Record that the venue halts a symbol, or lets it trade again."""
        if symbol in self._session.lines:
            self._dispatch.note_halt(symbol, message, self._session.clock.now(), is_halted=is_halted)

    def note_price_band(self, symbol: str, down: Decimal, up: Decimal) -> None:
        """Keep the prices beyond which nothing trades today; the next plan reads them."""
        if symbol in self._session.lines:
            line = self._session.lines[symbol]
            line.rules = replace(line.rules, band=PriceBand(down, up, self._session.clock.now()))

    def _venue_read(self, clock: port.ClockView, account: port.AccountView) -> None:
        """Take what every comparison with the venue reads beside positions and orders."""
        now, states = self._session.clock.now(), self._session.states
        # A replay's own clock is the venue's, a bar behind while it moves on by itself.
        if not isinstance(self._session.clock, VenueClock):
            self._times.compare(clock, now)
        if account.trading_blocked:
            states.hold(Cause.ACCOUNT_BLOCKED, ", ".join(account.blocks) or account.status, now)
        else:
            states.lift(Cause.ACCOUNT_BLOCKED, now, why="the venue no longer blocks the account")

    async def _check_again(self, intent: OrderIntent, now: datetime) -> Reason | None:
        return await self._session.step.check_again(intent, self._session.journal.ledger, now)

    async def run(self, until: datetime | None) -> None:
        """Trade until the market is over, the bar limit is reached, ``until`` has come, or ``stop`` is set."""
        self._times.jumped(self._session.clock.now(), self._session.clock.monotonic())
        if not self._is_done(until):
            await self._on_bars(self._session.clock.now())  # what closed while nobody was looking
        while not self._is_done(until):
            self._heartbeat.beat(self._session.clock.now(), self._session.journal.ledger)
            due = (
                self._session.desk.next_due(),
                look_at(self._session, self._config, self._session.clock.now()),
                self._heartbeat.due,
                until,
            )
            tick = await self._session.clock.next(earliest(due))
            if tick.is_over:
                break
            await self._survive(tick)
        if not self.stop.is_set():
            await wind_down(self._session, self._dispatch, self.stop)

    async def step(self, bars: Mapping[str, Sequence[Bar]]) -> StepReport:
        """Book what happened, then decide on bars that the caller brings; without any, only send what is due."""
        now = self._session.clock.now()
        await self.operations.serve(now)
        await self._session.desk.refresh(now)
        if not bars and not self._session.step.is_unfinished:
            await self._dispatch.send(now)
            return StepReport(now, self._session.journal.ledger.newest_bar, {}, {})
        return await self._step(bars, now)

    def _is_done(self, until: datetime | None) -> bool:
        limit, done = self._config.bar_limit, self._session.journal.ledger.totals.bars
        over = until is not None and self._session.clock.now() >= until
        return self.stop.is_set() or over or (limit is not None and done >= limit)

    async def _survive(self, tick: Tick) -> None:
        """Do what a tick asks for; a venue that does not answer is asked again, a few times."""
        try:
            await self._on_tick(tick)
        except BrokerError as error:
            self._raise_if_locked_out(error, tick.at)
            if error.evidence.get("kind") is port.RefusalKind.RATE_LIMITED:
                # The venue counts our reads: they wait, orders and cancels go on.
                self._quiet_until = tick.at + _retry_after(error)
                self._say("broker_trouble", {**error.to_dict(), "in_a_row": self._troubles})
                return
            self._troubles += 1
            self._say("broker_trouble", {**error.to_dict(), "in_a_row": self._troubles})
            if self._troubles >= MOST_TROUBLES:
                raise
            self._reconciled_at = -math.inf
            return
        self._troubles = 0

    def _raise_if_locked_out(self, error: BrokerError, at: datetime) -> None:
        if error.evidence.get("kind") is port.RefusalKind.AUTH:
            self._session.states.hold(Cause.AUTH, error.message, at)
            raise error

    async def _on_tick(self, tick: Tick) -> None:
        await self.operations.serve(tick.at)
        if not self._is_local and self._times.jumped(tick.at, self._session.clock.monotonic()):
            await self.reconcile()
        await self._dispatch.send(tick.at)
        if self._quiet_until is not None and tick.at < self._quiet_until:
            return
        if tick.bars_due or not self._is_local:
            # A replay stands still between bars: what happened meanwhile is read once, before the next decision.
            await self._session.desk.refresh(tick.at)
        if tick.bars_due or lacks_bars(self._session, tick.at):
            await self._on_bars(tick.at)
        is_due = self._session.clock.monotonic() - self._reconciled_at >= self._config.reconcile_seconds
        lost = self._streams is not None and self._streams.lost_something()
        if (is_due and not self._is_local) or lost:
            await self.reconcile()

    async def _on_bars(self, now: datetime) -> None:
        feed = self._session.feed
        if self._session.step.is_unfinished:
            await self._step({}, now)
        new = await feed.closed(now)
        for symbol, some in new.items():
            self._closed.setdefault(symbol, []).extend(some)
        bars = self._closed
        if bars:
            if await self._doubts.resolve(bars, now) and not self._is_local:
                await self.reconcile()
            self._closed = {}
            self._dispatch.note_bars(bars, now)
            await self._step(bars, now)
        if new and feed.uses_stream and self._streams is not None:
            await self._streams.reopen_if_mute(streamed=feed.came_streamed)

    async def _step(self, bars: Mapping[str, Sequence[Bar]], now: datetime) -> StepReport:
        session, ledger = self._session, self._session.journal.ledger
        if bars:
            session.step.correct(session.feed.corrections, now)
        began = time.perf_counter()
        report = await (session.step.run(bars, ledger, now) if bars else session.step.finish(ledger, now))
        decide_ms = (time.perf_counter() - began) * 1e3
        # Several orders: what the venue says of the first must not take the time of the last.
        is_burst = self._streams is not None and len(session.desk.due(now)) > 1
        trouble: BrokerError | None = None
        try:
            with self._streams.orders_held() if self._streams is not None and is_burst else nullcontext():
                await self._dispatch.send(now)
        except BrokerError as error:
            trouble = error  # raised when the bar is finished: whoever follows it must not miss one
        finally:
            session.step.record_rest()
        await self.beside.after_bar(report, session.step.recorded, now)
        line = self._teller.fields(
            report,
            decide_ms=decide_ms,
            late_seconds=(now - session.schedule.final_at(report.bar_at)).total_seconds(),
            requests_left=self._broker.requests_left,
        )
        self._say("bar_finished", line)
        self._heartbeat.hold(now)
        if trouble is not None:
            raise trouble
        await self._prepare(bars)
        return report

    async def _prepare(self, symbols: Iterable[str]) -> None:
        """Make the sums for the next bar while nothing waits for a decision; others may run in between."""
        for _ in self._session.lines.prepare(symbols):
            await asyncio.sleep(0)

    async def reconcile(self) -> RoundReport:
        """Compare books and venue until a round changes nothing."""
        session = self._session
        report = await session.reconciler.run()
        self._reconciled_at = session.clock.monotonic()
        note_strangers(report.imported, session.states, session.journal, session.clock.now(), is_first=self._is_first)
        self._is_first = False
        return report

    async def end(self, exit_code: int) -> Summary:
        """Bury what was never sent, compare books and venue a last time, and write how the run ended."""
        session = self._session
        await self.beside.close()
        journal = str(session.journal.path)
        if not session.journal.is_usable:
            await self.operations.rescue(exit_code)
        elif not self.hurry.is_set():
            exit_code = await settle(session, exit_code, self.reconcile, self._say)
        if session.journal.is_usable:
            summary = summarise(session.journal.ledger, journal, exit_code)
            session.desk.commit([Draft(JournalEvent.RUN_FINISHED, session.clock.now(), summary.fields())])
        return summarise(session.journal.ledger, journal, exit_code)


def _retry_after(error: BrokerError) -> timedelta:
    """Return how long the venue asks to be left alone."""
    extras = error.evidence.get("extras")
    seconds = extras.get("retry_after_seconds") if isinstance(extras, dict) else None
    return timedelta(seconds=float(seconds)) if seconds is not None else timedelta(seconds=5)
