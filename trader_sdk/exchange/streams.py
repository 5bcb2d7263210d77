"""The two push channels: order events as JSON in binary frames, market data as msgpack."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgpack
from starlette.websockets import WebSocket, WebSocketDisconnect

from trader_sdk.exchange.connections import transport_of
from trader_sdk.exchange.faults import CloseSocket, Frame, Garbage, StreamName, Welcome
from trader_sdk.exchange.gatekeeper import Keys
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.stream_messages import price_messages

CHANNELS: Final = (
    "trades",
    "quotes",
    "bars",
    "updatedBars",
    "dailyBars",
    "statuses",
    "lulds",
    "corrections",
    "cancelErrors",
    "orderbooks",
)
_QUEUE: Final = 20_000
_AUTH_SECONDS: Final = 10.0
_SLOW: Final = CloseSocket(1013)
_ABNORMAL: Final = 1006
_CHANNEL_OF: Final = {"b": "bars", "u": "updatedBars", "d": "dailyBars", "s": "statuses", "l": "lulds"}


class Outbox:
    """One connection's queue of frames; a client that does not read is cut off instead of filling memory."""

    def __init__(self, socket: WebSocket, slow: bytes, encode: Callable[[dict[str, Any]], bytes]) -> None:
        self._socket = socket
        self._slow = slow
        self._encode = encode
        self._queue: asyncio.Queue[bytes | CloseSocket] = asyncio.Queue()

    def deliver(self, frame: Frame) -> None:
        """Queue a message, or what a fault made of it."""
        if isinstance(frame, CloseSocket):
            self._queue.put_nowait(frame)
        else:
            self.put(frame.body if isinstance(frame, Garbage) else self._encode(frame))

    def put(self, frame: bytes) -> None:
        """Queue a frame; never waits."""
        if self._queue.qsize() < _QUEUE:
            self._queue.put_nowait(frame)
        elif self._queue.qsize() == _QUEUE:
            self._queue.put_nowait(self._slow)
            self._queue.put_nowait(_SLOW)

    async def drain(self) -> None:
        """Send frames in order until the connection ends."""
        while not isinstance(frame := await self._queue.get(), CloseSocket):
            await self._socket.send_bytes(frame)
        await end(self._socket, frame.code)


async def end(socket: WebSocket, code: int) -> None:
    """End a connection; 1006 means without a word, as the wire itself would."""
    transport = transport_of(socket.scope["client"]) if code == _ABNORMAL else None
    if transport is None:
        await socket.close(code)
    else:
        transport.abort()


async def _end_later(socket: WebSocket, welcome: Welcome) -> None:
    if welcome.close_after_seconds is None:
        return
    await asyncio.sleep(welcome.close_after_seconds)
    await end(socket, _ABNORMAL)


async def _converse(socket: WebSocket, outbox: Outbox, welcome: Welcome, on_frame: Callable[[bytes], None]) -> None:
    """Read until the client leaves, while a task of its own writes."""
    writer = asyncio.create_task(outbox.drain())
    ender = asyncio.create_task(_end_later(socket, welcome))
    try:
        while True:
            on_frame(await _frame(socket))
    except WebSocketDisconnect:
        pass
    finally:
        for task in (writer, ender):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await task


