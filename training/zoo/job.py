"""One spec's training as data: what a process, a Ray worker or another host needs, and what comes back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.contract.document import AwareTime
from trader_sdk.contract.errors import StorageError
from training.config import TrainConfig
from training.zoo.overlay import ResolvedSpec
from training.zoo.spec import ZooSpec

JOB_FILE: Final = "job.json"
RESULT_FILE: Final = "result.json"
LOG_FILE: Final = "log.txt"
WATCH_STDIN: Final = "--watch-stdin"
"""Argument of a worker that ends when its standard input does: with the zoo that started it, however that ends."""


class Status(StrEnum):
    """How a spec ended."""

    NOT_RUN = "not run"
    FAILED = "failed"
    INSUFFICIENT_DATA = "insufficient data"
    LOST = "lost"
    PASSED = "passed"


class SpecResult(BaseModel):
    """What became of a spec.

    Attributes:
        spec_id, label, digest: The spec, and the configuration it came to.
        status: How it ended.
        detail: Why, one line.
        gate_class: APPROVED, REVIEW or DROP where the gate judged it.
        version_id, policy_sha256: What was archived.
        stage: ``champion``, ``challenger`` or ``observe``; empty where nothing was registered.
        data_digest: Of the bars.
        folder: Where its files lie.
        seconds: How long it took.
        at: When it ended, RFC 3339 UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec_id: str
    label: str
    digest: str
    status: Status
    detail: str = ""
    gate_class: str = ""
    version_id: str = ""
    policy_sha256: str = ""
    stage: str = ""
    data_digest: str = ""
    folder: str = ""
    seconds: float = 0.0
    at: str = ""


class Job(BaseModel):
    """One spec to be trained, wherever that happens; the same job gives the same policy.

    Attributes:
        spec, config, label: The resolved spec.
        source, symbol, timeframe, until: The bars.
        data_digest: What the bars must be.
        folder: Its own folder; a run that was stopped in it goes on.
        archive: Where it is registered; empty for nowhere.
        gate: A desk's own gate policy; None for the house's.
        started_at: When it was begun first, aware.
        trials: How often this data was opened for judging, this time included.
        threads: Threads of the training process; part of what makes two runs equal.
        memory_mb: Most memory that the process may take; None for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: ZooSpec
    config: TrainConfig
    label: str
    source: str
    symbol: str
    timeframe: str
    until: str | None = None
    data_digest: str
    folder: Path
    archive: str = ""
    gate: ModelGatingConfig | None = None
    started_at: AwareTime
    trials: int = Field(1, ge=1)
    threads: int = Field(1, ge=1)
    memory_mb: int | None = Field(None, ge=1)

    @property
    def resolved(self) -> ResolvedSpec:
        """Return the spec with everything decided."""
        return ResolvedSpec(self.spec, self.config, self.label)

    def result(self, status: Status, detail: str = "", **facts: Any) -> SpecResult:
        """Return how this job ended."""
        return SpecResult(
            spec_id=self.spec.id,
            label=self.label,
            digest=self.resolved.digest,
            status=status,
            detail=" ".join(detail.split())[:600],
            data_digest=self.data_digest,
            folder=str(self.folder),
            **facts,
        )


def write_document(path: Path, document: BaseModel) -> None:
    """Write a document whole or not at all."""
    partial = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(document.model_dump_json(indent=1) + "\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise StorageError("STORAGE", "cannot write", where=str(path), found=error) from error


def read_result(folder: Path) -> SpecResult | None:
    """Return what a job's folder says of its end; None where it has not ended."""
    try:
        return SpecResult.model_validate_json((folder / RESULT_FILE).read_text("utf-8"))
    except (OSError, ValidationError, ValueError):
        return None


def read_job(folder: Path) -> Job | None:
    """Return the job of a folder; None where there is none that this release can read."""
    try:
        return Job.model_validate_json((folder / JOB_FILE).read_text("utf-8"))
    except (OSError, ValidationError, ValueError):
        return None
