from __future__ import annotations

from itertools import product

import pytest

from trader_sdk.exchange.lifecycle import TRANSITIONS, IllegalTransition, OrderEventKind, transition
from trader_sdk.exchange.values import TERMINAL, OrderStatus


def test_lifecycle_table_answers_every_pair() -> None:
    """Each of the eighteen states says of each event where it leads or that it cannot happen."""
    assert set(TRANSITIONS) == set(product(OrderStatus, OrderEventKind))


@pytest.mark.parametrize("kind", OrderEventKind)
@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_lifecycle_has_no_way_out_of_a_terminal_state(status: OrderStatus, kind: OrderEventKind) -> None:
    """Nothing happens to an order that is done."""
    with pytest.raises(IllegalTransition, match=status):
        transition(status, kind)


def test_lifecycle_leads_from_every_open_state_to_an_end() -> None:
    """No order can be stuck: each open state reaches a terminal one."""
    for status in set(OrderStatus) - TERMINAL:
        reached = {TRANSITIONS[status, kind] for kind in OrderEventKind}
        assert reached & TERMINAL, status


def test_lifecycle_fills_only_what_works() -> None:
    """A fill needs an order that is at the market, never one that is still being accepted."""
    filled_from = {status for status in OrderStatus if TRANSITIONS[status, OrderEventKind.FILL] is not None}
    assert filled_from == {
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.STOPPED,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_REPLACE,
    }
