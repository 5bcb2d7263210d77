"""How a run ends: its last orders reach the venue, what was never sent is buried, and books are compared once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from threading import Event
from typing import Any, Final

from trader_sdk.contract.errors import EXIT_SIGINT, BrokerError, HaltedError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.booking import Sighting, booking
from trader_sdk.live.dispatch import Dispatch
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.opening import Session
from trader_sdk.orders import OrderEvent, OrderReport, OrderStatus

_WIND_DOWN_TICKS: Final = 6


async def wind_down(session: Session, dispatch: Dispatch, stop: Event) -> None:
    """Let the last orders reach the venue, and in a replay their fills; no new decision is made."""
    desk, ledger = session.desk, session.journal.ledger
    for _ in range(_WIND_DOWN_TICKS):
        waits = desk.next_due() is not None
        if not waits and not (session.mode is TradingMode.PAPER_LOCAL and ledger.working):
            return
        tick = await session.clock.next(desk.next_due())
        if tick.is_over or stop.is_set():
            return
        await dispatch.send(tick.at)
        await desk.refresh(tick.at)


async def settle(
    session: Session,
    exit_code: int,
    reconcile: Callable[[], Awaitable[object]],
    say: Callable[[str, Mapping[str, Any]], None],
) -> int:
    """Compare books and venue a last time after a run that ended well; return the exit code after that."""
    if exit_code not in (0, EXIT_SIGINT):
        return exit_code
    if session.mode is TradingMode.PAPER_LOCAL:
        ledger = session.journal.ledger
        session.desk.commit(booking(ledger, _never_sent(ledger, session.clock.now())))
    try:
        await reconcile()
    except (BrokerError, HaltedError) as error:
        say("reconcile_failed", error.to_dict())
        return exit_code or error.exit_code
    return exit_code


def _never_sent(ledger: Ledger, at: datetime) -> list[Sighting]:
    over = OrderReport(OrderEvent.NOT_FOUND, detail="not sent: the run ended")
    waiting = [record.intent for record in ledger.working if record.state.status is OrderStatus.INTENT]
    return [Sighting(intent.client_order_id, over, at) for intent in waiting]
