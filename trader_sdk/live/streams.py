"""The session's streams: opened once, opened anew when they are mute, closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from trader_sdk.broker import port
from trader_sdk.live.stream_events import StreamInbox
from trader_sdk.live.worker import BrokerWorker


class Streams:
    """Order events and bars of a session.

    Args:
        broker: Opens them.
        worker: The thread for broker calls.
        symbols: Whose bars.
        inbox: Takes what they bring, and knows how they are.
    """

    def __init__(
        self, broker: port.BrokerPort, worker: BrokerWorker, symbols: Sequence[str], inbox: StreamInbox
    ) -> None:
        self._broker, self._worker, self._symbols, self.inbox = broker, worker, tuple(symbols), inbox
        self._handle: port.StreamHandle | None = None

    async def open(self) -> None:
        """Start both."""
        self._handle = await self._worker.call(lambda: self._broker.stream(self._symbols, self.inbox.put))

    def lost_something(self) -> bool:
        """Return, once, whether a stream broke or brought what nobody understands, so that REST must be asked."""
        lost, self.inbox.is_behind = self.inbox.is_behind, False
        return lost

    async def reopen_if_mute(self, *, streamed: bool) -> None:
        """Start both anew if they are open and bring no bars; REST carries on meanwhile.

        Args:
            streamed: Whether any of the newest bars came over the stream.
        """
        watch = self.inbox.watch
        if not watch.bars_came(streamed=streamed):
            return
        watch.say("stream_reopened", {"stream": port.StreamName.MARKET_DATA.value, "cause": "open and mute"})
        # A thread of its own: closing joins the streams' threads, and orders must not queue behind that.
        await asyncio.to_thread(self.close)
        await self.open()

    def orders_held(self) -> AbstractContextManager[None]:
        """Let order events wait while orders are sent."""
        return nullcontext() if self._handle is None else self._handle.orders_held()

    def close(self) -> None:
        """End both; safe to call twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
