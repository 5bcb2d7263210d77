"""How often a policy chose what while it was judged: what a trader compares its decisions with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from trader_sdk.archive.notes import NO_DECISION, Walk
from trader_sdk.contract.spec import ModelSpec

MIX_PREFIX: Final = "mix_"
"""Begins the names of the shares among the shown figures of an evaluation: ``mix_HOLD``, ``mix_BUY_50%``."""


def action_mix(walks: Iterable[Walk], spec: ModelSpec) -> dict[str, float]:
    """Return the share of each action among all decisions, by its shown name; empty where nothing was decided.

    Args:
        walks: What the policy did in each window.
        spec: What its actions are called.

    Returns:
        A share from 0 to 1 for every action of the model, those that were never chosen included; they sum to 1.
    """
    actions = np.concatenate([walk.actions for walk in walks])
    counts = np.bincount(actions[actions != NO_DECISION], minlength=len(spec.actions))
    total = int(counts.sum())
    if not total:
        return {}
    return {f"{MIX_PREFIX}{action.name}": int(n) / total for action, n in zip(spec.actions, counts, strict=True)}


def mix_of(shown: Mapping[str, float]) -> dict[str, float]:
    """Return the shares that an evaluation shows, by action; empty where it shows none.

    Example:
        >>> mix_of({"n_trials": 1.0, "mix_HOLD": 0.75, "mix_BUY_50%": 0.25})
        {'HOLD': 0.75, 'BUY_50%': 0.25}
    """
    return {name.removeprefix(MIX_PREFIX): share for name, share in shown.items() if name.startswith(MIX_PREFIX)}
