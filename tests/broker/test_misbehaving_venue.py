"""The real alpaca-py client against a venue that hangs, drips, resets, redirects and lies, over real sockets."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from decimal import Decimal

import pytest

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Venue
from trader_sdk.broker.port import (
    Accepted,
    CancelRequested,
    OrderStatus,
    Priority,
    RefusalKind,
    Refused,
    Unknown,
    UnknownCause,
)
from trader_sdk.broker.request_budget import RequestBudget
from trader_sdk.contract.errors import BrokerError

HTML = "<html><body>502 Bad Gateway</body></html>"
VENUE_SAYS = {"code": 42210000, "message": "sub-penny increment does not fulfill minimum pricing criteria"}

UNKNOWN_OUTCOMES = {
    "hang": ("hang", UnknownCause.TIMEOUT),
    "slow-loris in the headers": ("drip_head", UnknownCause.TIMEOUT),
    "slow-loris in the body": ("drip_body", UnknownCause.TIMEOUT),
    "reset before read": ("reset_before_read", UnknownCause.CONNECTION),
    "reset after read": ("reset_after_read", UnknownCause.CONNECTION),
    "hang up without a reply": ("close_after_read", UnknownCause.CONNECTION),
    "truncated JSON": ("truncated", UnknownCause.CONNECTION),
    "JSON cut by the venue": ((200, '{"id": "61e6'), UnknownCause.BAD_BODY),
    "empty body": ((200, ""), UnknownCause.BAD_BODY),
    "no content": ((204, ""), UnknownCause.BAD_BODY),
    "a list": ((200, []), UnknownCause.BAD_BODY),
    "null": ((200, "null"), UnknownCause.BAD_BODY),
    "an object that is no order": ((200, {"hello": "world"}), UnknownCause.BAD_BODY),
    "nested beyond reason": ((200, "[" * 100_000), UnknownCause.BAD_BODY),
    "redirect": ((302, "", {"Location": "/v2/elsewhere"}), UnknownCause.REDIRECT),
    "permanent redirect": ((308, "", {"Location": "/v2/elsewhere"}), UnknownCause.REDIRECT),
    "html 500": ((500, HTML), UnknownCause.SERVER_ERROR),
    "html 502": ((502, HTML), UnknownCause.SERVER_ERROR),
    "html 503": ((503, HTML), UnknownCause.SERVER_ERROR),
    "json 500": ((500, {"code": 50010000, "message": "internal server error"}), UnknownCause.SERVER_ERROR),
    "504 for ever": ((504, ""), UnknownCause.SERVER_ERROR),
    "html 403": ((403, HTML), UnknownCause.BAD_BODY),
    "html 422": ((422, HTML), UnknownCause.BAD_BODY),
    "request timeout": ((408, {"message": "timeout"}), UnknownCause.UNEXPECTED_STATUS),
    "teapot": ((418, {"message": "short and stout"}), UnknownCause.UNEXPECTED_STATUS),
}


@pytest.mark.parametrize(("behaviour", "cause"), UNKNOWN_OUTCOMES.values(), ids=UNKNOWN_OUTCOMES.keys())
def test_submit_sends_once_and_ends_unknown_when_the_venue_misbehaves(
    raw_venue, broker_at, one_order, behaviour, cause
):
    """Whatever the venue does, one POST leaves us, the call ends, and the outcome is not guessed."""
    venue = raw_venue(behaviour)
    outcome = broker_at(venue.url).submit(one_order)
    assert isinstance(outcome, Unknown)
    assert outcome.cause is cause
    assert venue.requests in ([], ["POST /v2/orders HTTP/1.1"])


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((401, {"message": "unauthorized."}), RefusalKind.AUTH),
        ((401, HTML), RefusalKind.AUTH),
        ((422, VENUE_SAYS), RefusalKind.INVALID),
        ((429, {"message": "too many requests."}), RefusalKind.RATE_LIMITED),
        ((429, HTML), RefusalKind.RATE_LIMITED),
        ((422, {"code": 40010001, "message": "client_order_id must be unique"}), RefusalKind.DUPLICATE_CLIENT_ORDER_ID),
    ],
)
def test_submit_is_refused_once_when_the_venue_says_no(raw_venue, broker_at, one_order, reply, kind):
    """A refusal of the venue is final for this order: nothing is sent again, not even on 429."""
    venue = raw_venue(reply)
    outcome = broker_at(venue.url).submit(one_order)
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.http_status) == (kind, reply[0])
    assert len(venue.requests) == 1


def test_submit_does_not_follow_a_504_with_a_second_order(raw_venue, broker_at, one_order, order_body):
    """The client's own three retries are off: a reply that would come to the second POST is never asked for."""
    venue = raw_venue((504, ""), (200, order_body()))
    assert isinstance(broker_at(venue.url).submit(one_order), Unknown)
    assert len(venue.requests) == 1


