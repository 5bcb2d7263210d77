"""PPO's arithmetic against Stable-Baselines3 on the same batch: advantages, every loss term, every gradient."""

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer

from training.ppo import compute_gae, ppo_loss

STEPS, ENVS = 64, 4


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.97, 0.9), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_equal_theirs_over_episodes_that_end(gamma: float, gae_lambda: float) -> None:
    """Random rewards, values and ends: advantages and value targets agree to float32."""
    rng = np.random.default_rng(1)
    box = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(STEPS, box, gymnasium.spaces.Discrete(2), gamma=gamma, gae_lambda=gae_lambda, n_envs=ENVS)
    buffer.rewards, buffer.values = rng.normal(size=(2, STEPS, ENVS)).astype(np.float32)
    ended = rng.random((STEPS, ENVS)) < 0.1
    buffer.episode_starts[1:] = ended[:-1]
    last = rng.normal(size=ENVS).astype(np.float32)
    buffer.compute_returns_and_advantage(torch.from_numpy(last), ended[-1])
    advantages, returns = compute_gae(
        buffer.rewards,
        buffer.values,
        np.concatenate([buffer.values[1:], last[None]]),
        ended,
        np.zeros_like(ended),
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    np.testing.assert_allclose(advantages, buffer.advantages, atol=2e-6)
    np.testing.assert_allclose(returns, buffer.returns, atol=2e-6)


def test_loss_terms_and_gradients_equal_theirs_on_the_same_batch() -> None:
    """After the policy moved, so that ratios are off 1 and some are clipped: all terms and all gradients agree.

    Their value loss is the squared error and ours half of it, so their coefficient is half of ours.
    """
    model = PPO(
        "MlpPolicy", "CartPole-v1", n_steps=128, batch_size=128, n_epochs=1, vf_coef=0.25, ent_coef=0.01, seed=3
    )
    model.learn(128)
    model.policy.optimizer = torch.optim.SGD(model.policy.parameters(), lr=0.0)
    model.learning_rate, model.max_grad_norm = 0.0, 1e9
    model.lr_schedule = lambda _: 0.0
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    data = next(model.rollout_buffer.get())
    model.train()
    theirs = model.logger.name_to_value
    expected = [parameter.grad.clone() for parameter in model.policy.parameters()]

    features = model.policy.mlp_extractor(data.observations)
    logits, values = model.policy.action_net(features[0]), model.policy.value_net(features[1]).squeeze(-1)
    advantages = (data.advantages - data.advantages.mean()) / (data.advantages.std() + 1e-8)
    ours = ppo_loss(
        logits,
        values,
        data.actions.long().flatten(),
        data.old_log_prob,
        advantages,
        data.returns,
        clip_coef=0.2,
        vf_coef=0.5,
        ent_coef=0.01,
    )
    model.policy.zero_grad()
    ours.loss.backward()
    terms = {
        "loss": ours.loss,
        "policy_gradient_loss": ours.policy_loss,
        "value_loss": 2 * ours.value_loss,
        "entropy_loss": -ours.entropy,
        "approx_kl": ours.approx_kl,
        "clip_fraction": ours.clip_fraction,
    }
    assert ours.clip_fraction > 0
    for name, value in terms.items():
        assert value.item() == pytest.approx(theirs[f"train/{name}"], rel=1e-5, abs=1e-6), name
    for parameter, gradient in zip(model.policy.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)
