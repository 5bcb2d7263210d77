"""The training invariants as a table of data, and the checks of a PPO run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from trader_sdk.contract.errors import InvariantViolated


class Scope(StrEnum):
    """Which runs an invariant binds."""

    BOTH = "both"
    PRETRAIN = "pretrain"
    PPO = "ppo"


class Outcome(StrEnum):
    """How a run ended; there is no word for "ok" that would fit all of them."""

    CONVERGED = "CONVERGED"
    TARGET_MISSED = "TARGET_MISSED"
    EARLY_STOP = "EARLY_STOP"
    BUDGET_SPENT = "BUDGET_SPENT"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class Invariant:
    """One row of the table: its id, whom it binds and the rule in a sentence."""

    id: str
    scope: Scope
    rule: str


INVARIANTS: Final[Mapping[str, Invariant]] = MappingProxyType(
    {
        f"INV-TRAIN-{number}": Invariant(f"INV-TRAIN-{number}", scope, rule)
        for number, scope, rule in (
            ("001", Scope.BOTH, "every optimizer step logs all of STEP_FIELDS, each finite"),
            (
                "002",
                Scope.BOTH,
                "every validation writes a checkpoint and its metadata file; failing to write is fatal",
            ),
            ("003", Scope.BOTH, "the recorded optimizer digest equals the digest of what is on disk"),
            ("004", Scope.PRETRAIN, "validation loss improves, or patience 2 from epoch 3 on ends as EARLY_STOP"),
            ("005", Scope.PRETRAIN, "the loss does not diverge: the regime's limit at epoch 0, 2x previous, 3x best"),
            ("005p", Scope.PPO, "approx_kl <= 10 x target_kl; value loss finite and <= 100 x its running median"),
            ("006", Scope.BOTH, "same seed: first 100 steps equal to 1e-6; another seed differs by 1e-4 within 10"),
            ("007", Scope.BOTH, "a NaN or Inf stops the run within one step, before it is logged as a number"),
            ("008", Scope.BOTH, "throughput is finite and not negative; utilisation lies in 0..100"),
            ("009", Scope.PRETRAIN, "a mode's regime, learning rate, warm-up and target come from one row"),
            ("010", Scope.BOTH, "the data source is always named, and its kind is stamped into every artefact"),
            ("011", Scope.BOTH, "running out of data cycles with a notice or stops; a loss is never fabricated"),
            ("012", Scope.PRETRAIN, "a finetune starts at its parent's validation loss"),
        )
    }
)

STEP_FIELDS: Final = ("step", "loss", "grad_norm", "lr", "samples_per_second", "utilisation_percent", "wall_seconds")
FINITE_FIELDS: Final = ("loss", "grad_norm", "lr")
KL_FACTOR: Final = 10.0
VALUE_LOSS_FACTOR: Final = 100.0
VALUE_LOSS_WARM_UP: Final = 5
"""Updates before the running median of the value loss means anything."""


def violation(number: str, message: str, *, epoch: int, value: float, limit: float, regime: str) -> InvariantViolated:
    """Return the error for a broken invariant, with its evidence as attributes.

    Args:
        number: ``001`` to ``012``.
        message: What broke, one clause.
        epoch: Epoch, or PPO update, from 0.
        value: What was seen.
        limit: What the rule allows.
        regime: ``ppo``, ``finetune`` or ``from_scratch``.
    """
    inv = INVARIANTS[f"INV-TRAIN-{number}"].id
    return InvariantViolated(
        "E900",
        f"{inv}: {message}",
        where=f"update {epoch}, regime {regime}",
        expected=f"<= {limit:.6g}",
        found=f"{value:.6g}",
        inv=inv,
        epoch=epoch,
        value=value,
        limit=limit,
        regime=regime,
    )


def check_step(record: Mapping[str, float], *, update: int, regime: str = "ppo") -> None:
    """Refuse an optimizer step's record that is incomplete, non-finite or out of range (001, 007, 008).

    Args:
        record: One value for each of ``STEP_FIELDS``.
        update: PPO update or epoch, from 0.
        regime: For the message.

    Raises:
        InvariantViolated: With the id of the rule.
    """
    missing = [name for name in STEP_FIELDS if name not in record]
    if missing:
        raise violation(
            "001", f"the step does not log {missing}", epoch=update, value=len(missing), limit=0, regime=regime
        )
    for name in FINITE_FIELDS:
        if not math.isfinite(record[name]):
            raise violation("007", f"{name} is not finite", epoch=update, value=record[name], limit=0, regime=regime)
    throughput, utilisation = record["samples_per_second"], record["utilisation_percent"]
    if not (math.isfinite(throughput) and throughput >= 0):
        raise violation(
            "008", "throughput is impossible", epoch=update, value=throughput, limit=math.inf, regime=regime
        )
    if not 0 <= utilisation <= 100:
        raise violation("008", "utilisation is impossible", epoch=update, value=utilisation, limit=100, regime=regime)


@dataclass(slots=True)
class DivergenceGuard:
    """Watch a PPO run for divergence (005p).

    Args:
        target_kl: The update's intended ``approx_kl``.
    """

    target_kl: float
    value_losses: list[float] = field(default_factory=list)

    def check(self, update: int, *, approx_kl: float, value_loss: float) -> None:
        """Judge one update and remember its value loss.

        Raises:
            InvariantViolated: 005p; the caller may recover, and then records it.
        """
        limit = KL_FACTOR * self.target_kl
        if not approx_kl <= limit:
            raise violation(
                "005p", "the policy moved too far", epoch=update, value=approx_kl, limit=limit, regime="ppo"
            )
        if not math.isfinite(value_loss):
            raise violation("005p", "value loss", epoch=update, value=value_loss, limit=math.inf, regime="ppo")
        if len(self.value_losses) >= VALUE_LOSS_WARM_UP:
            limit = VALUE_LOSS_FACTOR * statistics.median(self.value_losses)
            if value_loss > limit:
                raise violation("005p", "value loss", epoch=update, value=value_loss, limit=limit, regime="ppo")
        self.value_losses.append(value_loss)
