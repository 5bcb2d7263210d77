"""Check the invariants of a finished run from what it wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trader_sdk.contract.errors import UsageError
from training.checkpoints import optimizer_digest
from training.config import TrainConfig
from training.invariants import KL_FACTOR, check_step, violation
from training.run_log import METRICS_FILE, read_metrics

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
    if not (folder / METRICS_FILE).is_file():
        raise UsageError("USAGE", "not the folder of a run", where=str(folder), expected=METRICS_FILE)
    document = json.loads((folder / "config.json").read_text("utf-8"))
    config, facts = TrainConfig.model_validate(document["config"]), list(read_metrics(folder))
    report = RunReport()
    report.checked["001"] = _steps(_of(facts, "optimizer_step"))
    report.checked["002"] = _validations(facts, config)
    report.checked["003"] = _optimizer_digests(folder)
    report.checked["005p"] = _divergence(_of(facts, "update"), config)
    report.checked["007"] = report.checked["008"] = report.checked["001"]
    report.checked["010"] = _stamp(document)
    return report


def _of(facts: Sequence[Facts], event: str) -> list[Facts]:
    return [fact for fact in facts if fact["event"] == event]


def _steps(steps: Sequence[Facts]) -> str:
    for expected, step in enumerate(steps):
        # A number that was not finite is null in the file.
        record = {name: float("nan") if value is None else value for name, value in step.items() if name != "event"}
        check_step(record, update=expected)
        if step["step"] != expected:
            raise violation(
                "001", "a step is missing", epoch=expected, value=step["step"], limit=expected, regime="ppo"
            )
    return f"{len(steps)} optimizer steps, none missing"


def _validations(facts: Sequence[Facts], config: TrainConfig) -> str:
    updates = [fact["update"] for fact in _of(facts, "validation")]
    last = max((fact["update"] for fact in facts if fact["event"] in ("update", "recovery")), default=0)
    expected = list(range(config.validation_interval, last + 1, config.validation_interval))
    if updates != expected:
        raise violation(
            "002", "a validation is missing", epoch=last, value=len(updates), limit=len(expected), regime="ppo"
        )
    return f"{len(updates)} validations, each with its checkpoint"


def _optimizer_digests(folder: Path) -> str:
    checkpoints = sorted((folder / "ckpt").glob("u*.pt"))
    for path in checkpoints:
        recorded = json.loads(path.with_suffix(".json").read_text("utf-8"))
        state = torch.load(path, map_location="cpu", weights_only=True)["optimizer_state_dict"]
        if optimizer_digest(state) != recorded["optimizer_digest"]:
            raise violation(
                "003", f"{path.name} is not what was recorded", epoch=recorded["update"], value=1, limit=0, regime="ppo"
            )
    return f"{len(checkpoints)} checkpoints on disk match their record"


def _divergence(updates: Sequence[Facts], config: TrainConfig) -> str:
    limit = KL_FACTOR * config.target_kl
    for fact in updates:
        if not fact["approx_kl"] <= limit:
            raise violation(
                "005p", "approx_kl", epoch=fact["update"], value=fact["approx_kl"], limit=limit, regime="ppo"
            )
    return f"{len(updates)} updates within 10 x target_kl, or recovered with a record"


def _stamp(document: Facts) -> str:
    kind = document.get("data", {}).get("kind")
    if kind not in ("real", "simulated") or not document.get("source"):
        raise violation("010", "the run does not say what it trained on", epoch=0, value=0, limit=0, regime="ppo")
    return f"{kind} data from {document['source']}"
