"""Let the current policy act in the environments, and keep what the update needs: indices, never observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.env import TradingEnvs
from training.policy import ActorCritic, MarketWindows

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rollout:
    """T steps of N environments standing on M bars.

    Attributes:
        rows: int64 (T, M) market row of each bar.
        account: float32 (T, N, k) account columns.
        actions: int64 (T, N).
        logprobs, values: float32 (T, N) of the policy that acted.
        next_values: float32 (T, N) value of the state each step led to, before any reset.
        rewards: float32 (T, N), normalised.
        terminated, truncated: bool (T, N).
    """

    rows: NDArray[np.int64]
    account: Floats32
    actions: NDArray[np.int64]
    logprobs: Floats32
    values: Floats32
    next_values: Floats32
    rewards: Floats32
    terminated: Bools
    truncated: Bools

    @classmethod
    def empty(cls, num_steps: int, envs: TradingEnvs) -> Rollout:
        """Return uninitialised storage for ``num_steps`` steps."""
        shape = (num_steps, envs.num_envs)
        return cls(
            rows=np.empty((num_steps, envs.num_bars), np.int64),
            account=np.empty((*shape, envs.spec.n_account), np.float32),
            actions=np.empty(shape, np.int64),
            **{name: np.empty(shape, np.float32) for name in ("logprobs", "values", "next_values", "rewards")},
            terminated=np.empty(shape, np.bool_),
            truncated=np.empty(shape, np.bool_),
        )

    @property
    def nbytes(self) -> int:
        """Return the memory the rollout takes."""
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)


class Actor:
    """Act with a policy that stays fixed during a rollout: its first layer is split and summed once.

    Args:
        network: The policy.
        windows: The market, on the network's device.
        envs_per_bar: Environments on each bar.
    """

    def __init__(self, network: ActorCritic, windows: MarketWindows, envs_per_bar: int) -> None:
        self._network, self._windows, self._group = network, windows, envs_per_bar
        with torch.no_grad():
            self._first_layer = network.first_layer()

    @torch.no_grad()
    def evaluate(self, rows: NDArray[np.int64], account: Floats32) -> tuple[Tensor, Floats32]:
        """Return logits (N, n_actions) and values (N,) at market ``rows`` (M,) with ``account`` (N, k)."""
        market_weight, account_weight, bias = self._first_layer
        device = bias.device
        market = self._windows.at(rows)  # (M, window * 53)
        sums = (market @ market_weight.T).repeat_interleave(self._group, dim=0)  # (N, hidden)
        features = self._network.trunk[1:](sums + torch.from_numpy(account).to(device) @ account_weight.T + bias)
        values = self._network.critic_head(features).squeeze(-1)
        return self._network.actor_head(features), values.cpu().numpy()


def collect(
    network: ActorCritic, envs: TradingEnvs, windows: MarketWindows, num_steps: int, rng: np.random.Generator
) -> Rollout:
    """Step every environment ``num_steps`` times with actions sampled from the policy.

    Args:
        network: The policy.
        envs: Continued from where they stand.
        windows: The market, gathered by row.
        num_steps: Length of the rollout.
        rng: Samples the actions.
    """
    rollout = Rollout.empty(num_steps, envs)
    actor = Actor(network, windows, envs.envs_per_bar)
    obs = envs.observe()
    logits, values = actor.evaluate(obs.rows, obs.account)
    for step in range(num_steps):
        actions, logprobs = sample(logits, rng)
        rollout.rows[step], rollout.account[step], rollout.actions[step] = obs.rows, obs.account, actions
        rollout.logprobs[step], rollout.values[step] = logprobs, values
        result = envs.step(actions)
        rollout.rewards[step] = result.rewards
        rollout.terminated[step], rollout.truncated[step] = result.terminated, result.truncated
        obs = envs.observe()
        logits, values = actor.evaluate(obs.rows, obs.account)
        rollout.next_values[step] = values
        if result.truncated.any():
            _, final_values = actor.evaluate(result.final.rows, result.final.account)
            rollout.next_values[step] = np.where(result.truncated, final_values, values)
    return rollout


def sample(logits: Tensor, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats32]:
    """Draw one action a row (Gumbel-max trick); return actions and their log-probabilities, each (N,)."""
    log_policy = torch.log_softmax(logits, dim=-1).cpu().numpy()
    actions = (log_policy + rng.gumbel(size=log_policy.shape)).argmax(axis=1)
    return actions, np.take_along_axis(log_policy, actions[:, None], axis=1)[:, 0]
