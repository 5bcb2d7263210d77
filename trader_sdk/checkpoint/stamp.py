"""Stamping: what a person asserts about a file, written into a new file that says it was asserted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trader_sdk.checkpoint.artefacts import SavedCheckpoint, write_policy_pt, write_policy_safetensors
from trader_sdk.checkpoint.formats import Format
from trader_sdk.checkpoint.reader import read_checkpoint
from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.errors import ContractError, UsageError, VersionError
from trader_sdk.contract.metadata import get_checkpoint_metadata


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a person says about one checkpoint; what is None stays as the file has it.

    Attributes:
        model_version: Needed where several versions fit the file's shapes.
        activation: ``tanh``, ``relu``, ...
        feature_schema: Document of the provider's schema.
        symbol, timeframe: What the model was trained on.
    """

    model_version: str | None = None
    activation: str | None = None
    feature_schema: Mapping[str, Any] | None = None
    symbol: str | None = None
    timeframe: str | None = None


def stamp(path: str | os.PathLike[str], out_dir: str | os.PathLike[str], said: Assertion) -> SavedCheckpoint:
    """Write a copy of a checkpoint's policy that carries ``said``, under the same name in ``out_dir``.

    The copy says ``version_source: asserted`` and ``semantics: unproven`` (W311): nobody has shown yet that the
    author's own decisions are reproduced. The original is not touched.

    Args:
        path: A checkpoint that loads in warn mode.
        out_dir: Where the copy goes; made if missing.
        said: The assertions.

    Returns:
        The written file, in the format of the original.

    Raises:
        VersionError: E202 if several versions fit and none is asserted.
        ContractError: E301 if the file itself states something else; nothing is written.
        UsageError: The target exists.
        SdkError: The file does not load.
    """
    target = Path(out_dir) / Path(path).name
    if target.exists():
        raise UsageError("USAGE", "the stamped file exists already and is not overwritten", where=str(target))
    raw = read_checkpoint(path)
    detection = detect_version_from_checkpoint(raw.fields)
    if detection.ambiguous and said.model_version is None:
        raise VersionError(
            "E202",
            "several versions fit: say which with --model-version",
            where=raw.path,
            expected=" or ".join(detection.candidates),
        )
    stamped = {**raw.metadata, **_asserted(said, detection.candidates, raw.path)}
    own = {**raw.metadata, "activation": detection.activation}
    for name, value in _stated(said).items():
        if own.get(name) not in (None, value):
            raise ContractError(
                "E301",
                "the file states something else",
                where=f"{raw.path}: {name}",
                expected=value,
                found=own[name],
            )
        stamped[name] = value
    stamped["lineage"] = {**dict(raw.metadata.get("lineage") or {}), "stamped_from": raw.sha256}
    target.parent.mkdir(parents=True, exist_ok=True)
    write = write_policy_safetensors if raw.format is Format.SAFETENSORS else write_policy_pt
    return write(target, replace(raw, metadata=stamped))


def _asserted(said: Assertion, candidates: tuple[str, ...], where: str) -> dict[str, Any]:
    version = said.model_version or candidates[0]
    if version not in candidates:
        fitting = ", ".join(candidates)
        raise VersionError("E203", "this file cannot be that version", where=where, expected=fitting, found=version)
    return {**get_checkpoint_metadata(version), "version_source": "asserted", "semantics": "unproven"}


def _stated(said: Assertion) -> dict[str, Any]:
    stated: dict[str, Any] = {"activation": said.activation, "symbol": said.symbol, "timeframe": said.timeframe}
    if said.feature_schema is not None:
        stated["feature_schema"] = dict(said.feature_schema)
        stated["feature_schema_sha256"] = sha256_of(dict(said.feature_schema))
    return {name: value for name, value in stated.items() if value is not None}
