"""Policies as the documented trainers wrote them, in plain torch; imports nothing of the package under test."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def trunk(obs_dim: int, hidden: Sequence[int], activation: str = "tanh") -> nn.Sequential:
    """Return Linear, activation, Linear, activation, ..."""
    layers: list[nn.Module] = []
    width = obs_dim
    for size in hidden:
        layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
        width = size
    return nn.Sequential(*layers)


class ActorCritic(nn.Module):
    """The documented policy: one trunk, a policy head, a value head."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: Sequence[int], activation: str = "tanh") -> None:
        super().__init__()
        self.trunk = trunk(obs_dim, hidden, activation)
        self.actor_head = nn.Linear(hidden[-1], n_actions)
        self.critic_head = nn.Linear(hidden[-1], 1)

    def logits(self, obs: Tensor) -> Tensor:
        """Return the policy head's output."""
        out: Tensor = self.actor_head(self.trunk(obs))
        return out

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and values."""
        features = self.trunk(obs)
        return self.actor_head(features), self.critic_head(features)


class SharedPiValue(nn.Module):
    """The same network under other people's names: ``shared.0``, ``pi``, ``value_fn``."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.shared = trunk(obs_dim, hidden)
        self.pi = nn.Linear(hidden[-1], n_actions)
        self.value_fn = nn.Linear(hidden[-1], 1)

    def logits(self, obs: Tensor) -> Tensor:
        """Return the policy head's output."""
        out: Tensor = self.pi(self.shared(obs))
        return out


class SeparateTrunks(nn.Module):
    """Actor and critic that share nothing, as ``actor.0`` and ``critic.0``."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.actor = nn.Sequential(*trunk(obs_dim, hidden), nn.Linear(hidden[-1], n_actions))
        self.critic = nn.Sequential(*trunk(obs_dim, hidden), nn.Linear(hidden[-1], 1))

    def logits(self, obs: Tensor) -> Tensor:
        """Return the policy head's output."""
        out: Tensor = self.actor(obs)
        return out


class FlatLayers(nn.Module):
    """Layers as attributes (``fc1``, ``fc2``, ``policy``, ``vf``) with the activation in ``forward``."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(obs_dim, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.policy = nn.Linear(hidden[1], n_actions)
        self.vf = nn.Linear(hidden[1], 1)

    def logits(self, obs: Tensor) -> Tensor:
        """Return the policy head's output."""
        out: Tensor = self.policy(torch.tanh(self.fc2(torch.tanh(self.fc1(obs)))))
        return out


def seeded(network: nn.Module, seed: int) -> nn.Module:
    """Give every parameter values that spread the logits, from a seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            # Wide weights and small biases, so that the observation decides and not the bias.
            scale = 4.0 / parameter.shape[1] ** 0.5 if parameter.ndim == 2 else 0.1
            parameter.copy_(torch.empty_like(parameter).uniform_(-scale, scale, generator=generator))
    return network


def observations(count: int, obs_dim: int) -> Tensor:
    """Return the observations of recipe ``knuth32@1``: float32 in [-1, 1), the same in every library."""
    index = torch.arange(count * obs_dim, dtype=torch.int64)
    scrambled = (index * 2654435761) % 2**32
    return (scrambled.double() / 2**31 - 1).float().reshape(count, obs_dim)
