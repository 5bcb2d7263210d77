"""One run of the honesty table: a market of its own, the training half's loop, the archive's judge."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from trader_sdk.archive.evidence import Circumstances, judge
from trader_sdk.archive.gate import METRICS
from trader_sdk.archive.policy import HOUSE_METRIC_SET, HOUSE_POLICY
from trader_sdk.data import load_bars
from training.config import TrainConfig, preset
from training.resume import StateKeeper
from training.run_log import MetricsLog, Silent, plain
from training.setup import PreparedRun, open_gate, prepare, trainer_of
from training.summary import REWARD_SCALE, GateOpening, gate_block


@dataclass(frozen=True)
class Scale:
    """How large a run is: bars of TRAIN, SELECT and GATE, bars in all, environment steps.

    Beside the blocks there are the purges between them, and what features and the first window need.
    """

    blocks: tuple[int, int, int]
    bars: int
    total_steps: int


PUBLISHED = Scale((50_000, 4_000, 4_000), 58_700, 65_536)
SETTINGS = {
    "hidden_dims": (16, 16),
    "total_steps": PUBLISHED.total_steps,
    "learning_rate": 2e-3,
    "gamma": 0.9,
    "num_envs": 256,
    "num_steps": 32,
    "validation_interval": 4,
}
"""Chosen on markets of seeds from 90,001 on, which the table does not use."""


@dataclass(frozen=True)
class Population:
    """One row of the table.

    Attributes:
        name: How the row is called.
        edge: Share of the generator's mean reversion; 0 is noise.
        runs: How many are published.
        trained_on_gate: Whether TRAIN is the very block that judges.
    """

    name: str
    edge: float
    runs: int
    trained_on_gate: bool = False


POPULATIONS = (
    Population("noise", 0.0, 200),
    Population("control", 0.0, 50, trained_on_gate=True),
    Population("edge 1/4", 0.25, 50),
    Population("edge 1/2", 0.5, 50),
    Population("edge 1", 1.0, 50),
)


@dataclass(frozen=True)
class Line:
    """One run: what it was, what the gate measured and what it decided."""

    population: str
    seed: int
    gate_class: str
    t: float | None
    fitness_score: float | None
    profit_factor: float | str | None
    consistency: float | None
    n_trades: int | None
    in_sample_t: float
    cpu_seconds: float


def one(population: Population, seed: int, scale: Scale) -> Line:
    """Train and judge one policy."""
    started = time.process_time()
    config = preset("laptop", blocks=scale.blocks, seed=seed, **{**SETTINGS, "total_steps": scale.total_steps})
    market = prepared(population.edge, seed, scale)
    if population.trained_on_gate:
        market = replace(market, blocks=replace(market.blocks, train=market.blocks.gate))
    with tempfile.TemporaryDirectory() as folder:
        opened = opening(market, config, Path(folder))
    block = gate_block(opened.best or opened.final)
    kind = market.facts.provenance.bars.kind
    circumstances = Circumstances(HOUSE_METRIC_SET, "equity", REWARD_SCALE, 1, kind)
    verdict = judge({name: getattr(block, name) for name in METRICS}, block, circumstances, HOUSE_POLICY)
    shown = {name: getattr(block, name) for name in ("t", "fitness_score", "profit_factor", "consistency", "n_trades")}
    return Line(
        population.name,
        seed,
        verdict.gate_class.value,
        **plain(shown),
        in_sample_t=opened.in_sample.metrics.t,
        cpu_seconds=round(time.process_time() - started, 2),
    )


@lru_cache(maxsize=1)
def prepared(edge: float, seed: int, scale: Scale) -> PreparedRun:
    """Return a market and its features; noise and its control share the same bars."""
    source = f"planted:seed={seed},edge={edge},bars={scale.bars}"
    bars = load_bars(source, "SIM", "1Min")
    config = TrainConfig(blocks=scale.blocks)
    return prepare(bars, config, source=source, label="honesty", started_at=datetime.now(UTC))


def opening(market: PreparedRun, config: TrainConfig, out: Path) -> GateOpening:
    """Train to the end of the budget and open GATE once; in-sample figures are of the last bars of TRAIN."""
    (out / "ckpt").mkdir()
    with MetricsLog(out) as log:
        trainer = trainer_of(market, config, out, StateKeeper(out), log, Silent())
        trainer.run()
        train = market.blocks.train[-len(market.blocks.gate) :]
        return open_gate(replace(market, blocks=replace(market.blocks, train=train)), config, trainer, None, 1)
