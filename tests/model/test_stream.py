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
from trader_sdk.engine import Engine

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


def _obs(market: Rows, account: Rows) -> Rows:
    return np.concatenate([market, np.broadcast_to(account, (100, len(account)))], axis=1)


EVENTS = [*["next"] * 3, *["prepare", "again", "gap", "normalise", "uneven", "hold"], "revise newest", "revise older"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=40), st.integers(0, 2**32 - 1))
def test_whole_observations_are_decided_on_whatever_happened_to_them(events: list[str], seed: int) -> None:
    """New bars, the same again, missing and revised bars, windows with a scale of their own: as without a stream."""
    rng = np.random.default_rng(seed)
    bars = rng.standard_normal((200, 53)).astype(np.float32)
    stream, end = MODEL.stream(), 100
    for event in events:
        account = rng.uniform(-1, 1, 6).astype(np.float32)
        end += {"next": 1, "gap": 3}.get(event, 0)
        if end > len(bars) - 3:
            break
        if event == "prepare":
            stream.prepare()
        if event.startswith("revise"):
            bars[end - (1 if event == "revise newest" else 40), 7] += 1
        obs = _obs(bars[end - 100 : end], account)
        if event == "normalise":
            obs[:, :53] /= np.float32(1.0 + rng.random())
        if event == "uneven":
            obs[:50, 53:] = 0.25
        if event == "hold":
            stream.hold(obs)
        assert _agrees(stream.decide_on(obs.ravel() if end % 2 else obs), MODEL.decide(obs)), event


def test_stream_reports_that_it_sums_ahead_once_it_has_seen_a_window() -> None:
    """The first window is multiplied whole, all that follow it are not."""
    market, _ = _history(MODEL, 110)
    stream, account = MODEL.stream(), np.zeros(6, np.float32)
    for end in range(100, 110):
        stream.decide_on(_obs(market[end - 100 : end], account))
    report = stream.report
    assert (report.engine, report.reason) == (Engine.STREAMING, "")
    assert (report.ahead, report.dense, report.rebuilt) == (9, 1, 1)


def test_held_window_is_decided_ahead_from_the_first_bar_on() -> None:
    """After warming up, as a symbol that joins in mid-session does, not even the first decision is dense."""
    market, _ = _history(MODEL, 101)
    stream, account = MODEL.stream(), np.zeros(6, np.float32)
    stream.hold(_obs(market[:100], account))
    stream.prepare()
    obs = _obs(market[1:], account)
    assert _agrees(stream.decide_on(obs), MODEL.decide(obs))
    assert (stream.report.ahead, stream.report.dense) == (1, 0)


def test_features_normalised_per_window_are_detected_and_decided_densely() -> None:
    """Rows that change after their bar closed: told, nothing is summed in vain, and rows that stay bring it back."""
    market, _ = _history(MODEL, 120)
    stream, account = MODEL.stream(), np.zeros(6, np.float32)
    for end in range(100, 110):
        window = market[end - 100 : end]
        obs = _obs((window - window.mean(axis=0)) / window.std(axis=0), account)
        assert _agrees(stream.decide_on(obs), MODEL.decide(obs))
        stream.prepare()
    assert stream.report.engine is Engine.DENSE
    assert "normalised per window" in stream.report.reason
    assert stream.report.dense == stream.report.rebuilt == 10
    for end in range(110, 115):
        stream.decide_on(_obs(market[end - 100 : end], account))
    assert (stream.report.engine, stream.report.ahead) == (Engine.STREAMING, 4)


def test_account_that_differs_along_the_window_is_decided_densely() -> None:
    """The caller's own observations may hold more than the current account: every column is multiplied then."""
    market, account = _history(MODEL, 100)
    stream, obs = MODEL.stream(), np.concatenate([market, account], axis=1)
    assert _agrees(stream.decide_on(obs), MODEL.decide(obs))
    assert stream.report.engine is Engine.DENSE
    assert "account columns differ" in stream.report.reason


@pytest.mark.parametrize(
    "obs", [np.zeros(5899, np.float32), np.zeros((59, 100), np.float32), np.full(5900, np.inf), np.zeros(5900, int)]
)
def test_observation_that_cannot_be_decided_on_changes_nothing(obs: Rows) -> None:
    """Refused as decide() refuses it, and the window that was held is held."""
    market, _ = _history(MODEL, 101)
    stream, account = MODEL.stream(), np.zeros(6, np.float32)
    stream.hold(_obs(market[:100], account))
    for call in (stream.decide_on, stream.hold):
        with pytest.raises(SdkError) as caught:
            call(obs)
        assert caught.value.code == "E405"
    stream.prepare()
    stream.decide_on(_obs(market[1:], account))
    assert (stream.report.ahead, stream.report.rebuilt) == (1, 0)


def test_stream_takes_float64_and_strided_rows_as_decide_does() -> None:
    """The quick look at a row never lets through what the careful one would refuse, nor refuses what it takes."""
    market, account = _history(MODEL, 101)
    plain, cast = MODEL.stream(), MODEL.stream()
    for row in market:
        plain.push(row)
        cast.push(np.repeat(row.astype(np.float64), 2)[::2])
    assert plain.decide(account[0]) == cast.decide(account[0].astype(np.float64))
    plain.push(np.full(53, 1e18, np.float32))
    assert plain.decide(account[0]).action in range(7)


def test_sums_that_overflow_spoil_no_later_window() -> None:
    """Rows beyond float32 give a refusal while they are in the window, and none once they are gone."""
    market, account = _history(MODEL, 205)
    stream = MODEL.stream()
    stream.hold(_obs(np.full((100, 53), 3e38, np.float32), account[0]))
    stream.prepare()
    for index, row in enumerate(market):
        stream.push(row)
        stream.prepare()
        if index >= 99:
            assert _agrees(stream.decide(account[index]), _whole(MODEL, market, account, index))
