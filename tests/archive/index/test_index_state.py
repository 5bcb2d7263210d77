"""The index says what the chain says: every answer equals the fold's, after every record, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader_sdk.archive.index.archive_index import ArchiveIndex, Step
from trader_sdk.archive.slots import ArchiveState, FoldedState, SlotKey, fold
from trader_sdk.archive.trials import Judged
from trader_sdk.contract.audit import AuditKind
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.timeframe import Timeframe

Chain = Any
"""The builder of conftest.py, which cannot be imported from here."""
SYMBOLS = ("AAPL", "BTC/USD", "never judged")
POLICIES = range(1, 5)
DATA = (None, "d", "e", "d1", "e1", "e2")
LOOKS = (
    None,
    Judged(f"sha256:{64 * 'd'}", "2026-01-01T00:00:00Z", "2026-01-01T15:00:00Z"),
    Judged(f"sha256:{64 * 'f'}", "2026-01-01T20:59:00Z", "2026-01-03T00:00:00Z"),
    Judged(f"sha256:{64 * 'f'}", "2026-01-02T21:00:00Z", "2026-01-03T00:00:00Z"),
)


def key_of(symbol: str) -> SlotKey:
    return SlotKey(symbol, Timeframe.DAY_1)


def slot_answers(state: ArchiveState, key: SlotKey) -> Iterator[Any]:
    """Yield every answer about one slot."""
    yield state.slot(key)
    yield state.champion(key)
    yield state.champion_verdict(key)
    yield state.pointers(key)
    yield list(state.newest_first(key))
    yield [state.verdicts_of(key, limit) for limit in (None, 0, 1, 3)]
    yield state.history(key.symbol)
    yield [state.trials(key, look) for look in LOOKS]
    for policy in POLICIES:
        yield state.newest_verdict(key, f"m-{policy}")
        yield [state.newest_verdict(key, f"m-{policy}", f"sha256:{other:064x}") for other in POLICIES]


def answers(state: ArchiveState) -> list[Any]:
    """Return every answer a state gives; what is asked one by one comes before what is read whole."""
    found: list[Any] = [answer for symbol in SYMBOLS for answer in slot_answers(state, key_of(symbol))]
    names = [f"m-{policy}" for policy in POLICIES] + [f"sha256:{policy:064x}" for policy in POLICIES]
    found += [state.recall_of(name) for name in names] + [state.recall_of(*names), state.recall_of("")]
    found += [state.runs.get("20991231_000000"), state.verdicts.get("nobody"), state.overrides.get("nobody")]
    found.append(state.keys())
    for one_by_one in (True, False):
        for whole in (state.runs, state.verdicts, state.overrides, state.slots):
            keys = list(whole)
            found.append([whole[name] for name in keys] if one_by_one else dict(whole))
    found += [state.verdicts_in(run) for run in state.runs]
    found.append(list(state.recalls))
    return found


steps = st.one_of(
    st.tuples(
        st.just("run"),
        st.lists(
            st.tuples(
                st.sampled_from(SYMBOLS[:2]),
                st.sampled_from(("APPROVED", "REVIEW", "DROP")),
                st.sampled_from(POLICIES),
                st.sampled_from(DATA),
            ),
            max_size=2,
            unique_by=lambda model: model[0],
        ),
    ),
    st.tuples(st.just("promote"), st.sampled_from(SYMBOLS[:2]), st.sampled_from(POLICIES)),
    st.tuples(st.just("override"), st.integers(0, 5)),
    st.tuples(st.just("recall"), st.lists(st.sampled_from(("m-1", "m-2", f"sha256:{3:064x}")), min_size=1)),
    st.tuples(st.just("reset")),
)


def take(chain: Chain, step: tuple[Any, ...]) -> None:
    """Write one step of a generated history."""
    match step:
        case ("run", models):
            chain.run(*models)
        case ("promote", symbol, policy):
            chain.promote(symbol, policy)
        case ("override", which):
            ids = ["AAPL_1Day/nobody", *fold(chain.records).verdicts]
            chain.override(ids[which % len(ids)], why=f"record {len(chain.records)}")
        case ("recall", names):
            chain.recall(*names)
        case _:
            chain.add(AuditKind.RESET, {"what": "nothing that is asked for"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=1, max_size=12))
def test_index_answers_as_the_fold_does_after_every_record(
    chain_in: type[Chain], tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    """Any history: grown record by record the index equals the fold, and made at once it holds the same rows."""
    folder = tmp_path_factory.mktemp("index")
    chain, grown = chain_in(), ArchiveIndex(folder / "grown.sqlite")
    for step in history:
        take(chain, step)
        grown.follow(chain)
        with grown.state() as state:
            assert answers(state) == answers(fold(chain.records))
    made = ArchiveIndex(folder / "made.sqlite")
    made.rebuild(chain)
    assert made.dump() == grown.dump()
    for one in (made, grown):
        one.close()


def test_index_answers_as_the_fold_does_on_both_databases(chain: Chain, index: ArchiveIndex, some_runs: Any) -> None:
    """A bit of everything, first made at once, then grown, then made again: the same rows."""
    some_runs(chain)
    assert index.follow(chain).step is Step.REBUILT
    for step in (("run", [("AAPL", "APPROVED", 2, "d")]), ("run", []), ("override", 2), ("recall", ["m-2"])):
        take(chain, step)
        assert index.follow(chain).step is Step.CAUGHT_UP
    with index.state() as state:
        assert answers(state) == answers(fold(chain.records))
    grown = index.dump()
    index.rebuild(chain)
    assert index.dump() == grown


def test_state_is_of_one_moment(chain: Chain, index: ArchiveIndex, some_runs: Any) -> None:
    """What is committed after a look began is not seen by it; the next look sees it."""
    some_runs(chain)
    index.follow(chain)
    before = answers(fold(chain.records))
    with index.state() as state:
        assert len(state.runs) == 3
        chain.run(("AAPL", "APPROVED", 2, "d"))
        chain.recall("m-1")
        index.follow(chain)
        assert answers(state) == before
    with index.state() as state:
        assert answers(state) == answers(fold(chain.records))


def test_newest_first_reads_no_more_pages_than_are_asked_for(chain: Chain, index: ArchiveIndex) -> None:
    """Thousands of verdicts behind a slot cost nobody who wants the newest ones."""
    for number in range(60):
        chain.run(("AAPL", "DROP", number, None))
    index.follow(chain)
    with index.state() as state:
        newest = state.newest_first(key_of("AAPL"))
        assert [next(newest).version_id for _ in range(20)] == [f"m-{number}" for number in range(59, 39, -1)]
        assert len(list(newest)) == 40


@pytest.mark.parametrize("make", ["fold", "index"])
def test_chain_that_names_a_run_twice_is_refused(chain: Chain, make: str, index: ArchiveIndex) -> None:
    """One timestamp is one run, wherever the state is kept; the index stays as it was."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    index.follow(chain)
    before = index.dump()
    chain.add(AuditKind.RUN_ARCHIVED, chain.records[0].body)
    read = (lambda: fold(chain.records)) if make == "fold" else (lambda: index.follow(chain))
    with pytest.raises(ArchiveError) as caught:
        read()
    assert caught.value.code == "E606"
    assert index.dump() == before


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (AuditKind.RUN_ARCHIVED, {"timestamp": "20261121_093000"}),
        (AuditKind.PROMOTE, {"symbol": "AAPL", "timeframe": "2Day", "to": "m-1", "policy_sha256": ""}),
        (AuditKind.OVERRIDE, {"override": {"verdict": 1}}),
        (AuditKind.RECALL, {"names": 3, "why": "w"}),
    ],
)
def test_record_whose_body_says_nothing_is_a_broken_chain(chain: Chain, kind: AuditKind, body: dict[str, Any]) -> None:
    """Its digest holds, and yet nobody wrote it: typed, with its number."""
    chain.run(("AAPL", "APPROVED", 1, "d"))
    chain.add(kind, body)
    with pytest.raises(ArchiveError) as caught:
        fold(chain.records)
    assert (caught.value.code, caught.value.where) == ("E606", "record 2")


