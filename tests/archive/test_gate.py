"""The gate: every boundary, every invalid number, every flag."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.archive.gate import (
    METRICS,
    Flag,
    FlagName,
    GateClass,
    ModelGatingConfig,
    assess_model_quality,
    best_index,
    classify,
)
from trader_sdk.archive.policy import HOUSE_POLICY

APPROVED_BARS = (0.70, 1.8, 0.85, 0.08)
REVIEW_BARS = (0.50, 1.3, 0.65, 0.15)
WORSE = (-1, -1, -1, +1)
FLAG_OF = ("LOW_FITNESS", "LOW_PF", "LOW_CONSISTENCY", "HIGH_DRAWDOWN")


def assess(values: Sequence[float | None], history: Sequence[float] = (), config: ModelGatingConfig | None = None):
    fitness, pf, consistency, drawdown = values
    return assess_model_quality(fitness, pf, consistency, drawdown, history, config)


def nudged(bar: float, direction: int) -> float:
    return math.nextafter(bar, math.inf * direction)


@pytest.mark.parametrize("steps", list(itertools.product((-1, 0, 1), repeat=4)))
def test_class_is_the_worst_tier_when_each_metric_is_at_below_or_above_its_approved_bar(steps) -> None:
    """All 81 combinations of one step around the inclusive APPROVED bars."""
    values = [nudged(bar, step) if step else bar for bar, step in zip(APPROVED_BARS, steps, strict=True)]
    missed = any(step == worse for step, worse in zip(steps, WORSE, strict=True))
    gate_class, flags, use_checkpoint, _ = assess(values)
    assert gate_class is (GateClass.REVIEW if missed else GateClass.APPROVED)
    assert flags == []
    assert use_checkpoint is False


@pytest.mark.parametrize("steps", list(itertools.product((-1, 0, 1), repeat=4)))
def test_class_is_drop_when_any_metric_is_past_its_review_bar(steps) -> None:
    """All 81 combinations of one step around the inclusive REVIEW bars, each miss with its flag."""
    values = [nudged(bar, step) if step else bar for bar, step in zip(REVIEW_BARS, steps, strict=True)]
    missed = [name for name, step, worse in zip(FLAG_OF, steps, WORSE, strict=True) if step == worse]
    gate_class, flags, _, _ = assess(values)
    assert gate_class is (GateClass.DROP if missed else GateClass.REVIEW)
    assert flags == missed


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("value", [None, math.nan, -math.inf, "0.9", True])
def test_class_is_drop_when_a_metric_is_missing_or_no_number(index: int, value: object) -> None:
    """A comparison with NaN is false and must not pass by accident."""
    values: list = [2.0, 5.0, 1.0, 0.01]
    values[index] = value
    gate_class, flags, _, _ = assess(values, [2.0])
    assert gate_class is GateClass.DROP
    assert flags == ["INVALID_METRIC"]
    assert flags[0].metric == METRICS[index]


@pytest.mark.parametrize(
    "values",
    [(math.inf, 2, 1, 0.01), (2, 2, math.inf, 0.01), (2, 2, 1.01, 0.01), (2, 2, 1, -0.01), (2, 2, 85.0, 0.01)],
)
def test_class_is_drop_when_a_metric_has_a_value_it_cannot_have(values) -> None:
    """Zero deviation, percentages and drawdowns with a minus sign are refused rather than passed."""
    gate_class, flags, _, _ = assess(values)
    assert gate_class is GateClass.DROP
    assert "INVALID_METRIC" in flags


def test_endless_drawdown_is_high_drawdown() -> None:
    """+Inf is a drawdown past every bar."""
    assert assess((2, 2, 1, math.inf))[:2] == (GateClass.DROP, ["HIGH_DRAWDOWN"])


@pytest.mark.parametrize(("n_trades", "expected"), [(None, "REVIEW"), (1, "REVIEW"), (19, "REVIEW"), (20, "APPROVED")])
def test_endless_profit_factor_counts_only_from_min_trades_on(n_trades: int | None, expected: str) -> None:
    """A handful of trades without a loss proves nothing."""
    values = {"fitness_score": 2.0, "profit_factor": math.inf, "consistency": 1.0, "max_drawdown": 0.01}
    judged = classify(values, HOUSE_POLICY, n_trades=n_trades)
    assert judged.gate_class == expected
    assert ("TOO_FEW_TRADES" in judged.flags) is (expected == "REVIEW")


def test_numpy_numbers_count_as_numbers() -> None:
    """Trainers hand over float32 and float64 scalars."""
    assert assess([np.float64(2), np.float32(5), np.int64(1), np.float64(0.01)])[0] is GateClass.APPROVED


@pytest.mark.parametrize(
    ("final", "history", "mode", "declined"),
    [
        (0.95, [1.0, 0.95], "relative", False),  # exactly 5 %
        (0.9499, [1.0, 0.9499], "relative", True),
        (0.76, [0.8, 0.76], "relative", False),  # exactly 5 % of 0.8
        (0.75, [0.8, 0.75], "relative", True),
        (0.75, [0.8, 0.75], "absolute", False),  # exactly 0.05
        (-0.04, [0.0, -0.04], "relative", False),  # no positive peak: absolute
        (-0.06, [0.0, -0.06], "relative", True),
        (-0.5, [-0.2, -0.5], "relative", True),
        (math.nan, [1.0, 0.2], "relative", False),
        (0.1, [math.nan, 0.1], "relative", False),
        (0.1, [], "relative", False),
    ],
)
def test_decline_is_flagged_when_the_final_is_below_the_peak_by_more_than_the_threshold(
    final: float, history: list[float], mode: str, declined: bool
) -> None:
    """Relative to a positive peak, absolute otherwise; exactly the threshold is no decline."""
    config = ModelGatingConfig(fitness_decline_mode=mode)
    _, flags, use_checkpoint, _ = assess((final, 5, 1, 0.01), history, config)
    assert ("FITNESS_DECLINE" in flags) is declined
    assert use_checkpoint is declined


@pytest.mark.parametrize(
    ("history", "mode", "unstable"),
    [
        ([0.70, 0.75, 0.78, 0.75], "absolute", False),  # swings 0.08
        ([0.70, 0.75, 0.78, 0.75], "relative", True),  # 10.26 % of its peak
        ([0.70, 0.80], "absolute", False),  # exactly 0.10
        ([0.70, 0.801], "absolute", True),
        ([0.7], "absolute", False),
    ],
)
def test_instability_is_flagged_when_the_history_swings_by_more_than_the_threshold(
    history: list[float], mode: str, unstable: bool
) -> None:
    """Both readings of a swing are configuration."""
    flags = assess((0.75, 5, 1, 0.01), history, ModelGatingConfig(fitness_oscillation_mode=mode))[1]
    assert ("UNSTABLE_TRAINING" in flags) is unstable


def test_recommendations_never_move_the_class() -> None:
    """On noise most runs decline or swing; that says nothing about the model that was kept."""
    gate_class, flags, use_checkpoint, best = assess((0.70, 2, 0.9, 0.05), [0.6, 0.9, 0.8, 0.70])
    assert (gate_class, use_checkpoint, best) == (GateClass.APPROVED, True, 1)
    assert set(flags) == {"FITNESS_DECLINE", "UNSTABLE_TRAINING"}


@pytest.mark.parametrize(
    ("history", "expected"),
    [([], 0), ([math.nan], 0), ([1.0, 3.0, 3.0], 1), ([math.nan, 1.0], 1), ([-2.0, -1.0, math.inf], 1)],
)
def test_best_index_is_the_earliest_maximum(history: list[float], expected: int) -> None:
    """Ties go to the earlier checkpoint, numbers that are none take no part."""
    assert best_index(history) == expected


def test_flag_equals_its_name_and_carries_its_evidence() -> None:
    """A flag works as text for whoever wants text, also after a pickle."""
    flag = assess((2, 1.0, 1, 0.01))[1][0]
    assert flag == "LOW_PF"
    assert flag in {"LOW_PF"}
    assert (flag.metric, flag.value, flag.bar, flag.tier_missed) == ("profit_factor", 1.0, 1.3, GateClass.REVIEW)
    again = pickle.loads(pickle.dumps(flag))  # noqa: S301 - our own bytes
    assert (again, again.bar, again.name) == (flag, 1.3, FlagName.LOW_PF)
    assert isinstance(again, Flag)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.tuples(numbers, numbers, numbers, numbers))
def test_approved_means_every_bar_is_met_whatever_the_numbers(values: tuple[float, float, float, float]) -> None:
    """The whole of the floats: nothing passes that does not meet the table."""
    gate_class = assess(values)[0]
    fitness, pf, consistency, drawdown = values
    meets_approved = 0.70 <= fitness < math.inf and 1.8 <= pf < math.inf and 0.85 <= consistency <= 1
    assert (gate_class is GateClass.APPROVED) is (meets_approved and 0 <= drawdown <= 0.08)


@given(
    st.tuples(*(st.floats(0, 1) for _ in range(4))),
    st.integers(0, 3),
    st.floats(0, 1),
)
def test_a_better_metric_never_makes_the_class_worse(values, index: int, gain: float) -> None:
    """The gate is monotone in each metric."""
    scaled = [values[0] * 2, values[1] * 4, values[2], values[3] * 0.3]
    better = list(scaled)
    better[index] = max(0.0, better[index] - gain) if index == 3 else better[index] + gain
    if index == 2:
        better[index] = min(better[index], 1.0)
    order = [GateClass.DROP, GateClass.REVIEW, GateClass.APPROVED]
    assert order.index(assess(better)[0]) >= order.index(assess(scaled)[0])


def test_a_desks_own_metric_takes_part_and_the_worst_tier_wins() -> None:
    """Calmar of the specification's example, both directions and a missing value."""
    up = {"calmar": {"approved": 1.0, "review": 0.5, "higher_is_better": True}}
    down = {"turnover": {"approved": 0.1, "review": 0.2, "higher_is_better": False}}
    config = ModelGatingConfig(extra={**up, **down})
    values = {"fitness_score": 2.0, "profit_factor": 5.0, "consistency": 1.0, "max_drawdown": 0.01}

    def classed(**more: float | None) -> tuple[str, list[str]]:
        judged = classify({**values, **more}, config)
        return judged.gate_class.value, [str(flag) for flag in judged.flags]

    assert classed(calmar=1.0, turnover=0.1) == ("APPROVED", [])
    assert classed(calmar=0.99, turnover=0.1) == ("REVIEW", [])
    assert classed(calmar=1.0, turnover=0.21) == ("DROP", ["LOW_EXTRA_METRIC"])
    assert classed(calmar=1.0) == ("DROP", ["INVALID_METRIC"])
