"""Many symbols in one product against one stream each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.stacked import StackedStreams
from trader_sdk.engine.stream import PolicyStream

if TYPE_CHECKING:
    from tests.engine.conftest import Lab

SYMBOLS = 5
EVERY = np.arange(SYMBOLS)


def _policies(
    lab: type[Lab], own: bool, activation: str = "tanh", hidden: tuple[int, ...] = (16, 8)
) -> list[DensePolicy]:
    first = lab.seeded_policy(59, activation, hidden)
    if not own:
        return [first]
    scaled = [
        [(weight * np.float32(1 + 0.1 * index), bias) for weight, bias in first.layers] for index in range(SYMBOLS)
    ]
    return [DensePolicy(layers, activation) for layers in scaled]


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (16, 8), (16, 12, 8)])
def test_stack_decides_as_one_stream_a_symbol(
    lab: type[Lab], own: bool, activation: str, hidden: tuple[int, ...]
) -> None:
    """A model each, and one for all: the same logits, over more than two turns of the rings."""
    policies = _policies(lab, own, activation, hidden)
    stack = StackedStreams(policies, SYMBOLS)
    alone = [PolicyStream(policies[index if own else 0]) for index in range(SYMBOLS)]
    rng = np.random.default_rng(0)
    for bar in range(260):
        rows = rng.standard_normal((SYMBOLS, 53)).astype(np.float32)
        stack.push(EVERY, rows)
        for stream, row in zip(alone, rows, strict=True):
            stream.push(row)
        if bar % 3:
            stack.prepare()
        if bar >= 99 and bar % 7 == 0:
            account = rng.uniform(-1, 1, (SYMBOLS, 6)).astype(np.float32)
            wanted = np.stack([stream.logits(own).copy() for stream, own in zip(alone, account, strict=True)])
            assert lab.agree(stack.logits(account), wanted)
    assert stack.ready.all()
    assert stack.is_summed.all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, SYMBOLS - 1)), min_size=1, max_size=12), st.integers(90, 210), st.booleans())
def test_symbols_keep_a_pace_of_their_own(lab: type[Lab], pushes: list[set[int]], warm: int, own: bool) -> None:
    """Missing bars, and symbols without any: each window is its symbol's own, full or not."""
    policies = _policies(lab, own)
    stack, rng = StackedStreams(policies, SYMBOLS), np.random.default_rng(warm)
    seen: list[list[np.ndarray]] = [[] for _ in range(SYMBOLS)]
    for turn, which in enumerate([set(range(index % SYMBOLS, SYMBOLS)) for index in range(warm)] + pushes):
        rows = rng.standard_normal((len(which), 53)).astype(np.float32)
        stack.push(np.array(sorted(which), dtype=np.int64), rows)
        for index, row in zip(sorted(which), rows, strict=True):
            seen[index].append(row)
        if turn % 2:
            stack.prepare()
    account = rng.uniform(-1, 1, (SYMBOLS, 6)).astype(np.float32)
    logits = stack.logits(account)
    for index, rows in enumerate(seen):
        assert bool(stack.ready[index]) == (len(rows) >= 100)
        if len(rows) >= 100:
            policy = policies[index if own else 0]
            whole = policy.logits(lab.observations(np.stack(rows[-100:]), account[index : index + 1]))
            assert lab.agree(logits[index : index + 1], whole)


@pytest.mark.parametrize("own", [True, False])
def test_revised_window_is_dense_until_it_is_summed(lab: type[Lab], own: bool) -> None:
    """One symbol's window is replaced: it is decided on at once, and summed ahead from the next bar on."""
    policies, rng = _policies(lab, own), np.random.default_rng(3)
    stack = StackedStreams(policies, SYMBOLS)
    for _ in range(110):
        stack.push(EVERY, rng.standard_normal((SYMBOLS, 53)).astype(np.float32))
    account = np.zeros((SYMBOLS, 6), np.float32)
    others = stack.logits(account).copy()
    window = rng.standard_normal((100, 53)).astype(np.float32)
    stack.hold(2, window)
    assert stack.is_summed.tolist() == [True, True, False, True, True]
    logits = stack.logits(account)
    assert lab.agree(logits[2:3], policies[2 if own else 0].logits(lab.observations(window, account[:1])))
    assert lab.agree(np.delete(logits, 2, axis=0), np.delete(others, 2, axis=0))
    row = rng.standard_normal((SYMBOLS, 53)).astype(np.float32)
    stack.push(EVERY, row)
    assert stack.is_summed.all()
    moved = np.concatenate([window[1:], row[2:3]])
    assert lab.agree(stack.logits(account)[2:3], policies[2 if own else 0].logits(lab.observations(moved, account[:1])))
