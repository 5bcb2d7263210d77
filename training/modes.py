"""The modes of pretraining, a row each, and the one frozen object that a pretraining run is configured by."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.spec import CURRENT_MODEL_VERSION, MODEL_SPECS
from training.config import refuse_too_large
from training.invariants import violation
from training.regimes import Finetune, FromScratch, TrainingRegime

LARGE_VOCABULARY: Final = 1_000
LARGE_TARGETS: Final = {"finetune": 2.2, "from-scratch": 3.0}
TARGET_SHARE: Final = 0.9
"""Share of the loss of guessing, ``ln(N)``, that an action head has to get below."""


class Mode(StrEnum):
    """How a pretraining starts."""

    FINETUNE = "finetune"
    FROM_SCRATCH = "from-scratch"


@dataclass(frozen=True, slots=True)
class ModeRow:
    """What a mode sets together (INV-TRAIN-009).

    Attributes:
        regime: Limit of epoch 0.
        learning_rate: Peak of Adam's learning rate.
        warmup_steps: Optimizer steps up to the peak.
        target_loss: Validation loss that counts as converged, nats.
    """

    regime: Finetune | FromScratch
    learning_rate: float
    warmup_steps: int
    target_loss: float


def mode_row(mode: Mode, n_classes: int) -> ModeRow:
    """Return the numbers of a mode for a head of ``n_classes``.

    Example:
        >>> row = mode_row(Mode.FROM_SCRATCH, 7)
        >>> row.learning_rate, row.warmup_steps, round(row.target_loss, 3)
        (0.0003, 1000, 1.751)
    """
    target = LARGE_TARGETS[mode] if n_classes >= LARGE_VOCABULARY else TARGET_SHARE * math.log(n_classes)
    if mode is Mode.FINETUNE:
        return ModeRow(Finetune(), 5e-5, 100, target)
    return ModeRow(FromScratch(vocab_size=n_classes), 3e-4, 1_000, target)


class PretrainConfig(BaseModel):
    """Every number of a pretraining run.

    Attributes:
        mode: Row that ``regime``, ``learning_rate``, ``warmup_steps`` and ``target_loss`` come from.
        explicit: Which of them the caller named instead.
        epochs: Passes over the labels at most.
        batch_size: Labels an optimizer step.
        samples_per_epoch: Labels an epoch; None for all that TRAIN has.
        horizon: Bars whose return the hindsight labels look at.
        validation_interval: Epochs between validations: 1.
        parent: Checkpoint that a finetune starts from.
        parent_sha256: Its digest.
        hidden_dims, activation, blocks, cost_model, model_version, max_grad_norm, seed, device: As in
            :class:`~training.config.TrainConfig`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mode: Mode
    regime: TrainingRegime
    learning_rate: PositiveFloat
    warmup_steps: int = Field(ge=0)
    target_loss: PositiveFloat
    explicit: tuple[str, ...] = ()
    epochs: PositiveInt = 10
    batch_size: PositiveInt = 256
    samples_per_epoch: PositiveInt | None = None
    horizon: PositiveInt = 5
    validation_interval: Literal[1] = 1
    parent: str | None = None
    parent_sha256: str | None = None
    hidden_dims: tuple[PositiveInt, ...] = Field((128, 64), min_length=1)
    activation: Literal["tanh", "relu"] = "tanh"
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    cost_model: str = "us_equity@1"
    model_version: str = CURRENT_MODEL_VERSION
    max_grad_norm: PositiveFloat = 0.5
    seed: int = Field(7, ge=0, lt=2**32)
    device: str = "cpu"


def pretrain_config(mode: str, **settings: Any) -> PretrainConfig:
    """Return the configuration of a mode; numbers that are named win, all others come from the mode's row.

    Args:
        mode: ``finetune`` or ``from-scratch``.
        settings: Fields of :class:`PretrainConfig`; None means "as the mode has it".

    Raises:
        ConfigError: Unknown mode, field or version, a finetune without a parent, or a parent from scratch.
    """
    named = {name: value for name, value in settings.items() if value is not None}
    if mode not in tuple(Mode):
        raise ConfigError("CONFIG", "unknown mode", where="mode", expected=", ".join(Mode), found=mode)
    version = named.get("model_version", CURRENT_MODEL_VERSION)
    if version not in MODEL_SPECS:
        raise ConfigError("CONFIG", "unknown version", where="model_version", expected=list(MODEL_SPECS), found=version)
    if (mode == Mode.FINETUNE) != ("parent" in named):
        expected = "a finetune names its parent, from scratch has none"
        raise ConfigError("CONFIG", expected, where="parent", found=named.get("parent"), remedy="See --mode, --parent.")
    row = _plain(mode_row(Mode(mode), MODEL_SPECS[version].n_actions))
    explicit = tuple(sorted(set(row) & set(named)))
    try:
        config = PretrainConfig.model_validate({"mode": mode, **row, **named, "explicit": explicit})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError("CONFIG", "invalid settings", where=f"mode {mode}", found=faults) from error
    refuse_too_large(MODEL_SPECS[version], config.hidden_dims)
    return config


def check_mode(config: PretrainConfig) -> None:
    """Refuse a configuration that mixes rows (INV-TRAIN-009).

    Raises:
        InvariantViolated: A number that nobody named is not the mode's.
    """
    row = _plain(mode_row(config.mode, MODEL_SPECS[config.model_version].n_actions))
    held = config.model_dump(mode="python")
    for name in sorted(set(row) - set(config.explicit)):
        if held[name] != row[name]:
            value, limit = (each if isinstance(each, int | float) else math.nan for each in (held[name], row[name]))
            message = f"{name} is not that of the mode {config.mode}, and was not named"
            raise violation("009", message, epoch=0, value=value, limit=limit, regime=config.regime.kind)


def _plain(row: ModeRow) -> dict[str, Any]:
    return {**asdict(row), "regime": row.regime.model_dump()}
