"""What leaves us is alpaca-py's own to the last byte, and once, over a connection that stands as over a new one."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
import requests
from alpaca.common.enums import Sort
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import QueryOrderStatus
from alpaca.trading.requests import GetOrdersRequest

from trader_sdk.broker.alpaca_orders import order_fields
from trader_sdk.broker.endpoint import Timeouts
from trader_sdk.broker.port import Accepted, CancelRequested, OrderRequest, OrderType, Priority, Refused, Side, Unknown
from trader_sdk.broker.transport import BoundedSession

KEY, SECRET = "PKTESTKEY000", "sssecret-of-tests"


def orders() -> list[OrderRequest]:
    """Return orders whose bodies differ in length, the last one with letters beyond ASCII."""
    limit = {"type": OrderType.LIMIT, "limit_price": Decimal("101.25")}
    plain = [OrderRequest(f"lt1-{10**n}", "AAPL", Side.BUY, qty=Decimal(n + 1), **limit) for n in range(3)]
    return [*plain, OrderRequest("lt1-coin", "ÄTH/USD", Side.SELL, qty=Decimal("0.125"))]


def alpaca_alone(url: str) -> TradingClient:
    """Return alpaca-py as it comes, but for the environment's proxies."""
    client = TradingClient(KEY, SECRET, raw_data=True, url_override=url)
    client._session.trust_env = False
    return client


def test_wire_bytes_are_alpaca_pys_own_when_requests_repeat(raw_venue, broker_at, order_body):
    """Orders, reads and cancels, the first as well as those that follow it over the connection that stands."""
    venue = raw_venue([(200, order_body())] * 40)
    ours, alone = broker_at(venue.url), alpaca_alone(venue.url)
    asked = GetOrdersRequest(status=QueryOrderStatus.OPEN, limit=500, direction=Sort.ASC)
    for _ in range(2):
        for order in orders():
            ours.submit(order)
            alone.submit_order(order_fields(order))
        for read in (TradingClient.get_account, lambda client: client.get_orders(asked)):
            ours._http.read(read, Priority.RECONCILE, where="here")
            read(alone)
        ours.cancel("61e69015")
        alone.delete("/orders/61e69015")
    assert len(venue.wire) == 2 * 2 * (len(orders()) + 3)
    assert venue.wire[0::2] == venue.wire[1::2]


def test_announced_orders_leave_as_they_would_have(raw_venue, broker_at, order_body):
    """The same bytes; one that was changed since leaves as it is now, and one that cannot be sent is refused then."""
    first, second, third, fourth = orders()
    bodies = [order_body(client_order_id=one.client_order_id) for one in orders()]
    venue = raw_venue([(200, body) for body in bodies])
    ours, alone = broker_at(venue.url), alpaca_alone(venue.url)
    unsendable = OrderRequest("lt1-none", "AAPL", Side.BUY, qty=Decimal("1e-12"))
    ours.announce([first, replace(second, qty=Decimal(77)), unsendable, third])
    assert venue.wire == []
    for order in (first, second, third, fourth):
        assert isinstance(ours.submit(order), Accepted)
        alone.submit_order(order_fields(order))
    assert isinstance(ours.submit(unsendable), Refused)
    assert len(venue.wire) == 8
    assert venue.wire[0::2] == venue.wire[1::2]


def test_cookie_is_sent_back_when_the_venue_sets_one(raw_venue, broker_at, order_body):
    """A balancer's cookie travels with the next request as it does with alpaca-py's."""
    venue = raw_venue([(200, order_body()), *[(200, order_body(), {"Set-Cookie": "lane=7"})] * 3])
    ours, alone = broker_at(venue.url), alpaca_alone(venue.url)
    for order in orders():
        ours.submit(order)
        alone.submit_order(order_fields(order))
    assert [b"Cookie: lane=7" in sent for sent in venue.wire[0::2]] == [False, False, True, True]
    assert venue.wire[0::2] == venue.wire[1::2]


WRONG = [
    ((403, {"code": 40310000, "message": "insufficient buying power"}), Refused),
    ((422, {"code": 42210000, "message": "invalid"}), Refused),
    ((429, {"message": "too many requests."}), Refused),
    ((504, ""), Unknown),
    ((302, "", {"Location": "/v2/elsewhere"}), Unknown),
    ((200, gzip.compress(b"{}")[:-9], {"Content-Encoding": "gzip"}), Unknown),
    ("hang", Unknown),
    ("drip_head", Unknown),
    ("drip_body", Unknown),
    ("truncated", Unknown),
    ("reset_before_read", Unknown),
    ("reset_after_read", Unknown),
    ("close_after_read", Unknown),
]


