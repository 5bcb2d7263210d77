"""The venue through the real clients, unmodified; the broad conformance suite lies in tests/conformance."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, Queue
from typing import Any

import msgpack
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import (
    CryptoBarsRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
)
from alpaca.trading.stream import TradingStream
from websockets.sync.client import connect

from trader_sdk.exchange import LocalExchange
from trader_sdk.exchange.testing import crypto_bars, daily_bars, minute_bars, rising

DAILY = {"AAPL": daily_bars("AAPL", rising(6)), "MSFT": daily_bars("MSFT", rising(6, start=30))}
Starter = Callable[..., LocalExchange]
RECEIVE_SECONDS = 10.0


def trading(exchange: LocalExchange, **options: Any) -> TradingClient:
    """Return the real trading client, without the machine's proxies."""
    client = TradingClient(exchange.key, exchange.secret, url_override=exchange.rest_url, **options)
    client._session.trust_env = False
    return client


def ready(exchange: LocalExchange, **body: Any) -> Any:
    """Move the venue on."""
    client = trading(exchange)
    reply = client._session.post(
        f"{exchange.control_url}/ready", json=body, headers=client._get_auth_headers(), timeout=10
    )
    return reply.json()


@contextmanager
def running(stream: Any) -> Iterator[None]:
    """Run a stream in a thread of its own; stopping takes the client up to five seconds, so it is not waited for."""
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    yield
    stream._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(stream.stop_ws()))


def test_trading_client_parses_everything_that_it_asks_for(start_exchange: Starter) -> None:
    """Account, settings, clock, calendar, assets, orders, positions and history fit the client's own models."""
    exchange = start_exchange(DAILY)
    client = trading(exchange)
    assert client.get_account().cash == "100000"
    assert client.get_account_configurations().fractional_trading is True
    assert client.get_clock().is_open is False
    (day,) = client.get_calendar(GetCalendarRequest(start="2012-01-05", end="2012-01-05"))  # type: ignore[arg-type]  # pydantic reads dates
    assert (day.open.hour, day.open.minute, day.close.hour) == (9, 30, 16)
    assert {asset.symbol for asset in client.get_all_assets()} == {"AAPL", "MSFT"}
    assert client.get_asset("AAPL").tradable
    order = client.submit_order(
        MarketOrderRequest(symbol="AAPL", qty=10, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert order.status is OrderStatus.ACCEPTED
    ready(exchange, until="bar")
    assert client.get_order_by_id(order.id).status is OrderStatus.FILLED
    assert client.get_order_by_client_id(order.client_order_id).id == order.id
    assert client.get_open_position("AAPL").qty == "10"
    assert len(client.get_all_positions()) == 1
    assert client.get_portfolio_history(GetPortfolioHistoryRequest()).equity
    closing = client.close_position("AAPL", ClosePositionRequest(percentage="50"))
    assert closing.qty == "5"
    assert [one.id for one in client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN))] == [closing.id]
    assert client.cancel_orders()[0].status == 200
    assert client.close_all_positions(cancel_orders=True)[0].status == 200


def test_trading_client_replaces_and_cancels(start_exchange: Starter) -> None:
    """A replacement is a new order; a cancel answers with nothing; both are seen by their ids."""
    exchange = start_exchange(DAILY)
    client = trading(exchange)
    resting = client.submit_order(
        LimitOrderRequest(symbol="AAPL", qty=5, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=50)
    )
    moved = client.replace_order_by_id(resting.id, ReplaceOrderRequest(qty=7, limit_price=51))
    assert (moved.replaces, moved.qty, moved.limit_price) == (resting.id, "7", "51")
    assert client.get_order_by_id(resting.id).replaced_by == moved.id
    assert client.cancel_order_by_id(moved.id) is None
    assert client.get_order_by_id(moved.id).status is OrderStatus.CANCELED


def test_trading_client_gets_codes_and_messages(start_exchange: Starter) -> None:
    """Refusals arrive as the client's own error with the venue's code."""
    client = trading(start_exchange(DAILY), raw_data=True)
    order = {
        "symbol": "AAPL",
        "qty": 1.0,
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": "x",
    }
    assert client.post("/orders", order)["status"] == "accepted"
    with pytest.raises(APIError) as caught:
        client.post("/orders", order)
    assert (caught.value.status_code, caught.value.code) == (422, 40010001)
    with pytest.raises(APIError) as caught:
        client.post("/orders", {**order, "qty": 1e6, "client_order_id": "y"})
    assert (caught.value.status_code, caught.value.code) == (403, 40310000)


