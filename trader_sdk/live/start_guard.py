"""Before anything is traded: a trader that keeps crashing, books that were made anew, somebody else with our ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.events import Draft
from trader_sdk.live.holds import TRADER, Cause, Hold, StateKeeper, lifting
from trader_sdk.live.journal import Journal
from trader_sdk.live.kill_switch import LEG as KILL_LEG
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.memory import session_day

CRASHES: Final = 5
CRASH_WINDOW: Final = timedelta(minutes=1)
HOLD_OFF: Final = timedelta(minutes=1)
"""How long a trader that crashed :data:`CRASHES` times waits; doubled with each further crash."""
LONGEST_HOLD_OFF: Final = timedelta(hours=8)


def guard_drafts(journal: Journal, mode: TradingMode, at: datetime) -> list[Draft]:
    """Return what a start must hold or lift because of how the last ones ended."""
    ledger = journal.ledger
    cured = [hold for hold in ledger.holds if hold.cause in (Cause.AUTH, Cause.STORAGE)]
    drafts = lifting(ledger.holds, cured, at, who=TRADER, why="the venue accepts our keys and the journal is written")
    if journal.repaired is not None and journal.repaired.is_rebuilt:
        drafts.append(_hold(Cause.JOURNAL_REBUILT, f"the old one is in {journal.repaired.kept.name}", at))
    crashes = recent_crashes(ledger, at)
    if crashes >= CRASHES and mode is not TradingMode.PAPER_LOCAL:
        drafts.append(_hold(Cause.CRASH_LOOP, f"{crashes} starts within a minute ended badly", at))
    return drafts


def _hold(cause: Cause, detail: str, at: datetime) -> Draft:
    return Hold(cause, cause.state, at, detail).draft()


def recent_crashes(ledger: Ledger, at: datetime) -> int:
    """Return how many starts shortly before ``at`` had no good end."""
    return sum(1 for start in ledger.unclean_starts if at - CRASH_WINDOW <= start <= at)


def hold_off(n_crashes: int) -> timedelta:
    """Return how long a crash loop is held off.

    Example:
        >>> hold_off(5), hold_off(7)
        (datetime.timedelta(seconds=60), datetime.timedelta(seconds=240))
    """
    doublings: int = 2 ** max(n_crashes - CRASHES, 0)
    return min(HOLD_OFF * doublings, LONGEST_HOLD_OFF)


def crash_check(ledger: Ledger, at: datetime) -> str | None:
    """Return why a crash loop may not be acknowledged yet, None once its time is over."""
    starts = ledger.unclean_starts
    if len(starts) < CRASHES:
        return None
    until = starts[-1] + hold_off(len(starts))
    return None if at >= until else f"held off until {until:%H:%M:%S}Z, {len(starts)} bad ends in a row"


def add_checks(states: StateKeeper, ledger: Ledger, at: datetime) -> None:
    """Let a person lift only what is cured."""
    states.checks[Cause.CRASH_LOOP] = lambda _: crash_check(ledger, at)
    states.checks[Cause.DAY_LOSS] = lambda hold: day_loss_check(hold, at)


def day_loss_check(hold: Hold, at: datetime) -> str | None:
    """Return why a day's loss may not be acknowledged, None on another day: the next bar would hold it again."""
    return f"{hold.detail}; it is lifted with the next day" if session_day(hold.since) == session_day(at) else None


def note_strangers(
    imported: Sequence[str], states: StateKeeper, journal: Journal, at: datetime, *, is_first: bool
) -> None:
    """Judge orders that carry our ids and that our books did not know.

    On books that have just begun, or lost their end, they are our own past: exits only until a person has looked.
    Otherwise they are somebody else's who believes to be us.

    Args:
        imported: Their ids.
        states: Holds trading back.
        journal: The books.
        at: Venue time.
        is_first: Whether this is the first comparison since the start.
    """
    strange = [key for key in imported if not _is_of_kill_switch(key)]
    if not strange:
        return
    ledger = journal.ledger
    lost_something = is_first and (ledger.epoch == 1 or journal.repaired is not None)
    if lost_something or any(hold.cause is Cause.JOURNAL_REBUILT for hold in ledger.holds):
        states.hold(Cause.JOURNAL_REBUILT, f"{len(strange)} orders of ours were only at the venue", at)
    else:
        states.hold(Cause.SPLIT_BRAIN, f"another trader uses our ids: {strange[0]}", at)


def _is_of_kill_switch(client_order_id: str) -> bool:
    parts = client_order_id.split("-")
    return len(parts) > 2 and parts[-2].startswith(KILL_LEG)
