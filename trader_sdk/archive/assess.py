"""From what a run says of itself to a verdict: which checkpoint is judged, on which numbers, with which result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from trader_sdk.archive.evidence import UNSTATED, Circumstances, Judgement, judge
from trader_sdk.archive.gate import METRICS, Flag, FlagName, best_index, has_flag, training_flags
from trader_sdk.archive.layout import model_key
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.summary import GateBlock, SummaryModel
from trader_sdk.contract.verdicts import FlagRecord, MetricVerdict, Subject, Verdict

EVIDENCE: Final = ("t", "n_trades", "n_bars", "n_windows", "real_drawdown")


@dataclass(frozen=True, slots=True)
class Choice:
    """The checkpoint that is judged and would be deployed.

    Attributes:
        path: Its file.
        values: The gated metrics by name.
        evidence: Its GATE block, ``None`` where it has none.
        flags: What the course of training recommends.
        use_checkpoint: Whether the final declined past the threshold.
        best_idx: Index of the best validation.
        checkpoint_update: Update of the best validation, ``None`` where the interval was not said.
        is_best: Whether this is the checkpoint of the best validation rather than the final.
    """

    path: Path
    values: Mapping[str, float | None]
    evidence: GateBlock | None
    flags: tuple[Flag, ...]
    use_checkpoint: bool
    best_idx: int
    checkpoint_update: int | None
    is_best: bool


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What was stored of a judged checkpoint.

    Attributes:
        subjects: Files by role and digest.
        policy_sha256: Canonical digest of the policy, shared by all of them; None for a refused checkpoint.
        model_version: The version that the checkpoint states or shows, None where it was refused.
        fingerprint: Hex digest that the version id is made of: of the file, or of why it was refused.
        refusal: Why the checkpoint was refused, empty where it was stored.
    """

    subjects: tuple[Subject, ...]
    policy_sha256: str | None
    model_version: str | None
    fingerprint: str
    refusal: str = ""


def choose_checkpoint(model: SummaryModel, base: Path, policy: ModelGatingConfig) -> Choice:
    """Return the checkpoint that is judged: the final, or the best where the final declined and its file exists.

    Args:
        model: What the run says of the model.
        base: Folder that the summary's paths are relative to.
        policy: Thresholds of the recommendation.

    Raises:
        ArchiveError: E609 if the metric arrays differ in length or the final checkpoint is missing.
    """
    history = model.metrics.fitness_score
    _check_lengths(model)
    flags = training_flags(history[-1], history, policy)
    best_idx = best_index(history)
    update = _update_of(model, best_idx)
    declined = has_flag(flags, FlagName.FITNESS_DECLINE)
    best = _file_of(model, update, base) if declined else None
    gate = model.gate
    if best is not None:
        evidence = gate.best if gate else None
        values = _values(model, evidence, best_idx)
        return Choice(best, values, evidence, flags, declined, best_idx, update, is_best=True)
    final = base / model.final
    if not final.is_file():
        raise ArchiveError("E609", "the final checkpoint does not exist", where=_name(model), found=model.final)
    evidence = gate.final if gate else None
    values = _values(model, evidence, len(history) - 1)
    return Choice(final, values, evidence, flags, declined, best_idx, update, is_best=False)


def circumstances_of(model: SummaryModel, earlier_trials: int) -> Circumstances:
    """Return how a model's numbers came about; what was not said counts as the weaker case.

    Args:
        model: What the run says of the model.
        earlier_trials: Runs of the same symbol, timeframe and data that the archive holds already.
    """
    said = model.model_fields_set
    return Circumstances(
        metric_set=model.metric_set if "metric_set" in said else UNSTATED,
        drawdown_kind=model.drawdown_kind if "drawdown_kind" in said else "proxy",
        reward_scale=model.reward_scale if "reward_scale" in said else math.nan,
        n_trials=max(model.n_trials, earlier_trials + 1),
        data_kind=model.data.kind if model.data else None,
    )


