"""Which specs are trained next: the stalest first, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from training.zoo.job import SpecResult, Status, read_result
from training.zoo.spec import ModelSpecError, ZooSpec

DONE = frozenset({Status.LOST, Status.PASSED})
"""A spec that ended so was trained; one that failed, or had too little data, is as stale as before."""


def stalest(specs: Sequence[ZooSpec], trained: Mapping[str, datetime], budget: int) -> tuple[ZooSpec, ...]:
    """Return the specs to train next.

    Args:
        specs: Active specs.
        trained: When each was trained last; those that never were are missing.
        budget: How many.

    Returns:
        Never trained before the oldest, then by priority (the higher first), then by id. Priority never beats
        staleness.

    Raises:
        ModelSpecError: There is nothing to spend a budget on.
    """
    if not specs:
        raise ModelSpecError(
            "CONFIG",
            "a budget and no active spec to spend it on",
            where="--budget",
            expected="an active spec",
            found="an empty roster",
            remedy="Set a spec active, or give another --specs.",
        )

    def order(spec: ZooSpec) -> tuple[bool, float, int, str]:
        last = trained.get(spec.id)
        return last is not None, last.timestamp() if last else 0.0, -spec.priority, spec.id

    return tuple(sorted(specs, key=order)[:budget])


def last_trained(slot_folder: Path) -> dict[str, datetime]:
    """Return when each spec was trained last, from the marks that finished jobs left in a slot's folder."""
    found: dict[str, datetime] = {}
    for result in results(slot_folder):
        if result.status in DONE and result.at:
            at = datetime.fromisoformat(result.at)
            found[result.spec_id] = max(at, found.get(result.spec_id, at))
    return found


def results(slot_folder: Path) -> list[SpecResult]:
    """Return every result that a slot's folder holds, oldest first."""
    folders = sorted(path.parent for path in slot_folder.glob("*/*/result.json"))
    found = [read_result(folder) for folder in folders]
    return sorted((one for one in found if one is not None), key=lambda one: one.at)
