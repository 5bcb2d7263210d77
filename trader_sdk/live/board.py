"""The live table as plain data: what each symbol holds, has working and last decided, under which verdict."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from trader_sdk.live.events import plain
from trader_sdk.live.ledger import Ledger, OrderRecord

if TYPE_CHECKING:
    from trader_sdk.live.schedule import Schedule

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One symbol now.

    Attributes:
        gate: Class and tier of its model.
        value: Position in account currency at the last close.
        working: Its open orders, as text.
        action: What was decided on the newest bar, None before the first.
        reason: Why that was not traded, None if it was.
        bar_age_seconds: Since the newest bar closed, None before the first.
    """

    symbol: str
    gate: str
    qty: Decimal
    value: Decimal
    working: str
    action: str | None
    reason: str | None
    bar_age_seconds: float | None

    @property
    def is_busy(self) -> bool:
        """Return whether it holds or has something working."""
        return bool(self.qty) or bool(self.working)


@dataclass(frozen=True, slots=True)
class Board:
    """All symbols now, the busy ones first."""

    at: datetime
    state: str
    equity: Decimal
    rows: tuple[BoardRow, ...]


def board_of(ledger: Ledger, schedule: Schedule, now: datetime) -> Board:
    """Return the live table.

    Args:
        ledger: The books.
        schedule: Says when a bar closed.
        now: Venue time, aware UTC.
    """
    working: defaultdict[str, list[OrderRecord]] = defaultdict(list)
    for record in ledger.working:
        working[record.intent.symbol].append(record)
    rows = [_row(symbol, ledger, working[symbol], schedule, now) for symbol in ledger.sleeves]
    return Board(now, ledger.state.value, ledger.equity, tuple(sorted(rows, key=lambda r: (not r.is_busy, r.symbol))))


def _row(symbol: str, ledger: Ledger, working: list[OrderRecord], schedule: Schedule, now: datetime) -> BoardRow:
    sleeve, last, bar_at = ledger.sleeves[symbol], ledger.decided.get(symbol), ledger.bars.get(symbol)
    return BoardRow(
        symbol=symbol,
        gate=gate_text(ledger, symbol),
        qty=sleeve.qty,
        value=sleeve.position_value(ledger.prices.get(symbol, _ZERO)),
        working=", ".join(_working_text(record) for record in working),
        action=last.action if last is not None else None,
        reason=last.reason if last is not None else None,
        bar_age_seconds=None if bar_at is None else (now - schedule.closes_at(bar_at)).total_seconds(),
    )


def _working_text(record: OrderRecord) -> str:
    left = record.intent.qty - record.state.filled_qty
    return f"{record.intent.side} {plain(left)} {record.state.status}"


def gate_text(ledger: Ledger, symbol: str) -> str:
    """Return class and tier of a symbol's model; empty if none was loaded."""
    model = ledger.models.get(symbol)
    return "" if model is None else f"{model['class']} {model['tier']}"
