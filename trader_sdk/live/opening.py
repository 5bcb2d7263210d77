"""Opening a session: whose account, which books, which symbols; everything is read before anything may trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import BrokerError, ConfigError, HaltedError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.arming import check_armed
from trader_sdk.live.calendar_cache import covers, keep_calendar, kept_calendar
from trader_sdk.live.clock import Clock
from trader_sdk.live.config import LiveConfig, check_confirmation
from trader_sdk.live.desk import Listener, OrderDesk
from trader_sdk.live.events import Draft, bar_ns, parse_time, sleeve_body
from trader_sdk.live.feed import Feed
from trader_sdk.live.holds import StateKeeper
from trader_sdk.live.journal import Journal, Stamp
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.lines import SymbolLine
from trader_sdk.live.lineup import Lineup
from trader_sdk.live.models import Selection
from trader_sdk.live.recovery import forget_last_words
from trader_sdk.live.rounds import Reconciler, VenueReader
from trader_sdk.live.schedule import Schedule
from trader_sdk.live.start_guard import guard_drafts
from trader_sdk.live.start_store import Start, save_start
from trader_sdk.live.state import RunFolder, open_account_run
from trader_sdk.live.step import BarStep
from trader_sdk.live.views import rules_of
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.plan import Book
from trader_sdk.portfolio import Sleeve

ClockMaker = Callable[[Schedule], Clock]

_CALENDAR_BACK: Final = timedelta(days=500)
_CALENDAR_AHEAD: Final = timedelta(days=900)
_ALWAYS_OPEN: Final = "24/7"
_MODES: Final[Mapping[str, TradingMode]] = {
    "local": TradingMode.PAPER_LOCAL,
    "alpaca-paper": TradingMode.PAPER_ALPACA,
    "alpaca-live": TradingMode.LIVE,
}


@dataclass(frozen=True, slots=True)
class Session:
    """An open session's parts."""

    mode: TradingMode
    account: port.AccountView
    folder: RunFolder
    journal: Journal
    schedule: Schedule
    clock: Clock
    desk: OrderDesk
    states: StateKeeper
    reconciler: Reconciler
    feed: Feed
    step: BarStep
    lines: Lineup
    book: Book
    calendar_is_kept: bool = False
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class Venue:
    """What a session is opened on.

    Attributes:
        broker: The venue.
        worker: The thread for broker calls.
        clock: Makes the clock once the calendar is known.
        folder: State folder and lock; None: the account's own.
        facts: Further facts for ``run_started``.
    """

    broker: port.BrokerPort
    worker: BrokerWorker
    clock: ClockMaker
    folder: RunFolder | None
    facts: Mapping[str, Any]


def mode_of(broker: port.BrokerPort) -> TradingMode:
    """Return whose money a broker trades."""
    return _MODES[broker.name]


async def open_session(config: LiveConfig, selection: Selection, venue: Venue, listener: Listener) -> Session:
    """Open account, journal and lines; nothing is reconciled and no window is filled yet.

    Raises:
        ConfigError: ``--confirm-live`` names another account, or the venue does not know a symbol.
        HaltedError: The venue has blocked the account.
        StorageError: The state folder is in use, or its journal is another account's.
    """
    broker, worker = venue.broker, venue.worker
    mode = mode_of(broker)
    account = await worker.call(broker.account)
    _require_account(account, mode, config, selection)
    schedule, is_kept = await _schedule(selection, venue, config.state_dir)
    clock = venue.clock(schedule)
    assets = await worker.call(lambda: broker.assets(sorted(selection.models)))
    budget = config.decision_budget_seconds
    lines = Lineup({symbol: _line(symbol, selection, assets, schedule, budget) for symbol in sorted(selection.models)})
    folder = venue.folder or open_account_run(config.state_dir, mode, account.id)
    journal = Journal.open(folder.path, Stamp(account.id, mode.value, folder.run_id), lock=folder.lock)
    desk = OrderDesk(broker, journal, worker, listener)
    desk.clock = clock.now
    guards = guard_drafts(journal, mode, clock.now())
    desk.commit([*_opening_drafts(journal.ledger, mode, account, selection, venue, clock), *guards])
    forget_last_words(folder.path)
    desk.commit(_arming_drafts(journal.ledger, lines, account.equity, clock))
    book = Book(account.id, mode.value, config.strategy, journal.ledger.epoch)
    reconciler = Reconciler(
        VenueReader(broker, worker),
        journal,
        desk,
        broker,
        worker,
        strategy=config.strategy,
        grace=timedelta(seconds=config.unknown_grace_seconds),
    )
    return Session(
        mode=mode,
        account=account,
        folder=folder,
        journal=journal,
        schedule=schedule,
        clock=clock,
        desk=desk,
        states=StateKeeper(desk, journal),
        reconciler=reconciler,
        feed=Feed(
            broker,
            worker,
            schedule,
            sorted(lines),
            adjustment=_adjustment(lines),
            barrier_seconds=config.stream_barrier_seconds,
        ),
        step=BarStep(lines, desk, broker, worker, schedule, book, config),
        lines=lines,
        book=book,
        calendar_is_kept=is_kept,
        selection=selection,
    )


def _require_account(account: port.AccountView, mode: TradingMode, config: LiveConfig, selection: Selection) -> None:
    """Refuse an account that was not meant, or that may not trade."""
    if config.paper or config.confirm_live is not None:
        check_confirmation(config, account.number)
    else:
        digests = {symbol: live.model.sha256 for symbol, live in selection.models.items()}
        check_armed(config.state_dir, account.number, digests, config.risk)
    if account.trading_blocked:
        found = ", ".join(account.blocks) or account.status
        raise HaltedError("HALTED", "the venue has blocked this account", where=mode.value, found=found)


