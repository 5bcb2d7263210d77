"""The stream and the history against whole observations: same decisions, whatever happens in between."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trader_sdk import NativeModelWrapper, SdkError
from trader_sdk.decision_stream import DecisionStream
from trader_sdk.decisions import Decision

VERSIONS = ["2.3.0", "2.4.0", "2.7.0"]
GOLDEN = Path(__file__).parents[2] / "compat" / "golden"
Rows = NDArray[np.float32]


def _history(model: NativeModelWrapper, length: int, seed: int = 0) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(seed)
    market = rng.standard_normal((length, 53)).astype(np.float32)
    return market, rng.uniform(-1, 1, (length, model.model_spec.n_account)).astype(np.float32)


def _whole(model: NativeModelWrapper, market: Rows, account: Rows, end: int) -> Decision:
    window = market[end - 99 : end + 1]
    return model.decide(np.concatenate([window, np.broadcast_to(account[end], (100, account.shape[1]))], axis=1))


def _agrees(ours: Decision, wanted: Decision) -> bool:
    tolerance = 2e-6 * max(1.0, float(np.abs(wanted.logits).max()))
    close = bool(np.abs(np.subtract(ours.logits, wanted.logits)).max() <= 5 * tolerance)
    best = sorted(wanted.logits)[-2:]
    return close and (ours.action == wanted.action or best[1] - best[0] < tolerance)


@pytest.mark.parametrize("version", VERSIONS)
def test_stream_and_history_decide_as_whole_observations(golden: Callable[[str], Path], version: str) -> None:
    """Several turns of the ring of rows: each decision is that of its window."""
    model = NativeModelWrapper(golden(version))
    market, account = _history(model, 460)
    history = model.decide_history(market, account)
    stream = model.stream()
    assert len(history) == 361
    for end, row in enumerate(market):
        stream.push(row)
        assert stream.ready == (end >= 99)
        if end >= 99:
            wanted = _whole(model, market, account, end)
            assert _agrees(stream.decide(account[end]), wanted), end
            assert _agrees(history[end - 99], wanted), end


def test_account_can_change_between_decisions_on_one_bar(model: NativeModelWrapper) -> None:
    """The account joins last: deciding again with another account needs no new bar."""
    market, account = _history(model, 120)
    stream = model.stream()
    for row in market:
        stream.push(row)
    for columns in account:
        changed = np.tile(columns, (120, 1))
        assert _agrees(stream.decide(columns), _whole(model, market, changed, 119))


MODEL = NativeModelWrapper(GOLDEN / "2.7.0" / "checkpoint.pt")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["push", "push", "push", "prepare", "decide", "reset", "bad"]), max_size=40),
    st.integers(90, 205),
)
def test_any_order_of_calls_keeps_the_stream_right(calls: list[str], warm: int) -> None:
    """Preparing early, deciding twice, resetting, refused rows: never another decision than the window's."""
    rng = np.random.default_rng(warm)
    account = rng.uniform(-1, 1, 6).astype(np.float32)
    stream, rows = MODEL.stream(), []
    for call in ["push"] * warm + calls:
        if call == "push":
            rows.append(rng.standard_normal(53).astype(np.float32))
            stream.push(rows[-1])
        elif call == "prepare":
            stream.prepare()
        elif call == "reset":
            stream.reset()
            rows.clear()
        elif call == "bad":
            with pytest.raises(SdkError):
                stream.push(np.full(53, np.nan, np.float32))
        _check(stream, rows, account)


def _check(stream: DecisionStream, rows: list[Rows], account: Rows) -> None:
    assert stream.ready == (len(rows) >= 100)
    if len(rows) < 100:
        with pytest.raises(SdkError, match="not full"):
            stream.decide(account)
        return
    market = np.stack(rows[-100:])
    assert _agrees(stream.decide(account), _whole(MODEL, market, np.tile(account, (100, 1)), 99))


@pytest.mark.parametrize("row", [np.zeros(59, np.float32), np.zeros((1, 53), np.float32), np.zeros(53, np.int64)])
def test_row_of_another_shape_is_refused_and_changes_nothing(model: NativeModelWrapper, row: object) -> None:
    """A refused row leaves the stream as it was."""
    stream = model.stream()
    for _ in range(99):
        stream.push(np.zeros(53, np.float32))
    with pytest.raises(SdkError) as caught:
        stream.push(row)
    assert caught.value.code == "E405"
    assert not stream.ready


@pytest.mark.parametrize("account", [None, np.zeros(3, np.float32), np.zeros((1, 6), np.float32), np.full(6, np.nan)])
def test_account_must_be_the_models_own(model: NativeModelWrapper, account: object) -> None:
    """Missing, shorter, nested or non-finite account columns are E405."""
    stream = model.stream()
    for _ in range(100):
        stream.push(np.zeros(53, np.float32))
    with pytest.raises(SdkError) as caught:
        stream.decide(account)
    assert caught.value.code == "E405"


def test_model_without_account_columns_takes_none(golden: Callable[[str], Path]) -> None:
    """2.3.0 has no account: none is needed, and one that is given is refused."""
    model = NativeModelWrapper(golden("2.3.0"))
    market = np.zeros((101, 53), np.float32)
    assert len(model.decide_history(market)) == 2
    with pytest.raises(SdkError):
        model.decide_history(market, np.zeros((101, 3), np.float32))


@pytest.mark.parametrize(
    ("market", "account"),
    [
        (np.zeros((99, 53), np.float32), np.zeros((99, 6), np.float32)),
        (np.zeros((120, 59), np.float32), np.zeros((120, 6), np.float32)),
        (np.zeros(5300, np.float32), None),
        (np.zeros((120, 53), np.float32), None),
        (np.zeros((120, 53), np.float32), np.zeros((119, 6), np.float32)),
        (np.zeros((120, 53), np.float32), np.zeros((120, 3), np.float32)),
        (np.full((120, 53), np.nan, np.float32), np.zeros((120, 6), np.float32)),
    ],
)
def test_history_of_the_wrong_shape_is_refused(model: NativeModelWrapper, market: Rows, account: object) -> None:
    """Too short, too wide, without its account, or not finite: E405."""
    with pytest.raises(SdkError) as caught:
        model.decide_history(market, account)
    assert caught.value.code == "E405"


def test_decisions_are_columns_and_values(model: NativeModelWrapper) -> None:
    """Columns, indexing from both ends and iteration agree."""
    market, account = _history(model, 130)
    decisions = model.decide_history(market, account)
    assert len(list(decisions)) == len(decisions) == 31
    assert [decision.action for decision in decisions] == decisions.actions.tolist()
    assert decisions[-1].direction == decisions.directions[-1]
    assert decisions[3].size == decisions.sizes[3]
    assert np.allclose(decisions.probabilities.sum(axis=1), 1)
    with pytest.raises(IndexError):
        decisions[31]
