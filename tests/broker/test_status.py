"""Order states: every pair of reports, in both orders."""

from __future__ import annotations

import itertools

import pytest
from alpaca.trading.enums import OrderStatus as AlpacaOrderStatus

from trader_sdk.broker.parsing import parse_order
from trader_sdk.broker.status import STATUS_RANKS, OrderStatus, merge_status, parse_status

PAIRS = list(itertools.product(OrderStatus, repeat=2))


def test_status_knows_every_word_of_the_client():
    """The client's eighteen words are ours, and ours are no more than those and UNKNOWN_OPEN."""
    assert {status.value for status in AlpacaOrderStatus} == {status.value for status in OrderStatus} - {"unknown_open"}
    assert all(parse_status(word.value).value == word.value for word in AlpacaOrderStatus)
    assert set(STATUS_RANKS) == set(OrderStatus)


@pytest.mark.parametrize(("known", "seen"), PAIRS)
def test_merge_never_goes_back_when_reports_are_reordered(known, seen):
    """The rank never falls, and a terminal state stays, unless a fill is the later truth."""
    merged = merge_status(known, seen)
    assert merged in (known, seen)
    assert merged.rank == max(known.rank, seen.rank)
    if known.is_terminal:
        assert merged in (known, OrderStatus.FILLED)


@pytest.mark.parametrize(("known", "seen"), PAIRS)
def test_merge_gives_one_rank_when_the_order_of_reports_changes(known, seen):
    """Two reports give the same rank and the same openness in whatever order they arrive."""
    assert merge_status(known, seen).is_terminal == merge_status(seen, known).is_terminal
    assert merge_status(known, seen).rank == merge_status(seen, known).rank


def test_merged_order_keeps_the_larger_fill_when_a_cancel_overtakes_it(order_body):
    """A fill that arrives after the cancel counts; the order stays canceled."""
    canceled = parse_order(order_body(status="canceled", filled_qty="2", filled_avg_price="10"))
    late = parse_order(order_body(status="partially_filled", filled_qty="5", filled_avg_price="11"))
    for merged in (canceled.merged(late), late.merged(canceled)):
        assert (merged.status, merged.raw_status) == (OrderStatus.CANCELED, "canceled")
        assert (merged.filled_qty, merged.filled_avg_price) == (late.filled_qty, late.filled_avg_price)


def test_merged_order_keeps_its_chain_when_a_report_lacks_it(order_body):
    """Links of a replace chain are not lost by a report without them."""
    replaced = parse_order(order_body(status="replaced", replaced_by="next"))
    assert replaced.merged(parse_order(order_body(status="new"))).replaced_by == "next"
