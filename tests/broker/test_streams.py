"""Streams that talk nonsense: every frame is accounted for and the next good one still arrives."""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from websockets.sync.server import ServerConnection, serve

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Venue
from trader_sdk.broker.parsing import parse_trade_update
from trader_sdk.broker.port import OrderStatus, StreamEvent, StreamKind, StreamName
from trader_sdk.broker.stream_frames import bar_frame_notes, order_frame_notes
from trader_sdk.broker.streams import StreamThread, Tap, open_streams
from trader_sdk.broker.wire_bars import stream_bar
from trader_sdk.contract.errors import BrokerError

WAIT_SECONDS = 20
AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}
BAR = {
    "T": "b",
    "S": "AAPL",
    "o": 1.0,
    "h": 2.0,
    "l": 0.5,
    "c": 1.5,
    "v": 7,
    "n": 1,
    "vw": 1.2,
    "t": msgpack.Timestamp(1_709_908_200, 0),
}


@pytest.fixture
def websocket_venue() -> Iterator[Callable[..., str]]:
    """Serve websocket conversations; the address of each is returned."""
    servers = []

    def start(converse: Callable[[ServerConnection], None]) -> str:
        server = serve(converse, "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"ws://127.0.0.1:{server.socket.getsockname()[1]}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def events_of(websocket_venue) -> Iterator[Callable[..., Iterator[StreamEvent]]]:
    """Listen to conversations of both streams and yield the events as they come."""
    handles = []

    def listen(orders: Callable[..., None] = _silent, bars: Callable[..., None] | None = None) -> Iterator[StreamEvent]:
        inbox: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()
        url = websocket_venue(orders)
        endpoint = Endpoint(Venue.LOCAL, "http://127.0.0.1:1", "http://127.0.0.1:1", url, url)
        if bars is not None:
            endpoint = replace(endpoint, data_stream_url=websocket_venue(bars))
        symbols = [] if bars is None else ["AAPL"]
        handles.append(open_streams(endpoint, Credentials.of("PKTESTKEY", "sssecret"), symbols, inbox.put))
        return iter(lambda: inbox.get(timeout=WAIT_SECONDS), None)

    yield listen
    for handle in handles:
        handle.close()


def _silent(socket: ServerConnection) -> None:
    socket.recv()


def orders_saying(*frames: bytes | str) -> Callable[[ServerConnection], None]:
    """Return a conversation of the order stream that lets the client in and then says ``frames``."""

    def converse(socket: ServerConnection) -> None:
        socket.recv()
        socket.send(json.dumps(AUTHORIZED).encode())
        socket.recv()
        socket.send(json.dumps(LISTENING))
        for frame in frames:
            socket.send(frame)
        _until_gone(socket)

    return converse


def bars_saying(*frames: bytes) -> Callable[[ServerConnection], None]:
    """Return a conversation of the market data stream that lets the client in and then says ``frames``."""

    def converse(socket: ServerConnection) -> None:
        socket.send(msgpack.packb([{"T": "success", "msg": "connected"}]))
        socket.recv()
        socket.send(msgpack.packb([{"T": "success", "msg": "authenticated"}]))
        socket.recv()
        for frame in frames:
            socket.send(frame)
        _until_gone(socket)

    return converse


def _until_gone(socket: ServerConnection) -> None:
    for _ in socket:
        continue


def take_until(events: Iterator[StreamEvent], kind: StreamKind) -> list[StreamEvent]:
    """Return the events up to and with the first of ``kind``."""
    taken = []
    for event in events:
        taken.append(event)
        if event.kind is kind:
            return taken
    raise AssertionError("the stream of events ended")


def update(**order: Any) -> str:
    """Return a frame of the order stream."""
    return json.dumps(
        {
            "stream": "trade_updates",
            "data": {"event": "new", "timestamp": "2024-03-08T14:30:00Z", "order": order},
        }
    )


def test_order_stream_survives_and_keeps_what_it_cannot_read(events_of, order_body):
    """Four kinds of nonsense are quarantined, one by one, and the good event after them arrives."""
    nonsense = ["{not json", b"\xff\xfe", "[1, 2]", '{"stream": "gossip", "data": {}}']
    events = events_of(orders_saying(*nonsense, update(**order_body())))
    taken = take_until(events, StreamKind.ORDER)
    kept = [event for event in taken if event.kind is StreamKind.QUARANTINED]
    assert [event.raw["frame"] for event in kept][:2] == ["'{not json'", "b'\\xff\\xfe'"]
    assert len(kept) == len(nonsense)
    assert [event.raw["connects"] for event in taken if event.kind is StreamKind.CONNECTED] == [1]
    assert parse_trade_update(taken[-1].raw).order.client_order_id == "lt1-one"


def test_order_event_is_kept_when_its_words_are_new(events_of, order_body):
    """An unknown status and an unknown event reach the reader; 0.43 of the client died of them."""
    events = events_of(orders_saying(update(**order_body(status="levitating"))))
    seen = parse_trade_update(take_until(events, StreamKind.ORDER)[-1].raw)
    assert (seen.order.status, seen.order.raw_status) == (OrderStatus.UNKNOWN_OPEN, "levitating")


def test_bar_stream_survives_and_tells_what_the_venue_refused(events_of):
    """Nonsense is quarantined, a refused subscription is an error event, and the bar after them arrives."""
    frames = [
        b"\xc1",
        msgpack.packb({"T": "b"}),
        msgpack.packb([{"T": "zz", "S": "AAPL"}]),
        msgpack.packb([{"T": "b", "o": 1}]),
        msgpack.packb([{"T": "error", "code": 405, "msg": "symbol limit exceeded"}]),
        msgpack.packb([BAR]),
    ]
    taken = take_until(events_of(bars=bars_saying(*frames)), StreamKind.BAR)
    of_bars = [event for event in taken if event.stream is StreamName.MARKET_DATA]
    assert [event.kind for event in of_bars] == [
        StreamKind.CONNECTED,
        *[StreamKind.QUARANTINED] * 4,
        StreamKind.ERROR,
        StreamKind.BAR,
    ]
    assert of_bars[-2].raw["code"] == 405
    bar = stream_bar(of_bars[-1].raw)
    assert (bar.symbol, bar.t, bar.close, bar.volume) == ("AAPL", 1_709_908_200_000_000_000, 1.5, 7.0)


def test_stream_connects_again_when_it_was_cut(events_of, order_body):
    """A drop is said, and the client's own reconnect is seen as a second connection."""
    conversations = []

    def cut_once(socket: ServerConnection) -> None:
        conversations.append(socket)
        if len(conversations) > 1:
            orders_saying(update(**order_body()))(socket)
            return
        socket.recv()
        socket.send(json.dumps(AUTHORIZED))
        socket.recv()

    taken = take_until(events_of(cut_once), StreamKind.ORDER)
    kinds = [event.kind for event in taken]
    assert kinds.index(StreamKind.DISCONNECTED) < len(kinds) - 1
    assert [event.raw["connects"] for event in taken if event.kind is StreamKind.CONNECTED] == [1, 2]


def test_stream_logs_no_secret_when_debug_logging_is_on(events_of, order_body, caplog):
    """The websocket library would write the authentication frame; it is not let to."""
    caplog.set_level(logging.DEBUG)
    take_until(events_of(orders_saying(update(**order_body()))), StreamKind.ORDER)
    ours = [record for record in caplog.records if record.name != "websockets.server"]  # the test's own venue
    assert ours
    assert not any("sssecret" in record.getMessage() for record in ours)


@pytest.mark.parametrize("frame", [None, 7, "text", [], {}, {"stream": "gossip", "data": []}, {"data": {}}])
def test_order_frames_are_quarantined_when_they_have_no_shape(frame):
    """Whatever JSON can say, it is either an order event or accounted for."""
    assert [kind for kind, _ in order_frame_notes(frame)] == [StreamKind.QUARANTINED]


@pytest.mark.parametrize("frame", [None, 7, "text", {}, [None], [7], [{}], [{"T": None}], [{"T": "q"}], [{"T": "bo"}]])
def test_bar_frames_are_quarantined_when_they_have_no_shape(frame):
    """Whatever msgpack can say, it is either market data or accounted for."""
    assert [kind for kind, _ in bar_frame_notes(frame)] == [StreamKind.QUARANTINED]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"stream": "trade_updates", "data": []},
        {"data": {"event": "new"}},
        {"data": {"event": "new", "order": {}}},
        {"data": {"event": "new", "timestamp": "yesterday", "order": {}}},
    ],
)
def test_order_event_is_a_typed_error_when_it_cannot_be_read(raw):
    """Parsing happens at the reader, which quarantines on this error."""
    with pytest.raises(BrokerError) as caught:
        parse_trade_update(raw)
    assert caught.value.code == "E803"


