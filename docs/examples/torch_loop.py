"""A plain PyTorch loop of one's own, saved and archived: `python docs/examples/torch_loop.py`."""

import sys
from pathlib import Path

import numpy as np
import torch
from market import SPEC, environments, judge_and_archive, stamp
from torch import nn

from trader_sdk import NativeModelWrapper, save


def main(folder: Path, updates: int = 20) -> object:
    """Train by REINFORCE, save, archive, and return the verdict."""
    torch.manual_seed(7)
    policy = nn.Sequential(nn.Linear(SPEC.obs_dim, 16), nn.Tanh(), nn.Linear(16, SPEC.n_actions))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    envs = environments()
    for _ in range(updates):
        losses = []
        for _ in range(8):
            obs = torch.from_numpy(envs.gather(envs.observe()))
            choice = torch.distributions.Categorical(logits=policy(obs))
            action = choice.sample()
            reward = torch.from_numpy(envs.step(action.numpy()).rewards).float()
            losses.append(-(choice.log_prob(action) * (reward - reward.mean())).mean())
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    probe = envs.gather(envs.observe())[:2].astype(np.float32)
    saved = save(folder / "torch.pt", policy=policy, optimizer=optimizer, probe_observations=probe, **stamp())
    return judge_and_archive(saved.path, NativeModelWrapper(saved.path).policy, folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
