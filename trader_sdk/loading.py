"""From a file to a model that may decide: read, detected, checked, built, proven."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from trader_sdk.checkpoint.policy import policy_layers, policy_sha256
from trader_sdk.checkpoint.reader import Backend, RawCheckpoint, parse_source, read_checkpoint
from trader_sdk.contract.compatibility import (
    CompatReport,
    ForwardCompat,
    Mode,
    Pin,
    Recall,
    check_compatibility,
    enforce,
)
from trader_sdk.contract.detect import Detection, detect_version_from_checkpoint
from trader_sdk.contract.errors import ContractError, SdkError, UsageError
from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.contract.spec import CURRENT_TRADER_VERSION, ModelSpec
from trader_sdk.decisions import checked_logits
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.probe import activation_from_probe, read_probe

_ASSUMED_ACTIVATION: Final = "tanh"


class Loaded:
    """A checkpoint that passed every check, and the network in it."""

    def __init__(self, raw: RawCheckpoint, spec: ModelSpec, report: CompatReport, policy: DensePolicy) -> None:
        self.raw = raw
        self.spec = spec
        self.report = report
        self.policy = policy

    @cached_property
    def policy_sha256(self) -> str:
        """Return the policy's canonical digest."""
        # Hashed when first asked for: it costs as much as a third of a load, and only an archive compares it.
        return policy_sha256(self.policy.layers)


class LoadOptions(NamedTuple):
    """What a load may be told; see :class:`~trader_sdk.model.NativeModelWrapper` and ``check_compatibility`` for each.

    ``own_artefact`` is for the archive's door alone: it lets :func:`~trader_sdk.checkpoint.mapped.map_own_artefact`
    map the file.
    """

    trader_version: str | None = None
    expected_sha256: str | None = None
    symbol: str | None = None
    activation: str | None = None
    pins: Sequence[Pin] = ()
    backend: Backend = "numpy"
    recalls: Sequence[Recall] = ()
    forward_compat: ForwardCompat | None = None
    max_model_age: timedelta | None = None
    own_artefact: bool = False


def load_checked(path: str | os.PathLike[str], mode: Mode, options: LoadOptions) -> Loaded:
    """Return the model of a file.

    Raises:
        SdkError: As :class:`~trader_sdk.model.NativeModelWrapper`; ``where`` begins with the file.
    """
    raw = _read(path, options)
    try:
        detection = _with_activation(detect_version_from_checkpoint(raw.fields), options.activation)
        _check_symbol(detection, options.symbol)
        report = check_compatibility(
            detection,
            CURRENT_TRADER_VERSION if options.trader_version is None else options.trader_version,
            sha256=raw.sha256,
            pins=options.pins,
            recalls=options.recalls,
            at=datetime.now(UTC),
            forward_compat=options.forward_compat,
            max_model_age=options.max_model_age,
        ).with_findings(*raw.notes)
        spec = enforce(report, mode)
        return Loaded(raw, spec, report, _build(raw, detection, report))
    except SdkError as error:
        error.where = f"{raw.path}: {error.where}" if error.where else raw.path
        raise


def _read(path: str | os.PathLike[str], options: LoadOptions) -> RawCheckpoint:
    if not options.own_artefact or options.expected_sha256 is None:
        return read_checkpoint(path, backend=options.backend, expected_sha256=options.expected_sha256)
    from trader_sdk.checkpoint.mapped import map_own_artefact

    return parse_source(map_own_artefact(path, options.expected_sha256))


def pins_of(pins: str | os.PathLike[str] | Sequence[Pin] | None) -> Sequence[Pin]:
    """Return pins as they are, or read from a ``trader-pins.toml``.

    Raises:
        ConfigError: The file cannot be read.
    """
    if pins is None:
        return ()
    if not isinstance(pins, str | os.PathLike):
        return pins
    from trader_sdk.checkpoint.pins import read_pins

    return read_pins(pins)


def _with_activation(detection: Detection, stated: str | None) -> Detection:
    if stated is None:
        return detection
    if stated not in ACTIVATIONS:
        raise UsageError(
            "USAGE", "no such activation", where="activation", expected=", ".join(ACTIVATIONS), found=f"{stated!r:.40}"
        )
    if detection.activation not in (None, stated):
        raise ContractError(
            "E301",
            "the file states another activation",
            where="activation",
            expected=detection.activation,
            found=stated,
        )
    return replace(detection, activation=stated)


def _check_symbol(detection: Detection, symbol: str | None) -> None:
    stated = detection.metadata.text("symbol")
    if symbol is not None and stated is not None and stated != symbol:
        raise ContractError("E301", "the checkpoint is another symbol's", where="symbol", expected=symbol, found=stated)


def _build(raw: RawCheckpoint, detection: Detection, report: CompatReport) -> DensePolicy:
    layers = policy_layers(raw.tensors, detection.architecture)
    spec = report.spec
    probe = read_probe(raw.metadata, obs_dim=spec.obs_dim, n_actions=spec.n_actions)
    activation = report.activation
    if activation is None:
        activation = activation_from_probe(layers, probe, window=spec.window) if probe else _ASSUMED_ACTIVATION
    policy = DensePolicy(layers, activation, window=spec.window)
    if probe is None:
        _smoke_decision(policy)
        return policy
    fault = probe.fault(policy)
    if fault is not None:
        raise ContractError(
            "E308",
            "the weights do not give what was recorded with them",
            where="golden_probe",
            expected=f"the recorded logits ({activation})",
            found=fault,
        )
    return policy


def _smoke_decision(policy: DensePolicy) -> None:
    ones: Floats = np.ones((1, policy.obs_dim), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        checked_logits(policy.logits(ones))
