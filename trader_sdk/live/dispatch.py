"""Sending what is due, and everything that must follow from what the venue says to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from trader_sdk.broker import port
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import BrokerError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.desk import OrderDesk, Sent
from trader_sdk.live.events import Draft, bar_time
from trader_sdk.live.holds import Cause, StateKeeper
from trader_sdk.live.journal import Journal
from trader_sdk.live.refusals import Refusals


class Dispatch:
    """Sends, and acts on the answers.

    Args:
        desk: Sends.
        journal: Holds the books.
        states: Holds trading back.
        refusals: Answers refusals.
        reconcile: Compares books and venue.
    """

    def __init__(
        self,
        desk: OrderDesk,
        journal: Journal,
        states: StateKeeper,
        refusals: Refusals,
        reconcile: Callable[[], Awaitable[object]],
    ) -> None:
        self._desk, self._journal, self._states = desk, journal, states
        self._refusals, self._reconcile = refusals, reconcile

    async def send(self, now: datetime) -> None:
        """Send what is due, once more what was refused and may be smaller, and end what is overdue.

        Raises:
            BrokerError: The venue no longer accepts our keys.
        """
        sent = await self._desk.send_due(now)
        await self._follow(sent, now)
        again = await self._refusals.answer(sent.refused, now)
        if again:
            self._desk.commit(self._desk.record(again, now))
            await self._follow(await self._desk.send_due(now), now)
        if await self._desk.cancel_overdue(now):
            await self._desk.refresh(now)
        self._refusals.trip(now)

    async def _follow(self, sent: Sent, now: datetime) -> None:
        if any(refusal.kind is port.RefusalKind.AUTH for _, refusal in sent.refused):
            self._states.hold(Cause.AUTH, "the venue no longer accepts our keys", now)
            raise BrokerError("E801", "the venue no longer accepts our keys", kind=port.RefusalKind.AUTH)
        for key in sent.collisions:
            self._states.hold(Cause.CID_COLLISION, f"the venue has another order under {key}", now)
        for key, differing in sent.alarms.items():
            self._states.hold(Cause.ORDER_MISMATCH, f"{key} differs in {', '.join(differing)}", now)
            await self._desk.cancel(self._journal.ledger.orders[key], now)
        if any(refusal.kind is port.RefusalKind.FORBIDDEN for _, refusal in sent.refused):
            await self._reconcile()  # which reads whether the account is blocked
        if sent.in_doubt:
            await self._reconcile()

    def note_halt(self, symbol: str, message: str, at: datetime, *, is_halted: bool) -> None:
        """Record that the venue halts a symbol, or lets it trade again; saying so twice changes nothing."""
        if is_halted is not self._journal.ledger.is_halted(symbol, at):
            body = {"limit": "halt" if is_halted else "resume", "symbol": symbol, "cause": message}
            self._desk.commit([Draft(JournalEvent.LIMIT_CHANGED, at, body)])

    def note_bars(self, bars: Mapping[str, Sequence[Bar]], at: datetime) -> None:
        """End the halts of symbols that print bars again: the word that trading resumed may have been lost."""
        halted_at = self._journal.ledger.halted_at
        for symbol in halted_at.keys() & bars.keys():
            if bar_time(bars[symbol][-1].t) > halted_at[symbol]:
                self.note_halt(symbol, "bars are printed again", at, is_halted=False)
