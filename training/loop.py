"""The training loop: rollouts, updates, validations on SELECT, recoveries, and a checkpoint at each validation."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import torch

from trader_sdk.archive.gate import best_index
from trader_sdk.contract.errors import ConfigError, InvariantViolated
from training.checkpoints import CheckpointKeeper
from training.config import TrainConfig
from training.env import TradingEnvs
from training.invariants import DivergenceGuard, check_step
from training.policy import ActorCritic, MarketWindows
from training.ppo import Batch, StepStats, learning_rate_at, make_batch, update_policy
from training.rollout import Rollout, collect
from training.run_log import MetricsLog, Reporter
from training.validation import Validation, Validator, dense_policy

RECOVERABLE: Final = ("INV-TRAIN-005p", "INV-TRAIN-007")
RECOVERY_LR_FACTOR: Final = 0.5
RECOVERY_ENTROPY_FACTOR: Final = 1.5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Weights and optimizer state of a moment, kept in memory to go back to."""

    update: int
    network: dict[str, Any]
    optimizer: dict[str, Any]


@dataclass(slots=True)
class Meter:
    """Wall and processor time since the last reading."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def read(self) -> tuple[float, float]:
        """Return seconds since the last reading, and the share of the threads that was busy, in percent."""
        wall, cpu = time.perf_counter(), time.process_time()
        seconds, busy = max(wall - self.wall, 1e-9), cpu - self.cpu
        self.wall, self.cpu = wall, cpu
        return seconds, min(100.0, 100.0 * busy / (seconds * torch.get_num_threads()))


class KeepsState(Protocol):
    """Keeps what a resume needs."""

    def write(self, trainer: Trainer) -> None:
        """Keep the state as it is after a validation."""


class Trainer:
    """Train one policy.

    Args:
        config: Every number.
        envs: The environments of TRAIN.
        validator: Judges on SELECT.
        select: Rows of SELECT.
        keeper: Writes checkpoints.
        states: Keeps what a resume needs.
        log: ``metrics.jsonl``.
        reporter: Watches.
        rng: Samples actions and shuffles minibatches.
    """

    def __init__(
        self,
        config: TrainConfig,
        envs: TradingEnvs,
        validator: Validator,
        select: range,
        keeper: CheckpointKeeper,
        states: KeepsState,
        log: MetricsLog,
        reporter: Reporter,
        rng: np.random.Generator,
    ) -> None:
        self.config, self.envs, self.validator, self.select = config, envs, validator, select
        self.keeper, self.states, self.log, self.reporter, self.rng = keeper, states, log, reporter, rng
        self.device = pick_device(config.device)
        self.network = ActorCritic(envs.spec, config.hidden_dims, config.activation, config.seed).to(self.device)
        # One pass over the weights instead of one an operation; Apple's backend has no such kernel in every release.
        fused = self.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, eps=1e-5, fused=fused)
        self.windows = MarketWindows(envs.market.features, envs.spec.window, self.device)
        self.guard = DivergenceGuard(config.target_kl)
        self.update, self.optimizer_step, self.env_step, self.recoveries = 0, 0, 0, 0
        self.ent_coef, self.lr_scale, self.max_grad_norm_seen = config.ent_coef, 1.0, 0.0
        self.validations: list[Validation] = []
        self.started = time.perf_counter()
        self.meter = Meter()
        self.good = self.best = self.snapshot(0)

    @property
    def fitness_history(self) -> list[float]:
        """Return the fitness of each validation on SELECT, oldest first."""
        return [validation.metrics.fitness_score for validation in self.validations]

    def run(self) -> None:
        """Train on to the end of the budget.

        Raises:
            InvariantViolated: A rule broke that no recovery is allowed for, or once too often.
            StorageError: A checkpoint could not be written.
        """
        for update in range(self.update + 1, self.config.num_updates + 1):
            self.update = update
            try:
                facts = self._update(update)
            except InvariantViolated as broken:
                self._recover(update, broken)
                facts = {}
            self.reporter.advanced({"update": update, "env_step": self.env_step, **facts})
            if update % self.config.validation_interval == 0:
                self._validate(update, facts)

    def snapshot(self, update: int) -> Snapshot:
        """Return a copy of weights and optimizer state."""
        return Snapshot(update, copy.deepcopy(self.network.state_dict()), copy.deepcopy(self.optimizer.state_dict()))

    def write_checkpoint(self, update: int, facts: dict[str, Any]) -> None:
        """Write the checkpoint of ``update`` as things stand."""
        record = {
            "seconds": time.perf_counter() - self.started,
            "samples": self.env_step,
            "max_grad_norm": self.max_grad_norm_seen,
            "losses": {name: facts.get(name) for name in ("policy_loss", "value_loss", "entropy")},
        }
        self.keeper.write(update, self.network, self.optimizer, env_step=self.env_step, record=record)

    def _update(self, update: int) -> dict[str, Any]:
        started = time.perf_counter()
        rollout = collect(self.network, self.envs, self.windows, self.config.num_steps, self.rng)
        batch = make_batch(rollout, self.config, self.device)
        stats = self._optimize(update, batch)
        self._count_passes()
        facts = {
            **{name: float(np.mean([getattr(each, name) for each in stats])) for name in StepStats._fields},
            "explained_variance": explained_variance(rollout, batch),
            "mean_reward": float(rollout.rewards.mean()),
            "lr": self._lr(),
            "steps_per_second": self.config.batch_size / (time.perf_counter() - started),
        }
        self.guard.check(update, approx_kl=facts["approx_kl"], value_loss=facts["value_loss"])
        self.log.write("update", update=update, env_step=self.env_step, ent_coef=self.ent_coef, **facts)
        return facts

    def _count_passes(self) -> None:
        """Count the steps of a rollout, and say each time that as many bars as TRAIN has were stood on."""
        before = passes_over(self.env_step, self.envs)
        self.env_step += self.config.batch_size
        after = passes_over(self.env_step, self.envs)
        for passes in range(before + 1, after + 1):
            self.log.write("data_cycled", update=self.update, env_step=self.env_step, passes=passes)
        if after > before == 0:
            self.reporter.noticed(f"update {self.update}: all {len(self.envs.block)} bars of TRAIN seen, once more")

    def _optimize(self, update: int, batch: Batch) -> list[StepStats]:
        done: list[StepStats] = []
        self.meter.read()
        samples = self.config.batch_size / self.config.num_minibatches
        for stats in update_policy(
            self.network,
            self.optimizer,
            batch,
            self.windows,
            self.config,
            self.rng,
            ent_coef=self.ent_coef,
            next_lr=self._lr,
        ):
            seconds, utilisation = self.meter.read()
            record = {
                "step": self.optimizer_step,
                "loss": stats.loss,
                "grad_norm": stats.grad_norm,
                "lr": float(self.optimizer.param_groups[0]["lr"]),
                "samples_per_second": samples / seconds,
                "utilisation_percent": utilisation,
                "wall_seconds": time.perf_counter() - self.started,
            }
            check_step(record, update=update)
            self.log.write("optimizer_step", **record)
            self.max_grad_norm_seen = max(self.max_grad_norm_seen, stats.grad_norm)
            self.optimizer_step += 1
            done.append(stats)
        return done

    def _lr(self) -> float:
        config = self.config
        return self.lr_scale * learning_rate_at(
            self.optimizer_step,
            config.optimizer_steps,
            peak=config.learning_rate,
            warmup_fraction=config.warmup_fraction,
            final_fraction=config.final_lr_fraction,
        )

    def _validate(self, update: int, facts: dict[str, Any]) -> None:
        validation = self.validator.validate(dense_policy(self.network), self.select)
        self.write_checkpoint(update, facts)
        self.good = self.snapshot(update)
        self.validations.append(validation)
        if best_index(self.fitness_history) == len(self.validations) - 1:
            self.best = self.good
        self.keeper.forget_all_but(self.best.update)
        shown = {**asdict(validation.metrics), "actions": validation.action_counts}
        self.log.write("validation", update=update, env_step=self.env_step, block="SELECT", **shown)
        self.states.write(self)
        self.reporter.validated({"update": update, **shown})

    def _recover(self, update: int, broken: InvariantViolated) -> None:
        inv = broken.evidence["inv"]
        if inv not in RECOVERABLE or self.recoveries >= self.config.max_recoveries:
            raise broken
        self.recoveries += 1
        self.network.load_state_dict(self.good.network)
        self.optimizer.load_state_dict(self.good.optimizer)
        self.lr_scale *= RECOVERY_LR_FACTOR
        self.ent_coef *= RECOVERY_ENTROPY_FACTOR
        self.envs.reset()
        evidence = {name: broken.evidence[name] for name in ("value", "limit")}
        self.log.write("recovery", update=update, inv=inv, back_to=self.good.update, **evidence)
        self.reporter.noticed(f"recovered from {inv} at update {update}: back to update {self.good.update}")


def passes_over(env_step: int, envs: TradingEnvs) -> int:
    """Return how often as many bars as the block has were stood on after ``env_step`` steps."""
    return env_step // envs.envs_per_bar // len(envs.block)


def explained_variance(rollout: Rollout, batch: Batch) -> float:
    """Return the share of the returns' variance that the value head predicted; 0 where nothing varies."""
    returns = batch.returns.cpu().numpy().reshape(-1)
    variance = float(returns.var())
    return 1.0 - float((returns - rollout.values.reshape(-1)).var()) / variance if variance > 0 else 0.0


def pick_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is the best one that is there.

    Raises:
        ConfigError: This machine, or this build of torch, has no such device: nothing falls back silently.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    if not there.get(name.partition(":")[0], False):
        names = ", ".join(["auto", *(kind for kind, available in there.items() if available)])
        raise ConfigError("CONFIG", "no such device here", where="device", expected=names, found=name)
    return torch.device(name)