def test_data_client_reads_bars_and_latest_values(start_exchange: Starter) -> None:
    """Paging over two symbols, latest bar, quote, trade and snapshot fit the client's own models."""
    exchange = start_exchange(DAILY, history=4)
    client = StockHistoricalDataClient(exchange.key, exchange.secret, url_override=exchange.data_url)
    both = ["AAPL", "MSFT"]
    request = StockBarsRequest(symbol_or_symbols=both, timeframe=TimeFrame.Day, start=datetime(2012, 1, 1, tzinfo=UTC))
    bars = client.get_stock_bars(request).data
    assert {symbol: [bar.open for bar in rows] for symbol, rows in bars.items()} == {
        "AAPL": [100.0, 101.0, 102.0, 103.0],
        "MSFT": [30.0, 31.0, 32.0, 33.0],
    }
    assert client.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAPL"))["AAPL"].close == 103.5
    assert client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"].price == 103.5
    quote = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert quote.bid_price < 103.5 < quote.ask_price
    snapshot = client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert snapshot.previous_daily_bar.close == 102.5


def test_crypto_client_reads_bars(start_exchange: Starter) -> None:
    """A coin's minutes over the client's own path."""
    exchange = start_exchange({"BTC/USD": crypto_bars("BTC/USD", rising(4, start=20_000))}, history=3)
    client = CryptoHistoricalDataClient(exchange.key, exchange.secret, url_override=exchange.data_url)
    request = CryptoBarsRequest(
        symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Minute, start=datetime(2012, 1, 1, tzinfo=UTC)
    )
    assert len(client.get_crypto_bars(request).data["BTC/USD"]) == 3


