"""Whole histories in the frequency domain against the dense reference, on friendly and on hostile inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.engines import Engine
from trader_sdk.engine.history import WORTH_FILTERING, HistoryEngine, history_logits
from trader_sdk.engine.overlap_save import OverlapSave
from trader_sdk.engine.ties import near_ties

if TYPE_CHECKING:
    from tests.engine.conftest import Lab

Rows = NDArray[np.float32]


def _history(length: int, n_account: int, *, seed: int = 0, scale: float = 1.0) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(seed)
    market = (scale * rng.standard_normal((length, 53))).astype(np.float32)
    return market, rng.uniform(-1, 1, (length - 99, n_account)).astype(np.float32)


def _filtered(policy: DensePolicy, market: Rows, account: Rows, n_windows: int) -> Rows:
    return policy.logits_from_sums(OverlapSave(policy, n_windows).market_sums(market), account)


SHORT, LONG = 1, 10**6
"""How many windows are announced: decides whether blocks are 256 or 512 bars."""


@pytest.mark.parametrize("length", [100, 101, 255, 256, 257, 511, 512, 513, 512 + 413, 256 + 157, 512 + 24 * 413 + 7])
@pytest.mark.parametrize("n_features", [53, 59])
@pytest.mark.parametrize("n_windows", [SHORT, LONG])
def test_filter_equals_the_windows_at_every_border(
    lab: type[Lab], length: int, n_features: int, n_windows: int
) -> None:
    """One window, a whole block, one bar more or less, and past the blocks that are multiplied at once."""
    policy = lab.seeded_policy(n_features)
    market, account = _history(length, n_features - 53, seed=length)
    filtered = _filtered(policy, market, account, n_windows)
    dense = policy.logits_from_sums(policy.market_sums(market), account)
    assert filtered.shape == dense.shape
    assert np.abs(filtered - dense).max() <= 5e-7 * max(1.0, float(np.abs(dense).max()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (64, 32), (64, 48, 32)])
def test_history_decides_as_whole_observations(lab: type[Lab], activation: str, hidden: tuple[int, ...]) -> None:
    """Every activation and depth, against observations that are really put together."""
    policy = lab.seeded_policy(59, activation, hidden)
    market, account = _history(WORTH_FILTERING + 99, 6)
    logits, engine = history_logits(policy, market, account)
    assert engine is Engine.OVERLAP_SAVE
    assert lab.agree(logits, policy.logits(lab.observations(market, account)))


def test_short_histories_stay_dense(lab: type[Lab]) -> None:
    """Below the point where a spectrum pays there is none; the last window on either side decides."""
    policy = lab.seeded_policy(59)
    for length, engine in ((WORTH_FILTERING + 98, Engine.DENSE), (WORTH_FILTERING + 99, Engine.OVERLAP_SAVE)):
        assert history_logits(policy, *_history(length, 6))[1] is engine


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-6, 0.1, 1.0, 100.0]),
    spike=st.sampled_from([1.0, 1e3, 1e8, 1e30]),
    at=st.integers(0, 1200),
)
def test_one_loud_bar_never_drowns_the_quiet_ones(
    lab: type[Lab], seed: int, scale: float, spike: float, at: int
) -> None:
    """A transform spreads rounding over its whole block: a block with a spike is multiplied densely."""
    policy = lab.seeded_policy(56)
    market, account = _history(1300, 3, seed=seed, scale=scale)
    market[at] *= np.float32(spike)
    with np.errstate(over="ignore", invalid="ignore"):
        dense = policy.logits_from_sums(policy.market_sums(market), account)
        filtered = history_logits(policy, market, account)[0]
    assert lab.agree(filtered, dense, within=4e-6 * max(1.0, scale))


def test_a_quiet_market_is_filtered_and_a_spike_is_not(lab: type[Lab]) -> None:
    """The guard looks at energy: only the blocks that hold the spike are dense, and there they are exactly so."""
    policy = lab.seeded_policy(53)
    market, _ = _history(512 + 3 * 413, 0)
    market[5] *= 1e4
    sums, dense = OverlapSave(policy).market_sums(market), policy.market_sums(market)
    assert np.array_equal(sums[:413], policy.market_sums(market[:512]))
    assert not np.array_equal(sums[413:826], dense[413:826])


def test_near_ties_are_decided_by_whole_observations(lab: type[Lab]) -> None:
    """Two actions with one row of weights are tied everywhere: the dense path decides, bit for bit."""
    layers = list(lab.seeded_policy(53).layers)
    weight, bias = layers[-1][0].copy(), layers[-1][1].copy()
    weight[3], bias[3] = weight[5], bias[5]
    weight[[0, 1, 2, 4, 6]], bias[[0, 1, 2, 4, 6]] = 0, -9
    policy = DensePolicy([*layers[:-1], (weight, bias)], "tanh")
    market, account = _history(WORTH_FILTERING + 99, 0)
    logits, _ = history_logits(policy, market, account)
    assert near_ties(logits).all()
    whole = np.concatenate([policy.logits(part) for part in np.split(lab.observations(market, account), [512])])
    assert np.array_equal(logits.argmax(axis=1), whole.argmax(axis=1))


def test_near_ties_hold_what_is_close_and_what_is_no_number() -> None:
    """The distance is relative to the largest logit, and never less than for a logit of 1."""
    rows = np.array([[0, 1e-7, -1], [0, 1e-5, -1], [1000, 1000.001, 0], [1000, 1000.1, 0], [np.nan, 1, 2]], np.float32)
    assert near_ties(rows).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("n", [1, 23, 24, 25, 60])
@pytest.mark.parametrize("length", [100, 200, 256])
def test_segments_of_many_symbols_are_their_own_histories(lab: type[Lab], n: int, length: int) -> None:
    """Symbols side by side in one batch: each segment's sums are those of its history alone."""
    policy = lab.seeded_policy(53)
    segments = np.random.default_rng(n).standard_normal((n, length, 53)).astype(np.float32)
    together = HistoryEngine(policy, WORTH_FILTERING, at_once=n).segment_sums(segments)
    alone = HistoryEngine(policy, 1).segment_sums(segments)
    assert together.shape == (length - 99, n, 16)
    assert np.abs(together - alone).max() <= 2e-6


def test_blocks_cover_a_history_once_and_in_order(lab: type[Lab]) -> None:
    """What is yielded block by block is the whole, whatever its length."""
    policy = lab.seeded_policy(53)
    market, _ = _history(99 + 2 * 24 * 413 + 5, 0)
    seen = 0
    for first, sums in HistoryEngine(policy, len(market)).blocks(market):
        assert first == seen
        assert len(sums) <= 24 * 413
        seen += len(sums)
    assert seen == len(market) - 99
