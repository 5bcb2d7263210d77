"""Check the invariants of a finished run from what it wrote."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trader_sdk.archive.gate import best_index
from trader_sdk.contract.errors import InvariantViolated, UsageError
from training.checkpoints import KEEP_LAST, optimizer_digest
from training.config import TrainConfig
from training.invariants import STEP_FIELDS, DivergenceGuard, Outcome, check_step, violation
from training.run_log import CONFIG_FILE, METRICS_FILE, read_metrics

Facts = dict[str, Any]


@dataclass(slots=True)
class RunReport:
    """What was checked, by invariant, in a sentence each."""

    checked: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield a line an invariant."""
        for inv, text in self.checked.items():
            yield f"INV-TRAIN-{inv} holds: {text}"


def verify(folder: Path) -> RunReport:
    """Check a run's steps, validations, checkpoints and data stamp.

    Args:
        folder: A run's folder: ``config.json``, ``metrics.jsonl``, ``ckpt/``.

    Returns:
        What was checked.

    Raises:
        InvariantViolated: The first rule that does not hold (exit 7).
        UsageError: This is not the folder of a run.
    """
    document, config = _run_config(folder)
    facts = _facts(folder)
    report = RunReport()
    report.checked["001"] = _steps(facts, config)
    report.checked["002"] = _validations(folder, facts, config)
    report.checked["003"] = _checkpoints(folder)
    report.checked["005p"] = _divergence(facts, config)
    report.checked["007"] = report.checked["008"] = report.checked["001"]
    report.checked["010"] = _stamp(document)
    return report


def _run_config(folder: Path) -> tuple[Facts, TrainConfig]:
    try:
        document: Facts = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        return document, TrainConfig.model_validate(document["config"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _no_run(folder, CONFIG_FILE, error) from error


def _facts(folder: Path) -> list[Facts]:
    try:
        facts = list(read_metrics(folder))
    except OSError as error:
        raise _no_run(folder, METRICS_FILE, error) from error
    except ValueError as error:
        raise _broken("001", f"{METRICS_FILE} cannot be read: {error}") from error
    if not facts:
        raise _broken("001", f"{METRICS_FILE} is empty")
    if not all(isinstance(fact, dict) and "event" in fact for fact in facts):
        raise _broken("001", f"{METRICS_FILE} holds a line that is no fact")
    return facts


def _no_run(folder: Path, name: str, error: Exception) -> UsageError:
    return UsageError("USAGE", "not the folder of a run", where=str(folder), expected=name, found=error)


def _broken(number: str, message: str, *, epoch: int = 0, value: float = 1, limit: float = 0) -> InvariantViolated:
    return violation(number, message, epoch=epoch, value=value, limit=limit, regime="ppo")


def _of(facts: Sequence[Facts], event: str) -> list[Facts]:
    return [fact for fact in facts if fact["event"] == event]


def _number(fact: Facts, name: str) -> float:
    # A number that was not finite is null in the file.
    value = fact.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _last_update(facts: Sequence[Facts]) -> int:
    updates = [fact.get("update") for fact in facts if fact["event"] in ("update", "recovery")]
    return max((update for update in updates if isinstance(update, int)), default=0)


def _steps(facts: Sequence[Facts], config: TrainConfig) -> str:
    steps = _of(facts, "optimizer_step")
    for expected, step in enumerate(steps):
        record: dict[str, float] = {name: _number(step, name) for name in STEP_FIELDS if name in step}
        check_step(record, update=expected)
        if step["step"] != expected:
            raise _broken("001", "a step is missing", epoch=expected, value=record["step"], limit=expected)
    ends = [fact.get("outcome") for fact in _of(facts, "run_finished")]
    last = _last_update(facts)
    if not ends:
        return f"{len(steps)} optimizer steps, none missing; the run was cut off after update {last}"
    if ends != [Outcome.ABORTED] and (last != config.num_updates or not steps):
        raise _broken("001", "updates are missing", epoch=last, value=last, limit=config.num_updates)
    return f"{len(steps)} optimizer steps, none missing"


def _validations(folder: Path, facts: Sequence[Facts], config: TrainConfig) -> str:
    validations = _of(facts, "validation")
    updates = [fact.get("update") for fact in validations]
    last = _last_update(facts)
    # A run that was stopped between an update and its validation lacks this one.
    expected = list(range(config.validation_interval, last + 1, config.validation_interval))
    stopped = not any(fact.get("outcome") == Outcome.BUDGET_SPENT for fact in _of(facts, "run_finished"))
    if updates != expected and not (stopped and updates == expected[:-1] and last in expected):
        raise _broken("002", "a validation is missing", epoch=last, value=len(updates), limit=len(expected))
    kept = {updates[best_index([_number(fact, "fitness_score") for fact in validations])]} if updates else set()
    for update in sorted({*kept, *updates[-KEEP_LAST:]}):
        for suffix in (".pt", ".json"):
            if not (folder / "ckpt" / f"u{update}{suffix}").is_file():
                raise _broken("002", f"u{update}{suffix} is missing", epoch=update)
    return f"{len(updates)} validations; the checkpoints of the best and the last {KEEP_LAST} are there"


def _checkpoints(folder: Path) -> str:
    checkpoints = sorted((folder / "ckpt").glob("u*.pt"))
    for path in checkpoints:
        if not _is_recorded(path):
            raise _broken("003", f"{path.name} is not what was recorded")
    return f"{len(checkpoints)} checkpoints on disk match their record"


def _is_recorded(path: Path) -> bool:
    try:
        recorded = json.loads(path.with_suffix(".json").read_text("utf-8"))
        if f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" != recorded["sha256"]:
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)["optimizer_state_dict"]
        return bool(optimizer_digest(state) == recorded["optimizer_digest"])
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, pickle.UnpicklingError):
        return False


def _divergence(facts: Sequence[Facts], config: TrainConfig) -> str:
    updates, guard = _of(facts, "update"), DivergenceGuard(config.target_kl)
    for fact in updates:
        guard.check(fact["update"], approx_kl=_number(fact, "approx_kl"), value_loss=_number(fact, "value_loss"))
    recoveries = len(_of(facts, "recovery"))
    return f"{len(updates)} updates within 10 x target_kl and 100 x the median value loss, {recoveries} recovered from"


def _stamp(document: Facts) -> str:
    kind = document.get("data", {}).get("kind")
    if kind not in ("real", "simulated") or not document.get("source"):
        raise violation("010", "the run does not say what it trained on", epoch=0, value=0, limit=0, regime="ppo")
    return f"{kind} data from {document['source']}"
