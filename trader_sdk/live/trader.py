"""The live trader as an object: opens, trades bar by bar, and ends in a named state with an exit code."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import SdkError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.modes import TradingMode
from trader_sdk.features.provider import ProviderFactory
from trader_sdk.live.clock import WallClock
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.control import Command, Pressed, Request, kill_files, pressed_by_file
from trader_sdk.live.events import JournalEntry, rfc3339
from trader_sdk.live.feed import BARRIER_SECONDS
from trader_sdk.live.holds import Cause
from trader_sdk.live.kill_switch import KillSwitch
from trader_sdk.live.loop import SessionLoop
from trader_sdk.live.models import Selection, gate_table, select
from trader_sdk.live.opening import ClockMaker, Session, Venue, mode_of, open_session, warm
from trader_sdk.live.report import Status, Summary, cents, gate_fields, status_of
from trader_sdk.live.state import RunFolder
from trader_sdk.live.step import PreTrade, StepReport
from trader_sdk.live.stream_events import StreamInbox
from trader_sdk.live.stream_watch import StreamWatch
from trader_sdk.live.streams import Streams
from trader_sdk.live.watchdog import Reply, Watchdog
from trader_sdk.live.worker import BrokerWorker

Observer = Callable[[str, Mapping[str, Any]], None]
Callback = Callable[[Mapping[str, Any]], None]

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

    Attributes:
        pre_trade: Hook that sees each order before it is durable; it returns it, a smaller one, or None to deny it.
            Set it before ``async with``.

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
        self._callbacks: dict[str, list[Callback]] = {}
        self._resources = ExitStack()
        self._session: Session | None = None
        self._loop: SessionLoop | None = None
        self._presses: deque[Pressed] = deque()
        self._stop_code: int | None = None
        self._summary: Summary | None = None
        self.pre_trade: PreTrade | None = None

    def on(self, name: str, callback: Callback) -> None:
        """Call ``callback`` on the loop for each ``decision``, ``order``, ``fill`` or ``halt``."""
        self._callbacks.setdefault(name, []).append(callback)

    def observe(self, observer: Observer) -> None:
        """Call ``observer`` with the name and the fields of everything that a person or a program is told."""
        self._observers.append(observer)

    def halt(self) -> None:
        """Stop opening positions and cancel what works; callable from any thread, exits stay allowed."""
        self._hand_over(Request(command=Command.HALT, who="program", why="halt was called"), Cause.OPERATOR)

    def kill(self, pressed: Pressed) -> None:
        """Press the kill switch: own orders are cancelled from another thread; callable from any thread."""
        self._presses.append(pressed)

    def keep_note(self, fields: Mapping[str, Any]) -> None:
        """Let the journal have what people were told of this run; callable from any thread."""
        if self._loop is not None:
            self._loop.operations.notes.append(fields)

    def _hand_over(self, request: Request, cause: Cause, reply: Reply = lambda _: None) -> None:
        self.loop.operations.inbox.put(request, cause, reply)
        self.session.clock.wake()

    def request_stop(self, exit_code: int = 0) -> None:
        """End the run in good order at the next chance; callable from any thread, at any time.

        Asked a second time it does not wait for the last comparison with the venue; the journal is still closed well.
        """
        if self._loop is not None and self._stop_code is not None:
            self._loop.hurry.set()
        self._stop_code = exit_code
        if self._loop is not None:
            self._loop.stop.set()
            self.session.clock.wake()

    def status(self) -> Status:
        """Return where the run stands."""
        return status_of(self.session.journal.ledger)

    @property
    def session(self) -> Session:
        """Return the open session's parts."""
        assert self._session is not None, "use `async with LiveTrader(...)`"
        return self._session

    @property
    def loop(self) -> SessionLoop:
        """Return the open session's loop."""
        assert self._loop is not None, "use `async with LiveTrader(...)`"
        return self._loop

    async def run(self, until: datetime | None = None) -> Summary:
        """Trade until the market is over, the bar limit is reached, ``until`` has come, or somebody stops the run.

        Returns:
            How it ended; ``exit_code`` is 0, or what :meth:`request_stop` was given.

        Raises:
            BrokerError: The venue cannot be reached, or no longer accepts our keys.
            HaltedError: Books and venue do not come to rest.
            StorageError: The journal cannot be written.
        """
        if self._stop_code is not None:
            self.loop.stop.set()
        await self.loop.run(until)
        return await self.finish(self._stop_code or 0)

    async def step(self, bars: Sequence[Bar]) -> StepReport:
        """Decide on closed bars that the caller brings, and send what follows; for a loop of one's own.

        Without bars it books what the venue did meanwhile and sends what has become due, as orders for an opening do.
        """
        grouped: dict[str, list[Bar]] = {}
        for bar in bars:
            grouped.setdefault(bar.symbol, []).append(bar)
        return await self.loop.step(grouped)

    async def finish(self, exit_code: int) -> Summary:
        """Settle with the venue and write how the run ended; once, later calls return the same."""
        if self._summary is None:
            self._summary = await self.loop.end(exit_code)
            self._say("run_finished", self._summary.fields())
        return self._summary

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        self._resources.callback(self._venue.worker.close)
        try:
            selection = self._selection()
            self._session = await open_session(self._config, selection, self._venue, self._committed)
            self._resources.callback(self._session.journal.close)
            self._loop = SessionLoop(self._session, self._config, self._broker, self._venue.worker, self._say)
            self._watch(self._session, self._loop)
            await self._get_ready(began)
        except BaseException as error:
            await self._close(error)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        await self._close(error)

    async def _close(self, error: BaseException | None) -> None:
        try:
            if self._loop is not None:
                await self.finish(_exit_code(error))
        finally:
            self._resources.close()

    def _selection(self) -> Selection:
        if isinstance(self._archive, Selection):
            return self._archive
        rows = gate_table(Path(self._archive), self._config, mode_of(self._broker))
        selection = select(rows, self._config, features=self._features, archive=Path(self._archive))
        for row in selection.rows:
            self._say("gate_row", gate_fields(row))
        if selection.refusal is not None:
            raise selection.refusal
        return selection

    def _watch(self, session: Session, loop: SessionLoop) -> None:
        """Start the watchdog, which outlives a loop that hangs; a kill switch that is still pressed counts at once."""
        ledger, folder = session.journal.ledger, session.folder.path

        def held() -> dict[str, Decimal]:
            return {symbol: sleeve.qty for symbol, sleeve in dict(ledger.sleeves).items()}

        def working() -> dict[str, str]:
            found = {record.intent.client_order_id: record.state.broker_order_id for record in ledger.working}
            return {key: broker_id for key, broker_id in found.items() if broker_id is not None}

        running = asyncio.get_running_loop()

        def say_from_thread(name: str, fields: Mapping[str, Any]) -> None:
            with suppress(RuntimeError):  # the loop is over; kill.json has it
                running.call_soon_threadsafe(self._say, name, fields)

        switch = KillSwitch(self._broker.twin, session.book, held, folder, say_from_thread, working)
        loop.operations.switch = switch
        suffix = session.account.number[-4:]
        watchdog = Watchdog(folder, self._config.state_dir, switch, self._hand_over, suffix, self._presses)
        pressed = pressed_by_file(kill_files(folder, self._config.state_dir), lambda word: word == suffix)
        if pressed is not None:
            session.states.hold(Cause.KILL_SWITCH, f"by {pressed.by}", session.clock.now(), flatten=pressed.flatten)
        watchdog.start()
        self._resources.callback(watchdog.close)

    async def _get_ready(self, began: float) -> None:
        session = self.session
        session.step.pre_trade = self.pre_trade
        self._say("run_started", self._banner(session))
        if session.calendar_is_kept:
            self._say("calendar_kept", {"why": "the venue's calendar cannot be read; the last one is used"})
        await self.loop.reconcile()
        await self.loop.operations.cancel_held()
        await self.loop.beside.start(session.clock.now())
        required = max(line.live.observations.provider.required_history for line in session.lines.values())
        history = await warm(session, required, decide_last=session.mode is not TradingMode.PAPER_LOCAL)
        inbox = self._inbox(session)
        streams = Streams(self._broker, self._venue.worker, sorted(session.lines), inbox)
        self._resources.callback(streams.close)
        await streams.open()
        self.loop.follow(streams)
        if session.feed.uses_stream:
            await inbox.bars_subscribed(BARRIER_SECONDS)
        seconds = round(time.monotonic() - began, 2)
        self._say("ready", {"seconds": seconds, "symbols": sorted(session.lines), "history": history})

    def _inbox(self, session: Session) -> StreamInbox:
        watch = StreamWatch(self._say, time.monotonic)
        loop = asyncio.get_running_loop()
        folder = session.journal.path.parent
        return StreamInbox(session.desk, session.feed, loop, session.clock.wake, watch, folder, self.loop)

    def _banner(self, session: Session) -> dict[str, Any]:
        facts = session.journal.ledger.facts
        return {
            **{name: facts.get(name) for name in ("sdk_version", "mode", "timeframe", "symbols", "replay_from")},
            "run_id": session.folder.run_id,
            "account": f"...{session.account.number[-4:]}",
            "equity": cents(session.account.equity),
            "state_folder": str(session.folder.path),
            "resumed": session.folder.resumed,
            "strict": self._config.strict_version,
            "dry_run": self._config.dry_run,
            "venue_time": rfc3339(session.clock.now()),
        }

    def _committed(self, entry: JournalEntry) -> None:
        if entry.event not in _QUIET:
            self._say(entry.event.value, {"venue_time": rfc3339(entry.at), **entry.body})
        for callback in self._callbacks.get(_CALLBACKS.get(entry.event, ""), ()):
            callback({"event": entry.event.value, "at": entry.at, **entry.body})

    def _say(self, name: str, fields: Mapping[str, Any]) -> None:
        for observer in self._observers:
            observer(name, fields)


def _exit_code(error: BaseException | None) -> int:
    """Return the exit code that an error stands for; 1 for one that nobody foresaw."""
    if error is None:
        return 0
    return error.exit_code if isinstance(error, SdkError) else 1
