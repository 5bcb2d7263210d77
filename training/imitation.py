"""What a pretraining run learns from: labelled bars of TRAIN, account columns as a trader meets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trader_sdk.contract.costs import cost_model
from trader_sdk.engine.dense import DensePolicy
from training.env import TradingEnvs
from training.labels import forward_returns, hindsight_labels, size_bounds
from training.modes import PretrainConfig
from training.policy import ActorCritic, MarketWindows
from training.setup import PreparedRun

Ints = NDArray[np.int64]
_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled bars: market rows (n,), account columns float32 (n, k), action indices (n,)."""

    rows: Ints
    account: NDArray[np.float32]
    labels: Ints

    def __len__(self) -> int:
        return len(self.rows)


def examples_of(run: PreparedRun, config: PretrainConfig) -> tuple[Examples, Examples]:
    """Return what is learned, from TRAIN, and what the loss is validated on, from SELECT."""
    costs, spec, rng = cost_model(config.cost_model), run.facts.spec, np.random.default_rng(config.seed)
    met = _account_pool(run, config, rng)
    found = [forward_returns(run.market, block, config.horizon) for block in (run.blocks.train, run.blocks.select)]
    bounds = size_bounds(found[0][1], spec, costs)
    train, select = (
        Examples(rows, met[rng.integers(0, len(met), len(rows))], hindsight_labels(returns, spec, bounds))
        for rows, returns in found
    )
    return train, select


def _account_pool(run: PreparedRun, config: PretrainConfig, rng: np.random.Generator) -> NDArray[np.float32]:
    envs = TradingEnvs(
        run.market,
        run.blocks.train,
        run.facts.spec,
        num_envs=64,
        envs_per_bar=4,
        episode_bars=64,
        costs=cost_model(config.cost_model),
        rng=rng,
    )
    seen = []
    for _ in range(64):
        seen.append(envs.observe().account)
        envs.step(rng.integers(0, run.facts.spec.n_actions, envs.num_envs))
    return np.concatenate(seen)


@dataclass(slots=True)
class Passes:
    """Shuffled passes over examples, one after the other; how many began is counted (INV-TRAIN-011)."""

    count: int
    rng: np.random.Generator
    begun: int = 0
    _order: Ints | None = None
    _at: int = 0

    def batch(self, size: int) -> Ints:
        """Return the next ``size`` indices, fewer at the end of a pass; the pass after it is shuffled anew."""
        if self._order is None or self._at == self.count:
            self._order, self._at, self.begun = self.rng.permutation(self.count), 0, self.begun + 1
        index = self._order[self._at : self._at + size]
        self._at += len(index)
        return index


def batch_loss(network: ActorCritic, windows: MarketWindows, examples: Examples, index: Ints) -> Tensor:
    """Return the mean cross-entropy of the examples at ``index``, nats."""
    account = torch.from_numpy(examples.account[index]).to(windows.device)
    logits, _ = network.forward_parts(windows.at(examples.rows[index]), account[:, None, :])
    labels = torch.from_numpy(examples.labels[index]).to(windows.device)
    return torch.nn.functional.cross_entropy(logits.squeeze(1), labels)


@torch.no_grad()
def validation_loss(network: ActorCritic, windows: MarketWindows, examples: Examples) -> float:
    """Return the mean cross-entropy of all examples, nats."""
    total = sum(float(batch_loss(network, windows, examples, index)) * len(index) for index in _chunks(len(examples)))
    return total / len(examples)


def engine_loss(policy: DensePolicy, run: PreparedRun, examples: Examples) -> float:
    """Return the same loss as the deployed engine computes it, from whole observations: a way round our network."""
    spec, total = run.facts.spec, 0.0
    for index in _chunks(len(examples)):
        market = run.market.features[examples.rows[index, None] + np.arange(1 - spec.window, 1)]
        account = np.broadcast_to(examples.account[index, None, :], (*market.shape[:2], spec.n_account))
        obs = np.concatenate([market, account], axis=2).reshape(len(index), -1)
        logits = torch.from_numpy(policy.logits(np.ascontiguousarray(obs)))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(examples.labels[index]), reduction="sum")
        total += float(loss)
    return total / len(examples)


def _chunks(count: int) -> Iterator[Ints]:
    for first in range(0, count, _CHUNK):
        yield np.arange(first, min(first + _CHUNK, count))
