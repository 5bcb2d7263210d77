"""Which model version a checkpoint is: stated and proven by its tensors, or told by structure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from packaging.version import Version

from trader_sdk.contract.actions import table_conflicts
from trader_sdk.contract.architecture import PolicyArchitecture
from trader_sdk.contract.errors import CompatibilityError, Finding, VersionError
from trader_sdk.contract.metadata import (
    ACTIVATIONS,
    CheckpointMetadata,
    measure,
    raise_on_conflicts,
    read_metadata,
    structure_conflicts,
)
from trader_sdk.contract.spec import (
    ACTION_TABLES,
    CONTRACT_SCHEMA,
    CURRENT_MODEL_VERSION,
    MODEL_SPECS,
    TRADERS,
    ModelSpec,
)

KNOWN_CAPABILITIES: Final = frozenset().union(*(row.capabilities for row in TRADERS.values()))
_MAX_VERSION_LENGTH: Final = 32
_VERSION: Final = re.compile(r"v?\d{1,6}(\.\d{1,6}){0,2}((a|b|rc)\d{1,6})?", re.ASCII)


class VersionSource(StrEnum):
    """How the version was found."""

    EXPLICIT = "explicit"
    ASSERTED = "asserted"
    STRUCTURE = "structure"
    PIN = "pin"


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer of :func:`detect_version_from_checkpoint`; unpacks as ``(version, spec)``.

    Attributes:
        version: The version, or the candidates joined by ``|``.
        spec: What it means; for several candidates the newest one's, under the joined name.
        candidates: Every version that fits, oldest first.
        source: Stated by the file, asserted by a stamp, or told by structure.
        contract_equivalent: Whether all candidates mean the same.
        metadata: What the file says of itself.
        architecture: What its tensors are.
        activation: Name of the activation, None where nothing states it.
        findings: Findings that do not refuse by themselves in warn mode.
    """

    version: str
    spec: ModelSpec
    candidates: tuple[str, ...]
    source: VersionSource
    contract_equivalent: bool
    metadata: CheckpointMetadata
    architecture: PolicyArchitecture
    activation: str | None
    findings: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.version, self.spec))

    @property
    def ambiguous(self) -> bool:
        """Return whether more than one version fits."""
        return len(self.candidates) > 1


def detect_version_from_checkpoint(checkpoint: Mapping[str, Any]) -> Detection:
    """Tell the model version of a checkpoint from its metadata and the shapes of its tensors.

    An explicit version never falls back to structure, and structure is always measured: any conflict between
    version, embedded numbers, action table and tensors is refused here, in every mode.

    Args:
        checkpoint: Mapping with ``policy_state_dict`` (name to anything with ``.shape``) and the metadata beside it.

    Returns:
        The detection, unpackable as ``version, spec``.

    Raises:
        VersionError: E203 malformed, E204 undetectable, E205 newer than known, E207 too old, E208 newer schema.
        CompatibilityError: E504 for a version between known ones that was never released.
        ContractError: E301..E307 for conflicts.
        ActionError: E401 if the action table is not the version's.
    """
    state = checkpoint.get("policy_state_dict")
    if not isinstance(state, Mapping):
        raise VersionError(
            "E204",
            "no policy_state_dict in the checkpoint",
            found=", ".join(map(str, list(checkpoint)[:8])) or "nothing",
        )
    metadata = read_metadata(checkpoint)
    architecture = measure(state)
    _check_schema(metadata)
    if metadata.model_version is None:
        detection = _from_structure(metadata, architecture)
    else:
        detection = _from_statement(metadata, architecture)
    conflicts = _conflicts(detection)
    raise_on_conflicts(conflicts, detection.version)
    return replace(detection, findings=(*metadata.findings, *detection.findings))


