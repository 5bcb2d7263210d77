"""What a checkpoint says of itself: exact types, all faults together, nothing invented."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from packaging.version import InvalidVersion, Version

from trader_sdk.contract.architecture import derive_architecture
from trader_sdk.contract.errors import Finding, VersionError, error_for
from trader_sdk.contract.spec import CONTRACT_SCHEMA, CURRENT_MODEL_VERSION, MODEL_SPECS, ModelSpec

if TYPE_CHECKING:
    from trader_sdk.contract.architecture import PolicyArchitecture

PAYLOAD_FIELDS: Final = ("policy_state_dict", "optimizer_state_dict", "global_step", "config")
STRUCTURE_FIELDS: Final = ("n_features", "n_actions", "obs_dim", "action_meanings")
ACTIVATIONS: Final = ("tanh", "relu", "elu", "leaky_relu", "silu")
MAX_LISTED: Final = 64
"""Longest list and largest action table; a file that lists more does not describe a model."""
_MAX_DEPTH: Final = 32


def _is_int(value: object) -> bool:
    return type(value) is int


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_list_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, list | tuple) and len(value) <= MAX_LISTED and all(check(item) for item in value)
    )


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_version(value: object) -> bool:
    try:
        return type(value) is str and bool(Version(value))
    except InvalidVersion:
        return False


def _is_document(value: object) -> bool:
    return isinstance(value, Mapping) and _is_json(value, _MAX_DEPTH)


def _is_json(value: object, depth: int) -> bool:
    # Only what canonical JSON can write has a digest.
    if type(value) is float:
        return math.isfinite(value)
    if value is None or type(value) in (str, int, bool):
        return True
    if depth and isinstance(value, Mapping):
        return all(type(key) is str and _is_json(item, depth - 1) for key, item in value.items())
    return depth > 0 and isinstance(value, list | tuple) and all(_is_json(item, depth - 1) for item in value)


OPTIONAL_FIELDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = MappingProxyType(
    {
        "min_trader_version": ("version X.Y.Z", _is_version),
        "contract_schema": ("int", _is_int),
        "activation": ("str", _is_text),
        "hidden_dims": (f"list of at most {MAX_LISTED} int", _is_list_of(_is_int)),
        "requires_trader": ("str", _is_text),
        "bad_traders": (f"list of at most {MAX_LISTED} str", _is_list_of(_is_text)),
        "requires": (f"list of at most {MAX_LISTED} str", _is_list_of(_is_text)),
        "feature_schema": ("mapping of JSON data", _is_document),
        "feature_schema_sha256": ("str", _is_text),
        "constants": ("mapping of JSON data", _is_document),
        "constants_sha256": ("str", _is_text),
        "symbol": ("str", _is_text),
        "timeframe": ("str", _is_text),
        "feed": ("str", _is_text),
        "adjustment": ("str", _is_text),
        "reward_scale": ("number", _is_number),
        "metric_set": ("str", _is_text),
        "validation_interval": ("int", _is_int),
        "cost_model": ("str", _is_text),
        "data_kind": ("str", _is_text),
        "data_start": ("str", _is_text),
        "data_end": ("str", _is_text),
        "golden_probe": ("mapping", _is_mapping),
        "lineage": ("mapping", _is_mapping),
        "label": ("str", _is_text),
        "version_source": ("str", _is_text),
        "semantics": ("str", _is_text),
        "window": ("int", _is_int),
    }
)
"""Fields beside the required ones: name, type in words, check. ``bool`` is no int."""


@dataclass(frozen=True, slots=True)
class CheckpointMetadata:
    """The metadata of one file, typed and checked by itself; not yet held against tensors or the matrix.

    Attributes:
        model_version: As written, None where the file does not say.
        n_features, n_actions, obs_dim: As written, None where absent.
        action_meanings: Index to name, None where absent.
        fields: Every optional field that is present, by name.
        findings: INFO findings: optional fields that are unknown or missing.
    """

    model_version: str | None
    n_features: int | None
    n_actions: int | None
    obs_dim: int | None
    action_meanings: Mapping[int, str] | None
    fields: Mapping[str, Any]
    findings: tuple[Finding, ...] = field(default=())

    def text(self, name: str) -> str | None:
        """Return an optional text field, None where absent."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    @property
    def activation(self) -> str | None:
        """Return the activation that the metadata or the training config states, None where neither does."""
        stated = self.text("activation")
        if stated is not None:
            return stated.lower()
        config = self.fields.get("config")
        named = config.get("activation", config.get("activation_fn")) if isinstance(config, Mapping) else None
        # A pickled class is kept as its dotted name: torch.nn.modules.activation.Tanh.
        return _snake(named.rsplit(".", 1)[-1]) if isinstance(named, str) else None


