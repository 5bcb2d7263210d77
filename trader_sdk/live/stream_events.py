"""What the streams' threads hand over, and what the loop makes of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

from trader_sdk.broker.parsing import parse_trade_update
from trader_sdk.broker.port import StreamEvent, StreamKind, StreamName
from trader_sdk.broker.wire_bars import price_band, stream_bar
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.errors import BrokerError
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.events import bar_time, rfc3339
from trader_sdk.live.feed import Feed
from trader_sdk.live.plausible import misshapen
from trader_sdk.live.stream_watch import StreamWatch

QUARANTINE_FILE: Final = "quarantine.jsonl"
_MOST_QUARANTINED_BYTES: Final = 1 << 20
HALTED_CODES: Final = frozenset({"H", "P", "2"})
"""Trading status codes that stop trading: halted, paused for volatility (tape C), halted (tapes A and B)."""
RESUMED_CODES: Final = frozenset({"T", "3"})
"""Trading status codes that end a halt."""


class HeedsVenue(Protocol):
    """Whoever must know what the venue allows in a symbol."""

    def note_trading_status(self, symbol: str, is_halted: bool, message: str) -> None:
        """Learn that a symbol is halted, or trades again."""

    def note_price_band(self, symbol: str, down: Decimal, up: Decimal) -> None:
        """Learn the prices beyond which nothing trades."""


class StreamInbox:
    """A queue between the streams' threads and the event loop.

    The threads only append: parsing, booking and deciding happen on the loop, so that no frame can stop a stream.

    Args:
        desk: Told of order events.
        feed: Told of closed minutes.
        loop: The session's loop.
        on_order: Called on the loop when order events wait to be booked.
        watch: Follows the streams' health.
        folder: Where frames that nobody understands are kept.
        heeds: Told of halts and price bands.
    """

    def __init__(
        self,
        desk: OrderDesk,
        feed: Feed,
        loop: asyncio.AbstractEventLoop,
        on_order: Callable[[], None],
        watch: StreamWatch,
        folder: Path,
        heeds: HeedsVenue,
    ) -> None:
        self._desk, self._feed, self._loop, self._on_order = desk, feed, loop, on_order
        self.watch, self._folder, self._heeds = watch, folder, heeds
        self._waiting: deque[StreamEvent] = deque()
        self._is_called = False
        self.counts: Counter[str] = Counter()
        self.is_behind = False
        self._subscribed = asyncio.Event()

    async def bars_subscribed(self, timeout_seconds: float) -> bool:
        """Wait until the venue has confirmed the subscription to bars; return whether it did in time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._subscribed.wait(), timeout_seconds)
        return self._subscribed.is_set()

    def put(self, event: StreamEvent) -> None:
        """Take an event in the stream's own thread."""
        self._waiting.append(event)
        if not self._is_called and not self._loop.is_closed():
            self._is_called = True  # a burst of hundreds of bars wakes the loop once
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._is_called = False
        while self._waiting:
            event = self._waiting.popleft()
            self.counts[event.kind.value] += 1
            self.watch.saw(event)
            try:
                self._handle(event)
            except BrokerError as error:
                # A frame that nobody understands is kept; REST tells what it would have said.
                self.counts[StreamKind.QUARANTINED.value] += 1
                self._quarantine(event, str(error))

    def _handle(self, event: StreamEvent) -> None:
        match event.kind:
            case StreamKind.ORDER:
                self._desk.heard(parse_trade_update(event.raw))
                self._on_order()
            case StreamKind.BAR:
                self._feed.heard(_shaped(stream_bar(event.raw)))
            case StreamKind.UPDATED_BAR:
                self._revised(stream_bar(event.raw))
            case StreamKind.SYMBOL_STATUS:
                self._status(event.raw)
            case StreamKind.PRICE_BAND:
                self._heeds.note_price_band(*price_band(event.raw))
            case StreamKind.SUBSCRIBED if event.stream is StreamName.MARKET_DATA:
                self._subscribed.set()
            case StreamKind.QUARANTINED:
                self._quarantine(event, str(event.raw.get("why", "")))
            case StreamKind.DISCONNECTED | StreamKind.ENDED:
                self.is_behind = True
            case _:
                pass

    def _revised(self, bar: Bar) -> None:
        if not self._feed.heard(bar):
            at = rfc3339(bar_time(bar.t))
            self.watch.say("bar_revised", {"symbol": bar.symbol, "bar": at, "close": bar.close})
            self._feed.corrections.append(bar)

    def _status(self, raw: Mapping[str, Any]) -> None:
        code, symbol = str(raw.get("sc", "")), str(raw.get("S", ""))
        if code in HALTED_CODES | RESUMED_CODES:
            self._heeds.note_trading_status(symbol, code in HALTED_CODES, str(raw.get("sm", "")))

    def _quarantine(self, event: StreamEvent, why: str) -> None:
        """Keep a frame in a file of bounded size, tell, and have REST asked for what it would have said."""
        self.is_behind = True
        record = {"stream": event.stream.value, "at": rfc3339(event.received_at), "why": why, "raw": dict(event.raw)}
        path = self._folder / QUARANTINE_FILE
        with suppress(OSError):  # a full disk is the journal's to report; the frame is told of either way
            if not path.exists() or path.stat().st_size < _MOST_QUARANTINED_BYTES:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record, default=repr) + "\n")
        self.watch.say("frame_quarantined", {"stream": event.stream.value, "why": why, "file": str(path)})
        self._on_order()


def _shaped(bar: Bar) -> Bar:
    """Return a bar that may be one.

    Raises:
        BrokerError: E803; no market prints such a bar, so REST is asked for it.
    """
    wrong = misshapen(bar)
    if wrong is not None:
        raise BrokerError("E803", f"a bar cannot be: {wrong}", where=f"{bar.symbol} {rfc3339(bar_time(bar.t))}")
    return bar
