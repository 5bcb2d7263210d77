"""Documents that pass between people and halves: strict records, one model each.

Field names are public and never renamed; more may be added. Times are RFC 3339 UTC, digests ``sha256:<hex>``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.canonical import read_json_strict, sha256_of
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.timeframe import Timeframe

D = TypeVar("D", bound="Document")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone, for example 2026-11-21T09:30:00Z")
    return value.astimezone(UTC)


AwareTime = Annotated[datetime, AfterValidator(_aware)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Symbol = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Document(BaseModel):
    """Base of every document: frozen, unknown fields refused, NaN allowed only where a metric may be invalid.

    A field that came after the first release is named in ``added_fields`` and written only where it says something:
    the digest of a document that was committed before stays what it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="strings")

    added_fields: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _leave_out_additions(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = handler(self)
        for name in self.added_fields:
            if not getattr(self, name):
                plain.pop(name, None)
        return plain


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


class TradingMode(StrEnum):
    """Whose money, and where."""

    PAPER_LOCAL = "PAPER-LOCAL"
    PAPER_ALPACA = "PAPER-ALPACA"
    LIVE = "LIVE"


class DataRange(Document):
    """What a run was trained and judged on.

    ``end`` is the close of the last bar that was used for anything, GATE included.
    """

    digest: Digest
    kind: DataKind
    start: str
    end: str
    feed: str = ""
    adjustment: str = ""


class CheckpointRef(Document):
    """One saved checkpoint of a run: its update number and where it lies, relative to the summary."""

    update: int = Field(ge=0)
    path: str = Field(min_length=1, max_length=1024)


class MetricArrays(Document):
    """The four metrics by validation on SELECT, oldest first."""

    fitness_score: tuple[float, ...] = Field(min_length=1)
    profit_factor: tuple[float, ...] = Field(min_length=1)
    consistency: tuple[float, ...] = Field(min_length=1)
    max_drawdown: tuple[float, ...] = Field(min_length=1)


class FoldResult(Document):
    """One of the consecutive folds of the GATE block; net return as a fraction, Sharpe scaled to the fold."""

    start: str
    end: str
    net_return: float
    sharpe: float
    n_trades: int = Field(ge=0)


class GateBlock(Document):
    """What the GATE block, opened once, gave for one checkpoint; fractions, counts and a t statistic.

    ``real_drawdown`` is the unclamped equity drawdown; ``equity`` (a sampled curve from 1, for the report) and the
    further figures are shown and never gated on.
    """

    fitness_score: float
    profit_factor: float
    consistency: float
    max_drawdown: float
    t: float | None = None
    n_bars: int | None = Field(default=None, ge=0)
    n_windows: int | None = Field(default=None, ge=0)
    n_trades: int | None = Field(default=None, ge=0)
    real_drawdown: float | None = None
    folds: tuple[FoldResult, ...] = ()
    equity: tuple[float, ...] = Field(default=(), max_length=1000)
    shown: dict[str, float] = Field(default_factory=dict)


class GateResults(Document):
    """GATE blocks of the final checkpoint and, only where it may be deployed, of the best one."""

    final: GateBlock
    best: GateBlock | None = None


class Assertion(Document):
    """What a person vouches for about somebody else's checkpoint: it saw no bar after ``trained_until``.

    ``features`` and ``feature_schema`` name the columns that it was evaluated on, where the file itself states none.
    """

    trained_until: str = Field(min_length=1, max_length=40)
    who: str = Field(min_length=1, max_length=200)
    features: str = Field(default="", max_length=200)
    feature_schema: Digest | None = None


class SummaryModel(Document):
    """What a training run says of one model; only symbol, timeframe, final and the metric arrays are required."""

    symbol: Symbol
    timeframe: Timeframe
    label: Label = "model"
    checkpoints: tuple[CheckpointRef, ...] = ()
    final: str = Field(min_length=1, max_length=1024)
    metric_set: str = "house@1"
    drawdown_kind: Literal["equity", "proxy"] = "equity"
    metrics: MetricArrays
    gate: GateResults | None = None
    extra: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    asserted: Assertion | None = None
    validation_interval: int = Field(default=1, ge=1)
    reward_scale: float = 0.001
    cost_model: str | None = None
    n_trials: int = Field(default=1, ge=1)
    data: DataRange | None = None
    regime: dict[str, JsonValue] | None = None
    invariants: str | None = None
    outcome: str | None = None
    in_sample: dict[str, float] = Field(default_factory=dict)


class RunInfo(Document):
    """Where a run came from."""

    started_at: AwareTime | None = None
    finished_at: AwareTime | None = None
    trainer: str = ""
    code_revision: str = ""
    seed: int | None = None
    libraries: dict[str, str] = Field(default_factory=dict)
    imported_from: str = Field(default="", max_length=400)


class Summary(Document):
    """summary.json: what a training run says of itself."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    run: RunInfo = RunInfo()
    models: dict[str, SummaryModel] = Field(min_length=1)


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


class Who(Document):
    """Who did something, and how that is known."""

    kind: Literal["key", "database", "os"]
    name: str


class AuditKind(StrEnum):
    """What an audit record says happened."""

    RUN_ARCHIVED = "run_archived"
    REGISTERED = "registered"
    VERDICT = "verdict"
    OVERRIDE = "override"
    PROMOTE = "promote"
    REVERT = "revert"
    STAGE_CHANGED = "stage_changed"
    RECALL = "recall"
    RESET = "reset"
    REPAIR = "repair"


class AuditRecord(Document):
    """One line of the audit chain; ``prev`` is the digest of the record before, empty for the first."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    seq: int = Field(ge=1)
    prev: str
    at: AwareTime
    kind: AuditKind
    who: Who
    body: dict[str, JsonValue]
    sha256: Digest

    @classmethod
    def make(
        cls, *, seq: int, prev: str, at: datetime, kind: AuditKind, who: Who, body: dict[str, JsonValue]
    ) -> AuditRecord:
        """Return the record with its digest, which covers every other field."""
        fields: dict[str, Any] = {
            "schema": 1,
            "seq": seq,
            "prev": prev,
            "at": _aware(at).isoformat().replace("+00:00", "Z"),
            "kind": kind.value,
            "who": who.model_dump(),
            "body": body,
        }
        return cls.model_validate({**fields, "sha256": sha256_of(fields)})

    def digest_holds(self) -> bool:
        """Return whether the record's digest is the digest of its fields."""
        again = self.make(seq=self.seq, prev=self.prev, at=self.at, kind=self.kind, who=self.who, body=self.body)
        return again.sha256 == self.sha256


class Override(Document):
    """A person lifts a REVIEW verdict, with a ceiling and an end."""

    verdict: str
    class_from: Literal[GateClass.REVIEW]
    class_to: Literal[GateClass.APPROVED]
    tier_ceiling: DeploymentTier = DeploymentTier.PAPER
    modes: tuple[TradingMode, ...] = (TradingMode.PAPER_LOCAL, TradingMode.PAPER_ALPACA)
    who: str
    why: str = Field(min_length=1)
    until: AwareTime


class Stage(StrEnum):
    """A model's place in its slot."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    OBSERVE = "observe"
    ARCHIVED = "archived"


class Champion(Document):
    """The model that a slot points at."""

    version_id: str
    policy_sha256: Digest
    since: AwareTime


class Challenger(Document):
    """A model that waits beside the champion."""

    version_id: str
    policy_sha256: Digest
    stage: Stage
    horizon: str = ""
    since: AwareTime


class SlotState(Document):
    """A (symbol, timeframe) and who holds it; ``previous`` is what ``revert`` goes back to."""

    symbol: Symbol
    timeframe: Timeframe
    champion: Champion | None
    previous: Champion | None = None
    history: tuple[Champion, ...] = ()
    challengers: tuple[Challenger, ...] = ()


class JournalEvent(StrEnum):
    """Closed set of the decision journal's events."""

    RUN_STARTED = "run_started"
    MODEL_LOADED = "model_loaded"
    MODEL_REFUSED = "model_refused"
    BAR_CLOSED = "bar_closed"
    DECISION_MADE = "decision_made"
    INTENT_RECORDED = "intent_recorded"
    ORDER_SENT = "order_sent"
    ORDER_ACKNOWLEDGED = "order_acknowledged"
    ORDER_REFUSED = "order_refused"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_UPDATED = "order_updated"
    FILL_RECORDED = "fill_recorded"
    SLEEVE_CHANGED = "sleeve_changed"
    RECONCILE_FINISHED = "reconcile_finished"
    DRIFT_FOUND = "drift_found"
    LIMIT_CHANGED = "limit_changed"
    STATE_CHANGED = "state_changed"
    MODEL_SWAPPED = "model_swapped"
    SHADOW_DECIDED = "shadow_decided"
    NOTIFIED = "notified"
    RUN_FINISHED = "run_finished"


def parse_document(model: type[D], data: bytes | str | JsonValue, *, where: str) -> D:
    """Return a validated document.

    Args:
        model: The document's model.
        data: Strict JSON text, or plain data.
        where: File name for the error.

    Raises:
        ArchiveError: E609 with every fault of the document.
    """
    plain = read_json_strict(data, where=where) if isinstance(data, bytes | str) else data
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}" for fault in error.errors()
        )
        raise ArchiveError("E609", f"not a valid {model.__name__}: {faults[:800]}", where=where) from error


def to_plain(document: Document) -> dict[str, Any]:
    """Return a document as plain JSON data, public names, unset optional fields left out only where None."""
    return document.model_dump(mode="json", by_alias=True)