def build_verdict(
    model: SummaryModel,
    choice: Choice,
    artefacts: Artefacts,
    policy: ModelGatingConfig,
    circumstances: Circumstances,
    *,
    timestamp: str,
    version: str,
    sdk_version: str,
    at: datetime,
) -> Verdict:
    """Judge the chosen checkpoint and bind the result to its bytes, symbol, metrics and thresholds."""
    circumstances = replace(circumstances, has_policy=artefacts.policy_sha256 is not None)
    judgement = judge(choice.values, choice.evidence, circumstances, policy)
    return Verdict.model_validate(
        {
            "id": f"{_name(model)}/{timestamp}",
            "version_id": version,
            "symbol": model.symbol,
            "timeframe": model.timeframe,
            "class": judgement.gate_class,
            "tier": judgement.tier,
            "metrics": _metrics(choice, judgement),
            "flags": tuple(_record(flag, artefacts.refusal) for flag in (*judgement.flags, *choice.flags)),
            "use_checkpoint": choice.use_checkpoint,
            "best_idx": choice.best_idx,
            "checkpoint_update": choice.checkpoint_update,
            "subjects": artefacts.subjects,
            "policy_sha256": artefacts.policy_sha256,
            "gate_policy": policy.policy_hash,
            "metric_set": circumstances.metric_set,
            "drawdown_kind": circumstances.drawdown_kind,
            "reward_scale": circumstances.reward_scale,
            "cost_model": model.cost_model,
            "n_trials": circumstances.n_trials,
            "data": model.data,
            "label": model.label,
            "sdk_version": sdk_version,
            "at": at,
            "evidence": choice.evidence,
            "model_version": artefacts.model_version,
            "asserted": model.asserted,
        }
    )


def rejudge(verdict: Verdict, policy: ModelGatingConfig) -> Judgement:
    """Judge a stored verdict again from its own numbers with the policy it was made with."""
    values = {
        name: metric.value if isinstance(metric, MetricVerdict) else metric for name, metric in verdict.metrics.items()
    }
    circumstances = Circumstances(
        metric_set=verdict.metric_set,
        drawdown_kind=verdict.drawdown_kind,
        reward_scale=verdict.reward_scale,
        n_trials=verdict.n_trials,
        data_kind=verdict.data.kind if verdict.data else None,
        has_policy=verdict.policy_sha256 is not None,
    )
    return judge(values, verdict.evidence, circumstances, policy)


def _values(model: SummaryModel, evidence: GateBlock | None, index: int) -> dict[str, float | None]:
    source = evidence if evidence is not None else model.metrics
    values: dict[str, float | None] = {}
    for name in METRICS:
        value = getattr(source, name)
        values[name] = value[index] if isinstance(value, tuple) else value
    for name, array in model.extra.items():
        if name not in METRICS:  # a desk's own metric adds a bar and never takes the place of one of the four
            values[name] = array[index] if index < len(array) else None
    shown = evidence.shown if evidence is not None else {}
    return {**values, **{name: value for name, value in shown.items() if name not in METRICS}}


def _metrics(choice: Choice, judgement: Judgement) -> dict[str, object]:
    gated = {
        name: {"value": math.nan if choice.values.get(name) is None else choice.values[name], "tier": tier}
        for name, tier in judgement.tiers.items()
    }
    evidence = {name: getattr(choice.evidence, name, None) for name in EVIDENCE}
    return {**gated, **{name: value for name, value in evidence.items() if value is not None}}


def _record(flag: Flag, refusal: str) -> FlagRecord:
    return FlagRecord(
        name=flag.name.value,
        metric=flag.metric,
        value=flag.value,
        bar=flag.bar,
        tier_missed=flag.tier_missed,
        detail=refusal if flag.name is FlagName.CHECKPOINT_REFUSED else "",
    )


def _check_lengths(model: SummaryModel) -> None:
    lengths = {name: len(getattr(model.metrics, name)) for name in METRICS}
    if len(set(lengths.values())) != 1:
        raise ArchiveError("E609", "metric arrays differ in length", where=_name(model), found=lengths)


def _update_of(model: SummaryModel, best_idx: int) -> int | None:
    return (best_idx + 1) * model.validation_interval if "validation_interval" in model.model_fields_set else None


def _file_of(model: SummaryModel, update: int | None, base: Path) -> Path | None:
    paths = [base / ref.path for ref in model.checkpoints if ref.update == update]
    return next((path for path in paths if path.is_file()), None)


def _name(model: SummaryModel) -> str:
    return model_key(model.symbol, model.timeframe)
