"""The observations that a golden is asked to decide on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from trader_sdk.checkpoint.source import read_source
from trader_sdk.contract.errors import CheckpointError, ConfigError
from trader_sdk.decisions import Decision
from trader_sdk.model import NativeModelWrapper

if TYPE_CHECKING:
    from trader_sdk.ci.manifest import ProbeSource

Floats = NDArray[np.float32]
_MAX_PROBE_BYTES: Final = 64 * 1024 * 1024


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

    Raises:
        ConfigError: The probe's file is not what it should be.
    """
    observations = probe_observations(source, folder, model.model_spec.obs_dim)
    return cast("list[Decision]", model.decide(observations))  # two dimensions always give a list


def probe_observations(source: ProbeSource, folder: Path, obs_dim: int) -> Floats:
    """Return a golden's observations.

    Args:
        source: The manifest's ``probe``.
        folder: The manifest's folder, for a probe that is a file.
        obs_dim: Of the model.

    Raises:
        ConfigError: The probe's file is not what it should be.
    """
    if source.count is not None:
        return knuth32(source.count, obs_dim)
    return read_probe_file(folder / str(source.file), obs_dim)


def read_probe_file(path: Path, obs_dim: int) -> Floats:
    """Return ``observations`` of a safetensors file: float32 (n, obs_dim), n of 1 to 4096, finite.

    Raises:
        ConfigError: Absent, too large, no safetensors, or another shape or type.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = bytes(read_source(path).data)
        tensors: dict[str, NDArray[Any]] = load(data) if len(data) <= _MAX_PROBE_BYTES else {}
    except (CheckpointError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _refused(path, obs_dim, f"{error}"[:160]) from error
    rows = tensors.get("observations")
    if rows is None or rows.dtype != np.float32 or rows.ndim != 2 or rows.shape[1] != obs_dim:
        found = "no observations" if rows is None else f"{rows.dtype} {rows.shape}"
        raise _refused(path, obs_dim, found)
    if not 1 <= len(rows) <= 4096 or not np.isfinite(rows).all():
        raise _refused(path, obs_dim, f"{len(rows)} rows, all finite: {bool(np.isfinite(rows).all())}")
    return np.ascontiguousarray(rows, dtype=np.float32)


def _refused(path: Path, obs_dim: int, found: str) -> ConfigError:
    return ConfigError(
        "CONFIG",
        "the probe cannot be used",
        where=str(path),
        expected=f"safetensors with observations, float32 (1..4096, {obs_dim}), finite",
        found=found,
    )
