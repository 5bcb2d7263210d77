"""The classification table, row by row."""

from __future__ import annotations

import pytest

from trader_sdk.broker.port import RefusalKind, UnknownCause
from trader_sdk.broker.replies import RULES, classify, failure_of

VENUE_REPLIES = [
    (401, 40110000, "request is not authorized", RefusalKind.AUTH),
    (401, None, "unauthorized.", RefusalKind.AUTH),
    (403, None, "forbidden.", RefusalKind.AUTH),
    (403, 40310000, "insufficient buying power", RefusalKind.BUYING_POWER),
    (403, 40310000, "insufficient balance for USD (requested: 10, available: 5)", RefusalKind.BUYING_POWER),
    (403, 40310000, "insufficient balance for BTC (requested: 1, available: 0)", RefusalKind.INSUFFICIENT_QTY),
    (
        403,
        40310000,
        "insufficient qty available for order (requested: 5, available: 0)",
        RefusalKind.INSUFFICIENT_QTY,
    ),
    (403, 40310000, "potential wash trade detected. use complex orders", RefusalKind.WASH_TRADE),
    (422, 42210000, "potential wash trade detected. use complex orders", RefusalKind.WASH_TRADE),
    (403, 40310000, "cannot open a long buy while a short sell order is open", RefusalKind.WASH_TRADE),
    (403, 40310000, "account is not allowed to short", RefusalKind.NOT_SHORTABLE),
    (422, 42210000, "fractional orders cannot be sold short", RefusalKind.NOT_SHORTABLE),
    (422, 42210000, "asset AAPL cannot be sold short", RefusalKind.NOT_SHORTABLE),
    (422, 42210000, "asset AAPL is not tradable", RefusalKind.NOT_TRADABLE),
    (422, 42210000, "asset AAPL is not active", RefusalKind.NOT_TRADABLE),
    (403, 40310000, "asset HARD is not fractionable", RefusalKind.INVALID),
    (403, 40310000, "cost basis must be >= minimal amount of order 10", RefusalKind.INVALID),
    (403, 40310000, "notional amount must be >= 1.00", RefusalKind.INVALID),
    (403, 40310100, "trade denied due to pattern day trading protection", RefusalKind.FORBIDDEN),
    (403, 40310000, "something the venue thought of yesterday", RefusalKind.FORBIDDEN),
    (404, 40410000, "asset not found for NOPE", RefusalKind.NOT_TRADABLE),
    (404, 40410000, "order not found for 1", RefusalKind.NOT_FOUND),
    (404, 40410000, "position does not exist", RefusalKind.NOT_FOUND),
    (422, 40010001, "client_order_id must be unique", RefusalKind.DUPLICATE_CLIENT_ORDER_ID),
    (422, 40010001, "qty is required", RefusalKind.INVALID),
    (422, 42210000, "fractional orders must be DAY orders", RefusalKind.INVALID),
    (422, 42210000, "order is not cancelable", RefusalKind.NOT_CANCELABLE),
    (422, 42210000, 'order is already in "filled" state', RefusalKind.NOT_CANCELABLE),
    (400, 40010000, "request body format is invalid", RefusalKind.INVALID),
    (429, None, "too many requests.", RefusalKind.RATE_LIMITED),
]


@pytest.mark.parametrize(("status", "code", "message", "kind"), VENUE_REPLIES)
def test_classification_names_the_refusal_when_the_venue_gives_it(status, code, message, kind):
    """Each documented refusal has its name."""
    assert classify(status, code, message, from_venue=True) is kind


def test_classification_is_never_certain_when_the_venue_did_not_speak():
    """Over every status of 400 and more: without the venue's JSON only 401 and 429 are certain."""
    certain = {
        status
        for status in range(400, 600)
        if isinstance(classify(status, None, "<html>", from_venue=False), RefusalKind)
    }
    assert certain == {401, 429}


def test_classification_is_never_certain_when_the_status_is_not_in_the_table():
    """Over every status: certainty only where the table says so, and never on 5xx."""
    listed = {rule.http_status for rule in RULES}
    for status in range(400, 600):
        certain = isinstance(classify(status, None, "", from_venue=True), RefusalKind)
        assert certain == (status in listed)
        assert not (certain and status >= 500)


def test_every_rule_can_be_reached_when_read_in_order():
    """No row stands behind a more general one."""
    for rule in RULES:
        code = rule.code if rule.code is not None else 1
        assert classify(rule.http_status, code, rule.contains, from_venue=True) is rule.kind


@pytest.mark.parametrize("text", ["", "<html>", "[1]", "7", "null", '{"message": 7}', "[" * 100_000, '{"code": 1'])
def test_failure_does_not_raise_when_the_body_is_not_the_venues(text):
    """Whatever stands in a body, reading it gives a value."""
    failure = failure_of(403, text, {}, now_unix_seconds=0.0)
    assert failure.meaning is UnknownCause.BAD_BODY
    assert len(failure.message) <= 300


def test_failure_keeps_the_fields_that_help_when_a_wash_trade_is_refused():
    """The order that is in the way travels with the refusal."""
    text = '{"code": 40310000, "message": "potential wash trade detected", "existing_order_id": "e1"}'
    failure = failure_of(403, text, {}, now_unix_seconds=0.0)
    assert (failure.meaning, failure.extras) == (RefusalKind.WASH_TRADE, {"existing_order_id": "e1"})


@pytest.mark.parametrize(
    ("headers", "extras"),
    [
        ({"X-RateLimit-Reset": "1010"}, {"retry_after_seconds": 10.0}),
        ({"X-RateLimit-Reset": "900"}, {"retry_after_seconds": 0.0}),
        ({"X-RateLimit-Reset": "99999"}, {"retry_after_seconds": 60.0}),
        ({"X-RateLimit-Reset": "soon"}, {}),
        ({"Retry-After": "3", "X-RateLimit-Reset": "1010"}, {"retry_after_seconds": 3.0}),
        ({}, {}),
    ],
)
def test_failure_bounds_the_wait_when_rate_limited(headers, extras):
    """A wait comes from the headers, is never negative and never longer than a minute."""
    assert failure_of(429, "{}", headers, now_unix_seconds=1000.0).extras == extras
