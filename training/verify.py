"""Check the invariants of a finished run from what it wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trader_sdk.archive.gate import best_index
from training.checkpoints import KEEP_LAST
from training.config import TrainConfig
from training.evidence import (
    Facts,
    broken,
    checkpoints_hold,
    events,
    no_run,
    number,
    passes_hold,
    read_document,
    read_facts,
    reproduction_holds,
    stamp_holds,
    steps_hold,
)
from training.invariants import DivergenceGuard, Outcome
from training.run_log import CONFIG_FILE
from training.verify_pretrain import KIND, pretraining_holds


@dataclass(slots=True)
class RunReport:
    """What was checked, by invariant, in a sentence each."""

    checked: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield a line an invariant."""
        for inv, text in self.checked.items():
            yield f"INV-TRAIN-{inv} holds: {text}"


def verify(folder: Path, against: Path | None = None) -> RunReport:
    """Check a run's steps, validations, checkpoints and data stamp.

    Args:
        folder: A run's folder: ``config.json``, ``metrics.jsonl``, ``ckpt/``.
        against: Folder of another run of the same settings, to compare the first steps with (006).

    Returns:
        What was checked.

    Raises:
        InvariantViolated: The first rule that does not hold (exit 7).
        UsageError: This is not the folder of a run.
    """
    document, facts = read_document(folder), read_facts(folder)
    holds = pretraining_holds if document.get("kind") == KIND else _ppo_holds
    checked = holds(folder, document, facts)
    if against is not None:
        checked["006"] = reproduction_holds(folder, against)
    return RunReport(dict(sorted(checked.items())))


def _ppo_holds(folder: Path, document: Facts, facts: Sequence[Facts]) -> dict[str, str]:
    config = _ppo_config(folder, document)
    steps = _steps(facts, config)
    return {
        "001": steps,
        "002": _validations(folder, facts, config),
        "003": checkpoints_hold(folder),
        "005p": _divergence(facts, config),
        "007": steps,
        "008": steps,
        "010": stamp_holds(document),
        "011": passes_hold(facts, _passes(document, facts, config)),
    }


def _ppo_config(folder: Path, document: Facts) -> TrainConfig:
    try:
        return TrainConfig.model_validate(document["config"])
    except (ValueError, TypeError, KeyError) as error:
        raise no_run(folder, CONFIG_FILE, error) from error


def _last_update(facts: Sequence[Facts]) -> int:
    updates = [fact.get("update") for fact in facts if fact["event"] in ("update", "recovery")]
    return max((update for update in updates if isinstance(update, int)), default=0)


def _steps(facts: Sequence[Facts], config: TrainConfig) -> str:
    count = steps_hold(facts)
    ends = [fact.get("outcome") for fact in events(facts, "run_finished")]
    last = _last_update(facts)
    if not ends:
        return f"{count} optimizer steps, none missing; the run was cut off after update {last}"
    if ends != [Outcome.ABORTED] and (last != config.num_updates or not count):
        raise broken("001", "updates are missing", epoch=last, value=last, limit=config.num_updates)
    return f"{count} optimizer steps, none missing"


def _validations(folder: Path, facts: Sequence[Facts], config: TrainConfig) -> str:
    validations = events(facts, "validation")
    updates = [fact.get("update") for fact in validations]
    last = _last_update(facts)
    # A run that was stopped between an update and its validation lacks this one.
    expected = list(range(config.validation_interval, last + 1, config.validation_interval))
    stopped = not any(fact.get("outcome") == Outcome.BUDGET_SPENT for fact in events(facts, "run_finished"))
    if updates != expected and not (stopped and updates == expected[:-1] and last in expected):
        raise broken("002", "a validation is missing", epoch=last, value=len(updates), limit=len(expected))
    kept = {updates[best_index([number(fact, "fitness_score") for fact in validations])]} if updates else set()
    for update in sorted({*kept, *updates[-KEEP_LAST:]}):
        for suffix in (".pt", ".json"):
            if not (folder / "ckpt" / f"u{update}{suffix}").is_file():
                raise broken("002", f"u{update}{suffix} is missing", epoch=update)
    return f"{len(updates)} validations; the checkpoints of the best and the last {KEEP_LAST} are there"


def _divergence(facts: Sequence[Facts], config: TrainConfig) -> str:
    updates, guard = events(facts, "update"), DivergenceGuard(config.target_kl)
    for fact in updates:
        guard.check(fact["update"], approx_kl=number(fact, "approx_kl"), value_loss=number(fact, "value_loss"))
    recoveries = len(events(facts, "recovery"))
    return f"{len(updates)} updates within 10 x target_kl and 100 x the median value loss, {recoveries} recovered from"


def _passes(document: Facts, facts: Sequence[Facts], config: TrainConfig) -> int:
    bars = document.get("blocks", {}).get("train")
    if not isinstance(bars, int) or bars < 1:
        raise broken("011", "the run does not say how many bars it trained on")
    steps = max((int(fact["env_step"]) for fact in facts if isinstance(fact.get("env_step"), int)), default=0)
    return steps // config.envs_per_bar // bars
