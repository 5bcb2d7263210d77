"""The environment as Stable-Baselines3 steps it: ``PPO("MlpPolicy", TradingVecEnv(envs))``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from training.env import TradingEnvs
from training.gym_env import TradingVectorEnv

Indices = int | Iterable[int] | None


class TradingVecEnv(VecEnv):
    """Step all environments at once; what an ended episode saw last is its ``terminal_observation``.

    Args:
        envs: What is stepped. Observations are gathered into (num_envs, obs_dim) float32.
    """

    def __init__(self, envs: TradingEnvs) -> None:
        self._vector = TradingVectorEnv(envs)
        self._actions = np.zeros(envs.num_envs, dtype=np.int64)
        super().__init__(envs.num_envs, self._vector.single_observation_space, self._vector.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Start every episode anew; the first of the seeds given by ``seed`` restarts the shared generator."""
        obs, _ = self._vector.reset(seed=self._seeds[0])
        self._reset_seeds()
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Return observations, rewards, ends and infos."""
        obs, rewards, terminated, truncated, seen = self._vector.step(self._actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(ended):
            infos[index]["terminal_observation"] = seen["final_obs"][index]
            infos[index]["TimeLimit.truncated"] = bool(truncated[index])
        return obs, rewards.astype(np.float32), ended, infos

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return an attribute once for each environment; all share one object."""
        value = None if attr_name == "render_mode" else getattr(self._vector, attr_name)
        return [value for _ in self._get_indices(indices)]

    # ARG002: the three signatures are VecEnv's.
    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:  # noqa: ARG002
        """Refuse: the environments share their settings.

        Raises:
            AttributeError: Always, as for an attribute that cannot be set.
        """
        raise AttributeError(f"{attr_name} cannot be set on single environments: they share one object")

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:  # noqa: ARG002
        """Refuse: the environments share their methods.

        Raises:
            AttributeError: Always, as for a method that is not there.
        """
        raise AttributeError(f"{method_name} cannot be called on single environments: they share one object")

    def env_is_wrapped(self, wrapper_class: Any, indices: Indices = None) -> list[bool]:  # noqa: ARG002
        """Return that nothing is wrapped."""
        return [False for _ in self._get_indices(indices)]
