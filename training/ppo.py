"""Proximal policy optimisation on one page (Schulman et al. 2017, arXiv:1707.06347), in the field's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config import TrainConfig
from training.policy import ActorCritic, MarketWindows
from training.rollout import Rollout


def compute_gae(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    next_values: NDArray[np.float32],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    *,
    gamma: float,
    gae_lambda: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return advantages and value targets.

    Args:
        rewards, values: (T, N) reward of step t, and value of the state it was taken in.
        next_values: (T, N) value of the state that step t led to, before any reset.
        terminated: (T, N) the episode ended: nothing follows, so nothing is bootstrapped.
        truncated: (T, N) the episode was cut: the next state's value is bootstrapped, the recursion stops.
        gamma: Discount a step.
        gae_lambda: Exponential weight between one-step (0) and whole-episode (1) estimates.

    Returns:
        (T, N) advantages, and advantages + values.

    Source:
        Schulman et al. 2016, arXiv:1506.02438, equation 16; Pardo et al. 2018, arXiv:1712.00378 for truncation.

    Example:
        >>> one, end = np.ones((1, 1), np.float32), np.ones((1, 1), bool)
        >>> compute_gae(one, 0 * one, 5 * one, end, ~end, gamma=0.9, gae_lambda=0.9)[0].tolist()
        [[1.0]]
    """
    deltas = rewards + gamma * next_values * ~terminated - values
    carry = gamma * gae_lambda * ~(terminated | truncated)
    advantages = np.zeros_like(rewards)
    advantage = np.zeros_like(rewards[0])
    for step in reversed(range(len(rewards))):
        advantage = deltas[step] + carry[step] * advantage
        advantages[step] = advantage
    return advantages, advantages + values


class Loss(NamedTuple):
    """The minimised loss, its parts, and what the update did to the policy."""

    loss: Tensor
    policy_loss: Tensor
    value_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def ppo_loss(
    logits: Tensor,
    values: Tensor,
    actions: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    returns: Tensor,
    *,
    clip_coef: float,
    vf_coef: float,
    ent_coef: float,
) -> Loss:
    """Return the clipped surrogate loss with value and entropy terms.

    Args:
        logits: (..., n_actions).
        values, actions, old_logprobs, advantages, returns: (...); advantages are normalised by the caller.
        clip_coef: The ratio's distance from 1 at which the objective goes flat.
        vf_coef: Weight of half the squared value error.
        ent_coef: Weight of the entropy bonus.

    Source:
        arXiv:1707.06347, equation 9; ``approx_kl`` is the k3 estimator of http://joschu.net/blog/kl-approx.html.
    """
    log_policy = torch.log_softmax(logits, dim=-1)
    logratio = log_policy.gather(-1, actions.unsqueeze(-1)).squeeze(-1) - old_logprobs
    ratio = logratio.exp()
    clipped = ratio.clamp(1.0 - clip_coef, 1.0 + clip_coef)
    policy_loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
    value_loss = 0.5 * (values - returns).square().mean()
    entropy = -(log_policy.exp() * log_policy).sum(dim=-1).mean()
    loss = policy_loss + vf_coef * value_loss - ent_coef * entropy
    approx_kl = (ratio - 1.0 - logratio).mean().detach()
    clip_fraction = ((ratio - 1.0).abs() > clip_coef).float().mean().detach()
    return Loss(loss, policy_loss.detach(), value_loss.detach(), entropy.detach(), approx_kl, clip_fraction)


def learning_rate_at(
    step: int, total_steps: int, *, peak: float, warmup_fraction: float, final_fraction: float
) -> float:
    """Return the learning rate of optimizer step ``step``: linear from a tenth to the peak, then cosine.

    Example:
        >>> learning_rate_at(0, 100, peak=1.0, warmup_fraction=0.05, final_fraction=0.01)
        0.1
    """
    warmup = round(warmup_fraction * total_steps)
    if step < warmup:
        return peak * (0.1 + 0.9 * step / warmup)
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return peak * (final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + math.cos(math.pi * progress)))


class Batch(NamedTuple):
    """A rollout as tensors, one row a distinct (step, bar) cell: market rows (B,), the rest (B, G) or (B, G, k)."""

    rows: Tensor
    account: Tensor
    actions: Tensor
    logprobs: Tensor
    advantages: Tensor
    returns: Tensor


def make_batch(rollout: Rollout, config: TrainConfig, device: torch.device) -> Batch:
    """Return the rollout with advantages, flattened to cells and moved to ``device``."""
    advantages, returns = compute_gae(
        rollout.rewards,
        rollout.values,
        rollout.next_values,
        rollout.terminated,
        rollout.truncated,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
    )

    def cells(array: NDArray[np.generic]) -> Tensor:
        shape = (config.num_cells, config.envs_per_bar, *array.shape[2:])
        return torch.from_numpy(np.ascontiguousarray(array).reshape(shape)).to(device)

    return Batch(
        torch.from_numpy(rollout.rows.reshape(-1)).to(device),
        cells(rollout.account),
        cells(rollout.actions),
        cells(rollout.logprobs),
        cells(advantages),
        cells(returns),
    )


class StepStats(NamedTuple):
    """One optimizer step: the loss and its parts, and the gradient norm before clipping."""

    loss: float
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    grad_norm: float


def update_policy(
    network: ActorCritic,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    windows: MarketWindows,
    config: TrainConfig,
    rng: np.random.Generator,
    *,
    ent_coef: float,
    next_lr: Callable[[], float],
) -> Iterator[StepStats]:
    """Run one PPO update and yield the statistics of each optimizer step.

    Args:
        network, optimizer: Trained in place.
        batch: The rollout.
        windows: The market, gathered by row.
        config: PPO's numbers.
        rng: Shuffles the cells.
        ent_coef: Entropy weight now (recoveries raise it).
        next_lr: Gives the learning rate of each next step.
    """
    for _ in range(config.update_epochs):
        order = torch.from_numpy(rng.permutation(config.num_cells)).to(batch.rows.device)
        kls = []
        for index in order.chunk(config.num_minibatches):
            part = Batch(*(column[index] for column in batch))
            advantages = (part.advantages - part.advantages.mean()) / (part.advantages.std() + 1e-8)
            logits, values = network.forward_parts(windows.at(part.rows), part.account)
            loss = ppo_loss(
                logits,
                values,
                part.actions,
                part.logprobs,
                advantages,
                part.returns,
                clip_coef=config.clip_coef,
                vf_coef=config.vf_coef,
                ent_coef=ent_coef,
            )
            for group in optimizer.param_groups:
                group["lr"] = next_lr()
            optimizer.zero_grad(set_to_none=True)
            loss.loss.backward()  # type: ignore[no-untyped-call] # torch leaves Tensor.backward untyped
            grad_norm = _clip_gradients(network, config.max_grad_norm)
            stats = StepStats._make([*(part.item() for part in loss), grad_norm])
            if math.isfinite(stats.loss) and math.isfinite(stats.grad_norm):
                optimizer.step()
            kls.append(stats.approx_kl)
            yield stats
        if float(np.mean(kls)) > 1.5 * config.target_kl:
            return


def _clip_gradients(network: nn.Module, max_norm: float) -> float:
    """Scale the gradients to ``max_norm`` where they are longer; return how long they were."""
    norm = nn.utils.get_total_norm([each.grad for each in network.parameters() if each.grad is not None])
    length = norm.item()
    if length > max_norm:  # short ones would be read and written once more to be multiplied by one
        nn.utils.clip_grads_with_norm_(network.parameters(), max_norm, norm)
    return length