def test_run_that_judges_a_slot_twice_is_a_broken_chain(chain: Chain) -> None:
    """Trials count runs; two verdicts of one run about one slot cannot be told apart."""
    chain.run(("AAPL", "APPROVED", 1, "d"), ("AAPL", "DROP", 2, "d"))
    with pytest.raises(ArchiveError, match="twice"):
        fold(chain.records)


def test_order_is_the_chains_when_the_clock_goes_backwards(chain: Chain, index: ArchiveIndex) -> None:
    """Newest means committed last: an earlier time neither loses a run nor moves it."""
    from datetime import timedelta

    first = chain.run(("AAPL", "APPROVED", 1, "d"))
    at = chain.records[0].at - timedelta(days=400)
    second = chain.run(("AAPL", "APPROVED", 2, "d"), at=at)
    index.follow(chain)
    with index.state() as state:
        assert list(state.runs) == [first, second]
        assert [ref.run for ref in state.verdicts_of(key_of("AAPL"))] == [second, first]
        assert state.runs[second].at == at
        pointers = state.pointers(key_of("AAPL"))
        assert (pointers.champion.version_id, pointers.challenger.version_id) == ("m-1", "m-2")
        assert answers(state) == answers(fold(chain.records))


def test_folded_state_of_no_records_is_empty() -> None:
    """Nothing was archived, nothing is known, nothing fails."""
    assert answers(FoldedState()) == answers(fold([]))
    assert FoldedState().keys() == []
