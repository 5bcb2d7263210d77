"""Judge the argmax policy on a block: the deployed engine, the contract's sleeves, the house's metric set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trader_sdk.archive.action_mix import action_mix
from trader_sdk.archive.blocks import equal_windows
from trader_sdk.archive.metrics import HouseMetrics, house_metrics
from trader_sdk.archive.walk import Walk, walk_windows
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.data.calendar import bars_per_year
from trader_sdk.engine.dense import DensePolicy
from training.market import Market
from training.policy import ActorCritic


@dataclass(frozen=True, slots=True)
class Validation:
    """What the argmax policy did on one block, what the metric set makes of it, and the shares of its actions."""

    metrics: HouseMetrics
    walks: tuple[Walk, ...]
    action_mix: Mapping[str, float] = field(default_factory=dict)

    @property
    def action_counts(self) -> list[int]:
        """Return how often each action index was chosen, up to the highest that was."""
        actions = np.concatenate([walk.actions for walk in self.walks])
        return [int(count) for count in np.bincount(actions[actions >= 0])]


@dataclass(frozen=True, slots=True)
class Validator:
    """Validate policies on blocks of one market.

    Attributes:
        market: Features and prices.
        spec: Contract row.
        costs: Cost model.
        n_windows: Equal windows of a block.
        n_trials: How often the data was opened for judging before, plus one.
        limits: Sizing constants.
    """

    market: Market
    spec: ModelSpec
    costs: CostModel
    n_windows: int
    n_trials: int = 1
    limits: ExecutionLimits = DEFAULT_LIMITS

    def validate(self, policy: DensePolicy, block: range) -> Validation:
        """Let ``policy`` trade the windows of ``block``, each flat at its start and closed at its end."""
        windows = equal_windows(block, self.n_windows)
        walks = walk_windows(
            policy,
            self.spec,
            self.market.features,
            self.market.prices,
            windows,
            costs=self.costs,
            limits=self.limits,
        )
        bars = self.market.bars
        metrics = house_metrics(
            [walk.ledger for walk in walks],
            n_trials=self.n_trials,
            bars_per_year=bars_per_year(bars.timeframe, bars.calendar),
        )
        return Validation(metrics, tuple(walks), action_mix(walks, self.spec))


def dense_policy(network: ActorCritic) -> DensePolicy:
    """Return the network as the engine runs it after deployment: a copy of the policy's weights, float32 on the CPU."""
    weights = tuple(
        (weight.detach().cpu().numpy().copy(), bias.detach().cpu().numpy().copy())
        for weight, bias in network.policy_layers()
    )
    return DensePolicy(weights, network.activation)
