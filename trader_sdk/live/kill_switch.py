"""The kill switch: cancels our own orders from a thread and over connections of its own, whatever the loop is doing.

It needs neither the event loop nor the journal. What it did is in ``kill.json`` beside the journal. Pressing it twice
is pressing it once: a cancel that was asked for may be asked for again, and each closing order has an id that follows
from the moment of the first press. It is rearmed once nothing is left that a press wanted closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from trader_sdk.broker import port
from trader_sdk.contract.errors import SdkError
from trader_sdk.live.control import Pressed, write_private
from trader_sdk.live.events import bar_ns, plain
from trader_sdk.orders import OrderKey, client_order_id, is_ours
from trader_sdk.plan import Book

KILL_RECORD: Final = "kill.json"
LEG: Final = "k"
"""Leg of an order that the kill switch sent."""
_QUIET_LOOKS: Final = 2
_MOST_LOOKS: Final = 20
_READS: Final = 3
_BETWEEN_LOOKS_SECONDS: Final = 0.5
LOOP_PATIENCE_SECONDS: Final = 3.0
"""How long the loop may take to close the positions itself before the switch does it."""

_OVER: Final = (port.RefusalKind.NOT_CANCELABLE, port.RefusalKind.NOT_FOUND)
"""Why a cancel is refused that is no longer needed."""
Held = Callable[[], Mapping[str, Decimal]]
Working = Callable[[], Mapping[str, str]]
Say = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Outcome:
    """What the switch did so far; mutable because it grows while it works."""

    pressed: Pressed
    at: datetime
    canceled: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    orders: list[dict[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    is_done: bool = False

    def fields(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "by": self.pressed.by,
            "who": self.pressed.who,
            "at": self.at.isoformat(),
            "flatten": self.pressed.flatten,
            "canceled": sorted(set(self.canceled)),
            "left": self.left,
            "orders": self.orders,
            "faults": self.faults[-5:],
            "done": self.is_done,
        }


class KillSwitch:
    """Cancels what is ours, and closes it where that was asked for.

    Args:
        connect: Opens a port of the switch's own to the same account; called at the first press, in its thread.
        book: Whose orders are ours.
        held: Units of each symbol that our books own; read in memory.
        folder: Where ``kill.json`` goes.
        say: Told ``kill_switch`` with what was done, and ``watchdog_fault`` with what went wrong.
        working: Venue's ids of the orders that our books believe to work, by ours; for when they cannot be listed.
        now: Aware UTC.
    """

    def __init__(
        self,
        connect: Callable[[], port.BrokerPort],
        book: Book,
        held: Held,
        folder: Path,
        say: Say,
        working: Working = dict,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connect, self._book, self._held, self._working = connect, book, held, working
        self._record, self._say, self._now = folder / KILL_RECORD, say, now
        self._last: Outcome | None = None
        self._noted: list[str] = []
        self._lock = threading.Lock()
        self._flattening = threading.Lock()
        self._broker: port.BrokerPort | None = None
        self._first_press: datetime | None = None
        self.loop_took_over = threading.Event()

    def work(self, pressed: Pressed) -> Outcome:
        """Cancel our orders until none is open, then close our positions if that was asked for; blocks."""
        with self._lock:
            self._first_press = self._first_press or self._now()
            before = self._last or Outcome(pressed, self._first_press, faults=self._noted)
            # What an earlier press did stays in the record.
            faults = [] if before.is_done else before.faults
            outcome = Outcome(pressed, self._first_press, before.canceled, [], before.orders, faults)
            self._last = outcome
            self._write(outcome)
            is_quiet = self._cancel_all(outcome)
            if pressed.flatten and self._claim():
                self._flatten(outcome)
            outcome.is_done = is_quiet
            self._write(outcome)
            self._say("kill_switch", outcome.fields())
            return outcome

    def note_fault(self, what: str) -> None:
        """Record what went wrong around the switch: in ``kill.json`` once it was pressed, and in what is told."""
        (self._noted if self._last is None else self._last.faults).append(what)
        if self._last is not None:
            self._write(self._last)
        self._say("watchdog_fault", {"fault": what})

    def take_over_flattening(self) -> bool:
        """Let the loop close the positions by its own way; False where the switch has begun to."""
        taken = self._flattening.acquire(blocking=False)
        if taken:
            self.loop_took_over.set()
        return taken or self.loop_took_over.is_set()

    def rearm(self) -> None:
        """Take the next press for another one: what the presses before wanted closed is closed, or a person resumed."""
        if self._lock.acquire(blocking=False):  # a switch that works is left to it
            try:
                self._first_press = None
                self.loop_took_over.clear()
                if self._flattening.locked():
                    self._flattening.release()
            finally:
                self._lock.release()

    @property
    def is_working(self) -> bool:
        """Return whether the switch is cancelling or closing right now."""
        return self._lock.locked()

    def close(self) -> None:
        """Close the connections."""
        if self._broker is not None:
            self._broker.close()

    def _claim(self) -> bool:
        if self.loop_took_over.wait(LOOP_PATIENCE_SECONDS):
            return False
        return self._flattening.acquire(blocking=False)

    def _port(self) -> port.BrokerPort:
        if self._broker is None:
            self._broker = self._connect()
        return self._broker

    def _cancel_all(self, outcome: Outcome) -> bool:
        """Look and cancel until two looks in a row find nothing of ours: an order may still be on its way.

        Returns:
            Whether they did; False where the venue could not be asked often enough, or orders stay open.
        """
        quiet = 0
        for look in range(_MOST_LOOKS):
            if look:
                time.sleep(_BETWEEN_LOOKS_SECONDS)
            ours = self._open_orders(outcome)
            if ours is not None:
                outcome.left = list(ours)
            quiet = 0 if ours or ours is None else quiet + 1
            if quiet == _QUIET_LOOKS:
                return True
            for client_id, broker_id in (self._working() if ours is None else ours).items():
                self._cancel(client_id, broker_id, outcome)
        return False

    def _cancel(self, client_order_id: str, broker_order_id: str, outcome: Outcome) -> None:
        """Ask for one cancel; whatever comes of it, the others are asked for too."""
        try:
            answer = self._port().cancel(broker_order_id)
        except SdkError as error:
            outcome.faults.append(f"cancel of {client_order_id}: {error}")
            return
        if isinstance(answer, port.CancelRequested):
            outcome.canceled.append(client_order_id)
        elif not (isinstance(answer, port.Refused) and answer.kind in _OVER):
            outcome.faults.append(f"cancel of {client_order_id}: {type(answer).__name__} {_said(answer)}")

    def _open_orders(self, outcome: Outcome) -> dict[str, str] | None:
        """Return the venue's ids of our open orders by ours, None where the venue did not say."""
        try:
            listed = self._port().open_orders()
        except SdkError as error:
            outcome.faults.append(str(error))
            return None
        strategy = self._book.strategy
        return {one.client_order_id: one.broker_order_id for one in listed if is_ours(one.client_order_id, strategy)}

    def _flatten(self, outcome: Outcome) -> None:
        """Send a market order for each position of ours, durable in the record before it is sent."""
        requests = self._closing_requests(outcome)
        outcome.orders = [_plain(request) for request in requests]
        if not self._write(outcome):
            outcome.faults.append("no position was closed: the record of the orders could not be written")
            outcome.orders = []
            return
        for request, shown in zip(requests, outcome.orders, strict=True):
            shown["outcome"] = self._close_position(request, outcome)

    def _close_position(self, request: port.OrderRequest, outcome: Outcome) -> str:
        """Send one closing order unless the venue has it, or cannot say whether it has."""
        try:
            if self._port().order_by_client_id(request.client_order_id) is not None:
                return "Known"
            answer = self._port().submit(request)
        except SdkError as error:
            outcome.faults.append(f"closing {request.symbol}: {error}")
            return "NotSent"
        if not isinstance(answer, port.Accepted):
            outcome.faults.append(f"closing {request.symbol}: {type(answer).__name__} {_said(answer)}")
        return type(answer).__name__

    def _closing_requests(self, outcome: Outcome) -> list[port.OrderRequest]:
        at_venue = self._positions(outcome)
        requests = []
        for symbol, qty in sorted(self._held().items()):
            there = at_venue.get(symbol, Decimal(0))
            if qty * there > 0:
                requests.append(self._closing(symbol, min(abs(qty), abs(there)), is_long=qty > 0))
        return requests

    def _positions(self, outcome: Outcome) -> dict[str, Decimal]:
        """Return what the account holds, nothing where the venue does not say after a few attempts."""
        for look in range(_READS):
            if look:
                time.sleep(_BETWEEN_LOOKS_SECONDS)
            try:
                return {view.symbol: view.qty for view in self._port().positions()}
            except SdkError as error:
                outcome.faults.append(str(error))
        return {}

    def _closing(self, symbol: str, qty: Decimal, *, is_long: bool) -> port.OrderRequest:
        assert self._first_press is not None
        minute = self._first_press.replace(second=0, microsecond=0)
        book = self._book
        key = OrderKey(book.account, book.mode, book.strategy, book.epoch, symbol, bar_ns(minute), LEG)
        return port.OrderRequest(
            client_order_id=client_order_id(key),
            symbol=symbol,
            side=port.Side.SELL if is_long else port.Side.BUY,
            qty=qty,
            type=port.OrderType.MARKET,
            time_in_force=port.TimeInForce.GTC if "/" in symbol else port.TimeInForce.DAY,
            priority=port.Priority.FLATTEN,
        )

    def _write(self, outcome: Outcome) -> bool:
        try:
            write_private(self._record, outcome.fields())
        except OSError as error:
            outcome.faults.append(f"{KILL_RECORD} could not be written: {error.strerror}")
            return False
        return True


def _said(answer: port.Refused | port.Unknown) -> str:
    return answer.message if isinstance(answer, port.Refused) else answer.detail or answer.cause.value


def _plain(request: port.OrderRequest) -> dict[str, str]:
    return {
        "client_order_id": request.client_order_id,
        "symbol": request.symbol,
        "side": request.side.value,
        "qty": plain(request.qty or Decimal(0)),
    }
