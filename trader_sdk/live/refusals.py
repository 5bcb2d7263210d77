"""What follows a refusal: one smaller order, one more order once ours is out of the way, or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from trader_sdk.broker import port
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.events import Draft
from trader_sdk.live.journal import Journal
from trader_sdk.live.ledger import OrderRecord
from trader_sdk.live.lines import SymbolLine
from trader_sdk.live.views import rules_of
from trader_sdk.live.worker import BrokerWorker
from trader_sdk.orders import OrderIntent, OrderKey, OrderStatus, TimeInForce, client_order_id
from trader_sdk.plan import AssetRules, Book

MOST_REFUSALS: Final = 3
"""Refused orders of one symbol within :data:`REFUSALS_WITHIN` after which it may only reduce."""
REFUSALS_WITHIN: Final = timedelta(minutes=10)
_LOOKS: Final = 5
_LOOK_SECONDS: Final = 0.2
_NOT_NOW: Final = frozenset({port.RefusalKind.NOT_TRADABLE, port.RefusalKind.NOT_SHORTABLE})


class Refusals:
    """Answers refusals; every order gets at most one second chance, and never a larger one.

    Args:
        desk: Cancels, and records the second order.
        journal: The books.
        broker: Asked for account and asset.
        worker: The thread for broker calls.
        lines: Whose rules change when the venue says so.
        book: Stamped into order ids.
        reconcile: Compares books and venue.
        buffer_fraction: Part of the buying power that is left alone.
    """

    def __init__(
        self,
        desk: OrderDesk,
        journal: Journal,
        broker: port.BrokerPort,
        worker: BrokerWorker,
        lines: Mapping[str, SymbolLine],
        book: Book,
        reconcile: Callable[[], Awaitable[object]],
        *,
        buffer_fraction: Decimal,
    ) -> None:
        self._desk, self._journal, self._broker, self._worker = desk, journal, broker, worker
        self._lines, self._book, self._reconcile = lines, book, reconcile
        self._buffer_fraction = buffer_fraction

    async def answer(self, refused: Sequence[tuple[OrderIntent, port.Refused]], now: datetime) -> list[OrderIntent]:
        """Return the second orders that follow from refusals; they are neither durable nor sent yet."""
        again = []
        for intent, refusal in refused:
            if refusal.kind in _NOT_NOW:
                await self._read_asset(intent.symbol, refusal, now)
            elif intent.attempt == 0:
                qty = await self._second_qty(intent, refusal, now)
                second = self._second(intent, qty) if qty > 0 else None
                again += [second] if second is not None else []
        return again

    async def _second_qty(self, intent: OrderIntent, refusal: port.Refused, now: datetime) -> Decimal:
        """Return how much may still be ordered, zero if nothing."""
        match refusal.kind:
            case port.RefusalKind.BUYING_POWER:
                account = await self._worker.call(self._broker.account)
                offered = min(account.buying_power, _amount(refusal.extras, "buying_power", account.buying_power))
                return offered * (1 - self._buffer_fraction) / intent.worst_price
            case port.RefusalKind.INSUFFICIENT_QTY:
                await self._cancel_working(intent, now)
                await self._reconcile()
                return _amount(refusal.extras, "available", await self._available(intent.symbol))
            case port.RefusalKind.WASH_TRADE:
                ours = self._order_of(refusal.extras.get("existing_order_id"))
                return intent.qty if ours is not None and await self._is_ended(ours, now) else Decimal(0)
            case _:
                return Decimal(0)

    def _second(self, intent: OrderIntent, qty: Decimal) -> OrderIntent | None:
        rules = self._lines[intent.symbol].rules
        grid: AssetRules = rules.whole() if intent.time_in_force is TimeInForce.OPG else rules
        units = grid.quantise(min(qty, intent.qty))
        if units == 0 or grid.is_too_small(units, intent.worst_price):
            return None
        attempt = self._journal.ledger.next_attempt(intent.symbol, intent.bar_at)
        book = self._book
        key = OrderKey(
            book.account, book.mode, book.strategy, book.epoch, intent.symbol, intent.bar_at, intent.leg, attempt
        )
        return replace(intent, qty=units, attempt=attempt, client_order_id=client_order_id(key))

    async def _available(self, symbol: str) -> Decimal:
        positions = await self._worker.call(self._broker.positions)
        return sum((abs(view.qty_available) for view in positions if view.symbol == symbol), Decimal(0))

    def _order_of(self, broker_order_id: Any) -> OrderRecord | None:
        if not broker_order_id:
            return None
        orders = self._journal.ledger.orders.values()
        return next((record for record in orders if record.state.broker_order_id == broker_order_id), None)

    async def _cancel_working(self, intent: OrderIntent, now: datetime) -> None:
        for record in self._journal.ledger.working:
            if record.intent.symbol == intent.symbol and record.state.broker_order_id is not None:
                await self._desk.cancel(record, now)

    async def _is_ended(self, record: OrderRecord, now: datetime) -> bool:
        """Cancel an order of ours and return whether the venue says, soon, that it is over."""
        await self._desk.cancel(record, now)
        broker_order_id = record.state.broker_order_id
        assert broker_order_id is not None  # it was found by it
        for _ in range(_LOOKS):
            view = await self._worker.call(lambda: self._broker.order_by_id(broker_order_id))
            if view is not None and not view.is_open:
                await self._desk.refresh(now)
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _read_asset(self, symbol: str, refusal: port.Refused, now: datetime) -> None:
        """Read an asset again and leave it alone for the session, whatever it says now: the venue has refused it."""
        found = (await self._worker.call(lambda: self._broker.assets([symbol]))).get(symbol)
        line = self._lines[symbol]
        rules = line.rules if found is None else replace(rules_of(found), band=line.rules.band)
        shorts = refusal.kind is port.RefusalKind.NOT_SHORTABLE
        line.rules = replace(rules, shortable=False) if shorts else replace(rules, tradable=False)
        body = {"limit": "asset", "symbol": symbol, "cause": f"{refusal.kind.value}: {refusal.message}"}
        self._desk.commit([Draft(JournalEvent.LIMIT_CHANGED, now, body)])

    def trip(self, now: datetime) -> None:
        """Let a symbol only reduce once too many of its orders were refused within a short time."""
        ledger = self._journal.ledger
        recent = Counter(r.intent.symbol for r in ledger.orders.values() if _was_refused(r, now))
        within = f"within {REFUSALS_WITHIN.total_seconds() / 60:.0f} minutes"
        drafts = [
            Draft(
                JournalEvent.LIMIT_CHANGED,
                now,
                {"limit": "rejects", "symbol": symbol, "cause": f"{count} orders refused {within}"},
            )
            for symbol, count in recent.items()
            if count >= MOST_REFUSALS and symbol not in ledger.tripped_at
        ]
        self._desk.commit(drafts)


def _was_refused(record: OrderRecord, now: datetime) -> bool:
    is_refused = record.state.status is OrderStatus.REFUSED
    return is_refused and record.sent_at is not None and now - record.sent_at <= REFUSALS_WITHIN


def _amount(extras: Mapping[str, Any], name: str, otherwise: Decimal) -> Decimal:
    """Return an amount of a refusal's body, ``otherwise`` where it has none that can be read."""
    try:
        amount = Decimal(str(extras[name]))
    except (KeyError, InvalidOperation):
        return otherwise
    return amount if amount.is_finite() and amount >= 0 else otherwise