def test_submit_is_not_sent_when_nobody_listens(broker_at, one_order):
    """A refused connection proves that no order left."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    outcome = broker_at(f"http://127.0.0.1:{port}").submit(one_order)
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.http_status) == (RefusalKind.NOT_SENT, None)


def test_submit_keeps_an_order_whose_status_is_new_to_us(raw_venue, broker_at, one_order, order_body):
    """A status word, an enum and a field of a newer venue neither lose the order nor raise."""
    venue = raw_venue((200, order_body(status="quantum_superposed", order_class="hydra", invented={"a": 1})))
    outcome = broker_at(venue.url).submit(one_order)
    assert isinstance(outcome, Accepted)
    assert (outcome.order.status, outcome.order.raw_status) == (OrderStatus.UNKNOWN_OPEN, "quantum_superposed")
    assert outcome.order.is_open


def test_submit_is_unknown_when_the_reply_is_about_another_order(raw_venue, broker_at, one_order, order_body):
    """A reply with somebody else's client_order_id proves nothing about ours."""
    venue = raw_venue((200, order_body(client_order_id="not-ours")))
    assert isinstance(broker_at(venue.url).submit(one_order), Unknown)


def test_submit_says_how_long_to_wait_when_rate_limited(raw_venue, broker_at, one_order):
    """The time of the limit's reset travels with the refusal, bounded to a minute."""
    venue = raw_venue((429, {"message": "too many requests."}, {"Retry-After": "7"}))
    outcome = broker_at(venue.url).submit(one_order)
    assert isinstance(outcome, Refused)
    assert outcome.extras == {"retry_after_seconds": 7.0}


def test_submit_works_again_on_a_new_connection_when_the_last_one_died(raw_venue, broker_at, one_order, order_body):
    """A cut connection leaves no poison behind in the session."""
    venue = raw_venue("drip_body", (200, order_body()))
    broker = broker_at(venue.url)
    assert isinstance(broker.submit(one_order), Unknown)
    assert isinstance(broker.submit(one_order), Accepted)


