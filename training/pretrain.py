"""Pretraining by imitation: cross-entropy on hindsight labels, validated on SELECT each epoch; GATE stays closed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import SdkError
from training.checkpoints import CheckpointKeeper
from training.config import preset, with_costs_of
from training.imitation import Examples, Passes, batch_loss, engine_loss, examples_of, validation_loss
from training.invariants import Outcome, check_step
from training.loop import Meter, pick_device
from training.modes import PretrainConfig, check_mode
from training.parent import Parent, check_parent_loss
from training.patience import check_patience, out_of_patience
from training.policy import ActorCritic, MarketWindows
from training.regimes import check_non_divergence
from training.run_files import claim, write
from training.run_log import CONFIG_FILE, MetricsLog, Reporter, Silent
from training.setup import PreparedRun, prepare
from training.summary import checkpoint_stamp

KIND: Final = "pretrain"


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """How a pretraining run ended.

    Attributes:
        outcome: CONVERGED, TARGET_MISSED or EARLY_STOP.
        folder: Holds ``config.json``, ``metrics.jsonl`` and ``ckpt/``.
        history: Validation loss of each epoch, nats.
        best: Checkpoint of the epoch with the lowest one, a parent for PPO.
    """

    outcome: Outcome
    folder: Path
    history: tuple[float, ...]
    best: Path


def pretrain(
    bars: Bars,
    config: PretrainConfig,
    *,
    out: Path,
    source: str,
    label: str = "model",
    reporter: Reporter | None = None,
) -> PretrainResult:
    """Teach a policy what hindsight would have done on TRAIN.

    Args:
        bars: One symbol's bars, oldest first.
        config: Every number of the run.
        out: The run's own folder; must be new or empty.
        source: Where the bars came from, as the user named it; stamped into every artefact.
        label: Free text that is stamped into the checkpoints.
        reporter: Watches; nobody when omitted.

    Raises:
        DataError: Too few bars.
        InvariantViolated: A training invariant broke; the run's folder says where.
        KeyboardInterrupt: After the log was closed.
        SdkError: The parent cannot be loaded or saw other features.
        StorageError: The disk refused.
        UsageError: ``out`` holds something already.
    """
    check_mode(config)
    pick_device(config.device)
    config = with_costs_of(bars.symbol, config)
    parent = Parent.named_by(config.parent, config.parent_sha256)
    if parent is not None:
        config = config.model_copy(update=parent.network)
    plan = preset("laptop", model_version=config.model_version, blocks=config.blocks)
    run = prepare(bars, plan, source=source, label=label, started_at=datetime.now(UTC))
    if parent is not None:
        parent.check(run.facts.schema)
    train, select = examples_of(run, config)
    claim(out)
    facts = {"kind": KIND, "config": config.model_dump(mode="json"), **run.facts.as_plain(), "examples": len(train)}
    write(out / CONFIG_FILE, json.dumps(facts, indent=2))
    with closing(reporter or Silent()) as watcher, MetricsLog(out) as log:
        watcher.started({"num_updates": config.epochs, "blocks": run.sizes, **run.facts.as_plain()})
        for notice in run.notices:
            watcher.noticed(notice)
        imitation = Imitation(config, run, train, select, _keeper(run, config, out), log, watcher)
        outcome = _to_the_end(imitation, parent, log)
    best = int(np.argmin(imitation.history))
    return PretrainResult(outcome, out, tuple(imitation.history), imitation.keeper.path(best))


def _to_the_end(imitation: Imitation, parent: Parent | None, log: MetricsLog) -> Outcome:
    end: dict[str, Any] = {"outcome": Outcome.ABORTED.value}
    try:
        outcome = imitation.run(parent)
        end = {"outcome": outcome.value}
        return outcome
    except SdkError as error:
        end["error"] = error.to_dict()
        raise
    finally:
        log.write("run_finished", **end)


def _keeper(run: PreparedRun, config: PretrainConfig, out: Path) -> CheckpointKeeper:
    stamp = checkpoint_stamp(run.facts, config)
    stamp["extra"]["lineage"]["regime"] = config.regime.kind
    return CheckpointKeeper(out, stamp, config.model_dump(mode="json"), letter="e", regime=config.regime.kind)


@dataclass(slots=True)
class Imitation:
    """The loop of a pretraining run.

    Attributes:
        config, run, train, select, keeper, log, reporter: What it works with.
        history: Validation loss of each epoch, nats.
        step: Optimizer steps so far.
    """

    config: PretrainConfig
    run_facts: PreparedRun
    train: Examples
    select: Examples
    keeper: CheckpointKeeper
    log: MetricsLog
    reporter: Reporter
    history: list[float] = field(default_factory=list)
    step: int = 0
    network: ActorCritic = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    windows: MarketWindows = field(init=False)
    passes: Passes = field(init=False)
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        config, facts = self.config, self.run_facts.facts
        device = pick_device(config.device)
        self.network = ActorCritic(facts.spec, config.hidden_dims, config.activation, config.seed).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self.windows = MarketWindows(self.run_facts.market.features, facts.spec.window, device)
        self.passes = Passes(len(self.train), np.random.default_rng(config.seed + 1))

    def run(self, parent: Parent | None) -> Outcome:
        """Train to the target, to the end of patience or of the epochs.

        Raises:
            InvariantViolated: A rule broke; pretraining has no recovery.
            StorageError: A checkpoint could not be written.
        """
        if parent is not None:
            self._start_from(parent)
        for epoch in range(self.config.epochs):
            facts = self._epoch(epoch)
            self.history.append(validation_loss(self.network, self.windows, self.select))
            check_non_divergence(epoch, self.history, self.config.regime)
            self._validated(epoch, facts)
            check_patience(self.history, None, regime=self.config.regime.kind)
            if out_of_patience(self.history):
                return Outcome.EARLY_STOP
        return Outcome.CONVERGED if min(self.history) <= self.config.target_loss else Outcome.TARGET_MISSED

    def _start_from(self, parent: Parent) -> None:
        parent.load_into(self.network)
        theirs = engine_loss(parent.model.policy, self.run_facts, self.select)
        ours = validation_loss(self.network, self.windows, self.select)
        self.log.write("parent", sha256=parent.model.sha256, parent_loss=theirs, initial_loss=ours)
        check_parent_loss(ours, theirs, regime=self.config.regime.kind)

    def _epoch(self, epoch: int) -> dict[str, Any]:
        left = self.config.samples_per_epoch or len(self.train)
        losses, norms = [], []
        self.meter.read()
        while left > 0:
            before = self.passes.begun
            index = self.passes.batch(min(self.config.batch_size, left))
            if self.passes.begun > before and before:
                self.log.write("data_cycled", epoch=epoch, passes=self.passes.begun)
            record = self._step(epoch, index)
            left -= len(index)
            losses.append(record["loss"])
            norms.append(record["grad_norm"])
        return {"train_loss": float(np.mean(losses)), "max_grad_norm": max(norms)}

    def _step(self, epoch: int, index: Any) -> dict[str, float]:
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warmup_steps))
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = batch_loss(self.network, self.windows, self.train, index)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves Tensor.backward untyped
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        seconds, utilisation = self.meter.read()
        record = {
            "step": self.step,
            "loss": loss.item(),
            "grad_norm": norm.item(),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "samples_per_second": len(index) / seconds,
            "utilisation_percent": utilisation,
            "wall_seconds": time.perf_counter() - self.started,
        }
        check_step(record, update=epoch, regime=self.config.regime.kind)
        self.optimizer.step()
        self.log.write("optimizer_step", epoch=epoch, samples=len(index), **record)
        self.step += 1
        return record

    def _validated(self, epoch: int, facts: Mapping[str, Any]) -> None:
        seconds, loss = time.perf_counter() - self.started, self.history[-1]
        record = {"seconds": seconds, "samples": self.step * self.config.batch_size, "val_loss": loss, **facts}
        self.keeper.write(epoch, self.network, self.optimizer, env_step=0, record=record)
        self.log.write("epoch", epoch=epoch, val_loss=loss, **facts)
        pace = {"update": epoch + 1, "env_step": self.step * self.config.batch_size}
        self.reporter.advanced(pace)
        self.reporter.noticed(f"epoch {epoch}: validation loss {loss:.4f}, training loss {facts['train_loss']:.4f}")
