"""Every endpoint through alpaca-py's own pydantic models, which are strict about what a server must send."""

from __future__ import annotations

import datetime as dt
from uuid import UUID, uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestOrderbookRequest,
    CryptoLatestQuoteRequest,
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AccountStatus,
    AssetClass,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopOrderRequest,
)


@pytest.fixture(autouse=True)
def _flat(open_venue):
    open_venue.clear()


@pytest.fixture
def client(open_venue) -> TradingClient:
    """Return alpaca-py's client in parsed mode."""
    return open_venue.trading


def buy(venue, **fields):
    """Submit a market buy of one AAPL, or what ``fields`` say."""
    asked = {"symbol": "AAPL", "qty": 1, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    return venue.trading.submit_order(MarketOrderRequest(client_order_id=venue.new_id(), **(asked | fields)))


def rest(venue, price: float = 90.0, **fields):
    """Submit a limit buy of one AAPL that rests."""
    asked = {"symbol": "AAPL", "qty": 1, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    return venue.trading.submit_order(
        LimitOrderRequest(client_order_id=venue.new_id(), limit_price=price, **(asked | fields))
    )


def test_account_parses_without_the_fields_that_the_venue_dropped(client):
    """The account is active, in strings, and has no day-trade count any more."""
    account = client.get_account()
    assert account.status is AccountStatus.ACTIVE
    assert isinstance(account.id, UUID)
    assert float(account.cash) > 0
    assert account.pattern_day_trader is None
    assert account.daytrade_count is None


def test_account_configuration_is_kept_when_changed(client, open_venue):
    """A changed setting is read back, works, and can be changed back."""
    settings = client.get_account_configurations()
    try:
        changed = client.set_account_configurations(settings.model_copy(update={"suspend_trade": True}))
        assert changed.suspend_trade
        with pytest.raises(APIError) as refused:
            buy(open_venue)
        assert refused.value.status_code == 403
    finally:
        client.set_account_configurations(settings)
    assert not client.get_account_configurations().suspend_trade


def test_clock_and_calendar_parse_when_read(client):
    """The clock is aware, the calendar is New York's wall time."""
    clock = client.get_clock()
    assert clock.is_open
    assert clock.timestamp.tzinfo is not None
    (day,) = client.get_calendar(GetCalendarRequest(start=dt.date(2024, 3, 8), end=dt.date(2024, 3, 10)))
    assert (day.date, day.open, day.close) == (
        dt.date(2024, 3, 8),
        dt.datetime(2024, 3, 8, 9, 30),
        dt.datetime(2024, 3, 8, 16, 0),
    )


def test_assets_parse_when_listed_and_when_named(client):
    """Both forms give the same asset, filters hold, and an unknown one is a 404."""
    listed = {asset.symbol: asset for asset in client.get_all_assets()}
    assert {"AAPL", "BTC/USD"} <= set(listed)
    assert client.get_asset("AAPL") == listed["AAPL"]
    assert client.get_asset(listed["AAPL"].id) == listed["AAPL"]
    coins = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    assert [asset.symbol for asset in coins] == ["BTC/USD"]
    with pytest.raises(APIError) as missing:
        client.get_asset("NOPE")
    assert (missing.value.status_code, missing.value.code) == (404, 40410000)


def test_market_order_parses_through_its_life_when_filled(client, open_venue):
    """Submitted, then found by both ids and in lists, with the venue's own statuses."""
    order = buy(open_venue)
    assert order.status in (OrderStatus.PENDING_NEW, OrderStatus.ACCEPTED, OrderStatus.NEW)
    filled = client.get_order_by_id(order.id)
    assert (filled.status, filled.filled_qty, filled.type) == (OrderStatus.FILLED, "1", OrderType.MARKET)
    assert client.get_order_by_client_id(order.client_order_id) == filled
    closed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED, symbols=["AAPL"], limit=1))
    assert closed == [filled]


@pytest.mark.parametrize(
    ("request_class", "prices", "kind"),
    [
        (LimitOrderRequest, {"limit_price": 90.0}, OrderType.LIMIT),
        (StopOrderRequest, {"stop_price": 130.0}, OrderType.STOP),
        (StopLimitOrderRequest, {"stop_price": 130.0, "limit_price": 131.0}, OrderType.STOP_LIMIT),
    ],
)
def test_resting_order_parses_and_is_cancelled_when_asked(client, open_venue, request_class, prices, kind):
    """Each resting type is listed open until it is cancelled."""
    order = client.submit_order(
        request_class(
            symbol="AAPL",
            qty=2,
            side=OrderSide.BUY,
            time_in_force=TimeInForce.GTC,
            client_order_id=open_venue.new_id(),
            **prices,
        )
    )
    (listed,) = client.get_orders()
    assert (listed.id, listed.type, listed.status) == (order.id, kind, OrderStatus.NEW)
    assert {name: float(getattr(listed, name)) for name in prices} == prices
    assert client.cancel_order_by_id(order.id) is None
    ended = client.get_order_by_id(order.id)
    assert ended.status is OrderStatus.CANCELED
    assert ended.canceled_at is not None
    assert client.get_orders() == []


