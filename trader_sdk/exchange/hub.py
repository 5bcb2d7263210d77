"""Between the venue and its clients: carries commands in, and what happened out to the streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import StorageError
from trader_sdk.exchange.codec import Command
from trader_sdk.exchange.events import Intervened, OrderChanged
from trader_sdk.exchange.faults import Faults, Frame, NoFaults, StreamName
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.stream_messages import bar_message, told_of
from trader_sdk.exchange.venue import Outcome, Venue
from trader_sdk.exchange.wire import trade_update_json

DataSink = Callable[[str, str, Sequence[Frame]], None]
"""Takes what is sent of one message of market data: its type, its symbol, and the frames that became of it."""


class Hub:
    """One venue and whoever listens to it. Lives on one event loop; nothing in it waits but the disk.

    Args:
        venue: The venue.
        faults: What to spoil on the way out.
        on_fatal: Told when a command failed half-way, as on a full disk; the process must then end.

    Attributes:
        has_failed: Whether that happened; nothing may be answered then.
        n_throttled: How many requests were answered with 429 because there were too many.
    """

    def __init__(
        self, venue: Venue, *, faults: Faults | None = None, on_fatal: Callable[[], None] | None = None
    ) -> None:
        self.venue = venue
        self.faults: Faults = NoFaults()
        self.moved = asyncio.Condition()
        self.speed_seconds = venue.setup.speed_seconds
        self.has_failed = False
        self.n_throttled = 0
        self._on_fatal = on_fatal
        self._trade_sinks: set[Callable[[Frame], None]] = set()
        self._data_sinks: set[DataSink] = set()
        self._mark_sinks: set[Callable[[str], None]] = set()
        self.use_faults(faults or NoFaults())

    def use_faults(self, faults: Faults) -> None:
        """Let ``faults`` strike from now on."""
        self.faults = faults
        faults.bind(self.apply)

    @property
    def state(self) -> VenueState:
        """Return the venue's state as it is now."""
        return self.venue.state

    def apply(self, command: Command) -> Outcome:
        """Carry out a command and tell the streams."""
        return self._published(lambda: self.venue.apply(command))

    def advance(self, wake_at: int | None = None) -> Outcome:
        """Move venue time on and tell the streams."""
        outcome = self._published(lambda: self.venue.advance(wake_at))
        if outcome.n_closed:
            self.faults.bars_released()
        return outcome

    def listen_trades(self, sink: Callable[[Frame], None]) -> Callable[[], None]:
        """Send every order event to ``sink`` until the returned function is called."""
        self._trade_sinks.add(sink)
        return lambda: self._trade_sinks.discard(sink)

    def listen_data(self, sink: DataSink) -> Callable[[], None]:
        """Send every released bar, trading halt and price band to ``sink`` until the returned function is called."""
        self._data_sinks.add(sink)
        return lambda: self._data_sinks.discard(sink)

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
            elif isinstance(event, Intervened) and (told := told_of(self.state, event)) is not None:
                self._publish_data(told)
        for symbol, mark in self.state.marks.items():
            if marks[symbol].price != mark.price:
                for sink in tuple(self._mark_sinks):
                    sink(symbol)
        for bar in outcome.released:
            self._publish_bar(bar)
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
        for frame in self.faults.stream(StreamName.TRADE_UPDATES, trade_update_json(event)):
            for sink in tuple(self._trade_sinks):
                sink(frame)

    def _publish_bar(self, bar: Bar) -> None:
        self._publish_data(bar_message("b" if self.venue.market.timeframe.is_intraday else "d", bar))

    def _publish_data(self, message: dict[str, Any]) -> None:
        frames = self.faults.stream(StreamName.MARKET_DATA, message)
        for sink in tuple(self._data_sinks):
            sink(message["T"], message["S"], frames)
