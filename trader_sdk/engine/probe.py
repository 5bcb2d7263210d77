"""The golden probe: observations and logits recorded by the model's own code, run again at every load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trader_sdk.contract.errors import ContractError
from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.engine.dense import DensePolicy, Floats, Layer

TOLERANCE: Final = 1e-4
"""Largest difference of a logit, relative to the largest: float32 sums over 5900 inputs in another order."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the author's own code decided.

    Attributes:
        observations: float32 (n, obs_dim).
        logits: float32 (n, n_actions).
    """

    observations: Floats
    logits: Floats

    @property
    def margin(self) -> Floats:
        """Return the distance of the two best logits, (n,)."""
        best = np.sort(self.logits, axis=1)[:, -2:]
        return np.asarray(best[:, 1] - best[:, 0], dtype=np.float32)

    def fault(self, policy: DensePolicy) -> str | None:
        """Return how ``policy`` differs from the recording, None if it reproduces it."""
        with np.errstate(all="ignore"):
            logits = policy.logits(self.observations)
        allowed = TOLERANCE * max(1.0, float(np.abs(self.logits).max()))
        difference = float(np.abs(logits - self.logits).max())
        if not difference <= allowed:
            return f"logits differ by {difference:.3g}, allowed {allowed:.3g}"
        moved = (logits.argmax(axis=1) != self.logits.argmax(axis=1)) & (self.margin > 2 * allowed)
        return f"{int(moved.sum())} of {len(moved)} decisions differ" if moved.any() else None


def read_probe(fields: Mapping[str, Any], *, obs_dim: int, n_actions: int) -> Probe | None:
    """Return the probe of a checkpoint's fields, None where there is none.

    Raises:
        ContractError: E308 if it is malformed or of another shape than the model.
    """
    stated = fields.get("golden_probe")
    if stated is None:
        return None
    observations, logits = (_matrix(stated, name) for name in ("observations", "logits"))
    count = len(observations)
    expected = ((count, obs_dim), (count, n_actions))
    if (observations.shape, logits.shape) != expected or count == 0:
        raise ContractError(
            "E308",
            "the golden probe is of another shape than the model",
            where="golden_probe",
            expected=expected,
            found=(observations.shape, logits.shape),
        )
    return Probe(observations, logits)


def _matrix(stated: Mapping[str, Any], name: str) -> Floats:
    try:
        values = np.ascontiguousarray(stated[name], dtype=np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(
            "E308", "the golden probe cannot be read", where=f"golden_probe.{name}", found=type(error).__name__
        ) from error
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ContractError("E308", "the golden probe is no table of finite numbers", where=f"golden_probe.{name}")
    return values


def activation_from_probe(layers: Sequence[Layer], probe: Probe, *, window: int) -> str:
    """Return the one activation with which the layers reproduce the probe.

    Raises:
        ContractError: E308 if none or several do.
    """
    passing = [name for name in ACTIVATIONS if probe.fault(DensePolicy(layers, name, window=window)) is None]
    if len(passing) != 1:
        raise ContractError(
            "E308",
            "the golden probe does not tell the activation",
            where="golden_probe",
            expected="exactly one of " + ", ".join(ACTIVATIONS),
            found=", ".join(passing) or "none reproduces it",
        )
    return passing[0]
