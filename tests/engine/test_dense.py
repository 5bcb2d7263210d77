"""The dense engine against torch, and its two parts against the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.engine.dense import _BLOCK, ACTIVATION_FUNCTIONS

if TYPE_CHECKING:
    from tests.engine.conftest import Lab

TORCH = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "elu": torch.nn.functional.elu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "silu": torch.nn.functional.silu,
}


def test_every_activation_of_the_contract_is_computed() -> None:
    """The contract's list and the engine's table are one."""
    assert set(ACTIVATION_FUNCTIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_torchs_own_over_the_whole_range(name: str) -> None:
    """Float32 in, float32 out, within one rounding of torch, far tails included."""
    values = np.concatenate([np.linspace(-120, 120, 4001), [-1e30, 1e30, 0.0, -0.0]]).astype(np.float32)
    with np.errstate(all="raise", under="ignore"):
        ours = ACTIVATION_FUNCTIONS[name](values)
    assert ours.dtype == np.float32
    assert np.allclose(ours, TORCH[name](torch.from_numpy(values)).numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (5,), (16, 8, 4)])
def test_logits_equal_torch_for_every_depth(lab: type[Lab], name: str, hidden: tuple[int, ...]) -> None:
    """The whole network is the one that torch computes."""
    policy = lab.seeded_policy(59, name, hidden)
    obs = np.random.default_rng(0).standard_normal((9, 5900)).astype(np.float32)
    values = torch.from_numpy(obs)
    for index, (weight, bias) in enumerate(policy.layers):
        values = torch.nn.functional.linear(
            TORCH[name](values) if index else values, *map(torch.tensor, (weight, bias))
        )
    assert np.allclose(policy.logits(obs), values.numpy(), atol=3e-6)


@pytest.mark.parametrize("n_features", [53, 56, 59])
@pytest.mark.parametrize("length", [100, 101, 100 + _BLOCK])
def test_market_and_account_parts_make_the_whole(lab: type[Lab], n_features: int, length: int) -> None:
    """Sums over the market plus the account's columns are the dense layer, across block borders."""
    policy = lab.seeded_policy(n_features)
    rng = np.random.default_rng(length)
    market = rng.standard_normal((length, 53)).astype(np.float32)
    account = rng.uniform(-1, 1, (length - 99, n_features - 53)).astype(np.float32)
    split = policy.logits_from_sums(policy.market_sums(market), account)
    whole = policy.logits(lab.observations(market, account))
    assert split.shape == (length - 99, 7)
    assert np.abs(split - whole).max() <= 2e-6 * max(1.0, float(np.abs(whole).max()))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 10.0]))
def test_parts_agree_with_the_whole_on_any_history(lab: type[Lab], seed: int, scale: float) -> None:
    """The promise of equality holds for quiet and wild inputs."""
    policy = lab.seeded_policy(59)
    rng = np.random.default_rng(seed)
    market = (scale * rng.standard_normal((140, 53))).astype(np.float32)
    account = rng.uniform(-1, 1, (41, 6)).astype(np.float32)
    split = policy.logits_from_sums(policy.market_sums(market), account)
    whole = policy.logits(lab.observations(market, account))
    assert np.abs(split - whole).max() <= 4e-6 * max(1.0, float(np.abs(whole).max()))


def test_split_weights_cannot_be_written(lab: type[Lab]) -> None:
    """Shared arrays are read-only."""
    policy = lab.seeded_policy(59)
    for array in (policy.account_weight, policy.packed.first, *policy.packed.rest):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1