def _check_schema(metadata: CheckpointMetadata) -> None:
    schema = metadata.fields.get("contract_schema", CONTRACT_SCHEMA)
    if schema > CONTRACT_SCHEMA:
        raise VersionError(
            "E208", "the file's contract schema is newer", expected=f"at most {CONTRACT_SCHEMA}", found=schema
        )


def parse_model_version(text: object) -> tuple[str, tuple[Finding, ...]]:
    """Return the version in its normal form ``X.Y.Z[aN|bN|rcN]`` and a note if it was spelled otherwise.

    Raises:
        VersionError: E203 if the text is not such a version.
    """
    if not isinstance(text, str) or len(text) > _MAX_VERSION_LENGTH or not _VERSION.fullmatch(text):
        raise VersionError(
            "E203", "the model version is malformed", where="model_version", expected="X.Y.Z", found=f"{text!r:.60}"
        )
    parsed = Version(text)
    major, minor, micro = (*parsed.release, 0, 0)[:3]
    suffix = "".join(map(str, parsed.pre)) if parsed.pre else ""
    normal = f"{major}.{minor}.{micro}{suffix}"
    notes = () if normal == text else (Finding("W209", where="model_version", expected=normal, actual=text),)
    return normal, notes


def _from_statement(metadata: CheckpointMetadata, architecture: PolicyArchitecture) -> Detection:
    version, notes = parse_model_version(metadata.model_version)
    spec = MODEL_SPECS.get(version)
    if spec is None:
        spec, more = _unlisted(version, metadata)
        notes += more
    asserted = metadata.fields.get("version_source") == "asserted"
    return Detection(
        version=version,
        spec=spec,
        candidates=(version,),
        source=VersionSource.ASSERTED if asserted else VersionSource.EXPLICIT,
        contract_equivalent=True,
        metadata=metadata,
        architecture=architecture,
        activation=metadata.activation,
        findings=notes,
    )


def _unlisted(version: str, metadata: CheckpointMetadata) -> tuple[ModelSpec, tuple[Finding, ...]]:
    stated = Version(version)
    oldest, newest = min(MODEL_SPECS, key=Version), CURRENT_MODEL_VERSION
    if stated < Version(oldest):
        raise VersionError("E207", "the model is too old", expected=f"{oldest} or newer", found=version)
    if stated < Version(newest):
        known = ", ".join(MODEL_SPECS)
        raise CompatibilityError("E504", "no such model version was released", expected=known, found=version)
    spec = _self_contained_spec(version, metadata)
    if spec is None or stated.major != Version(newest).major:
        raise VersionError(
            "E205", "the model is newer than this release knows", expected=f"at most {newest}", found=version
        )
    return spec, (Finding("W206", where="model_version", expected=f"at most {newest}", actual=version),)


def _self_contained_spec(version: str, metadata: CheckpointMetadata) -> ModelSpec | None:
    # A newer model is understood only if the file itself says everything that the matrix would.
    fields = metadata.fields
    needed = ("requires_trader", "requires", "contract_schema", "feature_schema")
    if any(name not in fields for name in needed) or metadata.action_meanings is None:
        return None
    tables = [name for name in fields["requires"] if name in ACTION_TABLES]
    if not set(fields["requires"]) <= KNOWN_CAPABILITIES or len(tables) != 1:
        return None
    feature_sets = fields["feature_schema"].get("feature_sets", ())
    if not isinstance(feature_sets, list | tuple) or not all(isinstance(name, str) for name in feature_sets):
        return None
    n_features, obs_dim = metadata.n_features or 0, metadata.obs_dim or 0
    if not n_features or obs_dim % n_features or obs_dim != fields.get("window", 100) * n_features:
        return None
    actions = ACTION_TABLES[tables[0]]
    return ModelSpec(
        version=version,
        n_features=n_features,
        n_actions=len(actions),
        obs_dim=obs_dim,
        action_meanings=MappingProxyType({index: action.name for index, action in enumerate(actions)}),
        breaking_changes=(),
        window=obs_dim // n_features,
        actions=actions,
        feature_sets=tuple(feature_sets),
        requires=tuple(fields["requires"]),
        min_trader_version=metadata.text("min_trader_version") or "0",
    )


