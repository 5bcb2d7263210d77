"""One frozen object that a PPO run is configured by, and the presets that name useful ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from trader_sdk.checkpoint.limits import MAX_FILE_BYTES
from trader_sdk.contract.costs import cost_model, cost_model_of
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.spec import CURRENT_MODEL_VERSION, MODEL_SPECS, ModelSpec
from training.reward import RewardKind

Priced = TypeVar("Priced", bound=BaseModel)

MAX_PARAMETERS: Final = MAX_FILE_BYTES // 3 // 4 - 2**16
"""Largest network whose checkpoint, Adam's two averages included, a reader takes."""


class TrainConfig(BaseModel):
    """Every number of a PPO run.

    Attributes:
        total_steps: Environment steps to spend; rounded up to whole validation intervals.
        num_envs, num_steps: Environments, and steps of each in a rollout.
        envs_per_bar: Environments that stand on the same bar, so that they share the first layer's market part.
        episode_bars: Steps after which an episode is truncated.
        update_epochs, num_minibatches: Passes over a rollout, and parts of it a pass.
        gamma, gae_lambda, clip_coef, vf_coef, max_grad_norm: PPO's own numbers, named as in the paper.
        ent_coef: Weight of the entropy bonus.
        learning_rate: Peak; warmed up over ``warmup_fraction`` from a tenth, then cosine to ``final_lr_fraction``.
        target_kl: An epoch is the update's last when ``approx_kl`` passes 1.5 times this.
        max_recoveries: Times that a diverging run may go back to its last good checkpoint.
        hidden_dims: Widths of the trunk.
        activation: Between the trunk's layers.
        validation_interval: Updates between two validations on SELECT.
        n_windows: Equal windows of SELECT and of GATE.
        blocks: Bars of TRAIN, SELECT and GATE; None for 40/20/40 of what is left after warm-up.
        cost_model: Name of the cost model; where it is not named, a run takes that of the symbol's asset class.
        reward: ``net_log_return``, or ``composite_v25``, the weighted terms of :mod:`training.reward`.
        model_version: Contract version to train.
        features: ``package.module:Provider`` that computes the market columns; None for the package's own.
        horizon: Bars whose mean return is rewarded, the next one first; 1 rewards the next bar alone.
        residual_momentum: Reward what a trailing trend, and the peers where there are any, do not explain.
        cross_sectional_demean: Reward what is left of a return without the mean of the symbol and its peers.
        peers: ``SYMBOL`` from the run's own source, or ``SYMBOL@SOURCE``; read by the two targets above only.
        parent: Checkpoint whose weights the run starts from; trunk, activation and version become the parent's.
        parent_sha256: Its digest, filled in when the run starts.
        seed: Seeds weights, environments and minibatches.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: str = "laptop"
    total_steps: PositiveInt = 300_000
    num_envs: PositiveInt = 64
    num_steps: PositiveInt = 128
    envs_per_bar: PositiveInt = 4
    episode_bars: PositiveInt = 512
    update_epochs: PositiveInt = 4
    num_minibatches: PositiveInt = 8
    gamma: float = Field(0.97, ge=0, le=1)
    gae_lambda: float = Field(0.9, ge=0, le=1)
    clip_coef: PositiveFloat = 0.2
    vf_coef: float = Field(0.5, ge=0)
    ent_coef: float = Field(0.005, ge=0)
    max_grad_norm: PositiveFloat = 0.5
    learning_rate: PositiveFloat = 3e-4
    warmup_fraction: float = Field(0.05, ge=0, lt=1)
    final_lr_fraction: float = Field(0.01, gt=0, le=1)
    target_kl: PositiveFloat = 0.03
    max_recoveries: int = Field(3, ge=0)
    hidden_dims: tuple[PositiveInt, ...] = Field((128, 64), min_length=1)
    activation: Literal["tanh", "relu"] = "tanh"
    validation_interval: PositiveInt = 2
    n_windows: int = Field(7, ge=7, le=14)
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    cost_model: str = "us_equity@1"
    reward: RewardKind = RewardKind.NET_LOG_RETURN
    model_version: str = CURRENT_MODEL_VERSION
    features: str | None = None
    horizon: int = Field(1, ge=1, le=256)
    residual_momentum: bool = False
    cross_sectional_demean: bool = False
    peers: tuple[str, ...] = ()
    parent: str | None = None
    parent_sha256: str | None = None
    seed: int = Field(7, ge=0, lt=2**32)
    device: str = "cpu"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model_version not in MODEL_SPECS:
            _refuse("model_version", ", ".join(MODEL_SPECS), self.model_version)
        refuse_too_large(MODEL_SPECS[self.model_version], self.hidden_dims)
        cost_model(self.cost_model)
        if self.num_envs % self.envs_per_bar:
            _refuse("num_envs", f"a multiple of envs_per_bar = {self.envs_per_bar}", self.num_envs)
        if self.reward is RewardKind.COMPOSITE_V25 and self.has_target:
            _refuse("reward", "net_log_return with horizon, residual_momentum or cross_sectional_demean", self.reward)
        if self.num_cells % self.num_minibatches:
            _refuse("num_minibatches", f"a divisor of {self.num_cells} (num_steps x bars)", self.num_minibatches)
        return self

    @property
    def has_target(self) -> bool:
        """Return whether another return than the next bar's own is rewarded."""
        return self.horizon > 1 or self.residual_momentum or self.cross_sectional_demean

    @property
    def num_bars(self) -> int:
        """Return how many distinct bars the environments stand on at one step."""
        return self.num_envs // self.envs_per_bar

    @property
    def num_cells(self) -> int:
        """Return how many distinct (step, bar) cells a rollout holds."""
        return self.num_steps * self.num_bars

    @property
    def batch_size(self) -> int:
        """Return the environment steps of one rollout."""
        return self.num_envs * self.num_steps

    @property
    def num_updates(self) -> int:
        """Return the updates of the run: enough for ``total_steps``, in whole validation intervals."""
        updates = -(-self.total_steps // self.batch_size)
        return -(-updates // self.validation_interval) * self.validation_interval

    @property
    def optimizer_steps(self) -> int:
        """Return the optimizer steps of the run when no update ends early."""
        return self.num_updates * self.update_epochs * self.num_minibatches


def with_costs_of(symbol: str, config: Priced) -> Priced:
    """Return the configuration with the costs of the symbol's asset class, where it names none itself."""
    if "cost_model" in config.model_fields_set:
        return config
    return config.model_copy(update={"cost_model": cost_model_of(symbol)})


def refuse_too_large(spec: ModelSpec, hidden_dims: Sequence[int]) -> None:
    """Refuse a trunk whose checkpoints nobody could read, before hours are spent on it.

    Raises:
        ConfigError: It has more than :data:`MAX_PARAMETERS`.
    """
    widths = (spec.obs_dim, *hidden_dims, spec.n_actions + 1)
    parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
    if parameters > MAX_PARAMETERS:
        raise ConfigError(
            "CONFIG",
            "the network is larger than any reader of its checkpoints takes",
            where="hidden_dims",
            expected=f"at most {MAX_PARAMETERS:,} parameters",
            found=f"{parameters:,} with {','.join(map(str, hidden_dims))}",
        )


def _refuse(where: str, expected: str, found: object) -> None:
    raise ConfigError("CONFIG", "the settings contradict each other", where=where, expected=expected, found=found)


def machine_hidden_dims(cores: int | None = None) -> tuple[int, ...]:
    """Return the trunk that suits a machine of so many cores (this one's by default)."""
    cores = cores or os.cpu_count() or 1
    if cores >= 16:
        return (1024, 512, 256)
    return (512, 256, 128) if cores >= 4 else (256, 128, 64)


def _long_preset(total_steps: int, validation_interval: int, update_epochs: int) -> Mapping[str, Any]:
    return MappingProxyType(
        {
            "total_steps": total_steps,
            "validation_interval": validation_interval,
            "update_epochs": update_epochs,
            "envs_per_bar": 8,
        }
    )


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "laptop": MappingProxyType({"hidden_dims": (128, 64)}),
        "quick_test": _long_preset(10_000_000, 5, 10),
        "standard": _long_preset(50_000_000, 20, 12),
        "production": _long_preset(200_000_000, 40, 15),
        "extended": _long_preset(500_000_000, 100, 20),
    }
)
"""Numbers with names; any of them may be overridden. Presets without ``hidden_dims`` take the machine's."""


def preset(name: str, **overrides: Any) -> TrainConfig:
    """Return the configuration called ``name`` with some settings replaced.

    Args:
        name: A key of ``PRESETS``.
        overrides: Fields of :class:`TrainConfig`; None means "as the preset has it".

    Raises:
        ConfigError: Unknown preset or field, or settings that contradict each other.

    Example:
        >>> preset("laptop", seed=3).hidden_dims
        (128, 64)
    """
    if name not in PRESETS:
        raise ConfigError("CONFIG", "unknown preset", where="preset", expected=", ".join(PRESETS), found=name)
    values: dict[str, Any] = {"hidden_dims": machine_hidden_dims(), **PRESETS[name], "preset": name}
    values |= {field: value for field, value in overrides.items() if value is not None}
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError("CONFIG", "invalid settings", where=f"preset {name}", found=faults) from error
