"""Other people's trainers on this environment: Gymnasium's checker, Stable-Baselines3's checker and its PPO."""

from collections.abc import Callable

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as check_gymnasium_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_stable_baselines3_env

from trader_sdk.contract.errors import UsageError
from training.env import TradingEnvs
from training.gym_env import TradingEnv
from training.sb3 import TradingVecEnv

EnvMaker = Callable[..., TradingEnvs]


@pytest.mark.filterwarnings("ignore:.*infinity.*")  # the contract sets no bounds on market columns
@pytest.mark.parametrize("check", [check_stable_baselines3_env, check_gymnasium_env])
def test_single_environment_passes_the_checkers(check: Callable[..., None], make_envs: EnvMaker) -> None:
    """Both projects' own checks hold: spaces, dtypes, seeding, the shape of what reset and step return."""
    check(TradingEnv(make_envs(num_envs=1, envs_per_bar=1)), skip_render_check=True)


def test_single_environment_refuses_a_crowd(make_envs: EnvMaker) -> None:
    """Eight sleeves are no single environment."""
    with pytest.raises(UsageError, match="one environment"):
        TradingEnv(make_envs())


def test_single_environment_shows_the_last_bar_of_an_ended_episode(make_envs: EnvMaker) -> None:
    """A truncated step returns what that episode saw last, as the plain API wants, and not the next episode's start."""
    envs = make_envs(num_envs=1, envs_per_bar=1, episode_bars=10)
    env = TradingEnv(envs)
    env.reset(seed=3)
    truncated = False
    while not truncated:
        row = envs.bar[0]
        obs, _, _, truncated, _ = env.step(np.int64(0))
    assert (obs.reshape(100, 59)[-1, :53] == envs.market.features[row + 1]).all()


def test_stable_baselines3_trains_on_the_environment(make_envs: EnvMaker) -> None:
    """A short PPO run steps, bootstraps cut episodes and updates its weights."""
    vec = TradingVecEnv(make_envs(episode_bars=10))
    model = PPO("MlpPolicy", vec, n_steps=16, batch_size=64, n_epochs=1, policy_kwargs={"net_arch": [8]}, seed=0)
    before = [value.clone() for value in model.policy.state_dict().values()]
    model.learn(256)
    after = model.policy.state_dict().values()
    assert model.num_timesteps == 256
    assert any(not old.equal(new) for old, new in zip(before, after, strict=True))
    assert all(bool(value.isfinite().all()) for value in after)


def test_vec_env_tells_truncation_from_ruin(make_envs: EnvMaker) -> None:
    """What was cut is marked so and carries its last observation; the seed repeats the run."""
    seen = []
    for _ in range(2):
        vec = TradingVecEnv(make_envs(episode_bars=10))
        vec.seed(11)
        first = vec.reset()
        infos: list[dict[str, object]] = []
        while not any(infos):
            _, rewards, ended, infos = vec.step(np.ones(8, dtype=np.int64))
        cut = np.flatnonzero(ended)
        assert all(infos[index]["TimeLimit.truncated"] for index in cut)
        assert all(np.shape(infos[index]["terminal_observation"]) == (5900,) for index in cut)
        seen.append((first, rewards))
    assert (seen[0][0] == seen[1][0]).all()
    assert (seen[0][1] == seen[1][1]).all()
