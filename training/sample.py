"""An untrained policy, saved through the real environment and the real save path: something for pipelines to load."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from trader_sdk.checkpoint.writer import save
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.data import load_bars
from trader_sdk.features import Ohlcv53Provider, build_schema
from training.config import preset
from training.env import TradingEnvs
from training.market import Market
from training.policy import ActorCritic
from training.summary import Provenance, RunFacts, checkpoint_stamp

if TYPE_CHECKING:
    from trader_sdk.checkpoint.artefacts import SavedCheckpoint

_SOURCE: Final = "planted:bars=1000"
_STEPS: Final = 8


def write_sample(
    path: Path, *, model_version: str | None = None, hidden_dims: tuple[int, ...] | None = None, seed: int = 7
) -> SavedCheckpoint:
    """Write an untrained checkpoint.

    Args:
        path: Target ``.pt`` file.
        model_version: Contract version; the current one when None.
        hidden_dims: Widths of the trunk.
        seed: Seeds the random weights.

    Returns:
        Path, sha256 and metadata. The checkpoint says that its data was simulated and that it saw no training step;
        it carries a golden probe, taken from the environment's own observations.
    """
    config = preset("laptop", model_version=model_version, hidden_dims=hidden_dims, seed=seed, num_envs=4)
    spec = MODEL_SPECS[config.model_version]
    bars = load_bars(_SOURCE, "SIM", "1Min")
    schema = build_schema(
        spec.version, bars.timeframe, calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment
    )
    market = Market.build(bars, Ohlcv53Provider(schema))
    envs = TradingEnvs(
        market,
        range(spec.window - 1, len(market.features)),
        spec,
        num_envs=config.num_envs,
        envs_per_bar=config.envs_per_bar,
        episode_bars=config.episode_bars,
        costs=cost_model(config.cost_model),
        rng=np.random.default_rng(seed),
    )
    for step in range(_STEPS):
        envs.step(np.full(envs.num_envs, step % spec.n_actions))
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = RunFacts(spec, schema, Provenance.of(bars, _SOURCE), "sample", datetime.now(UTC))
    return save(
        path,
        policy=ActorCritic(spec, config.hidden_dims, config.activation, seed),
        config=config.model_dump(mode="json"),
        probe_observations=envs.gather(envs.observe()),
        **checkpoint_stamp(facts, config),
    )