def _snake(name: str) -> str:
    return {"leakyrelu": "leaky_relu"}.get(name.lower(), name.lower())


def read_metadata(checkpoint: Mapping[str, Any]) -> CheckpointMetadata:
    """Read the metadata of a checkpoint mapping.

    Args:
        checkpoint: What was saved: ``policy_state_dict`` and the fields beside it.

    Returns:
        The typed metadata.

    Raises:
        ContractError: E301 if a field has the wrong type, or if ``model_version`` is present and the numbers that
            belong to it are not; E401 if the action table is malformed. All faults are in ``findings``.
    """
    faults: list[Finding] = []
    notes: list[Finding] = []
    numbers = {name: _number(checkpoint, name, faults) for name in ("n_features", "n_actions", "obs_dim")}
    meanings = _meanings(checkpoint, faults)
    version = checkpoint.get("model_version")
    if version is not None:
        stated = {**numbers, "action_meanings": meanings}
        faults += [
            Finding("E301", where=name, expected="a value, since model_version is present", actual="nothing")
            for name, value in stated.items()
            if value is None and checkpoint.get(name) is None
        ]
        notes += [Finding("W108", where=name) for name in PAYLOAD_FIELDS[1:] if name not in checkpoint]
        if "min_trader_version" not in checkpoint:
            notes.append(Finding("W108", where="min_trader_version", expected="the matrix supplies it"))
    fields = _optional_fields(checkpoint, faults, notes)
    if faults:
        raise error_for(
            faults[0].code,
            f"the metadata is incomplete or has wrong types: {'; '.join(map(_brief, faults))}",
            where="metadata",
            findings=faults,
        )
    return CheckpointMetadata(
        model_version=version,
        n_features=numbers["n_features"],
        n_actions=numbers["n_actions"],
        obs_dim=numbers["obs_dim"],
        action_meanings=meanings,
        fields=MappingProxyType(fields),
        findings=tuple(notes),
    )


def _brief(finding: Finding) -> str:
    return f"{finding.where} expected {finding.expected}, found {finding.actual}"


def _number(checkpoint: Mapping[str, Any], name: str, faults: list[Finding]) -> int | None:
    value = checkpoint.get(name)
    if value is None:
        return None
    if not _is_int(value) or value <= 0:
        faults.append(
            Finding("E301", where=name, expected="a positive int", actual=f"{type(value).__name__} {value!r:.40}")
        )
        return None
    return int(value)


def _meanings(checkpoint: Mapping[str, Any], faults: list[Finding]) -> Mapping[int, str] | None:
    stated = checkpoint.get("action_meanings")
    if stated is None:
        return None
    read: dict[int, str] = {}
    for key, name in stated.items() if isinstance(stated, Mapping) and len(stated) <= MAX_LISTED else ():
        # JSON has no integer keys, so a safetensors header writes "0".
        index = int(key) if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 4 else key
        if not _is_int(index) or not _is_text(name) or index in read:
            read = {}
            break
        read[index] = name
    if not read:
        faults.append(Finding("E401", where="action_meanings", expected="dict[int, str]", actual=f"{stated!r:.80}"))
        return None
    return MappingProxyType(read)


