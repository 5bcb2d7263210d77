"""What a training run says of itself: the document ``summary.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.document import AwareTime, Digest, Document, Label, Symbol
from trader_sdk.contract.timeframe import Timeframe


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