@pytest.mark.parametrize("change", [{"S": None}, {"o": "much"}, {"t": "2024-03-08 14:30"}, {"t": 5}, {"v": None}])
def test_stream_bar_is_a_typed_error_when_it_cannot_be_read(change):
    """A bar with a missing or foreign field is quarantined by its reader."""
    with pytest.raises(BrokerError) as caught:
        stream_bar(BAR | change)
    assert caught.value.code == "E803"


class LosesOneCancellation:
    """A stream whose first cancellation meets an arriving frame and is lost, as in Python 3.11's ``wait_for``."""

    def __init__(self) -> None:
        self.waiting, self.cancelled, self.closed = threading.Event(), 0, False

    async def _run_forever(self) -> None:
        while True:
            try:
                self.waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > 1:
                    raise

    async def close(self) -> None:
        self.closed = True


def test_a_lost_cancellation_does_not_keep_a_stream_alive():
    """Stopping asks until the stream has ended, then says goodbye to the venue."""
    client, seen = LosesOneCancellation(), queue.Queue()
    thread = StreamThread(client, Tap(StreamName.TRADE_UPDATES, seen.put))
    thread.start()
    assert client.waiting.wait(WAIT_SECONDS)
    thread.stop()
    thread.join(WAIT_SECONDS)
    assert not thread.health().running
    assert client.closed
    assert client.cancelled == 2
    assert seen.get_nowait().kind is StreamKind.ENDED
