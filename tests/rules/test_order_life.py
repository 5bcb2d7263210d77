"""The order's transition table, merging, and ids."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.orders import (
    EVENT_STATUS,
    RANK,
    TERMINAL,
    TRANSITIONS,
    OrderEvent,
    OrderKey,
    OrderReport,
    OrderState,
    OrderStatus,
    client_order_id,
    fill_between,
    is_ours,
    merge,
)

PAIRS = list(product(OrderStatus, OrderEvent))


def test_transition_table_is_total() -> None:
    """Every status has an answer to every event."""
    assert set(TRANSITIONS) == set(PAIRS)
    assert set(EVENT_STATUS) == set(OrderEvent)


@pytest.mark.parametrize(("status", "event"), PAIRS)
def test_transition_never_goes_back_and_leaves_ends_alone(status: OrderStatus, event: OrderEvent) -> None:
    """Rank only climbs; a terminal order changes for a complete fill and for nothing else."""
    after = TRANSITIONS[status, event]
    assert RANK[after] >= RANK[status]
    if status in TERMINAL:
        assert after in (status, OrderStatus.FILLED)
        assert (after is status) or event is OrderEvent.FILLED_ALL


@pytest.mark.parametrize("status", [OrderStatus.ACKED, OrderStatus.LIVE, OrderStatus.PARTIAL])
def test_order_is_not_abandoned_when_the_venue_had_it(status: OrderStatus) -> None:
    """A look-up that finds nothing proves nothing about an order the venue has acknowledged."""
    assert TRANSITIONS[status, OrderEvent.NOT_FOUND] is status


def test_order_is_abandoned_when_it_was_never_received() -> None:
    """A durable or unknown order that is looked for in vain is buried."""
    for status in (OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN):
        assert TRANSITIONS[status, OrderEvent.NOT_FOUND] is OrderStatus.ABANDONED


def fills(*quantities: int) -> list[OrderReport]:
    """Return the reports of an order of 10 that fills in steps at rising prices."""
    return [
        OrderReport(
            OrderEvent.FILLED_ALL if qty == 10 else OrderEvent.FILLED_PART, Decimal(qty), Decimal(100 + qty), "b1"
        )
        for qty in quantities
    ]


STORY = [OrderReport(OrderEvent.SENT), OrderReport(OrderEvent.ACKNOWLEDGED, broker_order_id="b1"), *fills(3, 7, 10)]


@pytest.mark.parametrize("order", list(permutations(STORY)), ids=str)
def test_merge_gives_one_result_when_reports_come_in_any_order(order: tuple[OrderReport, ...]) -> None:
    """All orders of arrival, and everything twice, end in the same state."""
    state = OrderState(OrderStatus.INTENT)
    for report in (*order, *reversed(order)):
        state = merge(state, report)
    assert (state.status, state.filled_qty, state.filled_avg_price) == (OrderStatus.FILLED, Decimal(10), Decimal(110))


REPORTS = st.builds(
    OrderReport,
    st.sampled_from(OrderEvent),
    st.integers(0, 10).map(Decimal),
    st.just(Decimal(100)),
)


@given(st.lists(REPORTS, max_size=8))
def test_merge_books_each_share_once_whatever_is_reported(reports: list[OrderReport]) -> None:
    """The booked deltas add up to the largest cumulative quantity, and merging again changes nothing."""
    state, booked = OrderState(OrderStatus.INTENT), Decimal(0)
    for report in reports:
        after = merge(state, report)
        delta = fill_between(state, after)
        booked += delta.qty if delta is not None else 0
        assert merge(after, report) == after
        state = after
    assert booked == max((report.filled_qty for report in reports), default=Decimal(0)) == state.filled_qty


def test_fill_between_prices_the_new_part_so_that_costs_add_up() -> None:
    """Ten at an average of 12 after four at 9 means six at 14."""
    before, after = (
        OrderState(filled_qty=Decimal(4), filled_avg_price=Decimal(9)),
        OrderState(filled_qty=Decimal(10), filled_avg_price=Decimal(12)),
    )
    delta = fill_between(before, after)
    assert delta is not None
    assert (delta.qty, delta.price, delta.cum_qty) == (6, 14, 10)


KEYS = st.builds(
    OrderKey,
    account=st.text(min_size=1, max_size=36),
    mode=st.sampled_from(("PAPER-LOCAL", "PAPER-ALPACA", "LIVE")),
    strategy=st.from_regex(r"[A-Za-z0-9]{1,6}", fullmatch=True),
    epoch=st.integers(0, 1_600_000),
    symbol=st.from_regex(r"[A-Z0-9][A-Z0-9./-]{0,19}", fullmatch=True),
    bar_at=st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 10**9),
    attempt=st.integers(0, 9),
)


@given(KEYS)
def test_client_order_id_is_legal_and_deterministic_for_any_key(key: OrderKey) -> None:
    """At most 48 of [A-Za-z0-9-], the same every time, and recognised as ours."""
    made = client_order_id(key)
    assert re.fullmatch(r"lt1-[A-Za-z0-9-]{1,44}", made)
    assert made == client_order_id(key)
    assert is_ours(made, key.strategy)
    assert not is_ours(made, "other1")


@given(KEYS, KEYS)
def test_client_order_id_differs_when_anything_that_is_hashed_differs(one: OrderKey, other: OrderKey) -> None:
    """Account, mode, strategy, symbol, bar, leg and attempt all change the id."""
    parts = [(k.account, k.mode, k.strategy, k.symbol, k.bar_at, k.leg, k.attempt) for k in (one, other)]
    if parts[0] != parts[1]:
        assert client_order_id(one) != client_order_id(other)
