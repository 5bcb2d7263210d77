"""Train with Stable-Baselines3, export its policy, archive it: `python docs/examples/sb3_export.py`."""

import sys
from pathlib import Path

from market import environments, judge_and_archive, stamp
from stable_baselines3 import PPO
from torch import nn

from trader_sdk import NativeModelWrapper, save
from training.sb3 import TradingVecEnv


def export(model: PPO, path: Path) -> Path:
    """Save the policy half of an SB3 `MlpPolicy` as a checkpoint; it decides as `predict(deterministic=True)` does."""
    policy = nn.Sequential(*model.policy.mlp_extractor.policy_net, model.policy.action_net)
    steps = model.num_timesteps
    return save(path, policy=policy.cpu(), optimizer=model.policy.optimizer, global_step=steps, **stamp()).path


def trained(steps: int = 512) -> tuple[PPO, TradingVecEnv]:
    """Return a model and its environment."""
    vec = TradingVecEnv(environments())
    settings = {"n_steps": 16, "batch_size": 64, "n_epochs": 2, "policy_kwargs": {"net_arch": [16, 16]}}
    return PPO("MlpPolicy", vec, seed=7, device="cpu", **settings).learn(steps), vec


def main(folder: Path) -> object:
    """Train, export, archive, and return the verdict."""
    model, _ = trained()
    path = export(model, folder / "sb3.pt")
    return judge_and_archive(path, NativeModelWrapper(path).policy, folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
