"""Training regimes, and the loss at which each one counts as diverging (INV-TRAIN-005)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from trader_sdk.contract.errors import ConfigError, InvariantViolated, UsageError

FINETUNE_EPOCH_ZERO_LIMIT: Final = 10.0
RATIO_TO_PREVIOUS: Final = 2.0
RATIO_TO_BEST: Final = 3.0
SMALL_LOSS: Final = 0.1
SMALL_LOSS_RISE: Final = 1.0


class Finetune(BaseModel):
    """Continue from a parent that already works; the default, so configs without a regime load."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["finetune"] = "finetune"

    def epoch_zero_val_loss_limit(self) -> float:
        """Return the highest validation loss that epoch 0 may show: 10.0."""
        return FINETUNE_EPOCH_ZERO_LIMIT


class FromScratch(BaseModel):
    """Start from random weights.

    Args:
        vocab_size: Number of classes N of the head, at least 2; uniform guessing costs ``ln(N)``.

    Raises:
        ConfigError: ``vocab_size`` is below 2.

    Example:
        >>> round(FromScratch(vocab_size=7).epoch_zero_val_loss_limit(), 3)
        3.892
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["from_scratch"] = "from_scratch"
    vocab_size: int

    @field_validator("vocab_size")
    @classmethod
    def _at_least_two(cls, value: int) -> int:
        if value < 2:
            raise ConfigError("CONFIG", "a head needs two classes", where="vocab_size", expected=">= 2", found=value)
        return value

    def epoch_zero_val_loss_limit(self) -> float:
        """Return the highest validation loss that epoch 0 may show: ``2 ln(N)``, twice that of guessing."""
        return 2.0 * math.log(self.vocab_size)


TrainingRegime = Annotated[Finetune | FromScratch, Field(discriminator="kind")]
REGIME_ADAPTER: Final[TypeAdapter[Finetune | FromScratch]] = TypeAdapter(TrainingRegime)


def check_non_divergence(epoch: int, history: Sequence[float], regime: Finetune | FromScratch) -> None:
    """Refuse a validation loss that shows divergence (INV-TRAIN-005).

    Args:
        epoch: Epoch to judge, from 0.
        history: Validation losses (cross-entropy, nats), one an epoch, up to at least ``epoch``.
        regime: Sets the limit of epoch 0.

    Raises:
        InvariantViolated: The loss is not finite, is negative, passes the regime's limit at epoch 0, or later passes
            2.0 times the previous or 3.0 times the best one. Below a loss of 0.1 a ratio means nothing: there a rise
            of up to 1.0 passes. Every limit itself passes.
        UsageError: ``history`` has no entry for ``epoch``.

    Source:
        docs/guide/training.md, invariants.

    Example:
        >>> check_non_divergence(1, [1.0, 2.0], Finetune())
    """
    if not 0 <= epoch < len(history):
        raise UsageError(
            "USAGE", "no loss for this epoch", where="history", expected=f"0..{len(history) - 1}", found=epoch
        )
    loss = history[epoch]
    if not math.isfinite(loss) or loss < 0.0:
        raise _divergence("cross-entropy must be finite and not negative", epoch, loss, math.inf, regime)
    if epoch == 0:
        limit = regime.epoch_zero_val_loss_limit()
        if loss > limit:
            raise _divergence("the first loss is far above guessing", epoch, loss, limit, regime)
        return
    for name, reference, ratio in (
        ("previous", history[epoch - 1], RATIO_TO_PREVIOUS),
        ("best", min(history[:epoch]), RATIO_TO_BEST),
    ):
        limit = reference * ratio if reference >= SMALL_LOSS else reference + SMALL_LOSS_RISE
        if not loss <= limit:
            raise _divergence(f"the loss rose too far above the {name} one", epoch, loss, limit, regime)


def _divergence(
    message: str, epoch: int, value: float, limit: float, regime: Finetune | FromScratch
) -> InvariantViolated:
    return InvariantViolated(
        "E900",
        f"INV-TRAIN-005: {message}",
        where=f"epoch {epoch}, regime {regime.kind}",
        expected=f"<= {limit:.6g}",
        found=f"{value:.6g}",
        inv="INV-TRAIN-005",
        epoch=epoch,
        value=value,
        limit=limit,
        regime=regime.kind,
    )
