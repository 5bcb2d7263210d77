"""The broker port's contract as a test class, and its run: the real alpaca-py against the embedded exchange."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from trader_sdk.broker.alpaca_data import fetch_bars
from trader_sdk.broker.endpoint import local_endpoint
from trader_sdk.broker.port import (
    Accepted,
    CancelRequested,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderView,
    RefusalKind,
    Refused,
    Side,
    Submission,
    TimeInForce,
    disagreements,
)
from trader_sdk.broker.quantise import quantised
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
FAR_AHEAD = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
ONE = Decimal(1)


def limit(price: str) -> dict[str, object]:
    """Return the fields of a limit order at ``price``."""
    return {"type": OrderType.LIMIT, "limit_price": Decimal(price)}


def accepted(outcome: Submission) -> OrderView:
    """Return the order that the venue took."""
    assert isinstance(outcome, Accepted), outcome
    return outcome.order


class BrokerConformance:
    """What every broker behind the port must do.

    A subclass gives the fixture ``venue``: flat, in session, with AAPL at 100.00 (deep), THIN at 50.00 (100 shares a
    bar), PNNY at 0.50, HARD that cannot be borrowed or divided, DEAD that is not traded, BTC/USD at 40,000; cash
    100,000 and buying power 200,000. ``venue.broker`` is the port, ``venue.move()`` lets the market move,
    ``venue.new_id()`` makes an id and ``venue.clear()`` flattens.
    """

    @pytest.fixture(autouse=True)
    def _flat(self, venue):
        venue.clear()

    def send(self, venue, symbol="AAPL", side=Side.BUY, **fields) -> Submission:
        """Submit an order, of one share at the market unless ``fields`` say otherwise."""
        amount = {} if "notional" in fields else {"qty": ONE}
        return venue.broker.submit(OrderRequest(venue.new_id(), symbol, side, **(amount | fields)))

    def now_of(self, venue, order: OrderView) -> OrderView:
        """Return the order as the venue has it now."""
        found = venue.broker.order_by_id(order.broker_order_id)
        assert found is not None
        return found

    def test_market_order_is_filled_and_found_everywhere_when_the_session_is_open(self, venue):
        """Order, position, fill and cash tell one story, by our id and by the venue's."""
        cash = venue.broker.account().cash
        order = accepted(self.send(venue, qty=Decimal("1.5")))
        filled = venue.broker.order_by_client_id(order.client_order_id)
        assert filled is not None
        assert (filled.status, filled.filled_qty) == (OrderStatus.FILLED, Decimal("1.5"))
        (position,) = venue.broker.positions()
        assert (position.symbol, position.qty, position.qty_available) == ("AAPL", Decimal("1.5"), Decimal("1.5"))
        (fill,) = [f for f in venue.broker.fills_since(LONG_AGO) if f.broker_order_id == order.broker_order_id]
        assert (fill.side, fill.qty, fill.price) == (Side.BUY, Decimal("1.5"), filled.filled_avg_price)
        assert fill.cumulative_qty == filled.filled_qty
        assert cash - venue.broker.account().cash == fill.qty * fill.price
        assert self.now_of(venue, order) == filled
        assert filled in venue.broker.orders_since(LONG_AGO)
        assert filled not in venue.broker.open_orders()

    def test_limit_order_rests_until_cancelled_when_out_of_reach(self, venue):
        """A resting order is open, takes buying power, and ends canceled with nothing filled."""
        before = venue.broker.account().buying_power
        order = accepted(self.send(venue, qty=Decimal(10), **limit("90")))
        assert [o.broker_order_id for o in venue.broker.open_orders()] == [order.broker_order_id]
        assert venue.broker.account().buying_power < before
        assert venue.broker.cancel(order.broker_order_id) == CancelRequested()
        ended = self.now_of(venue, order)
        assert (ended.status, ended.filled_qty, ended.is_open) == (OrderStatus.CANCELED, 0, False)
        assert venue.broker.account().buying_power == before

    def test_order_is_filled_in_parts_when_the_bar_is_thin(self, venue):
        """A quarter of a bar's liquidity at a time: partially filled first, filled in the end, every fill once."""
        venue.move("bar")
        order = accepted(self.send(venue, "THIN", qty=Decimal(150)))
        partial = self.now_of(venue, order)
        assert (partial.status, partial.filled_qty) == (OrderStatus.PARTIALLY_FILLED, Decimal(100))
        venue.move("bar")
        done = self.now_of(venue, order)
        assert (done.status, done.filled_qty) == (OrderStatus.FILLED, Decimal(150))
        fills = [f for f in venue.broker.fills_since(LONG_AGO) if f.broker_order_id == order.broker_order_id]
        assert [f.qty for f in fills] == [100, 50]
        assert [f.cumulative_qty for f in fills] == [100, 150]
        assert len({f.execution_id for f in fills}) == 2

    def test_partly_filled_order_keeps_its_fill_when_cancelled(self, venue):
        """The position is what was filled, the order is canceled."""
        venue.move("bar")
        order = accepted(self.send(venue, "THIN", qty=Decimal(150)))
        assert venue.broker.cancel(order.broker_order_id) == CancelRequested()
        ended = self.now_of(venue, order)
        assert (ended.status, ended.filled_qty) == (OrderStatus.CANCELED, Decimal(100))
        assert venue.broker.positions()[0].qty == 100

    def test_cancel_is_refused_when_the_order_is_done(self, venue):
        """A cancel that loses the race says so; an unknown order is not found."""
        order = accepted(self.send(venue))
        outcome = venue.broker.cancel(order.broker_order_id)
        assert isinstance(outcome, Refused)
        assert outcome.kind is RefusalKind.NOT_CANCELABLE
        missing = venue.broker.cancel("00000000-0000-4000-8000-000000000000")
        assert isinstance(missing, Refused)
        assert missing.kind is RefusalKind.NOT_FOUND

    def test_client_order_id_stays_burned_when_the_order_was_cancelled(self, venue):
        """An id names one order for ever."""
        order = accepted(self.send(venue, **limit("90")))
        venue.broker.cancel(order.broker_order_id)
        again = venue.broker.submit(OrderRequest(order.client_order_id, "AAPL", Side.BUY, qty=ONE))
        assert isinstance(again, Refused)
        assert (again.kind, again.http_status, again.code) == (
            RefusalKind.DUPLICATE_CLIENT_ORDER_ID,
            422,
            40010001,
        )
        assert venue.broker.positions() == ()

    def test_lookup_is_none_when_the_venue_has_no_such_order(self, venue):
        """Not found is an answer, not an error."""
        assert venue.broker.order_by_client_id("lt1-never-sent") is None
        assert venue.broker.order_by_id("00000000-0000-4000-8000-000000000000") is None

    def test_buying_power_is_refused_with_its_numbers_when_too_much_is_asked(self, venue):
        """The refusal carries what could be spent, and nothing is booked."""
        outcome = self.send(venue, qty=Decimal(5000))
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.http_status, outcome.code) == (RefusalKind.BUYING_POWER, 403, 40310000)
        assert Decimal(outcome.extras["buying_power"]) == venue.broker.account().buying_power
        assert venue.broker.open_orders() == ()

    def test_selling_more_than_is_free_is_refused_when_an_order_holds_the_shares(self, venue):
        """Shares of a resting sell are not for sale twice, and a position is never crossed in one order."""
        accepted(self.send(venue, qty=Decimal(10)))
        resting = accepted(self.send(venue, side=Side.SELL, qty=Decimal(8), **limit("120")))
        assert venue.broker.positions()[0].qty_available == 2
        outcome = self.send(venue, side=Side.SELL, qty=Decimal(5), **limit("119"))
        assert isinstance(outcome, Refused)
        assert (outcome.kind, Decimal(outcome.extras["available"])) == (RefusalKind.INSUFFICIENT_QTY, 2)
        venue.broker.cancel(resting.broker_order_id)
        flip = self.send(venue, side=Side.SELL, qty=Decimal(11))
        assert isinstance(flip, Refused)
        assert flip.kind is RefusalKind.INSUFFICIENT_QTY

    def test_wash_trade_is_refused_with_the_order_in_the_way_when_sides_would_meet(self, venue):
        """The refusal names the resting order."""
        accepted(self.send(venue))
        resting = accepted(self.send(venue, side=Side.SELL, **limit("110")))
        outcome = self.send(venue)
        assert isinstance(outcome, Refused)
        assert (outcome.kind, outcome.http_status) == (RefusalKind.WASH_TRADE, 403)
        assert outcome.extras["existing_order_id"] == resting.broker_order_id

    @pytest.mark.parametrize(
        ("symbol", "side", "fields", "kind"),
        [
            ("DEAD", Side.BUY, {}, RefusalKind.NOT_TRADABLE),
            ("NOPE", Side.BUY, {}, RefusalKind.NOT_TRADABLE),
            ("HARD", Side.SELL, {}, RefusalKind.NOT_SHORTABLE),
            ("AAPL", Side.SELL, {"qty": Decimal("0.5")}, RefusalKind.NOT_SHORTABLE),
            ("BTC/USD", Side.SELL, {"time_in_force": TimeInForce.GTC}, RefusalKind.INSUFFICIENT_QTY),
            ("HARD", Side.BUY, {"qty": Decimal("0.5")}, RefusalKind.INVALID),
            ("AAPL", Side.BUY, {"qty": Decimal("0.5"), "time_in_force": TimeInForce.GTC}, RefusalKind.INVALID),
            ("AAPL", Side.BUY, {"qty": Decimal("0.5"), "time_in_force": TimeInForce.IOC}, RefusalKind.INVALID),
            ("AAPL", Side.BUY, {"notional": Decimal("0.50")}, RefusalKind.INVALID),
            ("AAPL", Side.BUY, {"extended_hours": True}, RefusalKind.INVALID),
            ("AAPL", Side.BUY, {"time_in_force": TimeInForce.OPG}, RefusalKind.INVALID),
            ("BTC/USD", Side.BUY, {}, RefusalKind.INVALID),
            ("BTC/USD", Side.BUY, {"qty": Decimal("0.00001"), "time_in_force": TimeInForce.GTC}, RefusalKind.INVALID),
        ],
    )
    def test_order_is_refused_by_name_when_a_rule_forbids_it(self, venue, symbol, side, fields, kind):
        """Each rule of the venue has a name that the trader can act on, and leaves nothing behind."""
        outcome = self.send(venue, symbol, side, **fields)
        assert isinstance(outcome, Refused)
        assert outcome.kind is kind, outcome
        assert venue.broker.open_orders() == ()
        assert venue.broker.positions() == ()

    @pytest.mark.parametrize("side", Side)
    @pytest.mark.parametrize(
        ("symbol", "price"), [("AAPL", "90.12345678"), ("PNNY", "0.41234567"), ("AAPL", "110.999")]
    )
    def test_prices_are_never_refused_when_they_were_off_their_tick(self, venue, symbol, side, price):
        """Whatever price was computed, what is sent lies on the venue's grid."""
        request = OrderRequest(venue.new_id(), symbol, side, qty=ONE, **limit(price))
        order = accepted(venue.broker.submit(request))
        assert disagreements(quantised(request), order) == ()

    def test_quantities_are_sent_exactly_when_they_have_nine_decimals(self, venue):
        """What the venue booked is, digit for digit, what was decided, rounded down."""
        order = accepted(self.send(venue, qty=Decimal("0.1234567899")))
        assert order.qty == Decimal("0.123456789")
        assert self.now_of(venue, order).filled_qty == Decimal("0.123456789")

    def test_notional_order_spends_what_it_says_when_filled(self, venue):
        """An order by value is filled in fractions worth that value."""
        order = accepted(self.send(venue, notional=Decimal("250.00")))
        filled = self.now_of(venue, order)
        assert (filled.qty, filled.notional, filled.status) == (None, Decimal(250), OrderStatus.FILLED)
        assert filled.filled_avg_price is not None
        assert abs(filled.filled_qty * filled.filled_avg_price - 250) < Decimal("0.001")

    def test_short_position_is_negative_when_opened_and_gone_when_covered(self, venue):
        """A short shows as a negative quantity and is closed by buying it back."""
        accepted(self.send(venue, side=Side.SELL, qty=Decimal(3)))
        (position,) = venue.broker.positions()
        assert position.qty == -3
        assert position.market_value is not None
        assert position.market_value < 0
        accepted(self.send(venue, qty=Decimal(3)))
        assert venue.broker.positions() == ()

    def test_coin_keeps_one_spelling_when_ordered_and_held(self, venue):
        """Orders, positions and bars write BTC/USD, whatever the venue's positions do."""
        order = accepted(self.send(venue, "BTC/USD", qty=Decimal("0.5"), time_in_force=TimeInForce.GTC))
        assert order.symbol == "BTC/USD"
        (position,) = venue.broker.positions()
        assert (position.symbol, position.asset_class) == ("BTC/USD", "crypto")
        assert 0 < position.qty <= Decimal("0.5")

    def test_immediate_order_ends_when_nothing_trades(self, venue):
        """An order that may not wait is canceled at once."""
        order = accepted(self.send(venue, time_in_force=TimeInForce.IOC, **limit("90")))
        assert self.now_of(venue, order).status is OrderStatus.CANCELED

    def test_stop_orders_rest_when_their_price_is_not_touched(self, venue):
        """Both stop types are booked and carry their prices."""
        accepted(self.send(venue, qty=Decimal(2)))
        stop = accepted(self.send(venue, side=Side.SELL, type=OrderType.STOP, stop_price=Decimal(80)))
        stop_limit = accepted(
            self.send(
                venue,
                side=Side.SELL,
                type=OrderType.STOP_LIMIT,
                stop_price=Decimal(81),
                limit_price=Decimal(79),
            )
        )
        assert {o.broker_order_id for o in venue.broker.open_orders()} == {
            stop.broker_order_id,
            stop_limit.broker_order_id,
        }
        assert (stop.stop_price, stop_limit.stop_price, stop_limit.limit_price) == (80, 81, 79)

    def test_orders_are_all_found_when_they_take_several_pages(self, venue, monkeypatch):
        """Paging by submission time neither loses nor doubles an order."""
        monkeypatch.setattr("trader_sdk.broker.alpaca.ORDERS_PER_PAGE", 3)
        sent = [accepted(self.send(venue, **limit(str(80 + n)))).broker_order_id for n in range(7)]
        assert [order.broker_order_id for order in venue.broker.open_orders()] == sent
        newest = venue.broker.order_by_id(sent[3])
        assert newest is not None
        assert newest.submitted_at is not None
        assert [o.broker_order_id for o in venue.broker.orders_since(newest.submitted_at)] == sent[4:]

    def test_fills_are_all_found_when_they_take_several_pages(self, venue, monkeypatch):
        """Paging through the ledger neither loses nor doubles a fill."""
        everything = venue.broker.fills_since(LONG_AGO)
        sent = [accepted(self.send(venue)).broker_order_id for _ in range(5)]
        monkeypatch.setattr("trader_sdk.broker.alpaca.FILLS_PER_PAGE", 2)
        fills = venue.broker.fills_since(LONG_AGO)
        assert [fill.broker_order_id for fill in fills] == [f.broker_order_id for f in everything] + sent
        assert [f.broker_order_id for f in venue.broker.fills_since(fills[-3].at)] == sent[-2:]

    def test_clock_and_calendar_agree_when_the_session_is_open(self, venue):
        """The running session of the calendar ends at the clock's next close; the clocks' change is in it."""
        clock = venue.broker.clock()
        assert clock.is_open
        before, after = venue.broker.calendar(dt.date(2024, 3, 8), dt.date(2024, 3, 11))
        assert before.open_at <= clock.at < before.close_at == clock.next_close
        assert after.open_at == clock.next_open
        assert (before.open_at.hour, after.open_at.hour) == (14, 13)
        assert before.day == dt.date(2024, 3, 8)

    def test_account_is_complete_when_read(self, venue):
        """The account may trade and its numbers add up."""
        account = venue.broker.account()
        assert not account.trading_blocked
        assert account.shorting_enabled
        assert account.equity == account.cash
        assert account.buying_power > account.cash
        assert account.id
        assert account.number

    def test_assets_say_what_may_be_done_when_asked(self, venue):
        """Unknown symbols are absent, known ones carry their rules."""
        assets = venue.broker.assets(["AAPL", "HARD", "DEAD", "BTC/USD", "NOPE"])
        assert set(assets) == {"AAPL", "HARD", "DEAD", "BTC/USD"}
        assert (assets["AAPL"].fractionable, assets["AAPL"].qty_increment) == (True, Decimal("1e-9"))
        assert (assets["HARD"].easy_to_borrow, assets["HARD"].qty_increment) == (False, ONE)
        assert not assets["DEAD"].tradable
        assert assets["BTC/USD"].is_crypto
        assert not assets["BTC/USD"].shortable

    def test_assets_are_the_same_when_asked_in_bulk(self, venue, monkeypatch):
        """Many symbols are read in one request, with the same answer."""
        symbols = ["AAPL", "HARD", "BTC/USD", "NOPE"]
        one_by_one = venue.broker.assets(symbols)
        monkeypatch.setattr("trader_sdk.broker.alpaca.ASSETS_ONE_BY_ONE", 0)
        assert venue.broker.assets(symbols) == one_by_one

    def test_bars_are_complete_when_they_take_several_pages(self, venue):
        """More than a page of minutes arrives whole, in order, labelled as what it is."""
        bars = venue.broker.bars("AAPL", Timeframe.MIN_1, LONG_AGO, FAR_AHEAD)
        closed = venue.broker.bars("THIN", Timeframe.MIN_1, LONG_AGO, FAR_AHEAD)
        assert len(bars) == 27 * 390 + (len(closed) - 390)
        assert len(bars) > 10_000
        assert (bars.kind, bars.feed, bars.adjustment) == (DataKind.SIMULATED, "simulated", "split")
        assert venue.broker.latest_bars(["AAPL"])["AAPL"] == bars.at(len(bars) - 1)

    def test_histories_are_each_symbols_own_when_many_are_asked_for_at_once(self, venue):
        """Shares and coins in one question: what each alone would be, wherever a page ends, and empty where unknown."""
        symbols = ["THIN", "BTC/USD", "AAPL", "NOPE", "PNNY"]
        together = venue.broker.histories(symbols, Timeframe.MIN_1, LONG_AGO, FAR_AHEAD)
        alone = {s: venue.broker.bars(s, Timeframe.MIN_1, LONG_AGO, FAR_AHEAD) for s in symbols if s != "NOPE"}
        assert {s: bars.digest for s, bars in together.items() if len(bars)} == {s: b.digest for s, b in alone.items()}
        assert list(together) == symbols

    def test_bars_keep_to_their_bounds_when_asked_for_part(self, venue):
        """Start and end are both inclusive, and an empty span is an empty answer."""
        start = dt.datetime(2024, 3, 7, 14, 30, tzinfo=dt.UTC)
        bars = venue.broker.bars("AAPL", Timeframe.MIN_1, start, start + dt.timedelta(minutes=4))
        assert [t - bars.t[0] for t in bars.t] == [n * 60_000_000_000 for n in range(5)]
        assert bars.t[0] == int(start.timestamp()) * 1_000_000_000
        assert len(venue.broker.bars("AAPL", Timeframe.MIN_1, LONG_AGO, LONG_AGO)) == 0

    def test_coin_bars_are_read_when_asked(self, venue):
        """Coins come from their own service, with their own calendar."""
        bars = venue.broker.bars("BTC/USD", Timeframe.MIN_1, LONG_AGO, FAR_AHEAD)
        assert len(bars) >= 390
        assert (bars.symbol, bars.calendar) == ("BTC/USD", "24/7")
        assert set(venue.broker.latest_bars(["BTC/USD", "AAPL", "NOPE"])) == {"BTC/USD", "AAPL"}


class TestAlpacaOnLocalExchange(BrokerConformance):
    """alpaca-py through our adapter, over loopback, against the embedded exchange."""

    @pytest.fixture
    def venue(self, open_venue):
        """Return the exchange that all tests of this class share."""
        return open_venue


def test_history_is_fetched_without_a_trading_connection(open_venue):
    """The function behind the data command gives what the port gives."""
    endpoint = local_endpoint(open_venue.exchange, feed_label="simulated", data_kind=DataKind.SIMULATED)
    start, end = dt.datetime(2024, 3, 7, tzinfo=dt.UTC), dt.datetime(2024, 3, 8, tzinfo=dt.UTC)
    fetched = fetch_bars(endpoint, open_venue.credentials, "AAPL", Timeframe.MIN_5, start, end)
    assert len(fetched) == 78
    assert fetched.digest == open_venue.broker.bars("AAPL", Timeframe.MIN_5, start, end).digest
    with pytest.raises(DataError):
        fetch_bars(endpoint, open_venue.credentials, "AAPL", Timeframe.MIN_5, start, end, adjustment="magic")
