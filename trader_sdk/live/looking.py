"""When to look at the venue although nothing is due: streams lose events, and bars may come late."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.opening import Session

LOOK_WHILE_WORKING: Final = timedelta(seconds=5)
"""How often orders that work are asked for while the market is open."""
LOOK_WHILE_QUEUED: Final = timedelta(minutes=30)
"""How often orders that wait for the open are asked for."""
LOOK_FOR_BARS: Final = timedelta(seconds=30)
"""How often a bar is asked for that should be there and may still be acted on."""


def look_at(session: Session, config: LiveConfig, now: datetime) -> datetime | None:
    """Return when to look again; None in a replay, which loses nothing, and where nothing works on a closed market."""
    if session.mode is TradingMode.PAPER_LOCAL:
        return None
    is_open, works = session.schedule.is_open(now), session.desk.has_working
    if lacks_bars(session, now):
        return now + LOOK_FOR_BARS
    if works:
        return now + (LOOK_WHILE_WORKING if is_open else LOOK_WHILE_QUEUED)
    return now + timedelta(seconds=config.reconcile_seconds) if is_open else None


def lacks_bars(session: Session, now: datetime) -> bool:
    """Return whether a bar that may still be acted on has not come; never in a replay, which waits for us."""
    newest = session.schedule.newest_final(now)
    if session.mode is TradingMode.PAPER_LOCAL or newest is None or not session.schedule.is_fresh(newest, now):
        return False
    seen = session.journal.ledger.bars
    return any(seen.get(symbol, 0) < newest for symbol in session.lines)
