"""Alpaca's two streams, each in a thread of its own, where a frame is stamped, passed on, and nothing else.

Both are lossy hints: there is no sequence number and no replay, so whoever listens reads the gaps over REST.
Reconnecting is alpaca-py's. Its run loop is started here on an event loop of ours, because its own ``run`` cannot be
stopped promptly.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

import msgpack
from alpaca.data.enums import DataFeed
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.trading.stream import TradingStream
from websockets.exceptions import WebSocketException

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint
from trader_sdk.broker.port import EventSink, StreamEvent, StreamHealth, StreamKind, StreamName
from trader_sdk.broker.stream_frames import Note, bar_frame_notes, order_frame_notes, quarantined
from trader_sdk.contract.errors import ConfigError

CLOSE_SECONDS: Final = 3.0
CANCEL_AGAIN_SECONDS: Final = 0.1
LONGEST_HOLD_SECONDS: Final = 1.0
"""How long order events may wait for orders that are being sent, however slow the venue is."""
_PRICE_BANDS: Final = "lulds"


def _websocket_params() -> dict[str, Any]:
    """Return alpaca-py's own settings, a short goodbye, and a logger that cannot print the authentication frame."""
    logger = logging.getLogger(f"{__name__}.websocket")
    logger.setLevel(logging.INFO)
    return {"ping_interval": 10, "ping_timeout": 180, "max_queue": 1024, "close_timeout": 1, "logger": logger}


class Tap:
    """Stamps what one stream sees and keeps its health.

    Args:
        name: Which stream.
        sink: Takes each event in the stream's thread.
        wall: Unix time in seconds.
        monotonic: Monotonic time in seconds.
    """

    def __init__(
        self,
        name: StreamName,
        sink: EventSink,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._sink, self._wall, self._monotonic = sink, wall, monotonic
        self._connected = False
        self._connects = 0
        self._last_frame: float | None = None
        self._last_data: float | None = None

    def frame_seen(self) -> None:
        """Note that the socket gave something, whatever it was."""
        self._last_frame = self._monotonic()

    def data(self, kind: StreamKind, raw: Mapping[str, Any]) -> None:
        """Pass on a frame that a subscription asked for."""
        self._last_data = self._monotonic()
        self.event(kind, raw)

    def connected(self) -> None:
        """Pass on that the venue let us in."""
        self._connected = True
        self._connects += 1
        self.event(StreamKind.CONNECTED, {"connects": self._connects})

    def disconnected(self) -> None:
        """Pass on that the socket is gone, once."""
        if self._connected:
            self._connected = False
            self.event(StreamKind.DISCONNECTED, {})

    def event(self, kind: StreamKind, raw: Mapping[str, Any]) -> None:
        """Stamp ``raw`` and hand it to the sink."""
        at = dt.datetime.fromtimestamp(self._wall(), dt.UTC)
        self._sink(StreamEvent(self.name, kind, at, self._monotonic(), raw))

    def health(self, *, running: bool) -> StreamHealth:
        """Return the stream's state now."""
        return StreamHealth(self.name, self._connected, self._connects, self._last_frame, self._last_data, running)


class _Client(Protocol):
    def hold(self, seconds: float) -> None: ...
    def release(self) -> None: ...
    async def _run_forever(self) -> None: ...
    async def close(self) -> None: ...


class _Tapped:
    """What both of alpaca-py's streams need: lifecycle, refusals and unreadable frames become events."""

    tap: Tap
    _ws: Any

    @staticmethod
    def notes(frame: bytes | str) -> Iterable[Note]:
        raise NotImplementedError

    async def _connect(self) -> None:
        try:
            await super()._connect()  # type: ignore[misc]  # a mixin over alpaca-py's streams
        except (OSError, TimeoutError, ValueError, WebSocketException) as error:
            self.tap.event(StreamKind.ERROR, {"msg": str(error), "during": "connection"})
            raise
        receive = self._ws.recv

        async def tapped() -> Any:
            frame = await receive()
            self.tap.frame_seen()
            for kind, raw in self.notes(frame):
                self.tap.event(kind, raw)
            return frame

        self._ws.recv = tapped

    def hold(self, seconds: float) -> None:
        """Leave frames where they are, in the socket, until :meth:`release` or for so long at most."""
        if self._ws is not None:
            self._ws.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._ws.transport.resume_reading)

    def release(self) -> None:
        """Read on."""
        if self._ws is not None:
            self._ws.transport.resume_reading()

    async def _auth(self) -> None:
        await super()._auth()  # type: ignore[misc]  # a mixin over alpaca-py's streams
        self.tap.connected()

    async def close(self) -> None:
        try:
            await super().close()  # type: ignore[misc]  # a mixin over alpaca-py's streams
        finally:
            self.tap.disconnected()


class _OrderStream(_Tapped, TradingStream):
    @staticmethod
    def notes(frame: bytes | str) -> Iterable[Note]:
        try:
            return order_frame_notes(json.loads(frame))
        except (ValueError, RecursionError) as error:
            return [quarantined(frame, type(error).__name__)]


class _BarFrames(_Tapped):
    @staticmethod
    def notes(frame: bytes | str) -> Iterable[Note]:
        try:
            return bar_frame_notes(msgpack.unpackb(frame))
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            return [quarantined(frame, type(error).__name__)]


class _StockStream(_BarFrames, StockDataStream):
    pass


class _CryptoStream(_BarFrames, CryptoDataStream):
    pass


