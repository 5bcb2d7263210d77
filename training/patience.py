"""When a pretraining run ends early (INV-TRAIN-004)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from training.invariants import Outcome, violation

PATIENCE: Final = 2
FIRST_EPOCH: Final = 3
"""Epoch, from 0, before which no run ends early."""


def out_of_patience(history: Sequence[float]) -> bool:
    """Return whether the last two epochs brought no strict improvement, from epoch 3 on.

    Example:
        >>> out_of_patience([1.0, 0.9, 0.9, 0.9]), out_of_patience([1.0, 0.9, 0.8, 0.8])
        (True, False)
    """
    if len(history) <= FIRST_EPOCH:
        return False
    best = min(history[:-PATIENCE])
    return not any(loss < best for loss in history[-PATIENCE:])


def check_patience(history: Sequence[float], outcome: str | None, *, regime: str) -> None:
    """Refuse a run that went on without improvement, or ended early with it.

    Args:
        history: Validation loss of each epoch, nats.
        outcome: How the run ended; None while it goes on.
        regime: For the message.

    Raises:
        InvariantViolated: 004.
    """
    for epoch in range(len(history) - 1):
        if out_of_patience(history[: epoch + 1]):
            raise violation(
                "004",
                "the run went on without improvement",
                epoch=epoch + 1,
                value=history[epoch + 1],
                limit=min(history[: epoch + 1]),
                regime=regime,
            )
    ended_early = outcome == Outcome.EARLY_STOP
    if outcome not in (None, Outcome.ABORTED) and ended_early != out_of_patience(history):
        message = "the run ended early while it improved" if ended_early else "an early stop is not called one"
        last = len(history) - 1
        raise violation("004", message, epoch=last, value=history[last], limit=min(history), regime=regime)
