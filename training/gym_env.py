"""The environment behind Gymnasium's two APIs, for other people's trainers: full observations, same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import Env
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


class TradingEnv(Env[Floats32, np.int64]):
    """One sleeve on one bar behind Gymnasium's plain API; an ended episode waits for :meth:`reset`.

    Args:
        envs: Environments whose ``num_envs`` is 1.

    Raises:
        UsageError: There are more than one.
    """

    def __init__(self, envs: TradingEnvs) -> None:
        if envs.num_envs != 1:
            raise UsageError("USAGE", "one environment is wanted", where="num_envs", expected=1, found=envs.num_envs)
        self._vector = TradingVectorEnv(envs)
        self.observation_space = self._vector.single_observation_space
        self.action_space = self._vector.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats32, dict[str, Any]]:
        """Start an episode; a seed restarts the generator.

        Raises:
            UsageError: Options were given: there are none.
        """
        super().reset(seed=seed)
        obs, infos = self._vector.reset(seed=seed, options=options)
        return obs[0], infos

    def step(self, action: np.int64) -> tuple[Floats32, float, bool, bool, dict[str, Any]]:
        """Trade ``action`` at the next open, and see the next close."""
        obs, rewards, terminated, truncated, infos = self._vector.step(np.array([action], dtype=np.int64))
        last = infos["final_obs"][0] if infos else obs[0]
        return last, float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}
