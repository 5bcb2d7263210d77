"""The live trader as an object: opens, goes bar by bar, and ends in a named state with an exit code."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.documents import JournalEvent, TradingMode
from trader_sdk.contract.errors import BrokerError, HaltedError, SdkError
from trader_sdk.features.provider import ProviderFactory
from trader_sdk.live.booking import Sighting, booking
from trader_sdk.live.clock import Clock, Tick, WallClock
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.events import Draft, JournalEntry, rfc3339
from trader_sdk.live.models import Selection, gate_table, select
from trader_sdk.live.opening import ClockMaker, Session, Venue, mode_of, open_session, warm
from trader_sdk.live.report import BarLine, Status, Summary, bar_fields, cents, gate_fields, status_of, summarise
from trader_sdk.live.rounds import RoundReport
from trader_sdk.live.state import RunFolder
from trader_sdk.live.step import PreTrade, StepReport
from trader_sdk.live.stream_events import StreamInbox
from trader_sdk.live.views import earliest
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.orders import OrderEvent, OrderReport, OrderStatus
from trader_sdk.risk import TradingState

Observer = Callable[[str, Mapping[str, Any]], None]

RECONCILE_EVERY_SECONDS: Final = 60.0
"""How often books and venue are compared on the wall clock."""
MOST_TROUBLES: Final = 5
"""Failed reads in a row after which the run ends."""
_WIND_DOWN_TICKS: Final = 6
_CALLBACKS: Final[Mapping[JournalEvent, str]] = {
    JournalEvent.DECISION_MADE: "decision",
    JournalEvent.ORDER_ACKNOWLEDGED: "order",
    JournalEvent.ORDER_REFUSED: "order",
    JournalEvent.ORDER_UNKNOWN: "order",
    JournalEvent.ORDER_UPDATED: "order",
    JournalEvent.FILL_RECORDED: "fill",
    JournalEvent.STATE_CHANGED: "halt",
}
_QUIET: Final = frozenset({JournalEvent.BAR_CLOSED, JournalEvent.RUN_STARTED, JournalEvent.RUN_FINISHED})


class LiveTrader:
    """Trade the models of an archive on one account; an async context manager.

    It never runs an event loop, configures logging or installs signal handlers: that is the caller's.

    Args:
        config: The run's configuration.
        archive: The archive's folder, or what :func:`~trader_sdk.live.models.select` chose from it.
        broker: The venue; closed by the caller.
        features: Makes the feature provider; None: ours, or the one that the configuration names.
        clock: Makes the clock from the venue's calendar; the wall clock when omitted.
        folder: State folder and its lock; the account's own when omitted.
        facts: Further facts for the journal's ``run_started``.

    Example:
        >>> async def main():  # doctest: +SKIP
        ...     async with LiveTrader(LiveConfig(), archive="training_archives", broker=broker) as trader:
        ...         trader.on("fill", print)
        ...         print((await trader.run()).equity)
    """

    def __init__(
        self,
        config: LiveConfig,
        *,
        archive: Path | str | Selection,
        broker: port.BrokerPort,
        features: ProviderFactory | None = None,
        clock: ClockMaker = WallClock,
        folder: RunFolder | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._config, self._archive, self._broker, self._features = config, archive, broker, features
        self._venue = Venue(broker, BrokerWorker(), clock, folder, facts or {})
        self._observers: list[Observer] = []
        self._callbacks: dict[str, list[Callable[[Mapping[str, Any]], None]]] = {}
        self._resources = ExitStack()
        self._session: Session | None = None
        self._stop = threading.Event()
        self._stop_code = 0
        self._halt = threading.Event()
        self._troubles = 0
        self._peak = Decimal(0)
        self._reconciled_at = time.monotonic()
        self._summary: Summary | None = None
        self.pre_trade: PreTrade | None = None

    # -- what a caller may do ----------------------------------------------------------------------------------------

    def on(self, name: str, callback: Callable[[Mapping[str, Any]], None]) -> None:
        """Call ``callback`` on the loop for each ``decision``, ``order``, ``fill`` or ``halt``."""
        self._callbacks.setdefault(name, []).append(callback)

    def observe(self, observer: Observer) -> None:
        """Call ``observer`` with the name and the fields of everything that a person or a program is told."""
        self._observers.append(observer)

    def halt(self) -> None:
        """Stop opening positions and cancel what works; callable from any thread, exits stay allowed."""
        self._halt.set()
        self._wake()

    def request_stop(self, exit_code: int = 0) -> None:
        """End the run in good order at the next chance; callable from any thread."""
        self._stop_code = exit_code
        self._stop.set()
        self._wake()

    def status(self) -> Status:
        """Return where the run stands."""
        return status_of(self.session.journal.ledger)

    @property
    def session(self) -> Session:
        """Return the open session's parts."""
        assert self._session is not None, "use `async with LiveTrader(...)`"
        return self._session

    @property
    def summary(self) -> Summary | None:
        """Return how the run ended, None while it runs."""
        return self._summary

    # -- opening and closing -----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        self._resources.callback(self._venue.worker.close)
        try:
            selection = self._selection()
            self._session = await open_session(self._config, selection, self._venue, self._committed)
            self._resources.callback(self.session.journal.close)
            await self._get_ready(selection, began)
        except BaseException as error:
            try:
                if self._session is not None:
                    await self.finish(_exit_code(error))
            finally:
                self._resources.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if self._summary is None:
                await self.finish(_exit_code(error))
        finally:
            self._resources.close()

    def _selection(self) -> Selection:
        if isinstance(self._archive, Selection):
            return self._archive
        rows = gate_table(Path(self._archive), self._config, mode_of(self._broker))
        selection = select(rows, self._config, features=self._features)
        for row in selection.rows:
            self._say("gate_row", gate_fields(row))
        if selection.refusal is not None:
            raise selection.refusal
        return selection

    async def _get_ready(self, selection: Selection, began: float) -> None:
        session = self.session
        session.step.pre_trade = self.pre_trade
        self._say("run_started", self._banner(session))
        await self._reconcile()
        required = max(line.live.observations.provider.required_history for line in session.lines.values())
        history = await warm(session, required, decide_last=session.mode is not TradingMode.PAPER_LOCAL)
        inbox = StreamInbox(session.desk, session.feed, asyncio.get_running_loop(), session.clock.wake)
        streams = await self._venue.worker.call(lambda: self._broker.stream(sorted(session.lines), inbox.put))
        self._resources.callback(streams.close)
        self._peak = session.journal.ledger.equity
        seconds = round(time.monotonic() - began, 2)
        self._say("ready", {"seconds": seconds, "symbols": sorted(selection.models), "history": history})

    def _banner(self, session: Session) -> dict[str, Any]:
        facts = session.journal.ledger.facts
        return {
            **{name: facts.get(name) for name in ("sdk_version", "mode", "timeframe", "symbols", "replay_from")},
            "account": f"...{session.account.number[-4:]}",
            "equity": cents(session.account.equity),
            "state_folder": str(session.folder.path),
            "resumed": session.folder.resumed,
            "strict": self._config.strict_version,
            "dry_run": self._config.dry_run,
            "venue_time": rfc3339(session.clock.now()),
        }

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self, until: datetime | None = None) -> Summary:
        """Trade until the market is over, the bar limit is reached, ``until`` has come, or somebody stops the run.

        Returns:
            How it ended; ``exit_code`` is 0, or what :meth:`request_stop` was given.

        Raises:
            BrokerError: The venue cannot be reached, or no longer accepts our keys.
            HaltedError: Books and venue do not come to rest.
            StorageError: The journal cannot be written.
        """
        session = self.session
        await self._on_bars(session.clock.now())
        while not self._is_done(until):
            tick = await session.clock.next(self._due(until))
            if tick.is_over:
                break
            await self._survive(tick)
        if not self._stop.is_set():
            await self._wind_down()
        return await self.finish(self._stop_code)

    async def step(self, bars: Sequence[Bar]) -> StepReport:
        """Decide on closed bars that the caller brings, and send what follows; for a loop of one's own."""
        grouped: dict[str, list[Bar]] = {}
        for bar in bars:
            grouped.setdefault(bar.symbol, []).append(bar)
        await self.session.desk.refresh(self.session.clock.now())
        return await self._step(grouped, self.session.clock.now())

    def _is_done(self, until: datetime | None) -> bool:
        limit, done = self._config.bar_limit, self.session.journal.ledger.totals.bars
        over = until is not None and self.session.clock.now() >= until
        return self._stop.is_set() or over or (limit is not None and done >= limit)

    def _due(self, until: datetime | None = None) -> datetime | None:
        return earliest((self.session.desk.next_due(), until))

    async def _survive(self, tick: Tick) -> None:
        """Do what a tick asks for; a venue that does not answer is asked again, a few times."""
        try:
            await self._on_tick(tick)
        except BrokerError as error:
            if error.evidence.get("kind") is port.RefusalKind.AUTH:
                raise
            self._troubles += 1
            self._say("broker_trouble", {**error.to_dict(), "in_a_row": self._troubles})
            if self._troubles >= MOST_TROUBLES:
                raise
            self._reconciled_at = 0.0
            return
        self._troubles = 0

    async def _on_tick(self, tick: Tick) -> None:
        session = self.session
        if self._halt.is_set():
            await self._become_halted("halt was called", tick.at)
        await self._send(tick.at)
        await session.desk.refresh(tick.at)
        if tick.bars_due:
            await self._on_bars(tick.at)
        is_due = time.monotonic() - self._reconciled_at >= RECONCILE_EVERY_SECONDS
        if is_due and session.mode is not TradingMode.PAPER_LOCAL:
            await self._reconcile()

    async def _on_bars(self, now: datetime) -> None:
        bars = await self.session.feed.closed(now)
        if bars:
            await self._step(bars, now)

    async def _step(self, bars: Mapping[str, Sequence[Bar]], now: datetime) -> StepReport:
        session = self.session
        ledger, began = session.journal.ledger, time.perf_counter()
        fills_before = ledger.totals.fills
        report = await session.step.run(bars, ledger, now)
        decide_ms = (time.perf_counter() - began) * 1e3
        sent = len(session.desk.due(now))
        await self._send(now)
        self._peak = max(self._peak, ledger.equity)
        line = BarLine(
            number=ledger.totals.bars,
            limit=self._config.bar_limit,
            n_symbols=len(session.lines),
            decide_ms=decide_ms,
            late_seconds=(now - session.schedule.final_at(report.bar_at)).total_seconds(),
            sent=sent,
            fills=ledger.totals.fills - fills_before,
            drawdown=1 - ledger.equity / self._peak if self._peak else Decimal(0),
        )
        self._say("bar_finished", bar_fields(report, line, ledger))
        return report

    async def _send(self, now: datetime) -> None:
        if await self.session.desk.send_due(now):
            await self._reconcile()

    async def _wind_down(self) -> None:
        """Let the last orders reach the venue, and in a replay their fills; no new decision is made."""
        session = self.session
        for _ in range(_WIND_DOWN_TICKS):
            waits = session.desk.next_due() is not None
            if not waits and (session.mode is not TradingMode.PAPER_LOCAL or not session.journal.ledger.working):
                return
            tick = await session.clock.next(self._due())
            if tick.is_over or self._stop.is_set():
                return
            await session.desk.send_due(tick.at)
            await session.desk.refresh(tick.at)

    async def _reconcile(self) -> RoundReport:
        report = await self.session.reconciler.run()
        self._reconciled_at = time.monotonic()
        if not report.is_clean:
            self._say("reconciled", report.fields())
        return report

    async def _become_halted(self, cause: str, at: datetime) -> None:
        self._halt.clear()
        session = self.session
        body = {"state": TradingState.HALTED.value, "cause": cause}
        session.desk.commit([Draft(JournalEvent.STATE_CHANGED, at, body)])
        for record in session.journal.ledger.working:
            broker_order_id = record.state.broker_order_id
            if broker_order_id is not None:
                await self._venue.worker.call(partial(self._broker.cancel, broker_order_id))

    # -- the end -----------------------------------------------------------------------------------------------------

    async def finish(self, exit_code: int) -> Summary:
        """Bury what was never sent, compare books and venue a last time, and write how the run ended; once."""
        if self._summary is not None:
            return self._summary
        session = self.session
        if session.journal.is_usable:
            exit_code = await self._last_entries(session, exit_code)
        journal = str(session.journal.path)
        self._summary = summarise(session.journal.ledger, journal, exit_code)
        self._say("run_finished", self._summary.fields())
        return self._summary

    async def _last_entries(self, session: Session, exit_code: int) -> int:
        at = session.clock.now()
        if exit_code == 0 and session.mode is TradingMode.PAPER_LOCAL:
            session.desk.commit(booking(session.journal.ledger, self._never_sent(session, at)))
        if exit_code in (0, 130):
            try:
                await self._reconcile()
            except (BrokerError, HaltedError) as error:
                self._say("reconcile_failed", error.to_dict())
                exit_code = exit_code or error.exit_code
        body = {
            "exit_code": exit_code,
            **summarise(session.journal.ledger, str(session.journal.path), exit_code).fields(),
        }
        session.desk.commit([Draft(JournalEvent.RUN_FINISHED, at, body)])
        return exit_code

    def _never_sent(self, session: Session, at: datetime) -> list[Sighting]:
        waiting = [r for r in session.journal.ledger.working if r.state.status is OrderStatus.INTENT]
        over = OrderReport(OrderEvent.NOT_FOUND, detail="not sent: the run ended")
        return [Sighting(record.intent.client_order_id, over, at) for record in waiting]

    # -- telling -----------------------------------------------------------------------------------------------------

    def _committed(self, entry: JournalEntry) -> None:
        if entry.event not in _QUIET:
            self._say(entry.event.value, {"venue_time": rfc3339(entry.at), **entry.body})
        for callback in self._callbacks.get(_CALLBACKS.get(entry.event, ""), ()):
            callback({"event": entry.event.value, "at": entry.at, **entry.body})

    def _say(self, name: str, fields: Mapping[str, Any]) -> None:
        for observer in self._observers:
            observer(name, fields)

    def _wake(self) -> None:
        clock: Clock | None = self._session.clock if self._session is not None else None
        if clock is not None:
            clock.wake()


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code that an error stands for; 1 for one that nobody foresaw."""
    if error is None:
        return 0
    return error.exit_code if isinstance(error, SdkError) else 1
