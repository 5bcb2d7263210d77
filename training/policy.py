"""The policy network: a plain MLP over the flattened window whose first layer is evaluated in two parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.spec import MARKET_FEATURES, ModelSpec


class MarketWindows:
    """Gather windows of the feature matrix by row; the matrix is kept once and no observation is stored.

    Args:
        features: float32 (T, 53).
        window: Bars in an observation.
        device: Where the matrix is kept.
    """

    def __init__(self, features: NDArray[np.float32], window: int, device: torch.device) -> None:
        matrix = torch.tensor(features, device=device)
        rows, columns = matrix.shape
        self.device, self._window = device, window
        self._view = matrix.as_strided((rows - window + 1, window, columns), (columns, columns, 1))

    def at(self, rows: Tensor | NDArray[np.int64]) -> Tensor:
        """Return float32 (B, window * 53): for each of ``rows`` (B,) the window that ends with it, oldest bar first."""
        index = torch.as_tensor(rows, device=self.device) - (self._window - 1)
        return self._view[index].flatten(1)


ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ActorCritic(nn.Module):
    """Map observations to action logits and a state value; the trunk is shared.

    The weights are those of the plain MLP that the contract describes (``trunk.0.weight`` is (hidden, obs_dim)), so a
    checkpoint needs no conversion. Account columns are one value repeated over the window: the first layer runs on
    ``market`` once for each distinct bar, and the account's part, with its weights summed over the window, is added
    for each environment that stands on that bar. Gradients are those of the dense layer.

    Args:
        spec: Contract row: window, columns, actions.
        hidden_dims: Widths of the trunk.
        activation: ``tanh`` or ``relu``.
        seed: Seeds the orthogonal initialisation.
    """

    def __init__(self, spec: ModelSpec, hidden_dims: Sequence[int], activation: str, seed: int) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(
                "CONFIG", "unknown activation", where="activation", expected="tanh, relu", found=activation
            )
        self.window, self.n_features, self.activation = spec.window, spec.n_features, activation
        widths = [spec.obs_dim, *hidden_dims]
        layers = [part for width in pairwise(widths) for part in (nn.Linear(*width), ACTIVATIONS[activation]())]
        self.trunk = nn.Sequential(*layers)
        self.actor_head = nn.Linear(widths[-1], spec.n_actions)
        self.critic_head = nn.Linear(widths[-1], 1)
        _initialise(self, seed)

    def first_layer(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first layer's market weights (hidden, window * 53), account weights (hidden, k) and bias."""
        linear = self.trunk[0]
        assert isinstance(linear, nn.Linear)
        weight = linear.weight.view(-1, self.window, self.n_features)
        market = weight[:, :, :MARKET_FEATURES].reshape(len(weight), -1)
        return market, weight[:, :, MARKET_FEATURES:].sum(dim=1), linear.bias

    def forward_parts(self, market: Tensor, account: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and values.

        Args:
            market: float32 (B, window * 53), one row a distinct bar.
            account: float32 (B, G, k), account columns of the G environments on each bar.

        Returns:
            Logits (B, G, n_actions) and values (B, G).
        """
        market_weight, account_weight, bias = self.first_layer()
        hidden = (market @ market_weight.T)[:, None, :] + account @ account_weight.T + bias  # (B, G, hidden)
        features = self.trunk[1:](hidden)
        return self.actor_head(features), self.critic_head(features).squeeze(-1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and values of whole observations (N, obs_dim): the plain MLP, and the reference."""
        features = self.trunk(obs)
        return self.actor_head(features), self.critic_head(features).squeeze(-1)


def _initialise(network: ActorCritic, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gains = {network.actor_head: 0.01, network.critic_head: 1.0}
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight, gains.get(module, math.sqrt(2.0)), generator=generator)
            nn.init.zeros_(module.bias)
