"""Both streams through alpaca-py: stamped, raw, complete, and gone when told to go."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from trader_sdk.broker.endpoint import local_endpoint
from trader_sdk.broker.parsing import parse_trade_update
from trader_sdk.broker.port import (
    OrderRequest,
    OrderStatus,
    Side,
    StreamEvent,
    StreamHandle,
    StreamKind,
    StreamName,
)
from trader_sdk.broker.streams import open_streams
from trader_sdk.broker.wire_bars import stream_bar
from trader_sdk.contract.errors import BrokerError, ConfigError

WAIT_SECONDS = 20


class Inbox:
    """Collects events and waits for the one that is wanted; everything seen stays in ``seen``."""

    def __init__(self) -> None:
        self.seen: list[StreamEvent] = []
        self._queue: queue.SimpleQueue[StreamEvent] = queue.SimpleQueue()

    def put(self, event: StreamEvent) -> None:
        """Take an event in the stream's thread."""
        self._queue.put(event)

    def until(self, is_wanted: Callable[[StreamEvent], bool]) -> StreamEvent:
        """Return the next event that is wanted; a stream that never sends it fails the test."""
        while True:
            event = self._queue.get(timeout=WAIT_SECONDS)
            self.seen.append(event)
            if is_wanted(event):
                return event

    def until_kind(self, *kinds: StreamKind) -> StreamEvent:
        """Return the next event of one of ``kinds``."""
        return self.until(lambda event: event.kind in kinds)

    def of_kind(self, kind: StreamKind) -> list[StreamEvent]:
        """Return what was seen of ``kind``."""
        return [event for event in self.seen if event.kind is kind]


@pytest.fixture
def inbox() -> Inbox:
    """Return an empty inbox."""
    return Inbox()


@pytest.fixture
def listening(open_venue, inbox) -> Iterator[StreamHandle]:
    """Subscribe to orders and to bars of AAPL, THIN and BTC/USD, and wait until all three streams are subscribed."""
    open_venue.clear()
    handle = open_venue.broker.stream(["AAPL", "THIN", "BTC/USD"], inbox.put)
    for _ in range(3):
        inbox.until_kind(StreamKind.SUBSCRIBED)
    yield handle
    handle.close()


def test_streams_can_be_imported_because_the_legacy_websocket_client_is_there():
    """alpaca-py needs websockets.legacy; the day a release drops it, this says so before a trader does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from alpaca.data.live import StockDataStream
        from alpaca.trading.stream import TradingStream
        from websockets.legacy import client
    assert hasattr(client, "connect")
    for stream in (StockDataStream, TradingStream):
        for name in ("_run_forever", "_connect", "_auth", "close"):
            assert hasattr(stream, name), f"{stream.__name__}.{name} is what streams.py stands on"


def test_order_stream_tells_an_orders_life_when_it_fills(open_venue, listening, inbox):
    """Every event arrives in order, the fills carry execution ids, and they are the ledger's."""
    open_venue.move("bar")
    order_id = open_venue.new_id()
    open_venue.broker.submit(OrderRequest(order_id, "THIN", Side.BUY, qty=Decimal(150)))
    open_venue.move("bar")
    events = []
    while not events or events[-1].event != "fill":
        update = parse_trade_update(inbox.until_kind(StreamKind.ORDER).raw)
        if update.order.client_order_id == order_id:
            events.append(update)
    assert [update.event for update in events] == ["pending_new", "new", "partial_fill", "fill"]
    assert [update.order.filled_qty for update in events] == [0, 0, 100, 150]
    assert events[-1].order.status is OrderStatus.FILLED
    assert events[-1].position_qty == 150
    fills = [update.fill for update in events if update.fill is not None]
    ledger = open_venue.broker.fills_since(events[0].at)
    assert [(f.execution_id, f.qty, f.price) for f in fills] == [(f.execution_id, f.qty, f.price) for f in ledger]


def test_order_events_wait_while_orders_are_sent_and_none_is_lost(open_venue, listening, inbox):
    """Held, they stay in the socket; after that they come in order, whatever happened meanwhile."""
    transport = listening._threads[0]._client._ws.transport
    ids = [open_venue.new_id() for _ in range(3)]
    with listening.orders_held():
        deadline = time.monotonic() + WAIT_SECONDS
        while transport.is_reading():
            assert time.monotonic() < deadline
        for order_id in ids:
            open_venue.broker.submit(OrderRequest(order_id, "AAPL", Side.BUY, qty=Decimal(1)))
        heard = [event for event in inbox.of_kind(StreamKind.ORDER) if event.raw["data"]["order"]["symbol"] == "AAPL"]
        was_held = not transport.is_reading()
    assert heard == [] or not was_held  # a second is over soon on a machine that is busy
    told: list[str] = []
    while len(told) < 3:
        update = parse_trade_update(inbox.until_kind(StreamKind.ORDER).raw)
        told += [update.order.client_order_id] if update.event == "pending_new" else []
    assert told == ids


