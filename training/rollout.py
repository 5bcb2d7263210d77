"""Let the current policy act in the environments, and keep what the update needs: indices, never observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.env import TradingEnvs
from training.policy import ActorCritic, MarketWindows

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
MAX_RUN: Final = 256
"""Bars whose first layer is computed at once: enough for a fast product, 0.5 MB a run at 512 outputs."""


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
    """Act with a policy that stays fixed during a rollout.

    Bars come one after the other until an episode ends, so their part of the first layer is computed for a run of
    them at once: one product of matrices instead of one that reads all weights at every step.

    Args:
        network: The policy.
        windows: The market, on the network's device.
        envs_per_bar: Environments on each bar.
        num_bars: Bars that the environments stand on.
    """

    def __init__(self, network: ActorCritic, windows: MarketWindows, envs_per_bar: int, num_bars: int) -> None:
        self._network, self._windows, self._group = network, windows, envs_per_bar
        self._starts = np.zeros(num_bars, np.int64)
        self._runs = [torch.empty(0)] * num_bars
        layer = network.first_layer
        self._account, self._bias = layer.account_weight().detach(), layer.bias.detach()

    @torch.no_grad()
    def evaluate(self, rows: NDArray[np.int64], account: Floats32, *, ahead: int = 1) -> tuple[Tensor, Floats32]:
        """Return logits (N, n_actions) and values (N,).

        Args:
            rows: (M,) market rows.
            account: float32 (N, k).
            ahead: Rows that may be asked for one after the other, this one included.
        """
        for bar, row in enumerate(rows):
            if not 0 <= row - self._starts[bar] < len(self._runs[bar]):
                self._starts[bar], self._runs[bar] = row, self._run(int(row), ahead)
        sums = torch.stack([run[row - start] for run, row, start in zip(self._runs, rows, self._starts, strict=True)])
        first = torch.from_numpy(account).to(sums.device) @ self._account + self._bias
        logits, values = self._network.heads(sums.repeat_interleave(self._group, dim=0) + first)
        return logits, values.cpu().numpy()

    def _run(self, row: int, ahead: int) -> Tensor:
        rows = np.arange(row, min(row + min(ahead, MAX_RUN), self._windows.stop))
        return self._network.first_layer.market_sums(self._windows.at(rows))


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
    actor = Actor(network, windows, envs.envs_per_bar, envs.num_bars)
    obs = envs.observe()
    logits, values = actor.evaluate(obs.rows, obs.account, ahead=num_steps + 1)
    for step in range(num_steps):
        actions, logprobs = sample(logits, rng)
        rollout.rows[step], rollout.account[step], rollout.actions[step] = obs.rows, obs.account, actions
        rollout.logprobs[step], rollout.values[step] = logprobs, values
        result = envs.step(actions)
        rollout.rewards[step] = result.rewards
        rollout.terminated[step], rollout.truncated[step] = result.terminated, result.truncated
        final_values = None
        if result.truncated.any():
            _, final_values = actor.evaluate(result.final.rows, result.final.account)
        obs = envs.observe()
        logits, values = actor.evaluate(obs.rows, obs.account, ahead=num_steps - step)
        rollout.next_values[step] = values if final_values is None else np.where(result.truncated, final_values, values)
    return rollout


def sample(logits: Tensor, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats32]:
    """Draw one action a row (Gumbel-max trick); return actions and their log-probabilities, each (N,)."""
    log_policy = torch.log_softmax(logits, dim=-1).cpu().numpy()
    actions = (log_policy + rng.gumbel(size=log_policy.shape)).argmax(axis=1)
    return actions, np.take_along_axis(log_policy, actions[:, None], axis=1)[:, 0]
