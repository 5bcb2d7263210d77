"""One training run from bars to an archived verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import TypeAdapter, ValidationError

from trader_sdk.archive.location import locate
from trader_sdk.archive.manager import ArchivedRun, TrainingArchiveManager
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.document import Label
from trader_sdk.contract.errors import ConfigError, DataError, SdkError, UsageError
from trader_sdk.contract.summary import Summary
from trader_sdk.data import load_bars
from training.config import TrainConfig, with_costs_of
from training.invariants import Outcome
from training.loop import Trainer, pick_device
from training.parent import Parent
from training.resume import StateKeeper, restore
from training.run_files import claim, write
from training.run_log import CONFIG_FILE, MetricsLog, Reporter, Silent
from training.setup import PreparedRun, open_gate, prepare, trainer_of
from training.summary import build_summary

SUMMARY_FILE: Final = "summary.json"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended.

    Attributes:
        outcome: BUDGET_SPENT; a run that was stopped or broke raises instead.
        folder: Holds ``config.json``, ``metrics.jsonl``, ``ckpt/`` and ``summary.json``.
        summary: What the run says of itself.
        archived: What the archive made of it, None without an archive.
    """

    outcome: Outcome
    folder: Path
    summary: Summary
    archived: ArchivedRun | None


def train(
    bars: Bars,
    config: TrainConfig,
    *,
    out: Path,
    source: str,
    archive: Path | str | None = None,
    gating: ModelGatingConfig | None = None,
    label: str = "model",
    n_trials: int = 1,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Train on TRAIN, choose on SELECT, open GATE once, and archive the run.

    Args:
        bars: One symbol's bars, oldest first.
        config: Every number of the run.
        out: The run's own folder; must be new or empty.
        source: Where the bars came from, as the user named it; stamped into every artefact.
        archive: Archive to register the run in: folder, name or URL; None trains without.
        gating: The gate's policy; None for the house's.
        label: Free text that becomes part of the version id.
        n_trials: How often GATE of this data was opened before, plus one.
        reporter: Watches; nobody when omitted.

    Returns:
        The outcome and where everything lies.

    Raises:
        ConfigError: This machine has no such device.
        DataError: Too few bars.
        InvariantViolated: A training invariant broke; the run's folder says where.
        KeyboardInterrupt: After a checkpoint was written and the log was closed.
        StorageError: The disk refused the run's folder or the archive.
        UsageError: ``out`` holds something already, or the label is no label.
    """
    _check_before(config, label, archive)
    config = with_costs_of(bars.symbol, config)
    parent = Parent.named_by(config.parent, config.parent_sha256)
    if parent is not None:
        config = config.model_copy(update=parent.network)
    run = prepare(bars, config, source=source, label=label, started_at=datetime.now(UTC))
    if parent is not None:
        parent.check(run.facts.schema)
    claim(out)
    document = {"config": config.model_dump(mode="json"), **run.facts.as_plain(), "blocks": run.sizes}
    document["notices"] = run.notices
    write(out / CONFIG_FILE, json.dumps(document, indent=2))
    return _to_the_verdict(run, config, out, archive, gating, n_trials, reporter or Silent())


def resume(
    out: Path,
    *,
    archive: Path | str | None = None,
    gating: ModelGatingConfig | None = None,
    n_trials: int = 1,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Go on with a run that was stopped, from its last validation; it ends as if it had not been stopped.

    Args:
        out: The run's folder.
        archive, gating, n_trials, reporter: As for :func:`train`.

    Returns:
        The outcome and where everything lies.

    Raises:
        DataError: The source no longer gives the bars that the run began with.
        UsageError: This is not the folder of a run, or of one that can go on.
        SdkError: As for :func:`train`.
    """
    document, config = _begun(out)
    _check_before(config, document["label"], archive)
    state = StateKeeper(out).read(config)
    # A run that began on bars with gaps goes on with them: the digest says that they are the same.
    source = load_bars(document["source"], document["symbol"], document["timeframe"], allow_gaps=True)
    bars = source.slice(0, document["n_bars"])
    if bars.digest != document["data"]["digest"]:
        raise DataError(
            "BARS",
            "the bars are not those that the run began with",
            where=document["source"],
            expected=document["data"]["digest"],
            found=bars.digest,
            remedy="Restore the file, or start a new run.",
        )
    started_at = datetime.fromisoformat(document["started_at"])
    run = prepare(bars, config, source=document["source"], label=document["label"], started_at=started_at)
    if run.facts.schema.sha256 != document["feature_schema"]:
        raise ConfigError(
            "CONFIG",
            "this release computes other features than the run began with",
            where=str(out / CONFIG_FILE),
            expected=document["feature_schema"],
            found=run.facts.schema.sha256,
            remedy="Resume with the release that began it, or start a new run.",
        )
    return _to_the_verdict(run, config, out, archive, gating, n_trials, reporter or Silent(), state)


def _begun(out: Path) -> tuple[dict[str, Any], TrainConfig]:
    try:
        document = json.loads((out / CONFIG_FILE).read_text("utf-8"))
        return document, TrainConfig.model_validate(document["config"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            "USAGE", "not the folder of a run", where=str(out), expected=CONFIG_FILE, found=error
        ) from error


def _to_the_verdict(
    run: PreparedRun,
    config: TrainConfig,
    out: Path,
    archive: Path | str | None,
    gating: ModelGatingConfig | None,
    n_trials: int,
    reporter: Reporter,
    state: Mapping[str, Any] | None = None,
) -> TrainResult:
    torch.manual_seed(config.seed)
    states = StateKeeper(out)
    with closing(reporter) as watcher:
        watcher.started({"num_updates": config.num_updates, "blocks": run.sizes, **run.facts.as_plain()})
        for notice in run.notices:
            watcher.noticed(notice)
        with MetricsLog(out) as log:
            trainer = trainer_of(run, config, out, states, log, watcher)
            if state is not None:
                restore(trainer, state, out)
                watcher.noticed(f"resumed after update {trainer.update} of {config.num_updates}")
            _train_to_the_end(trainer, log)
            gate = open_gate(run, config, trainer, gating, n_trials)
            log.write("gate_opened", n_trials=n_trials, **gate.as_plain())
            log.write("run_finished", outcome=Outcome.BUDGET_SPENT.value, env_step=trainer.env_step)
    summary = build_summary(run.facts, config, trainer.validations, trainer.keeper.paths, gate, folder=out)
    write(out / SUMMARY_FILE, summary.model_dump_json(by_alias=True, indent=2))
    archived = None
    if archive is not None:
        archived = TrainingArchiveManager(archive, gating).archive_training_run(out / SUMMARY_FILE)
    states.forget()
    return TrainResult(Outcome.BUDGET_SPENT, out, summary, archived)


def _check_before(config: TrainConfig, label: str, archive: Path | str | None) -> None:
    """Find what would fail only after the last update, when GATE has been opened and the budget is spent."""
    pick_device(config.device)
    try:
        TypeAdapter(Label).validate_python(label)
    except ValidationError as error:
        expected = "1..64 letters, digits, '.', '_' or '-', the first a letter or digit"
        raise UsageError("USAGE", "not a label", where="label", expected=expected, found=repr(label)) from error
    if archive is not None:
        locate(archive).check_writable()


def _train_to_the_end(trainer: Trainer, log: MetricsLog) -> None:
    try:
        trainer.run()
    except KeyboardInterrupt:
        # Of the update in progress: a validation's checkpoint must stay what was validated.
        trainer.write_checkpoint(trainer.update, {})
        log.write("run_finished", outcome=Outcome.ABORTED.value, env_step=trainer.env_step)
        raise
    except SdkError as error:
        log.write("run_finished", outcome=Outcome.ABORTED.value, env_step=trainer.env_step, error=error.to_dict())
        raise
