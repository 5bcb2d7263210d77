"""Where the loop meets people: requests are carried out between two ticks, held orders cancelled, positions closed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final

from trader_sdk.contract.errors import BrokerError, HaltedError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.control import Command, Pressed
from trader_sdk.live.events import Draft
from trader_sdk.live.holds import NEEDS_COMPARISON, Cause, Hold
from trader_sdk.live.kill_switch import KillSwitch
from trader_sdk.live.opening import Session
from trader_sdk.live.operator import FLATTEN_LEG, Inbox, carry_out, closing_intents, to_flatten
from trader_sdk.live.recovery import write_last_words
from trader_sdk.live.rounds import RoundReport
from trader_sdk.live.start_guard import add_checks
from trader_sdk.risk import TradingState

_VENUE_TELLS: Final = frozenset({Cause.ACCOUNT_BLOCKED, Cause.CLOCK_SKEW})
"""Causes that a comparison with the venue lifts by itself once they are cured."""


class Operations:
    """Does what people ask for, in the loop's thread.

    Args:
        session: The open session.
        reconcile: Compares books and venue.

    Attributes:
        inbox: Requests from other threads.
        switch: The kill switch, once there is one.
        notes: What people were told, put there by any thread, until the journal has it.
    """

    def __init__(self, session: Session, reconcile: Callable[[], Awaitable[RoundReport]]) -> None:
        self._session, self._reconcile = session, reconcile
        self.inbox = Inbox()
        session.desk.is_halting = self.inbox.is_halting
        self.switch: KillSwitch | None = None
        self.notes: deque[Mapping[str, Any]] = deque()

    async def serve(self, now: datetime) -> None:
        """Carry out what was asked, and make orders durable that close what people want closed."""
        session = self._session
        add_checks(session.states, session.journal.ledger, now)
        while self.notes:
            session.desk.commit([Draft(JournalEvent.NOTIFIED, now, dict(self.notes.popleft()))])
        for asked in self.inbox.drain():
            if asked.request.command is Command.RESUME:
                await self._look_again()
            answer, drafts = carry_out(asked, session.states, session.journal.ledger, now)
            session.desk.commit(drafts)
            await self.cancel_held()
            asked.reply(answer)
        if not to_flatten(session.journal.ledger):
            if self.switch is not None:
                self.switch.rearm()
        elif session.schedule.is_open(now):
            await self._flatten(now)

    async def _look_again(self) -> None:
        """Compare with the venue before a person lifts what only the venue can tell to be cured."""
        session = self._session
        causes = _VENUE_TELLS | NEEDS_COMPARISON
        if not any(hold.cause in causes for hold in session.journal.ledger.holds):
            return
        try:
            report = await self._reconcile()
        except (BrokerError, HaltedError) as error:
            session.states.checks.update(dict.fromkeys(causes, _says(f"it cannot be looked at: {error.message}")))
            return
        changed = None if report.is_clean else "the comparison just made changed the books; look at them and ask again"
        session.states.checks.update(dict.fromkeys(NEEDS_COMPARISON, _says(changed)))
        session.states.checks.update(dict.fromkeys(_VENUE_TELLS, _says("the venue still says so")))

    async def cancel_held(self) -> None:
        """Ask for the cancel of what works although its symbol is HALTED."""
        session, ledger = self._session, self._session.journal.ledger
        for record in ledger.working:
            is_closing = record.intent.leg == FLATTEN_LEG
            if ledger.state_of(record.intent.symbol) is TradingState.HALTED and not is_closing:
                await session.desk.cancel(record, session.clock.now())

    async def rescue(self, exit_code: int) -> None:
        """Cancel what works although nothing can be recorded any more, and leave the last words wherever they fit."""
        session, cause = self._session, "the journal could not be written"
        if self.switch is not None:
            # An acknowledgement may be what could not be written: the venue is asked, not the books.
            await asyncio.to_thread(self.switch.work, Pressed("the trader itself", why=cause))
        if session.journal.reopen_with_reserve():
            session.states.hold(Cause.STORAGE, cause, session.clock.now())
        else:
            write_last_words(session.folder.path, cause=f"{Cause.STORAGE}: {cause}", exit_code=exit_code)

    async def _flatten(self, now: datetime) -> None:
        session = self._session
        if self.switch is not None and not self.switch.take_over_flattening():
            if self.switch.is_working:
                return
            await self._reconcile()  # the switch may have sent what we would send
        await session.desk.refresh(now)
        ledger, rules = session.journal.ledger, {symbol: line.rules for symbol, line in session.lines.items()}
        intents = closing_intents(ledger, to_flatten(ledger), rules, session.book, now)
        session.desk.commit(session.desk.record(intents, now))


def _says(reason: str | None) -> Callable[[Hold], str | None]:
    return lambda _: reason