def _optional_fields(checkpoint: Mapping[str, Any], faults: list[Finding], notes: list[Finding]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    known = {"model_version", *PAYLOAD_FIELDS, *STRUCTURE_FIELDS}
    unknown: list[str] = []
    for name, value in checkpoint.items():
        if name == "config":
            fields[name] = value
        elif name in OPTIONAL_FIELDS:
            words, check = OPTIONAL_FIELDS[name]
            if value is None:
                continue
            if check(value):
                fields[name] = value
            else:
                faults.append(
                    Finding("E301", where=name, expected=words, actual=f"{type(value).__name__} {value!r:.40}")
                )
        elif name not in known:
            unknown.append(str(name)[:80])
    notes += [Finding("W109", where=name) for name in unknown[:MAX_LISTED]]
    if len(unknown) > MAX_LISTED:
        notes.append(Finding("W109", where=f"{len(unknown) - MAX_LISTED} further fields"))
    return fields


def get_checkpoint_metadata(version: str = CURRENT_MODEL_VERSION, *, policy: Any = None) -> dict[str, Any]:
    """Return the metadata that a checkpoint of ``version`` carries.

    Args:
        version: A version of the matrix.
        policy: A torch module or a state dict; with it, the shapes are measured and must be those of ``version``.

    Returns:
        ``model_version, n_features, n_actions, obs_dim, action_meanings, min_trader_version, contract_schema,
        requires`` and, with a policy, ``hidden_dims``: plain data, a fresh dict.

    Raises:
        VersionError: E203 if the matrix has no such version; E204 if the policy's layers cannot be told.
        ContractError: E302 or E303 if the policy's shapes are not those of ``version``.
    """
    spec = _spec(version)
    metadata: dict[str, Any] = {
        "model_version": spec.version,
        "n_features": spec.n_features,
        "n_actions": spec.n_actions,
        "obs_dim": spec.obs_dim,
        "action_meanings": dict(spec.action_meanings),
        "min_trader_version": spec.min_trader_version,
        "contract_schema": CONTRACT_SCHEMA,
        "requires": list(spec.requires),
    }
    if policy is not None:
        architecture = measure(policy)
        raise_on_conflicts(structure_conflicts(architecture, spec), spec.version)
        metadata["hidden_dims"] = list(architecture.hidden_dims)
    return metadata


def _spec(version: str) -> ModelSpec:
    try:
        return MODEL_SPECS[version]
    except KeyError:
        known = ", ".join(MODEL_SPECS)
        raise VersionError("E203", "no such model version", where="version", expected=known, found=version) from None


def measure(policy: Any) -> PolicyArchitecture:
    """Return the architecture of a torch module or of a mapping from name to anything with a shape."""
    state = policy if isinstance(policy, Mapping) else policy.state_dict()
    return derive_architecture({name: tuple(int(size) for size in tensor.shape) for name, tensor in state.items()})


def structure_conflicts(architecture: PolicyArchitecture, spec: ModelSpec) -> list[Finding]:
    """Return a finding for each number of ``spec`` that the tensors contradict."""
    measured = (
        ("E302", "obs_dim", spec.obs_dim, architecture.obs_dim),
        ("E303", "n_actions", spec.n_actions, architecture.n_actions),
    )
    return [
        Finding(code, where=name, expected=f"{wanted} ({spec.version})", actual=f"{found} (tensors)")
        for code, name, wanted, found in measured
        if wanted != found
    ]


def raise_on_conflicts(conflicts: list[Finding], version: str) -> None:
    """Raise the first conflict's error with all of them as findings; return if there is none."""
    if not conflicts:
        return
    first = conflicts[0]
    raise error_for(
        first.code,
        f"the file contradicts itself about model {version}",
        where=first.where,
        expected=first.expected,
        found=first.actual,
        findings=conflicts,
    )
