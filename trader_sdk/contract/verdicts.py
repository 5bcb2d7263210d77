"""What the gate decided: the document ``model_assessments.json``."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from trader_sdk.contract.document import AwareTime, Digest, Document, HexDigest, Symbol
from trader_sdk.contract.summary import Assertion, DataRange, GateBlock
from trader_sdk.contract.timeframe import Timeframe


class GateClass(StrEnum):
    """What the gate decided."""

    APPROVED = "APPROVED"
    REVIEW = "REVIEW"
    DROP = "DROP"


class DeploymentTier(StrEnum):
    """Where an approved model may trade."""

    LIVE = "LIVE"
    PAPER = "PAPER"
    RETRAIN = "RETRAIN"


class MetricVerdict(Document):
    """One metric's value and the tier it reaches."""

    value: float
    tier: GateClass


class FlagRecord(Document):
    """A flag with its evidence; ``detail`` says in words what numbers cannot."""

    added_fields: ClassVar[tuple[str, ...]] = ("detail",)

    name: str
    metric: str = ""
    value: float | None = None
    bar: float | None = None
    tier_missed: GateClass | None = None
    detail: str = Field(default="", max_length=1000)


class Subject(Document):
    """A file that a verdict is about."""

    role: Literal["training", "policy_safetensors", "policy_pt"]
    sha256: HexDigest
    bytes: int = Field(gt=0)


class Verdict(Document):
    """What the gate decided about one model, bound to bytes, symbol, metrics and thresholds.

    ``metrics`` holds each gated metric with its tier, and the evidence (``t``, ``n_trades``, ``n_bars``) as numbers.
    A checkpoint that was refused has no subjects and no ``policy_sha256``, and is DROP.
    """

    added_fields: ClassVar[tuple[str, ...]] = ("asserted",)

    schema_: Literal[1] = Field(default=1, alias="schema")
    id: str
    version_id: str
    symbol: Symbol
    timeframe: Timeframe
    class_: GateClass = Field(alias="class")
    tier: DeploymentTier | None
    metrics: dict[str, MetricVerdict | float]
    flags: tuple[FlagRecord, ...] = ()
    use_checkpoint: bool = False
    best_idx: int = 0
    checkpoint_update: int | None = None
    subjects: tuple[Subject, ...] = ()
    policy_sha256: Digest | None
    gate_policy: Digest
    metric_set: str
    drawdown_kind: Literal["equity", "proxy"]
    reward_scale: float
    cost_model: str | None = None
    n_trials: int = 1
    data: DataRange | None = None
    label: str = "model"
    sdk_version: str
    at: AwareTime
    evidence: GateBlock | None = None
    model_version: str | None = None
    asserted: Assertion | None = None

    @model_validator(mode="after")
    def _only_a_drop_is_about_no_bytes(self) -> Verdict:
        if (self.policy_sha256 is None) != (not self.subjects):
            raise ValueError("a verdict has both subjects and policy_sha256, or neither")
        if self.policy_sha256 is None and self.class_ is not GateClass.DROP:
            raise ValueError("a verdict about no bytes can only be DROP")
        return self


class GatePolicySnapshot(Document):
    """The thresholds that a file of verdicts was made with."""

    name: str
    values: dict[str, JsonValue]
    hash: Digest


class Assessments(Document):
    """model_assessments.json."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    policy: GatePolicySnapshot
    assessments: tuple[Verdict, ...]