async def _schedule(selection: Selection, venue: Venue, folder: Path) -> tuple[Schedule, bool]:
    """Return when bars close, and whether that is known only from the calendar that was kept."""
    now = (await venue.worker.call(venue.broker.clock)).at
    sessions, is_kept = await _sessions(venue, folder, now)
    calendars = {live.observations.schema.calendar for live in selection.models.values()}
    if len(calendars) > 1:
        raise ConfigError("CONFIG", "a run trades one calendar", where="models", found=", ".join(sorted(calendars)))
    return Schedule.of(selection.timeframe, sessions, always_open=calendars == {_ALWAYS_OPEN}), is_kept


async def _sessions(venue: Venue, folder: Path, now: datetime) -> tuple[tuple[port.SessionView, ...], bool]:
    """Return the venue's calendar, else the one that was kept when it could last be read, and which it is.

    Raises:
        BrokerError: Neither says when the market is open: then it is closed for us.
    """
    start, end = _span(now.date())
    trouble: BrokerError | None = None
    try:
        sessions = await venue.worker.call(lambda: venue.broker.calendar(start, end))
        if covers(sessions, now):
            keep_calendar(folder, sessions)
            return sessions, False
    except BrokerError as error:
        trouble = error
    kept = kept_calendar(folder)
    if covers(kept, now):
        return kept, True
    raise BrokerError(
        "E803",
        "the venue's calendar cannot be read, and none that was kept covers today",
        where="GET /calendar",
        remedy="Try again later; a market whose hours are not known counts as closed.",
    ) from trouble


def _span(today: date) -> tuple[date, date]:
    return today - _CALENDAR_BACK, today + _CALENDAR_AHEAD


def _line(
    symbol: str, selection: Selection, assets: Mapping[str, port.AssetView], schedule: Schedule, budget_seconds: float
) -> SymbolLine:
    if symbol not in assets:
        raise BrokerError("E801", "the venue does not know this symbol", where=symbol)
    return SymbolLine(selection.models[symbol], rules_of(assets[symbol]), schedule, budget_seconds)


def _adjustment(lines: Mapping[str, SymbolLine]) -> str:
    stated = {line.live.observations.schema.adjustment for line in lines.values()}
    if len(stated) > 1:
        raise ConfigError("CONFIG", "a run asks for one adjustment of prices", found=", ".join(sorted(stated)))
    return stated.pop()


def _opening_drafts(
    ledger: Ledger,
    mode: TradingMode,
    account: port.AccountView,
    selection: Selection,
    venue: Venue,
    clock: Clock,
) -> list[Draft]:
    at, end = clock.now(), selection.data_end
    started = {
        "mode": mode.value,
        "account_id": account.id,
        "account_suffix": account.number[-4:],
        "epoch": ledger.epoch + 1,
        "sdk_version": version("trader-sdk"),
        "timeframe": selection.timeframe.value,
        "symbols": sorted(selection.models),
        "model_data_end": end.isoformat() if end is not None else None,
        "replay_from": None,
        **venue.facts,
    }
    drafts = [Draft(JournalEvent.RUN_STARTED, at, started)]
    drafts += [Draft(JournalEvent.MODEL_LOADED, at, live.facts()) for _, live in sorted(selection.models.items())]
    for symbol, error in sorted(selection.errors.items()):
        body = {"symbol": symbol, "sha256": None, "code": error.code, "message": str(error)}
        drafts.append(Draft(JournalEvent.MODEL_REFUSED, at, body))
    return drafts


def _arming_drafts(ledger: Ledger, lines: Mapping[str, SymbolLine], equity: Decimal, clock: Clock) -> list[Draft]:
    """Give each symbol without a sleeve its share of the account; a new model inherits its slot's sleeve."""
    share = (equity / len(lines)).quantize(Decimal("0.01"))
    return [
        Draft(
            JournalEvent.SLEEVE_CHANGED,
            clock.now(),
            {"symbol": symbol, "cause": "armed", "sleeve": sleeve_body(Sleeve.start(share))},
        )
        for symbol in lines
        if symbol not in ledger.sleeves
    ]


async def warm(session: Session, required: int, *, decide_last: bool) -> dict[str, int]:
    """Fill every window from history, keep what they were filled from, and leave what is to be decided on to the feed.

    Args:
        session: An open session.
        required: Bars of history that a window needs.
        decide_last: Whether the newest bar at start-up may be decided on; never in a replay, where it is the models'
            own past.

    Returns:
        How many bars of history each symbol had.
    """
    now, ledger = session.clock.now(), session.journal.ledger
    replayed = ledger.facts.get("replay_start")
    # A replay that was killed before its first bar was recorded still owes it: only earlier bars are history.
    before_replay = bar_ns(parse_time(replayed)) - 1 if replayed else None
    histories = await session.feed.histories(list(session.lines), required + 1, now)
    given: dict[str, Bars] = {}
    for symbol in session.lines:
        bars = histories[symbol]
        known = ledger.bars.get(symbol, before_replay)
        keep = len(bars)
        if known is not None:
            keep = int(np.searchsorted(bars.t, known, side="right"))
        elif decide_last and keep and session.schedule.is_fresh(int(bars.t[-1]), now):
            keep -= 1
        given[symbol] = bars.slice(0, keep)
        session.lines.warm(symbol, given[symbol])
        session.feed.start_after(symbol, int(bars.t[keep - 1]) if keep else None)
    save_start(session.folder.path, ledger.epoch, Start(given, session.schedule))
    return {symbol: len(history) for symbol, history in given.items()}
