"""The environment behind Gymnasium's vector API, for other people's trainers: full observations, same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from trader_sdk.contract.errors import UsageError
from training.env import TradingEnvs

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]


class TradingVectorEnv(VectorEnv[Any, Any, Any]):
    """Wrap :class:`~training.env.TradingEnvs`; episodes that end are reset in the same step.

    Args:
        envs: What is stepped. Observations are gathered into (num_envs, obs_dim) float32 on each call.
    """

    def __init__(self, envs: TradingEnvs) -> None:
        self.envs = envs
        self.num_envs = envs.num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = Box(-np.inf, np.inf, (envs.spec.obs_dim,), np.float32)
        self.single_action_space = Discrete(envs.spec.n_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats32, dict[str, Any]]:
        """Start every episode anew; a seed restarts the one generator that all copies share.

        Raises:
            UsageError: Options were given: there are none.
        """
        if options:
            raise UsageError("USAGE", "the environment has no reset options", found=sorted(options))
        if seed is not None:
            self.envs.rng = np.random.default_rng(seed)
        return self.envs.gather(self.envs.reset()), {}

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats32, NDArray[np.float64], Bools, Bools, dict[str, Any]]:
        """Step every environment; ``infos["final_obs"]`` holds what ended episodes saw last."""
        result = self.envs.step(actions)
        ended = result.terminated | result.truncated
        infos: dict[str, Any] = {}
        if ended.any():
            last = np.empty(self.num_envs, dtype=object)
            rows = self.envs.gather(result.final)
            for index in np.flatnonzero(ended):
                last[index] = rows[index]
            infos = {"final_obs": last, "_final_obs": ended}
        return self.envs.gather(self.envs.observe()), result.rewards, result.terminated, result.truncated, infos
