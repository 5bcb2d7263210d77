"""CartPole with the trainer's own PPO beside Stable-Baselines3: `python scripts/cartpole.py --out docs/assets`.

The update that trades is the update that balances: `make_batch`, `update_policy` and `sample` are the training half's
own, with CartPole's four numbers where the account columns go and a market of no columns. Both use the published
settings of RL Baselines3 Zoo (8 environments, 100,000 steps). The curve is the mean return of the last 100 episodes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config import TrainConfig
from training.ppo import make_batch, update_policy
from training.rollout import Rollout, sample

NUM_ENVS, NUM_STEPS, TOTAL_STEPS, SOLVED = 8, 32, 100_000, 475.0
GAMMA, GAE_LAMBDA, CLIP, LEARNING_RATE, EPOCHS = 0.98, 0.8, 0.2, 1e-3, 20
Curve = list[tuple[int, float]]


class NoMarket:
    """Windows of nothing, for a network that looks at the account columns alone."""

    def at(self, rows: Tensor) -> Tensor:
        """Return (B, 0)."""
        return torch.empty(len(rows), 0)


class TwoTrunks(nn.Module):
    """Two towers of 64, 64, as the reference has them, in the trainer's interface."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.actor, self.critic = _tower(2, 0.01), _tower(1, 1.0)

    def forward_parts(self, market: Tensor, account: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, 1, 2) and values (B, 1) of account (B, 1, 4)."""
        del market
        return self.actor(account), self.critic(account).squeeze(-1)


def _tower(outputs: int, gain: float) -> nn.Sequential:
    layers = [nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)]
    for layer, scale in zip(layers[::2], (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, scale)  # type: ignore[arg-type] # every other layer is a Linear
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type] # the same
    return nn.Sequential(*layers)


def ours(seed: int) -> Curve:
    """Train with the training half's update; return (steps, mean return of the last 100 episodes)."""
    network, rng = TwoTrunks(seed), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, eps=1e-5)
    envs = CartPoles(seed)
    curve: Curve = []
    updates = -(-TOTAL_STEPS // (NUM_ENVS * NUM_STEPS))
    for update in range(updates):
        left = 1.0 - update / updates
        config = TrainConfig(
            num_envs=NUM_ENVS,
            num_steps=NUM_STEPS,
            envs_per_bar=1,
            num_minibatches=1,
            update_epochs=EPOCHS,
            gamma=GAMMA,
            gae_lambda=GAE_LAMBDA,
            clip_coef=CLIP * left,
            vf_coef=1.0,
            ent_coef=0.0,
            target_kl=1e9,
        )
        batch = make_batch(_collect(network, envs, rng), config, torch.device("cpu"))
        for _ in update_policy(
            network,  # type: ignore[arg-type] # the interface is the trainer's; the class is CartPole's
            optimizer,
            batch,
            NoMarket(),  # type: ignore[arg-type] # the same
            config,
            rng,
            ent_coef=0.0,
            next_lr=lambda left=left: LEARNING_RATE * left,
        ):
            pass
        curve.append(((update + 1) * NUM_ENVS * NUM_STEPS, float(np.mean(envs.returns[-100:]))))
    return curve


class CartPoles:
    """Eight poles; those that fall or stand for 500 steps start again in the same step."""

    def __init__(self, seed: int) -> None:
        self.envs = [gymnasium.make("CartPole-v1") for _ in range(NUM_ENVS)]
        self.obs = np.stack([env.reset(seed=seed * NUM_ENVS + index)[0] for index, env in enumerate(self.envs)])
        self.running, self.returns = np.zeros(NUM_ENVS), [0.0]

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return (N, 4) what was seen last, and which poles (N,) fell and (N,) were cut."""
        steps = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
        final = np.stack([step[0] for step in steps])
        fell, cut = (np.array([step[index] for step in steps]) for index in (2, 3))
        self.running += 1.0
        self.obs = final.copy()
        for index in np.flatnonzero(fell | cut):
            self.returns.append(float(self.running[index]))
            self.running[index], self.obs[index] = 0.0, self.envs[index].reset()[0]
        return final, fell, cut & ~fell


def _collect(network: TwoTrunks, envs: CartPoles, rng: np.random.Generator) -> Rollout:
    shape = (NUM_STEPS, NUM_ENVS)
    rollout = Rollout(
        rows=np.zeros(shape, np.int64),
        account=np.empty((*shape, 4), np.float32),
        actions=np.empty(shape, np.int64),
        logprobs=np.empty(shape, np.float32),
        values=np.empty(shape, np.float32),
        next_values=np.empty(shape, np.float32),
        rewards=np.ones(shape, np.float32),
        terminated=np.empty(shape, np.bool_),
        truncated=np.empty(shape, np.bool_),
    )
    for step in range(NUM_STEPS):
        rollout.account[step] = envs.obs
        logits, rollout.values[step] = _evaluate(network, envs.obs)
        rollout.actions[step], rollout.logprobs[step] = sample(logits, rng)
        final, rollout.terminated[step], rollout.truncated[step] = envs.step(rollout.actions[step])
        rollout.next_values[step] = _evaluate(network, final)[1]
    return rollout


@torch.no_grad()
def _evaluate(network: TwoTrunks, obs: NDArray[Any]) -> tuple[Tensor, NDArray[np.float32]]:
    seen = torch.from_numpy(obs.astype(np.float32))
    return network.actor(seen), network.critic(seen).squeeze(-1).numpy()


def theirs(seed: int) -> Curve:
    """Train with the reference; return its curve."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    curve: Curve = []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            done = [episode["r"] for episode in self.model.ep_info_buffer or [{"r": 0.0}]]
            curve.append((self.num_timesteps, float(np.mean(done))))

    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", NUM_ENVS, seed=seed),
        n_steps=NUM_STEPS,
        batch_size=NUM_ENVS * NUM_STEPS,
        n_epochs=EPOCHS,
        gamma=GAMMA,
        gae_lambda=GAE_LAMBDA,
        clip_range=lambda left: CLIP * left,
        learning_rate=lambda left: LEARNING_RATE * left,
        ent_coef=0.0,
        seed=seed,
        device="cpu",
    )
    model.learn(TOTAL_STEPS, callback=Watch())
    return curve


def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    """Draw every seed's curve, a colour a trainer."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for colour, (name, runs) in zip(("#1f6feb", "#b35900"), curves.items(), strict=True):
        for index, curve in enumerate(runs):
            axes.plot(*zip(*curve, strict=True), color=colour, alpha=0.75, linewidth=1.3, label=None if index else name)
    axes.axhline(SOLVED, color="#57606a", linewidth=1, linestyle=":")
    axes.text(TOTAL_STEPS * 0.01, SOLVED + 5, "475", color="#57606a")
    axes.set(xlabel="environment steps", ylabel="mean return of the last 100 episodes", ylim=(0, 520))
    axes.set_title("CartPole-v1, five seeds each, the same settings")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    """Train both on every seed, print when each reached 475, and write curve and numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/assets"), help="folder for the picture and its numbers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    curves: dict[str, list[Curve]] = {"ours": [], "stable-baselines3": []}
    for seed in range(arguments.seeds):
        for name, train in (("ours", ours), ("stable-baselines3", theirs)):
            curve = train(seed)
            curves[name].append(curve)
            reached = next((step for step, mean in curve if mean >= SOLVED), None)
            print(f"seed {seed}  {name:18} reached 475 at {reached}, ended at {curve[-1][1]:.1f}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw(curves, arguments.out / "cartpole.svg")
    (arguments.out / "cartpole.json").write_text(json.dumps(curves) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
