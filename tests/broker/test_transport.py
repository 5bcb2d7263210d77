"""What leaves us is alpaca-py's own to the last byte, once, however prepared; and heads of replies read alike."""

from __future__ import annotations

import io
from decimal import Decimal
from http.client import HTTPResponse
from typing import Any, cast

import pytest
from alpaca.trading.client import TradingClient
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.broker.alpaca_orders import order_fields
from trader_sdk.broker.plain_head import plain_head
from trader_sdk.broker.port import Accepted, OrderRequest, OrderType, Refused, Side, Unknown

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
    """Orders and reads, the first as well as those that follow it: headers, order of headers and body are the same."""
    venue = raw_venue((200, order_body()))
    ours, alone = broker_at(venue.url), alpaca_alone(venue.url)
    for order in orders():
        ours.submit(order)
        alone.submit_order(order_fields(order))
    for _ in range(2):
        ours._http.read(TradingClient.get_account, "reconcile", where="GET /account")
        alone.get_account()
    assert len(venue.wire) == 2 * (len(orders()) + 2)
    assert venue.wire[0::2] == venue.wire[1::2]


def test_cookie_is_sent_back_when_the_venue_sets_one(raw_venue, broker_at, order_body):
    """A balancer's cookie travels with the next request as it does with alpaca-py's."""
    venue = raw_venue(*[(200, order_body(), {"Set-Cookie": "lane=7"})] * 4)
    ours, alone = broker_at(venue.url), alpaca_alone(venue.url)
    for order in orders():
        ours.submit(order)
        alone.submit_order(order_fields(order))
    assert [b"Cookie: lane=7" in sent for sent in venue.wire[0::2]] == [False, True, True, True]
    assert venue.wire[0::2] == venue.wire[1::2]


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ((403, {"code": 40310000, "message": "insufficient buying power"}), Refused),
        ((422, {"code": 42210000, "message": "invalid"}), Refused),
        ((429, {"message": "too many requests."}), Refused),
        ((504, ""), Unknown),
        ((302, "", {"Location": "/v2/elsewhere"}), Unknown),
        ("hang", Unknown),
        ("drip_body", Unknown),
        ("truncated", Unknown),
        ("reset_after_read", Unknown),
        ("close_after_read", Unknown),
    ],
)
def test_later_order_is_sent_once_when_it_goes_wrong(raw_venue, broker_at, order_body, behaviour, kind):
    """An order that is prepared from the one before it leaves once as well, whatever comes back."""
    first, second, third, _ = orders()
    venue = raw_venue(*[(200, order_body(client_order_id=one.client_order_id)) for one in (first, second)], behaviour)
    broker = broker_at(venue.url)
    assert [type(broker.submit(one)) for one in (first, second, third)] == [Accepted, Accepted, kind]
    assert venue.requests == ["POST /v2/orders HTTP/1.1"] * 3


class _Socket:
    """A socket that gives what it was given."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        """Return the data as a file."""
        return io.BytesIO(self._data)


names = st.sampled_from(
    ["Content-Length", "content-length", "Connection", "Transfer-Encoding", "Date", "X-A", "Set-Cookie", "X A", ""]
)
values = st.sampled_from(
    ["2", "0", "12", "-1", "2 ", "", "close", "keep-alive", "chunked", "a: b", "ä", "x\r\n folded"]
)
heads = st.builds(
    lambda version, status, fields, end: (
        f"{version} {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + end
    ).encode("latin-1"),
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    st.sampled_from(["200 OK", "201 Created", "404 Not Found", "100 Continue", "204 No Content", "200"]),
    st.lists(st.tuples(names, values), max_size=5),
    st.sampled_from(["\r\n{}", "\r\n", ""]),
)


@given(heads)
def test_plain_head_reads_as_the_standard_parser_or_leaves_it_alone(data: bytes) -> None:
    """Status, fields and length are ``http.client``'s wherever a head is called plain."""
    found = plain_head(data)
    if found is None:
        return
    standard = HTTPResponse(cast(Any, _Socket(data)), method="POST")
    standard.begin()
    assert (found.status, found.reason, found.length) == (standard.status, standard.reason, standard.length)
    assert found.fields.items() == standard.headers.items()
    assert not standard.will_close
    assert data[found.size :] == standard.fp.read()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_head_is_left_to_the_standard_parser_where_it_is_not_plain(head: bytes) -> None:
    """Cut short, without a length or with two, another version, another framing, a continued line."""
    assert plain_head(head) is None
