"""What the streams' threads hand over, and what the loop makes of it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress

from trader_sdk.broker.parsing import parse_trade_update
from trader_sdk.broker.port import StreamEvent, StreamKind, StreamName
from trader_sdk.broker.wire_bars import stream_bar
from trader_sdk.contract.errors import BrokerError
from trader_sdk.live.desk import OrderDesk
from trader_sdk.live.feed import Feed


class StreamInbox:
    """A queue between the streams' threads and the event loop.

    The threads only append: parsing, booking and deciding happen on the loop, so that no frame can stop a stream.

    Args:
        desk: Told of order events.
        feed: Told of closed minutes.
        loop: The session's loop.
        on_order: Called on the loop when order events wait to be booked.
    """

    def __init__(
        self, desk: OrderDesk, feed: Feed, loop: asyncio.AbstractEventLoop, on_order: Callable[[], None]
    ) -> None:
        self._desk, self._feed, self._loop, self._on_order = desk, feed, loop, on_order
        self._waiting: deque[StreamEvent] = deque()
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
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            self.counts[event.kind.value] += 1
            try:
                self._handle(event)
            except BrokerError:
                # A frame that nobody understands is counted; REST tells what it would have said.
                self.counts[StreamKind.QUARANTINED.value] += 1
                self.is_behind = True

    def _handle(self, event: StreamEvent) -> None:
        match event.kind:
            case StreamKind.ORDER:
                self._desk.heard(parse_trade_update(event.raw))
                self._on_order()
            case StreamKind.BAR | StreamKind.UPDATED_BAR:
                self._feed.heard(stream_bar(event.raw))
            case StreamKind.SUBSCRIBED if event.stream is StreamName.MARKET_DATA:
                self._subscribed.set()
            case StreamKind.DISCONNECTED | StreamKind.QUARANTINED | StreamKind.ENDED:
                self.is_behind = True
            case _:
                pass