class StreamThread:
    """Runs one of alpaca-py's streams until told to stop.

    The thread exists because alpaca-py owns an event loop for as long as its socket lives; it is a daemon, so that a
    venue that does not say goodbye cannot keep the process alive.
    """

    def __init__(self, client: _Client, tap: Tap) -> None:
        self._client, self._tap = client, tap
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"broker-{tap.name}", daemon=True)

    def start(self) -> None:
        """Start the thread; connection and failures are events."""
        self._thread.start()

    def health(self) -> StreamHealth:
        """Return the stream's state now."""
        return self._tap.health(running=self._thread.is_alive())

    def stop(self) -> None:
        """Ask the stream to end; :meth:`join` waits for it."""
        self._call(self._stopping.set)

    def hold(self, seconds: float) -> None:
        """Read nothing from the socket until :meth:`release`, for so long at most; nothing is lost."""
        self._call(self._client.hold, seconds)

    def release(self) -> None:
        """Read on."""
        self._call(self._client.release)

    def _call(self, what: Callable[..., object], *given: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the thread has ended already
            self._loop.call_soon_threadsafe(what, *given)

    def join(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the thread to end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._until_stopped())
        finally:
            self._tap.event(StreamKind.ENDED, {})

    async def _until_stopped(self) -> None:
        running = asyncio.ensure_future(self._client._run_forever())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(running, stopping)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._client.close(), CLOSE_SECONDS / 2)


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until each task has ended: Python 3.11's ``wait_for`` loses a cancellation that meets a frame."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


class AlpacaStreams:
    """The running streams of one account."""

    def __init__(self, threads: Sequence[StreamThread]) -> None:
        self._threads = tuple(threads)
        for thread in self._threads:
            thread.start()

    def health(self) -> tuple[StreamHealth, ...]:
        """Return the state of each stream."""
        return tuple(thread.health() for thread in self._threads)

    @contextmanager
    def orders_held(self) -> Iterator[None]:
        """Leave order events in the socket for a moment: reading them would take the time of the orders to come."""
        held = [thread for thread in self._threads if thread.health().stream is StreamName.TRADE_UPDATES]
        for thread in held:
            thread.hold(LONGEST_HOLD_SECONDS)
        try:
            yield
        finally:
            for thread in held:
                thread.release()

    def close(self) -> None:
        """Stop the streams and their threads; safe to call twice."""
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)


def open_streams(
    endpoint: Endpoint, credentials: Credentials, symbols: Sequence[str], sink: EventSink
) -> AlpacaStreams:
    """Start the order stream and the bar streams of the asset classes among ``symbols``.

    Args:
        endpoint: Where the venue is.
        credentials: The account's keys.
        symbols: Whose closed minutes (``b``), revisions (``u``), halts (``s``) and price bands (``l``) are wanted.
        sink: Takes each stamped event in the stream's thread; it must only enqueue.
    """
    shares = [symbol for symbol in symbols if "/" not in symbol]
    coins = [symbol for symbol in symbols if "/" in symbol]
    if coins and not endpoint.crypto_stream_url:
        raise ConfigError("CONFIG", "this venue streams no crypto bars", where=", ".join(coins))
    threads = [_orders(endpoint, credentials, sink)]
    if shares:
        url, feed = endpoint.data_stream_url, {"feed": DataFeed(endpoint.feed)}
        threads.append(_bars(_StockStream, url, feed, credentials, shares, sink))
    if coins:
        threads.append(_bars(_CryptoStream, endpoint.crypto_stream_url, {}, credentials, coins, sink))
    return AlpacaStreams(threads)


def _orders(endpoint: Endpoint, credentials: Credentials, sink: EventSink) -> StreamThread:
    tap = Tap(StreamName.TRADE_UPDATES, sink)
    client: Any = _OrderStream(**_options(endpoint.trading_stream_url, credentials))
    client.tap = tap
    client.subscribe_trade_updates(_passing_on(tap, StreamKind.ORDER))
    return StreamThread(client, tap)


def _bars(
    stream: type[_BarFrames],
    url: str,
    feed: Mapping[str, Any],
    credentials: Credentials,
    symbols: Sequence[str],
    sink: EventSink,
) -> StreamThread:
    tap = Tap(StreamName.MARKET_DATA, sink)
    client: Any = stream(**_options(url, credentials), **feed)
    client.tap = tap
    client.subscribe_bars(_passing_on(tap, StreamKind.BAR), *symbols)
    client.subscribe_updated_bars(_passing_on(tap, StreamKind.UPDATED_BAR), *symbols)
    client.subscribe_daily_bars(_passing_on(tap, StreamKind.DAILY_BAR), *symbols)
    if stream is _StockStream:
        client.subscribe_trading_statuses(_passing_on(tap, StreamKind.SYMBOL_STATUS), *symbols)
        # alpaca-py dispatches the channel and has no public way to ask for it.
        client._subscribe(_passing_on(tap, StreamKind.PRICE_BAND), symbols, client._handlers[_PRICE_BANDS])
    return StreamThread(client, tap)


def _options(url: str, credentials: Credentials) -> dict[str, Any]:
    return {
        "api_key": credentials.key_id.reveal(),
        "secret_key": credentials.secret_key.reveal(),
        "raw_data": True,
        "url_override": url,
        "websocket_params": _websocket_params(),
    }


def _passing_on(tap: Tap, kind: StreamKind) -> Callable[[Mapping[str, Any]], Awaitable[None]]:
    async def handler(raw: Mapping[str, Any]) -> None:
        tap.data(kind, raw)

    return handler
