"""From an action index to a direction, a size and a name: a range-checked lookup, no arithmetic on indices."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import numpy as np

from trader_sdk.contract.errors import ActionError
from trader_sdk.contract.spec import ActionMeaning, ModelSpec


def interpret_action(action: int, spec: ModelSpec) -> ActionMeaning:
    """Look up what ``action`` means for a model of ``spec``.

    Args:
        action: Index of the chosen action, ``0 <= action < spec.n_actions``; int or a numpy integer.
        spec: The model's own spec. Index 2 is SELL with three actions and BUY_50% with seven.

    Returns:
        ``(direction, size, name)``: direction -1, 0 or +1; size a fraction of the base allocation.

    Raises:
        ActionError: E402 for anything that is not an integer index of the table (bool, float, NaN, None, -1).

    Example:
        >>> from trader_sdk import MODEL_SPECS
        >>> interpret_action(2, MODEL_SPECS["2.4.0"])
        ActionMeaning(direction=-1, size=0.5, name='SELL')
        >>> interpret_action(2, MODEL_SPECS["2.7.0"])
        ActionMeaning(direction=1, size=0.5, name='BUY_50%')
    """
    if isinstance(action, bool | np.bool_) or not isinstance(action, int | np.integer):
        raise ActionError(
            "E402",
            "an action must be an integer index",
            expected=f"int in 0..{spec.n_actions - 1}",
            found=f"{type(action).__name__} {action!r:.40}",
        )
    index = operator.index(action)
    if not 0 <= index < len(spec.actions):
        raise ActionError(
            "E402",
            f"model {spec.version} has no such action",
            expected=f"0..{spec.n_actions - 1}",
            found=index,
        )
    return spec.actions[index]


def table_conflicts(meanings: Mapping[int, str], spec: ModelSpec) -> list[str]:
    """Return one line for each index whose stated name differs from the spec's."""
    indices = sorted(set(meanings) | set(spec.action_meanings))
    return [
        f"index {index}: file says {meanings.get(index)!r}, {spec.version} says {spec.action_meanings.get(index)!r}"
        for index in indices
        if meanings.get(index) != spec.action_meanings.get(index)
    ]
