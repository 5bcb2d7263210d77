"""The policy network: a plain MLP over the flattened window whose first layer is evaluated in two parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

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

    Attributes:
        stop: T; rows end before it.
    """

    def __init__(self, features: NDArray[np.float32], window: int, device: torch.device) -> None:
        matrix = torch.tensor(features, device=device)
        rows, columns = matrix.shape
        self.device, self.stop, self._window = device, rows, window
        # Windows overlap, and each lies in one piece: rows of a matrix that is nowhere stored.
        self._view = matrix.as_strided((rows - window + 1, window * columns), (columns, 1))

    def at(self, rows: Tensor | NDArray[np.int64]) -> Tensor:
        """Return float32 (B, window * 53): for each of ``rows`` (B,) the window that ends with it, oldest bar first."""
        index = torch.as_tensor(rows, device=self.device) - (self._window - 1)
        return self._view.index_select(0, index)


ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class WindowLinear(nn.Module):
    """The first layer, kept in the parts that are evaluated apart; outside it is a plain linear layer.

    ``state_dict`` holds ``weight`` (hidden, window * n_features) and ``bias``, as the contract describes them. Inside,
    the market part lies transposed: then neither the product nor its gradient copies or transposes a matrix that has
    most of the network's weights.

    Args:
        spec: Contract row: window and columns.
        hidden: Width of the layer.
    """

    def __init__(self, spec: ModelSpec, hidden: int) -> None:
        super().__init__()
        self.window, self.n_features = spec.window, spec.n_features
        self.market = nn.Parameter(torch.empty(spec.window * MARKET_FEATURES, hidden))
        self.account = nn.Parameter(torch.empty(hidden, spec.window, spec.n_account))
        self.bias = nn.Parameter(torch.zeros(hidden))

    @property
    def weight(self) -> Tensor:
        """Return (hidden, window * n_features), oldest bar first."""
        hidden = len(self.bias)
        market = self.market.T.reshape(hidden, self.window, MARKET_FEATURES)
        return torch.cat([market, self.account], dim=2).reshape(hidden, -1)

    @torch.no_grad()
    def assign(self, weight: Tensor) -> None:
        """Take over a plain weight (hidden, window * n_features)."""
        by_bar = weight.view(-1, self.window, self.n_features)
        self.market.copy_(by_bar[:, :, :MARKET_FEATURES].reshape(len(by_bar), -1).T)
        self.account.copy_(by_bar[:, :, MARKET_FEATURES:])

    def market_sums(self, market: Tensor) -> Tensor:
        """Return (B, hidden) of market windows (B, window * 53), without bias."""
        return market @ self.market

    def account_sums(self, account: Tensor) -> Tensor:
        """Return (..., hidden) of account columns (..., k), which repeat over the window, with bias."""
        return (account @ self.account_weight()).add_(self.bias)

    def account_weight(self) -> Tensor:
        """Return (k, hidden) weights of account columns, which repeat over the window."""
        return self.account.sum(dim=1).T

    def forward(self, obs: Tensor) -> Tensor:
        """Return (N, hidden) of whole observations (N, obs_dim): the reference."""
        return nn.functional.linear(obs, self.weight, self.bias)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, value in (("weight", self.weight), ("bias", self.bias)):
            destination[prefix + name] = value if keep_vars else value.detach()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        *_, missing, _, errors = arguments  # torch's hook also passes metadata, strictness and unexpected keys
        weight, bias = state_dict.get(f"{prefix}weight"), state_dict.get(f"{prefix}bias")
        if weight is None or bias is None:
            missing += [prefix + name for name, value in (("weight", weight), ("bias", bias)) if value is None]
        elif weight.shape != self.weight.shape or bias.shape != self.bias.shape:
            errors.append(f"{prefix}weight is {tuple(weight.shape)} and not {tuple(self.weight.shape)}")
        else:
            self.assign(weight)
            self.bias.data.copy_(bias)


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
        linears = [WindowLinear(spec, hidden_dims[0]), *(nn.Linear(*width) for width in pairwise(hidden_dims))]
        self.trunk = nn.Sequential(*(part for linear in linears for part in (linear, ACTIVATIONS[activation]())))
        self.actor_head = nn.Linear(hidden_dims[-1], spec.n_actions)
        self.critic_head = nn.Linear(hidden_dims[-1], 1)
        _initialise(self, seed)

    @property
    def first_layer(self) -> WindowLinear:
        """Return the layer that sees the observation."""
        layer = self.trunk[0]
        assert isinstance(layer, WindowLinear)
        return layer

    def policy_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight (out, in) and bias (out,) of the trunk's layers and of the policy head."""
        hidden = [layer for layer in self.trunk if isinstance(layer, WindowLinear | nn.Linear)]
        return [(layer.weight, layer.bias) for layer in [*hidden, self.actor_head]]

    def forward_parts(self, market: Tensor, account: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and values.

        Args:
            market: float32 (B, window * 53), one row a distinct bar.
            account: float32 (B, G, k), account columns of the G environments on each bar.

        Returns:
            Logits (B, G, n_actions) and values (B, G).
        """
        sums = self.first_layer.market_sums(market)
        return self.heads(self.first_layer.account_sums(account).add_(sums[:, None, :]))

    def heads(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (..., n_actions) and values (...) from what the first layer gave, (..., hidden)."""
        features = self.trunk[1:](first)
        return self.actor_head(features), self.critic_head(features).squeeze(-1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and values of whole observations (N, obs_dim): the plain MLP, and the reference."""
        return self.heads(self.first_layer(obs))


def _initialise(network: ActorCritic, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first = network.first_layer
    weight = torch.empty(len(first.bias), first.window * first.n_features)
    first.assign(nn.init.orthogonal_(weight, math.sqrt(2.0), generator=generator))
    gains = {network.actor_head: 0.01, network.critic_head: 1.0}
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight, gains.get(module, math.sqrt(2.0)), generator=generator)
            nn.init.zeros_(module.bias)
