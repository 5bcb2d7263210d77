"""What a run is put together from: market, blocks and trainer before it, the one look at GATE after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.archive.blocks import Blocks
from trader_sdk.archive.gate import assess_model_quality
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import ConfigError, DataError
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.data.gaps import time_text
from trader_sdk.data.splits import split_jumps, states_splits
from trader_sdk.features import FeatureProvider, FeatureSchema, Ohlcv53Provider, build_schema
from trader_sdk.features.provider import load_provider
from training.checkpoints import CheckpointKeeper
from training.config import TrainConfig
from training.env import TradingEnvs
from training.invariants import violation
from training.loop import KeepsState, Trainer
from training.market import Market, blocks_of
from training.parent import Parent
from training.run_log import MetricsLog, Reporter
from training.summary import GateOpening, Provenance, RunFacts, checkpoint_stamp
from training.target import target_shift
from training.validation import Validator, dense_policy

PROBES: Final = 2
"""Observations of TRAIN that every checkpoint carries with its own logits; each load proves itself against them."""


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run before its first update.

    Attributes:
        market: Features and prices.
        blocks: TRAIN, SELECT and GATE as rows of the market.
        facts: What is stamped into every artefact.
        notices: What a person should know about the bars, a clause each.
    """

    market: Market
    blocks: Blocks
    facts: RunFacts
    notices: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Return the bars of each block."""
        return {name: len(getattr(self.blocks, name)) for name in ("train", "select", "gate")}


def prepare(bars: Bars, config: TrainConfig, *, source: str, label: str, started_at: datetime) -> PreparedRun:
    """Compute features, cut the blocks and write down where the bars came from.

    Raises:
        DataError: Too few bars, or unadjusted ones over a split.
        InvariantViolated: 010, nobody says where the bars came from.
    """
    if not source:
        raise violation("010", "the source of the bars is not named", epoch=0, value=0, limit=0, regime="any")
    spec = MODEL_SPECS[config.model_version]
    provider = provider_for(config, bars)
    market = Market.build(bars, provider)
    blocks = blocks_of(market, spec, config.blocks, config.n_windows)
    provenance = Provenance.of(bars, source)
    facts = RunFacts(spec, provider.schema, provenance, label, started_at)
    return PreparedRun(market, blocks, facts, (*_of_gaps(market), *_of_splits(bars)))


def _of_gaps(market: Market) -> Iterator[str]:
    lacking = int((~market.whole).sum())
    if lacking:
        yield f"bars are missing: {lacking} of {len(market.whole)} windows lack one, and nobody trades there"


def _of_splits(bars: Bars) -> Iterator[str]:
    for row, ratio in split_jumps(bars):
        jump = f"{time_text(int(bars.t[row]))[:10]} opens at {1 / ratio:.3g} of the close before, as after a split"
        if not states_splits(bars):
            raise DataError(
                "BARS",
                f"unadjusted bars: {jump}",
                where=f"{bars.symbol} {bars.timeframe}",
                expected="bars adjusted for splits",
                found=bars.adjustment,
                remedy="Give adjusted bars: a split is no loss, and training would take it for one.",
            )
        yield f"{jump}; these bars say that they are adjusted ({bars.adjustment})"


def provider_for(config: TrainConfig, bars: Bars) -> FeatureProvider:
    """Return what computes the market columns: the provider that the configuration names, or the package's own.

    Raises:
        ConfigError: There is no such provider.
        DataError: It is made for other bars, or for another number of columns.
    """
    spec = MODEL_SPECS[config.model_version]
    stated = {"calendar": bars.calendar, "feed": bars.feed, "adjustment": bars.adjustment}
    if config.features is None:
        return Ohlcv53Provider(build_schema(spec.version, bars.timeframe, **stated))
    provider = _made(config.features)
    wanted = {"timeframe": bars.timeframe.value, **stated, "n_features": spec.n_features}
    found = {name: getattr(provider.schema, name) for name in wanted}
    if found != wanted:
        raise DataError(
            "BARS",
            "the features are made for other bars",
            where=config.features,
            expected=wanted,
            found=found,
            remedy="Use bars of the provider's schema, or a provider of these bars and this model version.",
        )
    return provider


def _made(target: str) -> FeatureProvider:
    try:
        provider: Any = load_provider(target)()
    except TypeError as error:
        raise _no_provider(target, f"it cannot be called without arguments: {error}") from error
    if not (
        isinstance(getattr(provider, "schema", None), FeatureSchema) and callable(getattr(provider, "history", None))
    ):
        raise _no_provider(target, f"what it makes has no schema or no history: {type(provider).__name__}")
    made: FeatureProvider = provider
    return made


def _no_provider(target: str, found: str) -> ConfigError:
    return ConfigError(
        "CONFIG",
        "this makes no feature provider",
        where=f"features {target}",
        expected="a class or function that is called without arguments",
        found=found,
        remedy=f"`trader features check --features {target}` says what a provider lacks.",
    )


def trainer_of(
    run: PreparedRun, config: TrainConfig, out: Path, states: KeepsState, log: MetricsLog, watcher: Reporter
) -> Trainer:
    """Return the trainer of a run whose folder is ``out``."""
    costs = cost_model(config.cost_model)
    # Independent streams: how often one is drawn from does not shift the others.
    env_seed, sampling_seed = np.random.SeedSequence(config.seed).spawn(2)
    envs = TradingEnvs(
        run.market,
        run.blocks.train,
        run.facts.spec,
        num_envs=config.num_envs,
        envs_per_bar=config.envs_per_bar,
        episode_bars=config.episode_bars,
        costs=costs,
        rng=np.random.default_rng(env_seed),
        shift=target_shift(run.market, run.blocks.train, config, run.facts.provenance.source),
        reward=config.reward,
    )
    keeper = CheckpointKeeper(
        out,
        stamp={**checkpoint_stamp(run.facts, config), "probe_observations": envs.gather(envs.observe())[:PROBES]},
        config={**config.model_dump(mode="json"), "reward_unit": envs.reward_unit},
    )
    validator = Validator(run.market, run.facts.spec, costs, config.n_windows)
    rng = np.random.default_rng(sampling_seed)
    trainer = Trainer(config, envs, validator, run.blocks.select, keeper, states, log, watcher, rng)
    parent = Parent.named_by(config.parent, config.parent_sha256)
    if parent is not None:
        parent.load_into(trainer.network)
        trainer.good = trainer.best = trainer.snapshot(0)
    return trainer


def open_gate(
    run: PreparedRun, config: TrainConfig, trainer: Trainer, gating: ModelGatingConfig | None, n_trials: int
) -> GateOpening:
    """Judge the final policy on GATE, the best one where it declined, and the one that is deployed on TRAIN."""
    last = trainer.validations[-1].metrics
    four = (last.fitness_score, last.profit_factor, last.consistency, last.max_drawdown)
    _, _, use_checkpoint, _ = assess_model_quality(*four, trainer.fitness_history, gating)
    judge = Validator(run.market, run.facts.spec, trainer.envs.costs, config.n_windows, n_trials)
    final = deployed = dense_policy(trainer.network)
    if use_checkpoint:
        trainer.network.load_state_dict(trainer.best.network)
        deployed = dense_policy(trainer.network)
    return GateOpening(
        final=judge.validate(final, run.blocks.gate),
        best=judge.validate(deployed, run.blocks.gate) if use_checkpoint else None,
        in_sample=judge.validate(deployed, run.blocks.train),
    )
