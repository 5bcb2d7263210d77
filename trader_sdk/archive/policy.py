"""The gate's policy: bars of two tiers, evidence floors, and the hash by which a trader accepts it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import ConfigError

HOUSE_METRIC_SET: Final = "house@1"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
_Threshold = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_SwingMode = Literal["absolute", "relative"]


class ExtraBar(BaseModel):
    """Two bars of a desk's own metric.

    Attributes:
        approved: Bar of the APPROVED tier, inclusive.
        review: Bar of the REVIEW tier, inclusive; no stricter than ``approved``.
        higher_is_better: Direction in which the metric improves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approved: _Finite
    review: _Finite
    higher_is_better: bool = True

    @model_validator(mode="after")
    def _approved_is_stricter(self) -> ExtraBar:
        _refuse_contradiction("extra", self.approved, self.review, higher_is_better=self.higher_is_better)
        return self


class ModelGatingConfig(BaseModel):
    """Bars and floors of the gate; the defaults are the house's own policy.

    Thresholds are calibrated for one metric set and apply to no other.

    Attributes:
        name: What people call this policy; no part of its hash.
        approved_min_fitness: Dimensionless, inclusive.
        approved_min_pf: Gains over losses, inclusive.
        approved_min_consistency: Share of windows, 0..1, inclusive.
        approved_max_drawdown: Fraction of equity, 0..1, inclusive.
        review_min_fitness, review_min_pf, review_min_consistency, review_max_drawdown: The lower tier.
        fitness_decline_threshold: Final below peak by more than this sets FITNESS_DECLINE.
        fitness_decline_mode: ``relative`` to a positive peak (absolute otherwise), or always ``absolute``.
        fitness_oscillation_threshold: Maximum minus minimum above this sets UNSTABLE_TRAINING.
        fitness_oscillation_mode: ``absolute``, or ``relative`` to a positive peak.
        min_trades: Closed trades needed for APPROVED.
        min_t: t statistic needed for APPROVED, before the correction for trials.
        false_approval_rate: Tolerated chance that noise passes the t statistic, shared by all trials.
        metric_set: The metric set that the thresholds were made for.
        extra: A desk's own metrics by name; the worst tier of all metrics wins.
        max_real_drawdown: Bound of the unclamped equity drawdown; above it the class is DROP.

    Raises:
        ConfigError: A value is out of range, a key is unknown, or APPROVED asks for less than REVIEW.

    Example:
        >>> ModelGatingConfig().label
        'house'
        >>> ModelGatingConfig(approved_min_fitness=0.9).label
        'custom'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$|^$")] = ""
    approved_min_fitness: _Finite = 0.70
    approved_min_pf: _Threshold = 1.8
    approved_min_consistency: _Share = 0.85
    approved_max_drawdown: _Share = 0.08
    review_min_fitness: _Finite = 0.50
    review_min_pf: _Threshold = 1.3
    review_min_consistency: _Share = 0.65
    review_max_drawdown: _Share = 0.15
    fitness_decline_threshold: _Threshold = 0.05
    fitness_decline_mode: _SwingMode = "relative"
    fitness_oscillation_threshold: _Threshold = 0.10
    fitness_oscillation_mode: _SwingMode = "absolute"
    min_trades: Annotated[int, Field(ge=1, strict=True)] = 20
    min_t: _Threshold = 3.0
    false_approval_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.005
    metric_set: Annotated[str, Field(min_length=1, max_length=64)] = HOUSE_METRIC_SET
    extra: Mapping[str, ExtraBar] = Field(default_factory=dict)
    max_real_drawdown: _Share = 0.15

    @model_validator(mode="wrap")
    @classmethod
    def _typed_errors(cls, data: Any, handler: ModelWrapValidatorHandler[ModelGatingConfig]) -> ModelGatingConfig:
        try:
            return handler(data)
        except ValidationError as error:
            raise _config_error(error) from error

    @field_validator("extra")
    @classmethod
    def _extra_is_its_own(cls, extra: Mapping[str, ExtraBar]) -> Mapping[str, ExtraBar]:
        taken = sorted(set(extra) & {"fitness_score", "profit_factor", "consistency", "max_drawdown", ""})
        if taken:
            raise ConfigError("CONFIG", "an extra metric has a reserved name", where="extra", found=taken)
        return extra

    @model_validator(mode="after")
    def _approved_is_stricter(self) -> ModelGatingConfig:
        for metric in ("fitness", "pf", "consistency"):
            approved, review = getattr(self, f"approved_min_{metric}"), getattr(self, f"review_min_{metric}")
            _refuse_contradiction(metric, approved, review, higher_is_better=True)
        _refuse_contradiction("drawdown", self.approved_max_drawdown, self.review_max_drawdown, higher_is_better=False)
        return self

    @property
    def values(self) -> dict[str, Any]:
        """Return everything that decides, as plain JSON data; the name is no part of it."""
        return self.model_dump(mode="json", exclude={"name"})

    @property
    def policy_hash(self) -> str:
        """Return ``sha256:<hex>`` over the canonical JSON of :attr:`values`."""
        return hash_of_values(self.values)

    @property
    def label(self) -> str:
        """Return the name for people: ``house`` only where the values are the house's."""
        if self.policy_hash == HOUSE_POLICY_HASH:
            return "house"
        return self.name if self.name and self.name != "house" else "custom"


def hash_of_values(values: Mapping[str, Any]) -> str:
    """Return the policy hash of values as a document states them, before they are validated."""
    return sha256_of(dict(values))


def load_gate_policy(path: Path | str) -> ModelGatingConfig:
    """Read a desk's own policy from a TOML file.

    Args:
        path: A file with ``name`` and at least one key of :class:`ModelGatingConfig`; keys left out keep the
            house's values.

    Returns:
        The policy.

    Raises:
        ConfigError: The file is missing, not TOML, empty, without a name, or has an unknown or contradictory key.
    """
    file = Path(path)
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("CONFIG", "the gate policy cannot be read", where=str(file), found=error) from error
    if not values.keys() - {"name"}:
        raise ConfigError("CONFIG", "the gate policy is empty", where=str(file), expected="at least one bar")
    if values.get("name") in (None, "", "house"):
        raise ConfigError("CONFIG", "the gate policy needs a name of its own", where=str(file), expected="name = ...")
    return ModelGatingConfig.model_validate(values)


def _refuse_contradiction(metric: str, approved: float, review: float, *, higher_is_better: bool) -> None:
    if approved == review or (approved > review) == higher_is_better:
        return
    raise ConfigError(
        "CONFIG",
        f"the gate's bars for {metric} contradict each other",
        where=metric,
        expected="APPROVED at least as strict as REVIEW",
        found=f"approved {approved}, review {review}",
    )


def _config_error(error: ValidationError) -> ConfigError:
    faults = [f"{'.'.join(map(str, fault['loc'])) or 'policy'}: {fault['msg']}" for fault in error.errors()]
    return ConfigError("CONFIG", "the gate policy is invalid", where="gate policy", found="; ".join(faults))


def meets(value: float, bar: float, *, higher_is_better: bool) -> bool:
    """Return whether ``value`` reaches an inclusive bar; never true for NaN."""
    if math.isnan(value):
        return False
    return value >= bar if higher_is_better else value <= bar


HOUSE_POLICY: Final = ModelGatingConfig()
HOUSE_POLICY_HASH: Final = HOUSE_POLICY.policy_hash
