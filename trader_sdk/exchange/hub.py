"""Between the venue and its clients: carries commands in, and what happened out to the streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import StorageError
from trader_sdk.exchange.codec import Command
from trader_sdk.exchange.events import OrderChanged
from trader_sdk.exchange.faults import Faults, NoFaults, StreamName
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.venue import Outcome, Venue
from trader_sdk.exchange.wire import trade_update_json

Sink = Callable[[dict[str, Any]], None]


class Hub:
    """One venue and whoever listens to it. Lives on one event loop; nothing in it waits but the disk.

    Args:
        venue: The venue.
        faults: What to spoil on the way out.
        on_fatal: Told when a command failed half-way, as on a full disk; the process must then end.

    Attributes:
        has_failed: Whether that happened; nothing may be answered then.
    """

    def __init__(
        self, venue: Venue, *, faults: Faults | None = None, on_fatal: Callable[[], None] | None = None
    ) -> None:
        self.venue = venue
        self.faults: Faults = NoFaults() if faults is None else faults
        self.moved = asyncio.Condition()
        self.speed_seconds = venue.setup.speed_seconds
        self.has_failed = False
        self._on_fatal = on_fatal
        self._trade_sinks: set[Sink] = set()
        self._bar_sinks: set[Callable[[Bar], None]] = set()
        self._mark_sinks: set[Callable[[str], None]] = set()

    @property
    def state(self) -> VenueState:
        """Return the venue's state as it is now."""
        return self.venue.state

    def apply(self, command: Command) -> Outcome:
        """Carry out a command and tell the streams."""
        return self._published(lambda: self.venue.apply(command))

    def advance(self, wake_at: int | None = None) -> Outcome:
        """Move venue time on and tell the streams."""
        return self._published(lambda: self.venue.advance(wake_at))

    def listen_trades(self, sink: Sink) -> Callable[[], None]:
        """Send every order event to ``sink`` until the returned function is called."""
        self._trade_sinks.add(sink)
        return lambda: self._trade_sinks.discard(sink)

    def listen_bars(self, sink: Callable[[Bar], None]) -> Callable[[], None]:
        """Send every released bar to ``sink`` until the returned function is called."""
        self._bar_sinks.add(sink)
        return lambda: self._bar_sinks.discard(sink)

    def listen_marks(self, sink: Callable[[str], None]) -> Callable[[], None]:
        """Send every symbol whose price moved to ``sink`` until the returned function is called."""
        self._mark_sinks.add(sink)
        return lambda: self._mark_sinks.discard(sink)

    def _published(self, act: Callable[[], Outcome]) -> Outcome:
        marks = dict(self.state.marks)
        outcome = self._logged(act)
        for event in outcome.events:
            if isinstance(event, OrderChanged):
                self._publish_order(event)
        for symbol, mark in self.state.marks.items():
            if marks[symbol].price != mark.price:
                self._call(self._mark_sinks, symbol)
        for bar in outcome.released:
            self._call(self._bar_sinks, bar)
        return outcome

    def _logged(self, act: Callable[[], Outcome]) -> Outcome:
        """Return what a command did once the log has it.

        Whatever goes wrong here leaves a state in memory that the log does not tell of, so the venue must not answer
        anybody any more; the next process rebuilds from the log.
        """
        if self.has_failed:
            raise StorageError("STORAGE", "the exchange has failed and is about to end", where="exchange")
        self.has_failed = True
        try:
            outcome = act()
            self.has_failed = False
        finally:
            if self.has_failed and self._on_fatal is not None:
                self._on_fatal()
        return outcome

    def _publish_order(self, event: OrderChanged) -> None:
        for message in self.faults.stream(StreamName.TRADE_UPDATES, trade_update_json(event)):
            self._call(self._trade_sinks, message)

    @staticmethod
    def _call(sinks: set[Callable[[Any], None]], value: object) -> None:
        for sink in tuple(sinks):
            sink(value)