async def _frame(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text, data = message.get("text"), message.get("bytes")
    return text.encode() if isinstance(text, str) else bytes(data or b"")


class TradeUpdates:
    """``/stream``: authenticate, listen, then every order event. Any number of connections may listen."""

    def __init__(self, hub: Hub, keys: Keys) -> None:
        self._hub = hub
        self._keys = keys

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one connection."""
        await socket.accept()
        outbox = Outbox(socket, _json({"stream": "error", "data": {"error": "slow client"}}), _json)
        welcome = self._hub.faults.welcome(StreamName.TRADE_UPDATES)
        try:
            if not await self._authenticate(socket, welcome):
                await socket.close(1008)
                return
        except (TimeoutError, WebSocketDisconnect):
            return
        leave: list[Callable[[], None]] = []

        def on_frame(frame: bytes) -> None:
            request = _object(frame)
            if request.get("action") != "listen":
                return
            streams = [name for name in _streams(request) if name == StreamName.TRADE_UPDATES]
            outbox.put(_json({"stream": "listening", "data": {"streams": streams}}))
            if streams and not leave:
                leave.append(self._hub.listen_trades(outbox.deliver))

        try:
            await _converse(socket, outbox, welcome, on_frame)
        finally:
            for stop in leave:
                stop()

    async def _authenticate(self, socket: WebSocket, welcome: Welcome) -> bool:
        request = _object(await asyncio.wait_for(_frame(socket), _AUTH_SECONDS))
        data = request.get("data", request)
        pair = (data.get("key_id") or data.get("key"), data.get("secret_key") or data.get("secret"))
        is_known = all(isinstance(part, str) for part in pair) and self._keys.match(*pair)
        is_known = is_known and welcome.refused is None
        status = "authorized" if is_known else "unauthorized"
        answer = {"stream": "authorization", "data": {"status": status, "action": "authenticate"}}
        await socket.send_bytes(_json(answer))
        return is_known


class MarketData:
    """``/v2/{feed}`` and ``/v1beta3/crypto/us``: bars as they close, quotes and trades as prices move."""

    def __init__(self, hub: Hub, keys: Keys) -> None:
        self._hub = hub
        self._keys = keys
        self._connections = 0

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one connection."""
        await socket.accept()
        await socket.send_bytes(_pack([{"T": "success", "msg": "connected"}]))
        welcome = self._hub.faults.welcome(StreamName.MARKET_DATA)
        try:
            refusal = await self._authenticate(socket) or welcome.refused
            if refusal is not None:
                await socket.send_bytes(_error(*refusal))
                await socket.close(1008)
                return
            await socket.send_bytes(_pack([{"T": "success", "msg": "authenticated"}]))
        except WebSocketDisconnect:
            return
        self._connections += 1
        try:
            await self._serve(socket, welcome)
        finally:
            self._connections -= 1

    async def _authenticate(self, socket: WebSocket) -> tuple[int, str] | None:
        try:
            request = _unpacked(await asyncio.wait_for(_frame(socket), _AUTH_SECONDS))
        except TimeoutError:
            return 404, "auth timeout"
        if request.get("action") != "auth":
            return 401, "not authenticated"
        pair = (request.get("key"), request.get("secret"))
        if not (isinstance(pair[0], str) and isinstance(pair[1], str) and self._keys.match(pair[0], pair[1])):
            return 402, "auth failed"
        if self._connections >= self._hub.venue.setup.data_connections:
            return 406, "connection limit exceeded"
        return None

    async def _serve(self, socket: WebSocket, welcome: Welcome) -> None:
        outbox = Outbox(socket, _error(407, "slow client"), lambda message: _pack([message]))
        subscription = Subscription()

        def on_data(kind: str, symbol: str, frames: Sequence[Frame]) -> None:
            if subscription.has(_CHANNEL_OF[kind], symbol):
                for frame in frames:
                    outbox.deliver(frame)

        def on_mark(symbol: str) -> None:
            for channel, message in price_messages(self._hub.state, symbol).items():
                if subscription.has(channel, symbol):
                    outbox.deliver(message)

        def answer(frame: bytes) -> bytes:
            return subscription.answer(_unpacked(frame)) if welcome.denied is None else _error(*welcome.denied)

        leave = (self._hub.listen_data(on_data), self._hub.listen_marks(on_mark))
        try:
            await _converse(socket, outbox, welcome, lambda frame: outbox.put(answer(frame)))
        finally:
            for stop in leave:
                stop()


class Subscription:
    """Which symbols of which channels one connection wants."""

    def __init__(self) -> None:
        self._symbols: dict[str, set[str]] = {channel: set() for channel in CHANNELS}

    def has(self, channel: str, symbol: str) -> bool:
        """Return whether a message is wanted."""
        return symbol in self._symbols[channel] or "*" in self._symbols[channel]

    def answer(self, request: dict[str, Any]) -> bytes:
        """Carry out a subscribe or unsubscribe request and return the frame to send back."""
        action = request.get("action")
        if action == "auth":
            return _error(403, "already authenticated")
        if action not in ("subscribe", "unsubscribe"):
            return _error(410, "invalid subscribe action for this feed") if action else _error(400, "invalid syntax")
        for channel, symbols in self._symbols.items():
            wanted = request.get(channel, [])
            if not isinstance(wanted, list) or not all(isinstance(symbol, str) for symbol in wanted):
                return _error(400, "invalid syntax")
            if action == "subscribe":
                symbols.update(wanted)
            else:
                symbols.difference_update(wanted)
        state = {channel: sorted(symbols) for channel, symbols in self._symbols.items()}
        return _pack([{"T": "subscription", **state}])


def _error(code: int, text: str) -> bytes:
    return _pack([{"T": "error", "code": code, "msg": text}])


def _pack(messages: list[dict[str, Any]]) -> bytes:
    packed: bytes = msgpack.packb(messages)
    return packed


def _unpacked(frame: bytes) -> dict[str, Any]:
    """Return a client's message; what is no object becomes an empty one, which is answered as bad syntax."""
    try:
        data = json.loads(frame) if frame[:1] == b"{" else msgpack.unpackb(frame)
    except (ValueError, msgpack.UnpackException):
        return {}
    return data if isinstance(data, dict) else {}


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _object(frame: bytes) -> dict[str, Any]:
    try:
        data = json.loads(frame)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _streams(request: dict[str, Any]) -> list[str]:
    data = request.get("data")
    streams = data.get("streams") if isinstance(data, dict) else None
    return [name for name in streams if isinstance(name, str)] if isinstance(streams, list) else []