def candidates_for(architecture: PolicyArchitecture, specs: Mapping[str, ModelSpec] = MODEL_SPECS) -> tuple[str, ...]:
    """Return the versions whose shapes are those of ``architecture``, oldest first."""
    fitting = [
        version
        for version, spec in specs.items()
        if (spec.obs_dim, spec.n_actions) == (architecture.obs_dim, architecture.n_actions)
    ]
    return tuple(sorted(fitting, key=Version))


def equivalent(specs: list[ModelSpec]) -> bool:
    """Return whether all specs mean the same: features, actions and required capabilities."""
    return len({(spec.n_features, spec.window, spec.feature_sets, spec.actions, spec.requires) for spec in specs}) == 1


def _from_structure(metadata: CheckpointMetadata, architecture: PolicyArchitecture) -> Detection:
    candidates = candidates_for(architecture)
    if not candidates:
        known = ", ".join(sorted({f"{spec.obs_dim}/{spec.n_actions}" for spec in MODEL_SPECS.values()}))
        raise VersionError(
            "E204",
            "the shapes fit no known model version",
            where="policy_state_dict",
            expected=f"obs_dim/n_actions of {known}",
            found=f"{architecture.obs_dim}/{architecture.n_actions}",
        )
    specs = [MODEL_SPECS[version] for version in candidates]
    version = "|".join(candidates)
    if not equivalent(specs):
        raise VersionError("E204", "several versions fit and they do not mean the same", found=version)
    if len(candidates) == 1:
        finding = Finding("W210", where="policy_state_dict", actual=version)
    else:
        finding = Finding("E202", where="policy_state_dict", expected="one version", actual=version)
    return Detection(
        version=version,
        spec=replace(specs[-1], version=version),
        candidates=candidates,
        source=VersionSource.STRUCTURE,
        contract_equivalent=True,
        metadata=metadata,
        architecture=architecture,
        activation=metadata.activation,
        findings=(finding,),
    )


def _conflicts(detection: Detection) -> list[Finding]:
    spec, metadata = detection.spec, detection.metadata
    conflicts = structure_conflicts(detection.architecture, spec)
    stated = (
        ("E301", "n_features", metadata.n_features, spec.n_features),
        ("E302", "obs_dim", metadata.obs_dim, spec.obs_dim),
        ("E303", "n_actions", metadata.n_actions, spec.n_actions),
    )
    conflicts += [
        Finding(code, where=name, expected=f"{wanted} ({detection.version})", actual=f"{found} (metadata)")
        for code, name, found, wanted in stated
        if found is not None and found != wanted
    ]
    if metadata.action_meanings is not None:
        conflicts += [
            Finding("E401", where="action_meanings", actual=line)
            for line in table_conflicts(metadata.action_meanings, spec)
        ]
    hidden = metadata.fields.get("hidden_dims")
    if hidden is not None and tuple(hidden) != detection.architecture.hidden_dims:
        actual = str(tuple(hidden))
        conflicts.append(
            Finding("E301", where="hidden_dims", expected=str(detection.architecture.hidden_dims), actual=actual)
        )
    return conflicts + _capability_conflicts(detection)


def _capability_conflicts(detection: Detection) -> list[Finding]:
    fields = detection.metadata.fields
    conflicts = [
        Finding("E307", where="requires", expected=", ".join(sorted(KNOWN_CAPABILITIES)), actual=name)
        for name in fields.get("requires", ())
        if name not in KNOWN_CAPABILITIES
    ]
    if detection.activation is not None and detection.activation not in ACTIVATIONS:
        conflicts.append(
            Finding("E307", where="activation", expected=", ".join(ACTIVATIONS), actual=detection.activation)
        )
    return conflicts