def test_replaced_order_is_a_new_order_when_changed(client, open_venue):
    """The old order points to the new one and back, and only the new one is open."""
    old = rest(open_venue)
    new = client.replace_order_by_id(old.id, ReplaceOrderRequest(qty=3, limit_price=91.0))
    assert new.id != old.id
    assert (new.replaces, new.qty, float(new.limit_price)) == (old.id, "3", 91.0)
    before = client.get_order_by_id(old.id)
    assert (before.status, before.replaced_by) == (OrderStatus.REPLACED, new.id)
    assert [order.id for order in client.get_orders()] == [new.id]
    view = open_venue.broker.order_by_id(str(new.id))
    assert view is not None
    assert view.replaces == str(old.id)


def test_replace_is_refused_when_the_order_is_done(client, open_venue):
    """A filled order cannot be replaced, a missing one is not found."""
    done = buy(open_venue)
    with pytest.raises(APIError) as refused:
        client.replace_order_by_id(done.id, ReplaceOrderRequest(qty=2))
    assert refused.value.status_code == 422
    with pytest.raises(APIError) as missing:
        client.replace_order_by_id(uuid4(), ReplaceOrderRequest(qty=2))
    assert missing.value.status_code == 404


def test_all_orders_are_cancelled_when_asked_at_once(client, open_venue):
    """The bulk reply names each order."""
    sent = {rest(open_venue, price).id for price in (88.0, 89.0)}
    replies = client.cancel_orders()
    assert {reply.id for reply in replies} == sent
    assert {reply.status for reply in replies} == {200}
    assert client.get_orders() == []


def test_order_lists_are_filtered_when_asked(client, open_venue):
    """Side, time, direction and limit hold."""
    first, second, third = (rest(open_venue, price) for price in (87.0, 88.0, 89.0))
    newest = client.get_orders(GetOrdersRequest(limit=2))
    assert [order.id for order in newest] == [third.id, second.id]
    later = client.get_orders(GetOrdersRequest(after=first.submitted_at, until=third.submitted_at))
    assert [order.id for order in later] == [second.id]
    assert client.get_orders(GetOrdersRequest(side=OrderSide.SELL)) == []


def test_positions_parse_when_held(client, open_venue):
    """Listed, by symbol and by asset, with numbers that add up; 404 when flat."""
    buy(open_venue, qty=4)
    (position,) = client.get_all_positions()
    assert (position.symbol, position.qty, position.side) == ("AAPL", "4", PositionSide.LONG)
    assert client.get_open_position("AAPL") == position
    assert client.get_open_position(position.asset_id) == position
    assert float(position.market_value) == float(position.current_price) * 4
    with pytest.raises(APIError) as flat:
        client.get_open_position("THIN")
    assert (flat.value.status_code, flat.value.code, flat.value.message) == (404, 40410000, "position does not exist")


def test_position_is_closed_in_parts_when_asked(client, open_venue):
    """By quantity, by percentage, then wholly."""
    buy(open_venue, qty=8)
    client.close_position("AAPL", ClosePositionRequest(qty="2"))
    assert client.get_open_position("AAPL").qty == "6"
    client.close_position("AAPL", ClosePositionRequest(percentage="50"))
    assert client.get_open_position("AAPL").qty == "3"
    assert client.close_position("AAPL").side is OrderSide.SELL
    assert client.get_all_positions() == []


def test_everything_is_closed_when_asked_at_once(client, open_venue):
    """The bulk reply holds an order for each position, resting orders are gone."""
    buy(open_venue, qty=2)
    buy(open_venue, symbol="BTC/USD", qty=0.5, time_in_force=TimeInForce.GTC)
    rest(open_venue, 120.0, side=OrderSide.SELL)
    replies = client.close_all_positions(cancel_orders=True)
    assert {reply.symbol for reply in replies} == {"AAPL", "BTCUSD"}
    assert {reply.status for reply in replies} == {200}
    assert client.get_orders() == []
    assert client.get_all_positions() == []


def test_portfolio_history_parses_when_read(client):
    """Four lists of one length."""
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(timeframe="1Min"))
    assert len(history.timestamp) == len(history.equity) == len(history.profit_loss) == len(history.profit_loss_pct)
    assert history.base_value == 100_000


def test_fill_activities_are_listed_newest_first_when_unasked(client, open_venue):
    """The ledger that alpaca-py does not wrap has the fields that the vendor documents."""
    order = buy(open_venue)
    newest = client.get("/account/activities/FILL", {"page_size": 1})
    assert [row["order_id"] for row in newest] == [str(order.id)]
    assert {"id", "transaction_time", "price", "qty", "side", "symbol", "leaves_qty", "cum_qty", "order_status"} <= set(
        newest[0]
    )