@pytest.mark.parametrize("raw", [False, True])
def test_trading_stream_delivers_every_event_in_order(start_exchange: Starter, *, raw: bool) -> None:
    """Parsed and raw: accepted, new, fill, with the execution id on the fill."""
    exchange = start_exchange(DAILY)
    stream = TradingStream(exchange.key, exchange.secret, raw_data=raw, url_override=exchange.trading_stream_url)
    got: Queue[Any] = Queue()

    async def keep(update: Any) -> None:
        got.put(update)

    stream.subscribe_trade_updates(keep)
    with running(stream):
        client = trading(exchange)
        _wait_for_listener(client, got)
        client.submit_order(MarketOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
        ready(exchange, until="bar")
        updates = [got.get(timeout=RECEIVE_SECONDS) for _ in range(3)]
    data = [update["data"] if raw else update.model_dump(mode="json") for update in updates]
    assert [one["event"] for one in data] == ["accepted", "new", "fill"]
    assert data[2]["execution_id"] == client.get("/account/activities/FILL")[0]["id"].partition("::")[2]


def _wait_for_listener(client: TradingClient, got: Queue[Any]) -> None:
    """Send orders for the other symbol until one's event arrives: only then the stream listens."""
    for _ in range(200):
        order = client.submit_order(
            LimitOrderRequest(symbol="MSFT", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1)
        )
        client.cancel_order_by_id(order.id)
        if _next(got, seconds=0.05) is not None:
            while _next(got, seconds=0.05) is not None:
                continue
            return
    raise AssertionError("the stream never listened")


def _next(got: Queue[Any], *, seconds: float) -> Any:
    try:
        return got.get(timeout=seconds)
    except Empty:
        return None


def test_data_stream_delivers_minutes_to_a_thousand_subscriptions(start_exchange: Starter) -> None:
    """The subscribe message is fragmented by the client; bars come as its own Bar with aware times."""
    exchange = start_exchange({"AAPL": minute_bars("AAPL", rising(6))})
    stream = StockDataStream(exchange.key, exchange.secret, url_override=exchange.data_stream_url)
    got: Queue[Any] = Queue()

    async def keep(bar: Any) -> None:
        got.put(bar)

    stream.subscribe_bars(keep, "AAPL", *(f"SYMBOL{number:030d}" for number in range(2_000)))
    with running(stream):
        bar = None
        while bar is None:
            moved = ready(exchange)
            assert not moved["finished"], "no bar arrived"
            bar = _next(got, seconds=0.5)
    assert (bar.symbol, bar.timestamp.tzinfo is not None) == ("AAPL", True)
    assert bar.close == bar.open + 0.5


class RawDataStream:
    """The data stream's own protocol, frame by frame."""

    def __init__(self, exchange: LocalExchange, url: str | None = None) -> None:
        self.socket = connect(url or exchange.data_stream_url, proxy=None)
        self.greeting = self.receive()

    def receive(self) -> list[dict[str, Any]]:
        """Return the next array."""
        messages: list[dict[str, Any]] = msgpack.unpackb(self.socket.recv(RECEIVE_SECONDS))
        return messages

    def say(self, **message: Any) -> list[dict[str, Any]]:
        """Send one message and return the answer."""
        self.socket.send(msgpack.packb(message))
        return self.receive()


def test_data_stream_follows_its_protocol(start_exchange: Starter) -> None:
    """Greeting, authentication, subscription lists, errors by code, timestamps as the msgpack extension."""
    exchange = start_exchange({"AAPL": minute_bars("AAPL", rising(6))})
    stream = RawDataStream(exchange)
    assert stream.greeting == [{"T": "success", "msg": "connected"}]
    assert stream.say(action="auth", key=exchange.key, secret=exchange.secret) == [
        {"T": "success", "msg": "authenticated"}
    ]
    assert stream.say(action="auth", key="", secret="")[0]["code"] == 403
    assert stream.say(action="dance")[0]["code"] == 410
    assert stream.say(nothing=1)[0]["code"] == 400
    assert stream.say(action="subscribe", bars="AAPL")[0]["code"] == 400
    (lists,) = stream.say(action="subscribe", bars=["AAPL"], quotes=["*"])
    assert (lists["T"], lists["bars"], lists["quotes"], lists["trades"]) == ("subscription", ["AAPL"], ["*"], [])
    ready(exchange)
    messages = stream.receive() + stream.receive()
    assert sorted(message["T"] for message in messages) == ["b", "q"]
    bar = next(message for message in messages if message["T"] == "b")
    assert isinstance(bar["t"], msgpack.Timestamp)
    assert {"o", "h", "l", "c", "v", "n", "vw", "S"} <= set(bar)
    (lists,) = stream.say(action="unsubscribe", bars=["AAPL"], quotes=["*"])
    assert lists["bars"] == lists["quotes"] == []


def test_data_stream_refuses_wrong_keys_and_a_second_connection(start_exchange: Starter) -> None:
    """402 for keys that are none, 406 while another connection lives, and a place again when it has gone."""
    exchange = start_exchange(DAILY)
    assert RawDataStream(exchange).say(action="auth", key="a", secret="b")[0]["code"] == 402
    first, second = RawDataStream(exchange), RawDataStream(exchange)
    keys = {"action": "auth", "key": exchange.key, "secret": exchange.secret}
    assert first.say(**keys)[0]["msg"] == "authenticated"
    assert second.say(**keys)[0]["code"] == 406
    first.socket.close()
    third = RawDataStream(exchange)
    assert third.say(**keys)[0]["msg"] == "authenticated"


def test_daily_bars_are_pushed_when_they_are_final(start_exchange: Starter) -> None:
    """Five minutes after the close the day comes on its channel."""
    exchange = start_exchange(DAILY)
    stream = RawDataStream(exchange)
    stream.say(action="auth", key=exchange.key, secret=exchange.secret)
    stream.say(action="subscribe", dailyBars=["AAPL"])
    assert ready(exchange, until="bar")["phase"] == "final"
    (bar,) = stream.receive()
    assert (bar["T"], bar["S"], bar["c"]) == ("d", "AAPL", 101.5)


def test_trading_stream_refuses_wrong_keys(start_exchange: Starter) -> None:
    """The answer is not `authorized`, and the connection ends."""
    exchange = start_exchange(DAILY)
    with connect(exchange.trading_stream_url, proxy=None) as socket:
        socket.send(json.dumps({"action": "authenticate", "data": {"key_id": "a", "secret_key": "b"}}))
        answer = json.loads(socket.recv(RECEIVE_SECONDS))
    assert answer == {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
