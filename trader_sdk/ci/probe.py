"""The observations that a golden is asked to decide on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from trader_sdk.checkpoint.probe_file import read_probe_file
from trader_sdk.contract.errors import ContractError
from trader_sdk.decisions import Decision
from trader_sdk.model import NativeModelWrapper

if TYPE_CHECKING:
    from trader_sdk.ci.manifest import ProbeSource

Floats = NDArray[np.float32]


def knuth32(count: int, obs_dim: int) -> Floats:
    """Return the observations of recipe ``knuth32@1``: integers scrambled by a constant, the same everywhere.

    Returns:
        float32 (count, obs_dim) in [-1, 1).

    Example:
        >>> knuth32(1, 3)[0, :2].tolist()
        [-1.0, 0.2360679805278778]
    """
    index = np.arange(count * obs_dim, dtype=np.int64)
    scrambled = (index * 2654435761) % 2**32
    return (scrambled / 2**31 - 1).astype(np.float32).reshape(count, obs_dim)


def decide_on(model: NativeModelWrapper, source: ProbeSource, folder: Path) -> list[Decision]:
    """Return what a model decides on a golden's observations, one decision each.

    Args:
        model: Loaded.
        source: The manifest's ``probe``: a recipe, or a file with the author's own observations and logits.
        folder: The manifest's folder.

    Raises:
        ContractError: E308 if the file is no probe of this model, or the model does not reproduce its logits.
        CheckpointError: E101 if there is no such file.
    """
    spec = model.model_spec
    if source.count is not None:
        observations = knuth32(source.count, spec.obs_dim)
    else:
        observations = _proven(model, folder / str(source.file))
    return cast("list[Decision]", model.decide(observations))  # two dimensions always give a list


def _proven(model: NativeModelWrapper, path: Path) -> Floats:
    probe = read_probe_file(path, model.model_spec)
    fault = probe.fault(model.policy)
    if fault is not None:
        raise ContractError("E308", "the model does not give what its author recorded", where=str(path), found=fault)
    return probe.observations
