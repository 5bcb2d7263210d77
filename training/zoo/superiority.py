"""Tests of a whole set at once against one benchmark, by the library that is kept for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.zoo.statistics import MIN_BARS, in_blocks

Floats = NDArray[np.float64]

MOST_BLOCKS: Final = 1_000
"""More bars are summed to as many blocks: means and their dependence stay, time and memory stop growing."""
REPS: Final = 500


@dataclass(frozen=True, slots=True)
class Superiority:
    """What a set of variants is worth beside the benchmark.

    Attributes:
        p_value: Of Hansen's test that none is better; the consistent one.
        superior: Names that are better, by the step-wise test, at a family-wise ``size``.
        size: Chance that any name is among them by luck.
    """

    p_value: float
    superior: tuple[str, ...]
    size: float


def superiority(
    names: Sequence[str], returns: Floats, benchmark: Floats, *, size: float = 0.05, reps: int = REPS, seed: int = 0
) -> Superiority | None:
    """Return which variants earn more than the benchmark, luck and their number taken into account.

    Args:
        names: Of N variants.
        returns: (T, N) net returns, on the bars of the benchmark.
        benchmark: (T,) net returns; zeros for "better than nothing".
        size: Family-wise error.
        reps, seed: Of the stationary bootstrap.

    Returns:
        None for fewer than 60 bars, or no variant that differs from the benchmark.

    Source:
        Hansen (2005), A Test for Superior Predictive Ability; Romano, Wolf (2005), Stepwise Multiple Testing.
    """
    beyond = returns - benchmark[:, None]
    different = np.ptp(beyond, axis=0) > 0
    if len(returns) < MIN_BARS or not different.any():
        return None
    from arch.bootstrap import StepM
    from pandas import DataFrame

    kept = [name for name, is_different in zip(names, different.tolist(), strict=True) if is_different]
    # On one scale: a variant that bets little is no worse for it, and one that bets a lot does not drown the others.
    blocks = in_blocks(beyond[:, different], MOST_BLOCKS)
    losses = DataFrame(-blocks / blocks.std(axis=0), columns=kept)
    block = max(2, round(len(blocks) ** (1 / 3)))
    step = StepM(np.zeros(len(blocks)), losses, size=size, block_size=block, reps=reps, seed=seed)
    step.compute()
    step.spa.compute()  # of the whole set, from what the step-wise test has simulated
    return Superiority(float(step.spa.pvalues["consistent"]), tuple(map(str, step.superior_models)), size)
