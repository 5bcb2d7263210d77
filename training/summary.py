"""What a run says of itself: the stamp of its checkpoints and its ``summary.json``."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.archive.layout import model_key
from trader_sdk.archive.metrics import HouseMetrics, gate_final
from trader_sdk.archive.policy import HOUSE_METRIC_SET
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.contract.summary import CheckpointRef, GateBlock, Summary
from trader_sdk.data.calendar import get_calendar
from trader_sdk.features import FeatureSchema
from training.config import TrainConfig
from training.invariants import Outcome
from training.modes import PretrainConfig
from training.regimes import Finetune, FromScratch
from training.validation import Validation

REWARD_SCALE: Final = 0.001
"""Scale at which proxy metrics over rewards are reported; rewards are never trained on at this scale."""
GATED_METRICS: Final = ("fitness_score", "profit_factor", "consistency", "max_drawdown")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a run was trained and judged on.

    Attributes:
        bars: Every bar of the run, GATE included.
        source: As the user named it.
        start: Start of the first bar, RFC 3339 UTC.
        end: Close of the last bar, RFC 3339 UTC: the model's ``data_end``.
    """

    bars: Bars
    source: str
    start: str
    end: str

    @classmethod
    def of(cls, bars: Bars, source: str) -> Provenance:
        """Return the provenance of ``bars``."""
        return cls(bars, source, _rfc3339(int(bars.t[0])), _rfc3339(close_of_last(bars)))

    def data_range(self) -> dict[str, str]:
        """Return the summary's ``data``."""
        bars = self.bars
        return {
            "digest": bars.digest,
            "kind": bars.kind.value,
            "start": self.start,
            "end": self.end,
            "feed": bars.feed,
            "adjustment": bars.adjustment,
        }


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run before its first update."""

    spec: ModelSpec
    schema: FeatureSchema
    provenance: Provenance
    label: str
    started_at: datetime

    def as_plain(self) -> dict[str, Any]:
        """Return the facts as plain JSON data, for ``config.json`` and whoever watches."""
        bars = self.provenance.bars
        return {
            "symbol": bars.symbol,
            "timeframe": bars.timeframe.value,
            "source": self.provenance.source,
            "data": self.provenance.data_range(),
            "n_bars": len(bars),
            "label": self.label,
            "started_at": self.started_at.isoformat(),
            "model_version": self.spec.version,
            "feature_schema": self.schema.sha256,
        }


@dataclass(frozen=True, slots=True)
class GateOpening:
    """The one look at GATE: the final policy, the best one where it may be deployed, and TRAIN beside them."""

    final: Validation
    best: Validation | None
    in_sample: Validation

    def as_plain(self) -> dict[str, Any]:
        """Return the gated metrics of each as plain data."""
        parts = {"final": self.final, "best": self.best, "in_sample": self.in_sample}
        return {name: None if each is None else gated(each.metrics) for name, each in parts.items()}


def gated(metrics: HouseMetrics) -> dict[str, float]:
    """Return the gated metrics, the evidence and the net return."""
    return {name: getattr(metrics, name) for name in (*GATED_METRICS, "t", "n_trades", "net_return")}


def checkpoint_stamp(facts: RunFacts, config: TrainConfig | PretrainConfig) -> dict[str, Any]:
    """Return the arguments of ``save`` that say where a checkpoint comes from."""
    data = facts.provenance
    return {
        "model_version": facts.spec.version,
        "feature_schema": facts.schema.document(),
        "symbol": data.bars.symbol,
        "timeframe": data.bars.timeframe.value,
        "extra": {
            "feed": data.bars.feed,
            "adjustment": data.bars.adjustment,
            "metric_set": HOUSE_METRIC_SET,
            "validation_interval": config.validation_interval,
            "cost_model": config.cost_model,
            "data_start": data.start,
            "data_end": data.end,
            "label": facts.label,
            "lineage": {
                "data_digest": data.bars.digest,
                "data_kind": data.bars.kind.value,
                "data_source": data.source,
                "seed": config.seed,
                "code_revision": code_revision(),
                "libraries": libraries(),
                **({} if config.parent_sha256 is None else {"parent": config.parent_sha256}),
            },
        },
    }


def build_summary(
    facts: RunFacts,
    config: TrainConfig,
    validations: Sequence[Validation],
    checkpoints: Mapping[int, Path],
    gate: GateOpening,
    *,
    folder: Path,
) -> Summary:
    """Return what the run says of itself, checked."""
    bars = facts.provenance.bars
    paths = {update: path.relative_to(folder).as_posix() for update, path in sorted(checkpoints.items())}
    model = {
        "symbol": bars.symbol,
        "timeframe": bars.timeframe.value,
        "label": facts.label,
        "checkpoints": [CheckpointRef(update=update, path=path) for update, path in paths.items()],
        "final": paths[config.num_updates],
        "metric_set": HOUSE_METRIC_SET,
        "drawdown_kind": "equity",
        "metrics": {name: [getattr(each.metrics, name) for each in validations] for name in GATED_METRICS},
        "gate": {"final": gate_block(gate.final), "best": None if gate.best is None else gate_block(gate.best)},
        "validation_interval": config.validation_interval,
        "reward_scale": REWARD_SCALE,
        "cost_model": config.cost_model,
        "n_trials": gate.final.metrics.n_trials,
        "data": facts.provenance.data_range(),
        "regime": (Finetune() if config.parent else FromScratch(vocab_size=facts.spec.n_actions)).model_dump(),
        "invariants": "passed",
        "outcome": Outcome.BUDGET_SPENT.value,
        "in_sample": gated(gate.in_sample.metrics),
    }
    run = {
        "started_at": facts.started_at,
        "finished_at": datetime.now(UTC),
        "trainer": f"training {installed('trader-sdk')}",
        "code_revision": code_revision(),
        "seed": config.seed,
        "libraries": libraries(),
    }
    key = model_key(bars.symbol, bars.timeframe)
    return Summary.model_validate({"schema": 1, "run": run, "models": {key: model}})


def gate_block(validation: Validation) -> GateBlock:
    """Return the summary's record of one policy on the GATE block."""
    return GateBlock.model_validate(gate_final(validation.metrics, validation.action_mix))


def close_of_last(bars: Bars) -> int:
    """Return when the last bar closed, nanoseconds UTC: with its session where the session ends first."""
    calendar = get_calendar(bars.calendar)
    start = datetime.fromtimestamp(int(bars.t[-1]) // 10**9, UTC)
    session = calendar.session_of(start) or calendar.session_of(calendar.next_open(start))
    assert session is not None
    session_close = int(session.close.timestamp()) * 10**9
    if not bars.timeframe.is_intraday:
        return session_close
    return min(session_close, int(bars.t[-1]) + bars.timeframe.seconds * 10**9)


def libraries() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    return {"python": platform.python_version(), **{name: installed(name) for name in ("numpy", "torch", "trader-sdk")}}


def code_revision() -> str:
    """Return the commit of the clone that trains, or nothing outside of one."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        # Fixed arguments; git is looked up on the user's own path.
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - fixed arguments
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _rfc3339(nanoseconds: int) -> str:
    return f"{np.datetime64(nanoseconds, 'ns').astype('datetime64[s]')}Z"
