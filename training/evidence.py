"""What a run's files say, read with suspicion: facts, numbers, checkpoints, and the rules that bind every run."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from trader_sdk.contract.errors import InvariantViolated, UsageError
from training.checkpoints import optimizer_digest
from training.invariants import STEP_FIELDS, check_step, violation
from training.run_log import CONFIG_FILE, METRICS_FILE, read_metrics

Facts = dict[str, Any]

SAME_STEPS: Final = 100
SAME_WITHIN: Final = 1e-6
OTHER_STEPS: Final = 10
OTHER_BEYOND: Final = 1e-4


def read_document(folder: Path) -> Facts:
    """Return the run's ``config.json``.

    Raises:
        UsageError: This is not the folder of a run.
    """
    try:
        document = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise no_run(folder, CONFIG_FILE, error) from error
    if not isinstance(document, dict):
        raise no_run(folder, CONFIG_FILE, document)
    return document


def read_facts(folder: Path) -> list[Facts]:
    """Return the facts of ``metrics.jsonl``.

    Raises:
        InvariantViolated: 001, it cannot be read or is empty.
        UsageError: There is none.
    """
    try:
        facts = list(read_metrics(folder))
    except OSError as error:
        raise no_run(folder, METRICS_FILE, error) from error
    except ValueError as error:
        raise broken("001", f"{METRICS_FILE} cannot be read: {error}") from error
    if not facts:
        raise broken("001", f"{METRICS_FILE} is empty")
    if not all(isinstance(fact, dict) and "event" in fact for fact in facts):
        raise broken("001", f"{METRICS_FILE} holds a line that is no fact")
    return facts


def no_run(folder: Path, name: str, error: object) -> UsageError:
    """Return the refusal of a folder that holds no run."""
    return UsageError("USAGE", "not the folder of a run", where=str(folder), expected=name, found=error)


def broken(
    number: str, message: str, *, epoch: int = 0, value: float = 1, limit: float = 0, regime: str = "ppo"
) -> InvariantViolated:
    """Return the violation that a file shows."""
    return violation(number, message, epoch=epoch, value=value, limit=limit, regime=regime)


def events(facts: Sequence[Facts], event: str) -> list[Facts]:
    """Return the facts of one sort, in order."""
    return [fact for fact in facts if fact["event"] == event]


def number(fact: Facts, name: str) -> float:
    """Return a number of a fact; NaN where it is missing or was not finite."""
    # A number that was not finite is null in the file.
    value = fact.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def steps_hold(facts: Sequence[Facts], regime: str = "ppo") -> int:
    """Check every optimizer step's record (001, 007, 008) and return how many there are.

    Raises:
        InvariantViolated: A record is missing, incomplete or impossible.
    """
    steps = events(facts, "optimizer_step")
    for expected, step in enumerate(steps):
        record: dict[str, float] = {name: number(step, name) for name in STEP_FIELDS if name in step}
        check_step(record, update=expected, regime=regime)
        if step["step"] != expected:
            raise broken(
                "001", "a step is missing", epoch=expected, value=record["step"], limit=expected, regime=regime
            )
    return len(steps)


def passes_hold(facts: Sequence[Facts], passes: int, regime: str = "ppo") -> str:
    """Check that the run said each time that it went on with data it had seen (011).

    Raises:
        InvariantViolated: 011.
    """
    said = len(events(facts, "data_cycled"))
    if said != passes:
        message = "the run went over its data again without saying so, or said so for nothing"
        raise broken("011", message, value=said, limit=passes, regime=regime)
    return f"{passes} times over the data again, each said"


def reproduction_holds(folder: Path, other: Path) -> str:
    """Compare the first steps of two runs (006): equal with the same seed, different with another.

    Raises:
        InvariantViolated: 006.
        UsageError: The runs differ in more than their seed.
    """
    ours, theirs = (_without_seed(read_document(each)) for each in (folder, other))
    if ours[1] != theirs[1]:
        raise UsageError("USAGE", "the runs differ in more than their seed", where=str(other), found=CONFIG_FILE)
    losses = [[number(step, "loss") for step in events(read_facts(each), "optimizer_step")] for each in (folder, other)]
    apart = [abs(a - b) for a, b in zip(*losses, strict=False)]
    if ours[0] == theirs[0]:
        worst = max(apart[:SAME_STEPS], default=math.inf)
        if not worst <= SAME_WITHIN:
            raise broken("006", "the same seed took other steps", value=worst, limit=SAME_WITHIN)
        return f"the first {min(len(apart), SAME_STEPS)} losses are those of {other}, seed {ours[0]}"
    most = max(apart[:OTHER_STEPS], default=0.0)
    if not most > OTHER_BEYOND:
        raise broken("006", "another seed took the same steps", value=most, limit=OTHER_BEYOND)
    return f"seeds {ours[0]} and {theirs[0]} differ within {OTHER_STEPS} steps"


def _without_seed(document: Facts) -> tuple[Any, Facts]:
    config = dict(document["config"])
    return config.pop("seed"), {"config": config, "digest": document["data"]["digest"]}


def checkpoints_hold(folder: Path) -> str:
    """Check that every checkpoint on disk is the recorded one (003).

    Raises:
        InvariantViolated: 003.
    """
    checkpoints = sorted((folder / "ckpt").glob("[ue]*.pt"))
    for path in checkpoints:
        if not _is_recorded(path):
            raise broken("003", f"{path.name} is not what was recorded")
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


def stamp_holds(document: Facts) -> str:
    """Check that the run says what it trained on (010).

    Raises:
        InvariantViolated: 010.
    """
    kind = document.get("data", {}).get("kind")
    if kind not in ("real", "simulated") or not document.get("source"):
        raise violation("010", "the run does not say what it trained on", epoch=0, value=0, limit=0, regime="ppo")
    return f"{kind} data from {document['source']}"
