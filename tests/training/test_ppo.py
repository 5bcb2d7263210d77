"""PPO against hand-computed numbers."""

import math

import numpy as np
import pytest
import torch

from training.ppo import compute_gae, learning_rate_at, ppo_loss


def column(*values: float) -> np.ndarray:
    """Return (T, 1) float32."""
    return np.array(values, dtype=np.float32)[:, None]


def flags(*values: bool) -> np.ndarray:
    """Return (T, 1) bool."""
    return np.array(values)[:, None]


def test_compute_gae_matches_the_recursion_worked_by_hand() -> None:
    """Three steps, gamma 0.5, lambda 0.5: each advantage is its delta plus a quarter of the next."""
    never = flags(False, False, False)
    advantages, returns = compute_gae(
        column(1, 2, 3), column(1, 1, 1), column(1, 1, 2), never, never, gamma=0.5, gae_lambda=0.5
    )
    # deltas: 1 + .5 - 1 = .5; 2 + .5 - 1 = 1.5; 3 + 1 - 1 = 3
    assert advantages[:, 0].tolist() == pytest.approx([0.5 + 0.25 * 2.25, 1.5 + 0.25 * 3.0, 3.0])
    assert returns == pytest.approx(advantages + 1)


def test_compute_gae_bootstraps_a_truncated_step_and_not_a_terminated_one() -> None:
    """Both stop the recursion; only a truncated episode has a future."""
    yes, no = flags(True, False), flags(False, False)
    rewards, values, next_values = column(1, 7), column(0, 0), column(10, 0)
    terminated, _ = compute_gae(rewards, values, next_values, yes, no, gamma=0.9, gae_lambda=0.9)
    truncated, _ = compute_gae(rewards, values, next_values, no, yes, gamma=0.9, gae_lambda=0.9)
    assert terminated[0, 0] == pytest.approx(1.0)
    assert truncated[0, 0] == pytest.approx(1.0 + 0.9 * 10.0)


def one_action_loss(ratio: float, advantage: float) -> float:
    """Return the policy loss of one sample whose probability changed by ``ratio`` from a half."""
    probability = 0.5 * ratio
    logits = torch.log(torch.tensor([[probability, 1 - probability]]))
    one = torch.ones(1)
    loss = ppo_loss(
        logits,
        one,
        torch.zeros(1, dtype=torch.int64),
        torch.log(0.5 * one),
        advantage * one,
        one,
        clip_coef=0.2,
        vf_coef=0.5,
        ent_coef=0.0,
    )
    return float(loss.policy_loss)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 1.0, -1.0),
        (1.1, 1.0, -1.1),
        (1.5, 1.0, -1.2),
        (0.5, 1.0, -0.5),
        (1.5, -1.0, 1.5),
        (0.5, -1.0, 0.8),
    ],
)
def test_ppo_loss_clips_the_ratio_only_where_it_would_gain(ratio: float, advantage: float, expected: float) -> None:
    """The six cases of the clipped surrogate, equation 7 of the paper."""
    assert one_action_loss(ratio, advantage) == pytest.approx(expected)


def test_ppo_loss_adds_value_and_entropy_terms_with_their_weights() -> None:
    """Uniform over two actions: entropy ln 2; a value off by 2 costs half of 4."""
    zero = torch.zeros(1)
    loss = ppo_loss(
        torch.zeros(1, 2),
        zero + 3,
        torch.zeros(1, dtype=torch.int64),
        zero - math.log(2),
        zero,
        zero + 1,
        clip_coef=0.2,
        vf_coef=0.5,
        ent_coef=0.1,
    )
    assert float(loss.entropy) == pytest.approx(math.log(2))
    assert float(loss.value_loss) == pytest.approx(2.0)
    assert float(loss.loss) == pytest.approx(0.5 * 2.0 - 0.1 * math.log(2))
    assert float(loss.approx_kl) == pytest.approx(0.0, abs=1e-7)


def test_learning_rate_warms_up_and_decays_to_its_final_fraction() -> None:
    """A tenth at the start, the peak after warm-up, one percent at the end."""
    lr = [
        learning_rate_at(step, 1000, peak=1.0, warmup_fraction=0.05, final_fraction=0.01) for step in (0, 50, 525, 1000)
    ]
    assert lr == pytest.approx([0.1, 1.0, 0.505, 0.01])