def test_bar_stream_gives_each_bar_once_when_the_market_moves(open_venue, listening, inbox):
    """A bar of each symbol arrives as raw data and reads back as the REST bar; other symbols stay away."""
    open_venue.move("bar")
    bars = {}
    while len(bars) < 3:
        bar = stream_bar(inbox.until_kind(StreamKind.BAR).raw)
        assert bar.symbol not in bars
        bars[bar.symbol] = bar
    assert bars == dict(open_venue.broker.latest_bars(["AAPL", "THIN", "BTC/USD"]))


def test_events_are_stamped_and_health_is_told_when_frames_arrive(open_venue, listening, inbox):
    """Wall and monotonic stamps are there, and the ages of frames and data can be asked for."""
    open_venue.move("bar")
    # The stream of coins has bars of its own, which may come first.
    event = inbox.until(lambda event: event.kind is StreamKind.BAR and "/" not in event.raw["S"])
    assert event.received_at.tzinfo is not None
    assert 0 <= time.monotonic() - event.received_monotonic_seconds < WAIT_SECONDS
    orders, shares, coins = listening.health()
    assert [h.stream for h in (orders, shares)] == [StreamName.TRADE_UPDATES, StreamName.MARKET_DATA]
    assert all(h.connected and h.running and h.connects == 1 for h in (orders, shares, coins))
    assert shares.last_data_monotonic_seconds is not None
    assert orders.last_data_monotonic_seconds is None
    assert orders.last_frame_monotonic_seconds is not None


def test_streams_end_when_closed(open_venue, listening, inbox):
    """All threads end, each says so once, and closing again does nothing."""
    before = {thread.name for thread in threading.enumerate()}
    assert {"broker-trade_updates", "broker-market_data"} <= before
    listening.close()
    for _ in range(3):
        inbox.until_kind(StreamKind.ENDED)
    assert not any(health.running or health.connected for health in listening.health())
    assert len(inbox.of_kind(StreamKind.DISCONNECTED)) == 3
    listening.close()


def test_streams_end_when_closed_before_they_are_connected(open_venue):
    """Closing at once leaves no thread behind."""
    inbox = Inbox()
    handle = open_venue.broker.stream(["AAPL"], inbox.put)
    handle.close()
    for thread in threading.enumerate():
        if thread.name.startswith("broker-"):
            thread.join(WAIT_SECONDS)  # close() itself waits shorter than a loaded machine may need
    assert not any(health.running for health in handle.health())


def test_streams_say_why_when_keys_are_wrong(open_venue, inbox):
    """A refused authentication is an event of both streams, not silence."""
    endpoint = local_endpoint(open_venue.exchange)
    wrong = type(open_venue.credentials).of("PKWRONGKEY", "wrong-secret")
    handle = open_streams(endpoint, wrong, ["AAPL"], inbox.put)
    try:
        told = {inbox.until_kind(StreamKind.ERROR).stream for _ in range(2)}
        while told != set(StreamName):
            told.add(inbox.until_kind(StreamKind.ERROR).stream)
        assert inbox.of_kind(StreamKind.CONNECTED) == []
        assert "wrong-secret" not in repr(inbox.seen)
    finally:
        handle.close()


def test_streams_are_refused_when_the_venue_has_no_stream_of_coins(open_venue, inbox):
    """A symbol that nobody would send is an error before anything starts."""
    from dataclasses import replace

    endpoint = replace(local_endpoint(open_venue.exchange), crypto_stream_url="")
    with pytest.raises(ConfigError):
        open_streams(endpoint, open_venue.credentials, ["BTC/USD"], inbox.put)


def test_streams_connect_again_when_the_exchange_was_killed(start_venue):
    """A dead venue is a disconnect and then errors; the one that takes its place is found by REST, not replayed."""
    venue, inbox = start_venue(run_id="killed"), Inbox()
    handle = venue.broker.stream(["AAPL"], inbox.put)
    try:
        for _ in range(2):
            inbox.until_kind(StreamKind.SUBSCRIBED)
        venue.exchange.kill()
        for _ in range(2):
            inbox.until_kind(StreamKind.DISCONNECTED)
        inbox.until_kind(StreamKind.ERROR)
        with pytest.raises(BrokerError):
            venue.broker.clock()
    finally:
        handle.close()
    assert not any(health.running for health in handle.health())
