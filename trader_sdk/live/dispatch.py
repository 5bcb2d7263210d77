"""Sending what is due, and everything that must follow from what the venue says to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from trader_sdk.broker import port
from trader_sdk.contract.documents import JournalEvent
from trader_sdk.contract.errors import BrokerError
from trader_sdk.live.desk import OrderDesk, Sent
from trader_sdk.live.events import Draft
from trader_sdk.live.journal import Journal
from trader_sdk.live.refusals import Refusals
from trader_sdk.risk import TradingState

AUTH: Final = "AUTH"
"""Cause of HALTED: the venue no longer accepts our keys."""
CID_COLLISION: Final = "CID_COLLISION"
"""Cause of HALTED: the venue knows one of our ids for another order."""
ORDER_MISMATCH: Final = "ORDER_MISMATCH"
"""Cause of REDUCING: the venue confirmed another order than was sent."""
_GRAVITY: Final[Mapping[TradingState, int]] = {state: rank for rank, state in enumerate(TradingState)}


class Dispatch:
    """Sends, and acts on the answers.

    Args:
        desk: Sends.
        journal: Says what the state is.
        refusals: Answers refusals.
        reconcile: Compares books and venue.
    """

    def __init__(
        self, desk: OrderDesk, journal: Journal, refusals: Refusals, reconcile: Callable[[], Awaitable[object]]
    ) -> None:
        self._desk, self._journal, self._refusals, self._reconcile = desk, journal, refusals, reconcile

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
            self.become(TradingState.HALTED, f"{AUTH}: the venue no longer accepts our keys", now)
            raise BrokerError("E801", "the venue no longer accepts our keys", kind=port.RefusalKind.AUTH)
        for key in sent.collisions:
            self.become(TradingState.HALTED, f"{CID_COLLISION}: the venue has another order under {key}", now)
        for key, differing in sent.alarms.items():
            self.become(TradingState.REDUCING, f"{ORDER_MISMATCH}: {key} differs in {', '.join(differing)}", now)
            await self._desk.cancel(self._journal.ledger.orders[key], now)
        if sent.in_doubt:
            await self._reconcile()

    def become(self, state: TradingState, cause: str, at: datetime) -> None:
        """Enter a graver state; a lighter one, or the same, changes nothing."""
        if _GRAVITY[state] > _GRAVITY[self._journal.ledger.state]:
            body = {"state": state.value, "cause": cause}
            self._desk.commit([Draft(JournalEvent.STATE_CHANGED, at, body)])

    def note_halt(self, symbol: str, message: str, at: datetime, *, is_halted: bool) -> None:
        """Record that the venue halts a symbol, or lets it trade again; saying so twice changes nothing."""
        if is_halted is not self._journal.ledger.is_halted(symbol, at):
            body = {"limit": "halt" if is_halted else "resume", "symbol": symbol, "cause": message}
            self._desk.commit([Draft(JournalEvent.LIMIT_CHANGED, at, body)])
