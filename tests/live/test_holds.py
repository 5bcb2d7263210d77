"""ACTIVE, REDUCING and HALTED as the sum of persisted holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft
from trader_sdk.live.holds import Cause, Hold, StateKeeper, folded, gravest, is_graver, lifting
from trader_sdk.live.journal import Journal, Stamp, read_events
from trader_sdk.live.ledger import Ledger, fold
from trader_sdk.risk import TradingState

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
STAMP = Stamp("a1", "PAPER-ALPACA", "r1")
HOLDS = st.builds(
    lambda cause, symbol, minutes: Hold(cause, cause.state, AT + timedelta(minutes=minutes), "why", symbol),
    st.sampled_from(Cause),
    st.sampled_from([None, "AAPL", "MSFT"]),
    st.integers(0, 100),
)


class Desk:
    """Commits to a journal, as the order desk does."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Append."""
        self._journal.append(drafts)


def keeper(journal: Journal) -> StateKeeper:
    """Return a keeper on a journal alone."""
    return StateKeeper(Desk(journal), journal)


def test_state_is_that_of_the_gravest_hold_and_outlives_a_restart(tmp_path: Path) -> None:
    """Two causes for the account, one for a symbol; the journal read again says the same."""
    with Journal.open(tmp_path, STAMP) as journal:
        states = keeper(journal)
        states.hold(Cause.ORDER_MISMATCH, "qty", AT)
        states.hold(Cause.MODEL_LOSS, "3 % in a day", AT, symbol="AAPL")
        assert states.hold(Cause.DRAWDOWN, "15 %", AT + timedelta(minutes=1))
        assert not states.hold(Cause.DRAWDOWN, "16 %", AT + timedelta(minutes=2))
    ledger = fold(read_events(tmp_path))
    assert (ledger.state, ledger.state_cause) == (TradingState.HALTED, "DRAWDOWN: 15 %")
    assert ledger.exits_only == {"AAPL"}
    assert [hold.since for hold in ledger.holds] == [AT, AT, AT + timedelta(minutes=1)]


@pytest.mark.parametrize("halted_first", [True, False])
def test_one_cause_asked_for_twice_keeps_the_graver_state_and_the_closing(tmp_path: Path, halted_first: bool) -> None:
    """`halt` and `flatten`, in either order: HALTED, and the positions are still to be closed."""
    asked = [(TradingState.HALTED, False), (TradingState.REDUCING, True)]
    with Journal.open(tmp_path, STAMP) as journal:
        states = keeper(journal)
        for state, flatten in asked if halted_first else asked[::-1]:
            assert states.hold(Cause.OPERATOR, "so", AT, state=state, flatten=flatten)
        assert not states.hold(Cause.OPERATOR, "again", AT, state=TradingState.REDUCING)
    (held,) = fold(read_events(tmp_path)).holds
    assert (held.state, held.flatten) == (TradingState.HALTED, True)


def test_resume_lifts_nothing_while_one_cause_still_holds(tmp_path: Path) -> None:
    """A refusal names the cause; once it is cured the same call lifts all of them and says who and why."""
    with Journal.open(tmp_path, STAMP) as journal:
        states = keeper(journal)
        states.hold(Cause.CID_COLLISION, "lt1-x", AT)
        states.hold(Cause.OPERATOR, "lunch", AT, symbol="AAPL")
        states.checks[Cause.CID_COLLISION] = lambda _: "the order still lives"
        still = states.resume(AT, symbol=None, who="ann", why="checked")
        assert {hold.cause: reason for hold, reason in still.items()} == {Cause.CID_COLLISION: "the order still lives"}
        assert journal.ledger.state is TradingState.HALTED
        assert states.resume(AT, symbol="AAPL", who="ann", why="back") == {}
        assert journal.ledger.state_of("AAPL") is TradingState.HALTED
        states.checks.clear()
        assert states.resume(AT, symbol=None, who="ann", why="checked") == {}
        assert (journal.ledger.state, journal.ledger.exits_only) == (TradingState.ACTIVE, frozenset())
    newest = read_events(tmp_path)[-1]
    assert (newest.body["who"], newest.body["cause"], newest.body["lifts"]) == ("ann", "checked", ["CID_COLLISION"])


@given(holds=st.lists(HOLDS, max_size=8), chosen=st.integers(0, 255))
def test_lifting_takes_away_exactly_what_was_named(holds: list[Hold], chosen: int) -> None:
    """Whatever stands, lifting some leaves the others, and each entry states what is left of its scope."""
    standing: list[Hold] = []
    for hold in holds:
        standing = folded(standing, hold.draft().body, hold.since)
    lifted = [hold for index, hold in enumerate(standing) if chosen >> index & 1]
    after = standing
    for draft in lifting(standing, lifted, AT, who="ann", why="so"):
        after = folded(after, draft.body, AT)
        left = gravest(hold for hold in after if hold.symbol == draft.body["symbol"])
        assert draft.body["state"] == (TradingState.ACTIVE if left is None else left.state)
    assert after == [hold for hold in standing if hold not in lifted]
    worst = gravest(standing)
    assert all(worst is not None and not is_graver(hold.state, worst.state) for hold in standing)


@pytest.mark.parametrize(
    ("cause", "expected"),
    [("halt was called", Cause.OPERATOR), ("AUTH: the venue no longer accepts our keys", Cause.AUTH)],
)
def test_entries_of_earlier_journals_are_understood(tmp_path: Path, cause: str, expected: Cause) -> None:
    """Before holds there was one state and a text; ACTIVE lifted all of it."""
    ledger = Ledger()
    with Journal.open(tmp_path, STAMP) as journal:
        for state, text in (("HALTED", cause), ("ACTIVE", "cured")):
            for entry in journal.append([Draft(JournalEvent.STATE_CHANGED, AT, {"state": state, "cause": text})]):
                ledger.apply(entry)
            assert [hold.cause for hold in ledger.holds] == ([expected] if state == "HALTED" else [])