@pytest.mark.parametrize(("wrong", "kind"), WRONG)
def test_order_over_a_standing_connection_leaves_once_when_it_goes_wrong(raw_venue, broker_at, order_body, wrong, kind):
    """Whatever comes back, nothing is sent again, and the next order's reply is its own."""
    first, second, third, fourth = orders()
    bodies = [order_body(client_order_id=one.client_order_id) for one in (first, second, fourth)]
    stays = [] if isinstance(wrong, str) else [(200, bodies[2])]
    venue = raw_venue([(200, bodies[0]), (200, bodies[1]), wrong, *stays], [(200, bodies[2])])
    broker = broker_at(venue.url)
    outcomes = [type(broker.submit(one)) for one in (first, second, third, fourth)]
    assert outcomes == [Accepted, Accepted, kind, Accepted]
    read = [json.loads(sent.partition(b"\r\n\r\n")[2])["client_order_id"] for sent in venue.wire]
    unread = {third.client_order_id} if wrong == "reset_before_read" else set()
    assert read == [one.client_order_id for one in orders() if one.client_order_id not in unread]


@pytest.mark.parametrize("late", [[], ["stray"]])
def test_order_takes_another_connection_when_its_own_was_closed_or_brings_a_late_reply(
    raw_venue, broker_at, order_body, late
):
    """A venue that closed an idle connection is sent the order over a new one, and a stray reply is nobody's."""
    first, second, third, _ = orders()
    bodies = [order_body(client_order_id=one.client_order_id) for one in (first, second, third)]
    venue = raw_venue([(200, bodies[0]), (200, bodies[1]), *late], [(200, bodies[2])])
    broker = broker_at(venue.url)
    outcomes = [broker.submit(first), broker.submit(second)]
    assert venue.left.wait(10)
    outcomes.append(broker.submit(third))
    assert [outcome.order.client_order_id for outcome in outcomes] == [body["client_order_id"] for body in bodies]
    assert len(venue.wire) == 3


def test_reply_of_another_order_is_not_taken_for_ones_own(raw_venue, broker_at, order_body):
    """A venue that answers with the order before leaves this one unknown."""
    first, second, third, _ = orders()
    bodies = [order_body(client_order_id=one.client_order_id) for one in (first, second, second)]
    broker = broker_at(raw_venue([(200, body) for body in bodies]).url)
    assert [type(broker.submit(one)) for one in (first, second, third)] == [Accepted, Accepted, Unknown]


def test_replies_are_read_however_they_are_framed(raw_venue, broker_at, order_body):
    """Chunked, compressed, without a body, and the last one of a connection."""
    body = json.dumps(order_body()).encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    framed = [
        (200, chunked, {"Transfer-Encoding": "chunked"}),
        (200, gzip.compress(body), {"Content-Encoding": "gzip"}),
        (200, body, {"Content-Type": "application/json; charset=utf-8"}),
    ]
    gone = [(204, b"")] * 2
    venue = raw_venue([(200, body), *framed, *gone], [(200, body)])
    broker = broker_at(venue.url)
    order = OrderRequest("lt1-one", "AAPL", Side.BUY, qty=Decimal(1))
    assert [type(broker.submit(order)) for _ in range(4)] == [Accepted] * 4
    assert [type(broker.cancel("61e69015")) for _ in range(2)] == [CancelRequested] * 2
    assert isinstance(broker.submit(order), Accepted)
    assert len(venue.wire) == 7


def test_proxy_is_spoken_to_with_every_request(raw_venue, order_body, monkeypatch):
    """A venue behind a proxy of the environment is asked through it, the first time and later."""
    proxy = raw_venue([(200, order_body())] * 3)
    monkeypatch.setenv("http_proxy", proxy.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    session = BoundedSession("http://venue.example", Timeouts())
    replies = [session.request("POST", "http://venue.example/v2/orders", json={"n": n}) for n in range(3)]
    session.close()
    assert [reply.status_code for reply in replies] == [200] * 3
    assert proxy.requests == ["POST http://venue.example/v2/orders HTTP/1.1"] * 3


def test_session_is_refused_to_a_second_thread_while_a_request_is_under_way(raw_venue, order_body):
    """Both would take the connection that stands, and one could read the other's reply; nothing is sent."""
    venue = raw_venue("hang")
    session = BoundedSession(venue.url, Timeouts(connect_seconds=5, read_seconds=20, total_seconds=20))
    first = threading.Thread(target=_ask, args=(session, venue.url))
    first.start()
    assert venue.seen.wait(20)
    with pytest.raises(RuntimeError, match="another thread"):
        session.request("GET", f"{venue.url}/v2/clock")
    assert venue.requests == ["GET /v2/account HTTP/1.1"]
    venue.closing.set()
    first.join(30)


def _ask(session: BoundedSession, url: str) -> None:
    with suppress(requests.exceptions.RequestException):
        session.request("GET", f"{url}/v2/account")