def test_submit_ignores_the_environments_proxy_when_the_venue_is_local(
    raw_venue, broker_at, one_order, order_body, monkeypatch
):
    """Loopback is spoken to directly, whatever HTTP_PROXY says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert isinstance(broker_at(raw_venue((200, order_body())).url).submit(one_order), Accepted)


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ((204, ""), CancelRequested),
        ((404, {"code": 40410000, "message": "order not found"}), Refused),
        ((422, {"code": 42210000, "message": "order is not cancelable"}), Refused),
        ((504, ""), Unknown),
        ("hang", Unknown),
        ("reset_after_read", Unknown),
    ],
)
def test_cancel_asks_once_and_names_its_outcome(raw_venue, broker_at, behaviour, expected):
    """A cancel is sent once and ends as one of three values."""
    venue = raw_venue(behaviour)
    assert isinstance(broker_at(venue.url).cancel("61e69015-8549-4bfd-b9c3-01e75843f47d"), expected)
    assert venue.requests == ["DELETE /v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d HTTP/1.1"]


CLOCK = {
    "timestamp": "2024-03-08T10:00:00.123456789-05:00",
    "is_open": True,
    "next_open": "2024-03-11T09:30:00-04:00",
    "next_close": "2024-03-08T16:00:00-05:00",
}


@pytest.mark.parametrize(
    "passing", ["hang", "reset_after_read", "truncated", (504, ""), (502, HTML), (200, '{"timest'), (429, HTML)]
)
def test_read_is_repeated_when_the_fault_passes(raw_venue, broker_at, passing):
    """A read survives a passing fault, because asking twice changes nothing."""
    venue = raw_venue(passing, (200, CLOCK))
    clock = broker_at(venue.url).clock()
    assert clock.at == dt.datetime(2024, 3, 8, 15, 0, 0, 123456, tzinfo=dt.UTC)
    assert clock.next_open == dt.datetime(2024, 3, 11, 13, 30, tzinfo=dt.UTC)
    assert len(venue.requests) == 2


@pytest.mark.parametrize(
    ("fault", "code", "kind"),
    [
        ("drip_head", "E802", UnknownCause.TIMEOUT),
        ((503, HTML), "E802", UnknownCause.SERVER_ERROR),
        ((200, "[1"), "E803", UnknownCause.BAD_BODY),
    ],
)
def test_read_gives_up_when_the_fault_stays(raw_venue, broker_at, fault, code, kind):
    """A read ends after its attempts with a typed error, never with an empty answer."""
    venue = raw_venue(fault)
    with pytest.raises(BrokerError) as caught:
        broker_at(venue.url).positions()
    assert (caught.value.code, caught.value.evidence["kind"]) == (code, kind)
    assert len(venue.requests) == 3


@pytest.mark.parametrize(
    ("reply", "code", "kind"),
    [
        ((401, {"message": "unauthorized."}), "E801", RefusalKind.AUTH),
        ((403, {"message": "forbidden."}), "E801", RefusalKind.AUTH),
        ((302, "", {"Location": "/login"}), "E803", UnknownCause.REDIRECT),
    ],
)
def test_read_is_not_repeated_when_the_venue_means_it(raw_venue, broker_at, reply, code, kind):
    """Wrong keys and wrong addresses do not pass by asking again."""
    venue = raw_venue(reply)
    with pytest.raises(BrokerError) as caught:
        broker_at(venue.url).account()
    assert (caught.value.code, caught.value.evidence["kind"]) == (code, kind)
    assert len(venue.requests) == 1


def test_order_lookup_is_none_only_when_the_venue_says_so(raw_venue, broker_at):
    """A 404 of something in between is not a statement that the order does not exist."""
    says_none = raw_venue((404, {"code": 40410000, "message": "order not found for lt1-one"}))
    assert broker_at(says_none.url).order_by_client_id("lt1-one") is None
    with pytest.raises(BrokerError):
        broker_at(raw_venue((404, HTML)).url).order_by_client_id("lt1-one")


@pytest.mark.parametrize("body", [{}, "null", [1], {"a": 1}])
def test_positions_are_an_error_when_the_reply_is_no_list_of_them(raw_venue, broker_at, body):
    """Missing is not flat."""
    with pytest.raises(BrokerError):
        broker_at(raw_venue((200, body)).url).positions()


def test_secrets_are_shown_nowhere_when_the_venue_echoes_them(raw_venue, broker_at, one_order):
    """Keys in a reply do not reach messages, errors or reprs."""
    echo = {"code": 40310000, "message": "forbidden for PKTESTKEY000 with sssecret-of-tests"}
    broker = broker_at(raw_venue((403, echo)).url)
    outcome = broker.submit(one_order)
    with pytest.raises(BrokerError) as caught:
        broker.account()
    shown = f"{outcome!r} {caught.value} {caught.value.to_dict()} {broker!r} {vars(broker)}"
    assert "sssecret" not in shown
    assert "PKTESTKEY" not in shown
    assert "***" in shown


def test_amount_is_refused_unsent_when_a_float_cannot_carry_it(raw_venue, broker_at, one_order):
    """alpaca-py sends floats; a quantity with more digits than that is refused here, not rounded."""
    venue = raw_venue((200, {}))
    fat = type(one_order)("lt1-one", "AAPL", one_order.side, qty=Decimal("123456789012.123456789"))
    outcome = broker_at(venue.url).submit(fat)
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.http_status) == (RefusalKind.INVALID, None)
    assert venue.requests == []


def test_read_is_not_repeated_when_the_venue_asks_for_a_long_wait(raw_venue, broker_at):
    """A minute's wait is the caller's to plan, not a sleep inside a read."""
    venue = raw_venue((429, {"message": "too many requests."}, {"Retry-After": "60"}))
    with pytest.raises(BrokerError) as caught:
        broker_at(venue.url).clock()
    assert caught.value.evidence["kind"] is RefusalKind.RATE_LIMITED
    assert len(venue.requests) == 1


def test_nothing_is_sent_when_our_own_budget_is_spent(raw_venue, order_body, one_order):
    """A spent budget refuses orders and reads before they leave, and says that it was us."""
    venue = raw_venue((200, order_body()))
    budget = RequestBudget(1, monotonic=lambda: 0.0, sleep=lambda _: None)
    assert budget.spend(Priority.CANCEL, patience_seconds=0)
    broker = AlpacaBroker(
        Endpoint(Venue.LOCAL, venue.url, venue.url, venue.url, venue.url), Credentials.of("k", "s"), budget=budget
    )
    outcome = broker.submit(one_order)
    assert isinstance(outcome, Refused)
    assert (outcome.kind, outcome.http_status) == (RefusalKind.RATE_BUDGET, None)
    with pytest.raises(BrokerError) as caught:
        broker.positions()
    assert caught.value.evidence["kind"] is RefusalKind.RATE_BUDGET
    assert venue.requests == []


def test_kill_switch_can_cancel_while_another_thread_waits(raw_venue, broker_at, one_order):
    """Threads have connections of their own: a cancel goes out while an order hangs."""
    venue = raw_venue("hang", (204, ""))
    broker = broker_at(venue.url)
    outcomes: list[object] = []
    sender = threading.Thread(target=lambda: outcomes.append(broker.submit(one_order)))
    sender.start()
    assert venue.seen.wait(10)
    assert broker.cancel("61e69015-8549-4bfd-b9c3-01e75843f47d") == CancelRequested()
    sender.join()
    assert isinstance(outcomes[0], Unknown)
