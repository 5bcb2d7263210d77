"""PPO environment steps a second, and a rollout's memory: ours and Stable-Baselines3 on the same market and network.

Both train 5900 -> 512 -> 256 -> {7, 1} with one shared trunk on the same environments, 64 of them for 128 steps, with
the same epochs, minibatches and coefficients. Eight environments stand on each bar, as in the presets for networks of
this size (docs/reference/shared-bars.md says what that costs learning: nothing), and four, as on a laptop, in a row of
their own. Theirs sees whole observations through its own vector API.
One thread, then two in a process of their own; OMP_NUM_THREADS asks for one number of threads alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rows import OURS, THREAD_LIMITS, Row, compare, interleaved, main, seconds

HIDDEN, NUM_ENVS, NUM_STEPS, BARS = (512, 256), 64, 128, 20_000
ENVS_PER_BAR, FEWER_PER_BAR = 8, 4
STABLE_BASELINES3 = "stable-baselines3"
GOALS = {1: 5.0, 2: 4.0}
MEMORY_GOAL = 100.0


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of training."""
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", "1"))
    import torch

    torch.set_num_threads(threads)
    steps = NUM_ENVS * NUM_STEPS
    works = {
        OURS: _ours(ENVS_PER_BAR),
        "fewer": _ours(FEWER_PER_BAR),
        STABLE_BASELINES3: _stable_baselines3(),
    }
    taken = interleaved({name: _per_step(work, steps) for name, work in works.items()}, 2 if quick else 5)
    row = f"PPO, an environment step, {threads} thread{'s' if threads > 1 else ''}"
    yield from compare(row, taken, {STABLE_BASELINES3: GOALS.get(threads)}, unit="us")
    fewer = {OURS: taken["fewer"], STABLE_BASELINES3: taken[STABLE_BASELINES3]}
    yield from compare(f"{row}, four a bar", fewer, {STABLE_BASELINES3: None}, unit="us")
    if threads == 1:
        yield _memory()
        yield from _two_threads(quick)


def _two_threads(quick: bool) -> Iterator[Row]:
    """Yield the rows of two threads, in wall time, from a process that has had two from its start."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, __file__, "--json-file", str(file), *(["--quick"] if quick else [])]
        two = os.environ | dict.fromkeys(THREAD_LIMITS, "2")
        # S603: the command is this script.
        subprocess.run(command, check=True, env=two, stdout=subprocess.DEVNULL)  # noqa: S603
        yield from (Row(**{**row, "spread": tuple(row["spread"])}) for row in json.loads(file.read_text("utf-8")))


def _per_step(update: Callable[[], object], steps: int) -> Callable[[], float]:
    return lambda: seconds(update) / steps


def _ours(envs_per_bar: int) -> Callable[[], object]:
    """Return one rollout and its update, as the training loop does them."""
    import numpy as np
    import torch

    from training.config import TrainConfig
    from training.policy import ActorCritic, MarketWindows
    from training.ppo import make_batch, update_policy
    from training.rollout import collect

    sizes = {"num_envs": NUM_ENVS, "num_steps": NUM_STEPS, "envs_per_bar": envs_per_bar, "hidden_dims": HIDDEN}
    config = TrainConfig(**sizes, target_kl=1e9)
    envs, cpu, rng = _envs(NUM_ENVS, envs_per_bar), torch.device("cpu"), np.random.default_rng(1)
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
        TradingVecEnv(_envs(NUM_ENVS, ENVS_PER_BAR)),
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

    envs = _envs(8, FEWER_PER_BAR)
    vec = TradingVecEnv(envs)
    buffer = RolloutBuffer(2048, vec.observation_space, vec.action_space, device="cpu", n_envs=8)
    kept = (getattr(buffer, name) for name in ("observations", "actions", "rewards", "values", "log_probs"))
    theirs = (sum(array.nbytes for array in kept) + buffer.advantages.nbytes + buffer.returns.nbytes) / 1e6
    ours = Rollout.empty(2048, envs).nbytes / 1e6
    ratio = theirs / ours
    row = "rollout memory, 2048 x 8 steps"
    return Row(row, STABLE_BASELINES3, theirs, ours, "MB", ratio, MEMORY_GOAL, ratio >= MEMORY_GOAL, (ratio, ratio))


def _envs(num_envs: int, envs_per_bar: int) -> Any:
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
        envs_per_bar=envs_per_bar,
        episode_bars=512,
        costs=cost_model("us_equity@1"),
        rng=rng,
    )


if __name__ == "__main__":
    raise SystemExit(main(measure))
