"""A feature schema: what the columns of a model's observation mean, with a hash that is their identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import ConfigError, ContractError, VersionError
from trader_sdk.contract.spec import CURRENT_MODEL_VERSION, MARKET_FEATURES, MODEL_SPECS
from trader_sdk.contract.timeframe import Timeframe, parse_timeframe
from trader_sdk.features.clock import CALENDARS
from trader_sdk.features.columns import FEATURE_SETS, MEMORY

WINDOW: Final = 100
"""Bars of one observation."""
_FEEDS: Final = ("sip", "iex", "delayed_sip", "otc", "vendored", "simulated")
_ADJUSTMENTS: Final = ("raw", "split", "dividend", "all")

REQUIRED_HISTORY: Final = WINDOW + MEMORY
"""Bars that one observation of ours needs."""


class FeatureSchema(BaseModel):
    """What the columns of an observation mean.

    Attributes:
        feature_sets: Ids of the column groups, in order.
        names: Every column of one bar's row, in order, account columns last.
        versions: The formula version of each column.
        window: Bars of one observation.
        dtype: Type of the observation's numbers.
        timeframe, calendar, feed, adjustment: What the bars are. Another feed's volumes, or unadjusted prices, are
            other features under the same name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    feature_sets: tuple[str, ...]
    names: tuple[str, ...]
    versions: tuple[int, ...]
    window: int = WINDOW
    dtype: Literal["float32"] = "float32"
    timeframe: str
    calendar: str
    feed: str
    adjustment: str

    @model_validator(mode="after")
    def _columns_agree(self) -> FeatureSchema:
        if len(self.names) != len(self.versions) or len(set(self.names)) != len(self.names):
            raise ValueError("names must be unique and have a version each")
        return self

    @cached_property
    def sha256(self) -> str:
        """Return ``sha256:<hex>`` of the canonical JSON of :meth:`document`."""
        return sha256_of(self.document())

    def document(self) -> dict[str, Any]:
        """Return the schema as the plain JSON data that a checkpoint holds."""
        return self.model_dump(mode="json")

    @property
    def bar_timeframe(self) -> Timeframe:
        """Return the timeframe as a member."""
        return parse_timeframe(self.timeframe)

    @property
    def n_features(self) -> int:
        """Return the columns of one bar's row, account columns included."""
        return len(self.names)

    @property
    def n_account(self) -> int:
        """Return how many account columns end each row."""
        return self.n_features - MARKET_FEATURES

    @property
    def obs_dim(self) -> int:
        """Return the length of the flattened observation."""
        return self.window * self.n_features


def schema_from(document: Mapping[str, Any]) -> FeatureSchema:
    """Return the schema that a checkpoint's ``feature_schema`` states.

    Raises:
        ContractError: E309 if it has other fields or types.
    """
    lists = {name: _as_tuple(document.get(name)) for name in ("feature_sets", "names", "versions")}
    try:
        return FeatureSchema.model_validate({**document, **lists})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ContractError(
            "E309", "the feature schema cannot be read", where="feature_schema", found=faults
        ) from error


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def build_schema(
    model_version: str = CURRENT_MODEL_VERSION,
    timeframe: Timeframe | str = Timeframe.DAY_1,
    *,
    calendar: str,
    feed: str,
    adjustment: str,
) -> FeatureSchema:
    """Return the schema of this package's own columns.

    Args:
        model_version: Decides whether account and sizing columns belong to it.
        timeframe: Length of the bars.
        calendar: ``XNYS`` or ``24/7``.
        feed: Where the bars' volumes come from, as :class:`~trader_sdk.contract.bars.Bars` says.
        adjustment: ``raw``, ``split``, ``dividend`` or ``all``.

    Raises:
        VersionError: E203 for a model version that is not in the registry.
        ConfigError: Unknown calendar.
        UsageError: Unknown timeframe.

    Example:
        >>> schema = build_schema("2.7.0", "1Day", calendar="XNYS", feed="vendored", adjustment="split")
        >>> schema.n_features, schema.obs_dim, schema.names[53]
        (59, 5900, 'total_pnl_pct')
    """
    if calendar not in CALENDARS:
        raise ConfigError("CONFIG", "unknown calendar", where="calendar", expected=", ".join(CALENDARS), found=calendar)
    if model_version not in MODEL_SPECS:
        known = ", ".join(MODEL_SPECS)
        raise VersionError("E203", "no such model version", where="version", expected=known, found=model_version)
    return schema_of_sets(
        MODEL_SPECS[model_version].feature_sets, timeframe, calendar=calendar, feed=feed, adjustment=adjustment
    )


def own_schema_of(digest: str, feature_sets: Sequence[str], stated: Mapping[str, str]) -> FeatureSchema | None:
    """Return the schema of this package's own columns that has a digest, None if none has.

    Args:
        digest: ``sha256:<hex>`` that a person asserts for a file without a schema.
        feature_sets: Of the model.
        stated: What the file says of ``timeframe``, ``feed`` or ``adjustment``; the rest is tried.
    """
    if any(name not in FEATURE_SETS for name in feature_sets):
        return None
    choices = {"timeframe": tuple(Timeframe), "calendar": tuple(CALENDARS), "feed": _FEEDS, "adjustment": _ADJUSTMENTS}
    tried = product(*((stated[name],) if name in stated else values for name, values in choices.items()))
    for timeframe, calendar, feed, adjustment in tried:
        schema = schema_of_sets(feature_sets, timeframe, calendar=calendar, feed=feed, adjustment=adjustment)
        if schema.sha256 == digest:
            return schema
    return None


def schema_of_sets(
    feature_sets: Sequence[str], timeframe: Timeframe | str, *, calendar: str, feed: str, adjustment: str
) -> FeatureSchema:
    """Return the schema of column groups of this package; ``KeyError`` for a group it does not have."""
    columns = [column for name in feature_sets for column in FEATURE_SETS[name]]
    return FeatureSchema(
        feature_sets=tuple(feature_sets),
        names=tuple(column.name for column in columns),
        versions=tuple(column.version for column in columns),
        timeframe=str(parse_timeframe(timeframe)),
        calendar=calendar,
        feed=feed,
        adjustment=adjustment,
    )
