"""The request budget on a clock of its own."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.broker.port import Priority
from trader_sdk.broker.request_budget import RESERVED_FRACTIONS, RequestBudget


class Clock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def budget_on(clock: Clock, per_minute: int | None) -> RequestBudget:
    """Return a budget that reads and sleeps on ``clock``."""
    return RequestBudget(per_minute, monotonic=clock, sleep=clock.sleep)


@given(
    st.integers(1, 300),
    st.lists(st.tuples(st.sampled_from(Priority), st.floats(0, 5), st.floats(0, 2)), max_size=300),
)
def test_budget_never_exceeds_the_limit_when_anybody_asks_at_any_time(per_minute, asks):
    """In no 60 seconds are more requests let through than the venue allows."""
    clock = Clock()
    budget = budget_on(clock, per_minute)
    sent = []
    for priority, pause, patience in asks:
        clock.sleep(pause)
        if budget.spend(priority, patience_seconds=patience):
            sent.append(clock.now)
    for first, start in enumerate(sent):
        assert sum(at < start + 60 for at in sent[first:]) <= max(per_minute, 1)


@pytest.mark.parametrize(("urgent", "patient"), list(itertools.pairwise(Priority)))
def test_budget_lets_the_urgent_go_when_it_is_used_up_for_others(urgent, patient):
    """Each rank finds tokens that the next one may not touch."""
    clock = Clock()
    budget = budget_on(clock, 200)
    while budget.spend(patient, patience_seconds=0):
        pass
    assert not budget.spend(patient, patience_seconds=0)
    assert budget.spend(urgent, patience_seconds=0)


def test_budget_reserves_are_written_for_every_rank():
    """The table is total and falls strictly with urgency."""
    assert list(RESERVED_FRACTIONS) == list(Priority)
    assert sorted(RESERVED_FRACTIONS.values()) == list(RESERVED_FRACTIONS.values())


def test_budget_waits_no_longer_than_told_when_it_is_empty():
    """Patience is a bound: a longer wait is refused at once, a shorter one is waited for."""
    clock = Clock()
    budget = budget_on(clock, 60)
    budget.drain()
    wait = budget.seconds_until(Priority.CANCEL)
    assert not budget.spend(Priority.CANCEL, patience_seconds=wait / 2)
    assert clock.now == 0
    assert budget.spend(Priority.CANCEL, patience_seconds=wait * 1.01)
    assert clock.now == pytest.approx(wait)


def test_budget_does_not_count_when_the_venue_has_no_limit():
    """A local exchange is not slowed down."""
    clock = Clock()
    budget = budget_on(clock, None)
    budget.drain()
    assert all(budget.spend(Priority.DATA, patience_seconds=0) for _ in range(1000))
    assert budget.seconds_until(Priority.DATA) == 0