def test_keys_are_refused_when_wrong(open_venue):
    """Wrong keys are a 401 on every endpoint, with a body that alpaca-py can read."""
    stranger = TradingClient("PKWRONG", "wrong", url_override=open_venue.exchange.rest_url)
    for call in (stranger.get_account, stranger.get_clock, stranger.get_orders, stranger.cancel_orders):
        with pytest.raises(APIError) as refused:
            call()
        assert refused.value.status_code == 401


def test_stock_bars_parse_over_several_pages_when_long(open_venue):
    """alpaca-py's own paging gets every minute, with vwap and count present as null."""
    asked = StockBarsRequest(
        symbol_or_symbols=["AAPL", "THIN"],
        timeframe=TimeFrame.Minute,
        start=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        feed=DataFeed.IEX,
        adjustment=Adjustment.SPLIT,
    )
    bars = open_venue.stocks.get_stock_bars(asked).data
    assert len(bars["AAPL"]) >= 27 * 390
    assert len(bars["THIN"]) >= 390
    assert bars["AAPL"][0].timestamp == dt.datetime(2024, 1, 31, 14, 30, tzinfo=dt.UTC)
    asked.limit = 5
    assert sum(len(rows) for rows in open_venue.stocks.get_stock_bars(asked).data.values()) == 5


@pytest.mark.parametrize(("amount", "unit", "count"), [(5, TimeFrameUnit.Minute, 78), (1, TimeFrameUnit.Day, 1)])
def test_stock_bars_are_longer_when_asked_for_longer(open_venue, amount, unit, count):
    """Minutes become longer bars of the same session."""
    asked = StockBarsRequest(
        symbol_or_symbols="AAPL",
        timeframe=TimeFrame(amount, unit),
        start=dt.datetime(2024, 3, 7, tzinfo=dt.UTC),
        end=dt.datetime(2024, 3, 7, 21, tzinfo=dt.UTC),
    )
    bars = open_venue.stocks.get_stock_bars(asked).data["AAPL"]
    assert len(bars) == count
    assert sum(bar.volume for bar in bars) == 390 * 1_000_000


def test_latest_values_parse_when_read(open_venue):
    """Bar, quote, trade and snapshot of a share; quote and book of a coin."""
    stocks, coins = open_venue.stocks, open_venue.coins
    bar = stocks.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols="AAPL"))["AAPL"]
    quote = stocks.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    trade = stocks.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert bar.close == trade.price == 100.0
    assert quote.bid_price < 100.0 < quote.ask_price
    snapshot = stocks.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert snapshot.latest_trade.price == 100.0
    coin = coins.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert coin.bid_price < 40_000 < coin.ask_price
    book = coins.get_crypto_latest_orderbook(CryptoLatestOrderbookRequest(symbol_or_symbols="BTC/USD"))["BTC/USD"]
    assert book.bids[0].price < book.asks[0].price


def test_crypto_bars_parse_when_read(open_venue):
    """The coin's symbol survives the query string."""
    asked = CryptoBarsRequest(
        symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Minute, start=dt.datetime(2024, 3, 7, tzinfo=dt.UTC)
    )
    assert len(open_venue.coins.get_crypto_bars(asked).data["BTC/USD"]) >= 390


def test_order_waits_for_the_open_when_sent_before_it(start_venue):
    """A day order of the night is accepted, queued, and filled at the open; one for the opening auction too."""
    venue = start_venue(run_id="overnight")
    assert not venue.trading.get_clock().is_open
    venue.control.ready(0, wake_at=dt.datetime(2024, 3, 8, 0, 30, tzinfo=dt.UTC))  # 19:30 in New York
    day, auction = buy(venue), buy(venue, time_in_force=TimeInForce.OPG)
    for order in (day, auction):
        assert venue.trading.get_order_by_id(order.id).status is OrderStatus.ACCEPTED
    while not venue.control.state().is_open:
        venue.move()
    for order in (day, auction):
        assert venue.trading.get_order_by_id(order.id).status is OrderStatus.FILLED


def ask_often(client: TradingClient) -> None:
    """Ask more than twice as often as three a minute, because a minute may begin in between."""
    for _ in range(8):
        client.get_clock()


def test_requests_are_refused_when_there_are_too_many(start_venue):
    """The limit answers 429 with alpaca-py's own body, and the limit's headers."""
    venue = start_venue(run_id="limited", requests_per_minute=3)
    venue.trading._retry = 0
    with pytest.raises(APIError) as refused:
        ask_often(venue.trading)
    assert refused.value.status_code == 429
    headers = refused.value.response.headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("3", "0")
    assert int(headers["X-RateLimit-Reset"]) > 0
