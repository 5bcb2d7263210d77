"""Check the invariants of a finished pretraining run from what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from training.evidence import (
    Facts,
    broken,
    checkpoints_hold,
    events,
    no_run,
    number,
    passes_hold,
    stamp_holds,
    steps_hold,
)
from training.modes import PretrainConfig, check_mode
from training.parent import check_parent_loss
from training.patience import check_patience
from training.regimes import check_non_divergence
from training.run_log import CONFIG_FILE

KIND: Final = "pretrain"
"""What ``config.json`` of a pretraining run calls itself."""


def pretraining_holds(folder: Path, document: Facts, facts: Sequence[Facts]) -> dict[str, str]:
    """Return what was checked, by invariant.

    Args:
        folder: The run's folder.
        document: Its ``config.json``.
        facts: Its ``metrics.jsonl``.

    Raises:
        InvariantViolated: The first rule that does not hold.
        UsageError: The configuration cannot be read.
    """
    try:
        config = PretrainConfig.model_validate(document["config"])
        examples = int(document["examples"])
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        raise no_run(folder, CONFIG_FILE, error) from error
    regime = config.regime.kind
    steps = f"{steps_hold(facts, regime)} optimizer steps, none missing"
    history = [number(fact, "val_loss") for fact in events(facts, "epoch")]
    ends = [fact.get("outcome") for fact in events(facts, "run_finished")]
    check_mode(config)
    return {
        "001": steps,
        "002": _epochs(folder, facts, regime),
        "003": checkpoints_hold(folder),
        "004": _patience(history, ends, regime),
        "005": _divergence(history, config),
        "007": steps,
        "008": steps,
        "009": f"the numbers of {config.mode}, and by name: {', '.join(config.explicit) or 'none'}",
        "010": stamp_holds(document),
        "011": passes_hold(facts, _passes(facts, examples), regime),
        **({"012": _parent(facts, regime)} if config.parent is not None else {}),
    }


def _epochs(folder: Path, facts: Sequence[Facts], regime: str) -> str:
    epochs = [fact.get("epoch") for fact in events(facts, "epoch")]
    if epochs != list(range(len(epochs))):
        raise broken("002", "an epoch is missing", value=len(epochs), regime=regime)
    for epoch in epochs:
        for suffix in (".pt", ".json"):
            if not (folder / "ckpt" / f"e{epoch}{suffix}").is_file():
                raise broken("002", f"e{epoch}{suffix} is missing", epoch=epoch, regime=regime)
    return f"{len(epochs)} epochs, each with its checkpoint and record"


def _patience(history: Sequence[float], ends: Sequence[object], regime: str) -> str:
    end = str(ends[-1]) if ends else None
    check_patience(history, end, regime=regime)
    return f"ended as {end}" if end else "the run was cut off"


def _divergence(history: Sequence[float], config: PretrainConfig) -> str:
    for epoch in range(len(history)):
        check_non_divergence(epoch, history, config.regime)
    shown = ", ".join(f"{loss:.4f}" for loss in history)
    return f"validation losses {shown}"


def _passes(facts: Sequence[Facts], examples: int) -> int:
    samples = sum(number(fact, "samples") for fact in events(facts, "optimizer_step"))
    return max(0, -(-int(samples) // examples) - 1)


def _parent(facts: Sequence[Facts], regime: str) -> str:
    records = events(facts, "parent")
    if not records:
        raise broken("012", "the run does not say where its parent was", regime=regime)
    ours, theirs = number(records[0], "initial_loss"), number(records[0], "parent_loss")
    check_parent_loss(ours, theirs, regime=regime)
    return f"started at {ours:.6g}, its parent at {theirs:.6g}"
