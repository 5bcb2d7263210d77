"""The registry of model versions, read from ``matrix.toml``: the only place that knows what a version means."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from packaging.version import Version

from trader_sdk.contract.package_data import package_text

MARKET_FEATURES: Final = 53
"""Columns of a row that come from bars; the rest are account columns, broadcast along the window."""

CONTRACT_SCHEMA: Final = 1
"""Newest ``contract_schema`` of a checkpoint that this release reads, and the one it writes."""


class ActionMeaning(NamedTuple):
    """What one action index means.

    ``direction`` is -1, 0 or +1; ``size`` is a fraction of the base allocation (execution semantics), not of equity.
    """

    direction: int
    size: float
    name: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One row of the registry.

    Attributes:
        version: Model version, ``X.Y.Z``; several joined by ``|`` for an ambiguous legacy file.
        n_features: Columns of one bar's row, account columns included.
        n_actions: Width of the policy head.
        obs_dim: ``window * n_features``, the flattened observation.
        action_meanings: Action index to name.
        breaking_changes: What changed against the version before, for a reader.
        window: Bars in an observation.
        actions: Action index to direction, size and name.
        feature_sets: Identifiers of the column groups, in order.
        requires: Capability ids that a trader must have.
        min_trader_version: Oldest trader that may run the model.
        feature_ids: Names of the columns, known only if a file or a pin states them.
    """

    version: str
    n_features: int
    n_actions: int
    obs_dim: int
    action_meanings: Mapping[int, str]
    breaking_changes: tuple[str, ...]
    window: int
    actions: tuple[ActionMeaning, ...]
    feature_sets: tuple[str, ...]
    requires: tuple[str, ...]
    min_trader_version: str
    feature_ids: tuple[str, ...] | None = None

    @property
    def n_account(self) -> int:
        """Return how many account columns end each row: 0, 3 or 6."""
        return self.n_features - MARKET_FEATURES

    def __reduce__(self) -> tuple[Any, ...]:
        # MappingProxyType cannot be pickled; errors that carry a spec must be.
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        fields["action_meanings"] = dict(self.action_meanings)
        return _spec_from_fields, (fields,)


def _spec_from_fields(fields: dict[str, Any]) -> ModelSpec:
    return ModelSpec(**{**fields, "action_meanings": MappingProxyType(fields["action_meanings"])})


class TraderRow(NamedTuple):
    """What one trader version can run: a specifier of model versions, and its capabilities."""

    version: str
    models: str
    capabilities: frozenset[str]


def read_matrix() -> dict[str, Any]:
    """Return ``matrix.toml`` as plain data."""
    return tomllib.loads(package_text("matrix.toml"))


def _actions_of(row: Mapping[str, Any]) -> tuple[ActionMeaning, ...]:
    columns = zip(row["directions"], row["sizes"], row["names"], strict=True)
    return tuple(ActionMeaning(direction, float(size), name) for direction, size, name in columns)


def _spec_of(version: str, row: Mapping[str, Any], tables: Mapping[str, tuple[ActionMeaning, ...]]) -> ModelSpec:
    (table_id,) = [capability for capability in row["requires"] if capability in tables]
    actions = tables[table_id]
    if len(actions) != row["n_actions"]:
        raise AssertionError(f"matrix.toml: {version} has {row['n_actions']} actions, {table_id} has {len(actions)}")
    return ModelSpec(
        version=version,
        n_features=row["n_features"],
        n_actions=row["n_actions"],
        obs_dim=row["window"] * row["n_features"],
        action_meanings=MappingProxyType({index: action.name for index, action in enumerate(actions)}),
        breaking_changes=tuple(row["breaking_changes"]),
        window=row["window"],
        actions=actions,
        feature_sets=tuple(row["feature_sets"]),
        requires=tuple(row["requires"]),
        min_trader_version=row["min_trader"],
    )


_MATRIX: Final = read_matrix()
ACTION_TABLES: Final[Mapping[str, tuple[ActionMeaning, ...]]] = MappingProxyType(
    {name: _actions_of(row) for name, row in _MATRIX["actions"].items()}
)
MODEL_SPECS: Final[Mapping[str, ModelSpec]] = MappingProxyType(
    {version: _spec_of(version, row, ACTION_TABLES) for version, row in _MATRIX["model"].items()}
)
MODEL_TRADER_COMPATIBILITY: Final[Mapping[str, str]] = MappingProxyType(
    {version: spec.min_trader_version for version, spec in MODEL_SPECS.items()}
)
TRADERS: Final[Mapping[str, TraderRow]] = MappingProxyType(
    {
        version: TraderRow(version, row["models"], frozenset(row["capabilities"]))
        for version, row in _MATRIX["trader"].items()
    }
)
CURRENT_MODEL_VERSION: Final[str] = max(MODEL_SPECS, key=Version)
CURRENT_TRADER_VERSION: Final[str] = max(TRADERS, key=Version)


def trader_row(version: str) -> TraderRow | None:
    """Return the newest row not above ``version``, or None for a trader older than every row."""
    wanted = Version(version)
    rows = [row for known, row in TRADERS.items() if Version(known) <= wanted]
    return max(rows, key=lambda row: Version(row.version), default=None)
