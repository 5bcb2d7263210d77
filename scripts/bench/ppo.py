"""PPO environment steps a second, and a rollout's memory: ours and Stable-Baselines3 on the same market and network.

Both train 5900 -> 512 -> 256 -> {7, 1} with one shared trunk on the same environments, 64 of them for 128 steps, with
the same epochs, minibatches and coefficients. Theirs sees whole observations through its own vector API.
OMP_NUM_THREADS says how many threads both have; one without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from rows import OURS, Row, compare, interleaved, main, seconds

HIDDEN, NUM_ENVS, NUM_STEPS, BARS = (512, 256), 64, 128, 20_000
STABLE_BASELINES3 = "stable-baselines3"
GOALS = {1: 5.0, 2: 4.0}
MEMORY_GOAL = 100.0


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of training."""
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", "1"))
    import torch

    torch.set_num_threads(threads)
    steps = NUM_ENVS * NUM_STEPS
    cases = {OURS: _per_step(_ours(), steps), STABLE_BASELINES3: _per_step(_stable_baselines3(), steps)}
    taken = interleaved(cases, 2 if quick else 9)
    row = f"PPO, an environment step, {threads} thread{'s' if threads > 1 else ''}"
    yield from compare(row, taken, {STABLE_BASELINES3: GOALS.get(threads)}, unit="us")
    yield _memory()


def _per_step(update: Callable[[], object], steps: int) -> Callable[[], float]:
    return lambda: seconds(update) / steps


def _ours() -> Callable[[], object]:
    """Return one rollout and its update, as the training loop does them."""
    import numpy as np
    import torch

    from training.config import TrainConfig
    from training.policy import ActorCritic, MarketWindows
    from training.ppo import make_batch, update_policy
    from training.rollout import collect

    config = TrainConfig(hidden_dims=HIDDEN, num_envs=NUM_ENVS, num_steps=NUM_STEPS, target_kl=1e9)
    envs, cpu, rng = _envs(NUM_ENVS), torch.device("cpu"), np.random.default_rng(1)
    network = ActorCritic(envs.spec, HIDDEN, "tanh", 0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4, eps=1e-5, fused=True)
    windows = MarketWindows(envs.market.features, envs.spec.window, cpu)

    def update() -> None:
        batch = make_batch(collect(network, envs, windows, NUM_STEPS, rng), config, cpu)
        steps = update_policy(network, optimizer, batch, windows, config, rng, ent_coef=0.005, next_lr=lambda: 3e-4)
        assert len(list(steps)) == config.update_epochs * config.num_minibatches

    return update


def _stable_baselines3() -> Callable[[], object]:
    """Return the same amount of work by the peer; its trunk is a features extractor, since that is what it shares."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from torch import nn

    from training.sb3 import TradingVecEnv

    class Trunk(BaseFeaturesExtractor):
        def __init__(self, space: Any) -> None:
            super().__init__(space, HIDDEN[-1])
            first, second = HIDDEN
            self.layers = nn.Sequential(
                nn.Linear(space.shape[0], first), nn.Tanh(), nn.Linear(first, second), nn.Tanh()
            )

        def forward(self, obs: torch.Tensor) -> Any:
            return self.layers(obs)

    model = PPO(
        "MlpPolicy",
        TradingVecEnv(_envs(NUM_ENVS)),
        n_steps=NUM_STEPS,
        batch_size=NUM_ENVS * NUM_STEPS // 8,
        n_epochs=4,
        gamma=0.97,
        gae_lambda=0.9,
        ent_coef=0.005,
        policy_kwargs={"features_extractor_class": Trunk, "net_arch": []},
        device="cpu",
    )
    return lambda: model.learn(NUM_ENVS * NUM_STEPS, reset_num_timesteps=False)


def _memory() -> Row:
    """Compare the arrays that are kept for 2,048 steps of 8 environments, without anybody's temporaries."""
    from stable_baselines3.common.buffers import RolloutBuffer

    from training.rollout import Rollout
    from training.sb3 import TradingVecEnv

    envs = _envs(8)
    vec = TradingVecEnv(envs)
    buffer = RolloutBuffer(2048, vec.observation_space, vec.action_space, device="cpu", n_envs=8)
    kept = (getattr(buffer, name) for name in ("observations", "actions", "rewards", "values", "log_probs"))
    theirs = (sum(array.nbytes for array in kept) + buffer.advantages.nbytes + buffer.returns.nbytes) / 1e6
    ours = Rollout.empty(2048, envs).nbytes / 1e6
    ratio = theirs / ours
    row = "rollout memory, 2048 x 8 steps"
    return Row(row, STABLE_BASELINES3, theirs, ours, "MB", ratio, MEMORY_GOAL, ratio >= MEMORY_GOAL, (ratio, ratio))


def _envs(num_envs: int) -> Any:
    import numpy as np

    from trader_sdk.contract.costs import cost_model
    from trader_sdk.contract.spec import CURRENT_MODEL_VERSION, MODEL_SPECS
    from trader_sdk.data import load_bars
    from training.env import TradingEnvs
    from training.market import Market

    rng = np.random.default_rng(0)
    bars = load_bars(f"planted:bars={BARS}", "SIM", "1Min")
    features = rng.standard_normal((len(bars), 53)).astype(np.float32)
    return TradingEnvs(
        Market(bars, features, warm_up=0),
        range(99, len(bars)),
        MODEL_SPECS[CURRENT_MODEL_VERSION],
        num_envs=num_envs,
        envs_per_bar=4,
        episode_bars=512,
        costs=cost_model("us_equity@1"),
        rng=rng,
    )


if __name__ == "__main__":
    raise SystemExit(main(measure))
