"""The whole of the gate's table: every metric below, at, between and above its bars, and every tier of every fold."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest

from trader_sdk.archive.evidence import Circumstances, judge
from trader_sdk.archive.folds import tier_of
from trader_sdk.archive.gate import METRICS, GateClass, Tier, assess_model_quality, best_index, classify
from trader_sdk.archive.metrics import min_active_windows
from trader_sdk.archive.policy import HOUSE_POLICY, ExtraBar, ModelGatingConfig
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.summary import FoldResult, GateBlock

# name: (APPROVED bar, REVIEW bar, direction that is better)
TABLE = {
    "fitness_score": (0.70, 0.50, +1),
    "profit_factor": (1.8, 1.3, +1),
    "consistency": (0.85, 0.65, +1),
    "max_drawdown": (0.08, 0.15, -1),
}
GOOD = {"fitness_score": 2.0, "profit_factor": 5.0, "consistency": 1.0, "max_drawdown": 0.01}
RANK = (GateClass.APPROVED, GateClass.REVIEW, GateClass.DROP)
BAD = (None, math.nan, -math.inf)


def places(approved: float, review: float, better: int) -> dict[float, GateClass]:
    """Return a value at each place around the two bars with the tier that the table gives it."""
    past, short = math.inf * better, -math.inf * better
    return {
        math.nextafter(approved, past): GateClass.APPROVED,
        approved: GateClass.APPROVED,
        math.nextafter(approved, short): GateClass.REVIEW,
        (approved + review) / 2: GateClass.REVIEW,
        math.nextafter(review, past): GateClass.REVIEW,
        review: GateClass.REVIEW,
        math.nextafter(review, short): GateClass.DROP,
    }


def test_class_follows_the_table_at_every_place_of_every_metric() -> None:
    """All 2,401 combinations of seven places around the two bars of four metrics."""
    columns = [list(places(*bars).items()) for bars in TABLE.values()]
    for combination in itertools.product(*columns):
        values, tiers = zip(*combination, strict=True)
        expected = max(tiers, key=RANK.index)
        assert assess_model_quality(*values, [])[0] is expected, values


@pytest.mark.parametrize("count", range(1, 5))
def test_class_is_drop_whichever_metrics_are_missing_or_no_numbers(count: int) -> None:
    """Every choice of metrics, each missing, NaN or -Inf, beside perfect others."""
    for names in itertools.combinations(METRICS, count):
        for bad in itertools.product(BAD, repeat=count):
            judged = classify({**GOOD, **dict(zip(names, bad, strict=True))}, HOUSE_POLICY)
            assert judged.gate_class is GateClass.DROP
            assert [flag.metric for flag in judged.flags if flag == "INVALID_METRIC"] == [
                name for name in METRICS if name in names
            ]


@pytest.mark.parametrize("better", [True, False])
def test_a_desks_own_metric_has_inclusive_bars_in_both_directions(better: bool) -> None:
    """Below, at and above each bar, and what is no number."""
    sign = 1 if better else -1
    approved, review = (1.0, 0.5) if better else (0.5, 1.0)
    config = ModelGatingConfig(extra={"own": ExtraBar(approved=approved, review=review, higher_is_better=better)})
    for value, tier in places(approved, review, sign).items():
        assert classify({**GOOD, "own": value}, config).gate_class is tier
    for value in (*BAD, math.inf, "1", True):
        assert classify({**GOOD, "own": value}, config).flags == ("INVALID_METRIC",)


@pytest.mark.parametrize("config", [{}, [], "", 0, {"min_trades": 1}, "house", object])
def test_anything_but_a_policy_is_an_error_and_never_a_pass(config: Any) -> None:
    """Something empty does not become the house's policy by being false."""
    with pytest.raises(ConfigError) as caught:
        assess_model_quality(2.0, 5.0, 1.0, 0.01, [], config)
    assert caught.value.exit_code == 2


def test_history_may_hold_what_is_no_number() -> None:
    """Text, booleans and gaps of somebody's log take no part."""
    history: list[Any] = ["9.9", None, True, 0.5, 0.7]
    assert best_index(history) == 4
    assert assess_model_quality(0.7, 5.0, 1.0, 0.01, history)[2:] == (False, 4)


FOLDS = tuple(FoldResult(start="a", end="b", net_return=0.0, sharpe=0.9, n_trades=9) for _ in range(5))
HOUSE = Circumstances("house@1", "equity", 0.001, 1, DataKind.REAL)


@pytest.mark.parametrize("n_windows", range(7, 15))
def test_every_number_of_windows_asks_for_its_share_of_active_ones(n_windows: int) -> None:
    """``ceil(0.7 W)`` with exposure, one fewer is TOO_FEW_TRADES, for each legal W."""
    needed = math.ceil(0.7 * n_windows - 1e-9)
    assert min_active_windows(n_windows) == needed
    for active, expected in ((needed - 1, "REVIEW"), (needed, "APPROVED"), (n_windows, "APPROVED")):
        block = GateBlock(
            **GOOD, t=4.0, n_bars=50 * n_windows, n_windows=n_windows, n_trades=20, folds=FOLDS,
            shown={"active_windows": float(active)},
        )  # fmt: skip
        assert judge(GOOD, block, HOUSE, HOUSE_POLICY).gate_class == expected


@pytest.mark.parametrize("signs", list(itertools.product((-1, 0, 1), repeat=5)))
def test_tier_counts_positive_folds_and_bounds_their_deviation(signs: tuple[int, ...]) -> None:
    """All 243 sign patterns, each with a small and a large spread; zero is not positive."""
    positive = signs.count(1)
    assert tier_of([0.5 * sign for sign in signs]) is (
        Tier.LIVE if positive >= 4 else Tier.PAPER if positive >= 3 else Tier.RETRAIN
    )
    # One fold far out makes the deviation large, whatever the signs.
    wide = [(100.0 if index == 0 else 0.5) * sign for index, sign in enumerate(signs)]
    if signs[0]:
        assert tier_of(wide) is (Tier.PAPER if positive >= 3 else Tier.RETRAIN)


def test_tier_is_live_only_below_a_deviation_of_two() -> None:
    """Five positive folds whose deviation is just below, at and just above 2."""
    # 1 and 1 + d alternate: the deviation of (a, a, a, a, b) is |b - a| / sqrt(5).
    for deviation, tier in ((1.999, Tier.LIVE), (2.001, Tier.PAPER)):
        assert tier_of([1.0, 1.0, 1.0, 1.0, 1.0 + deviation * math.sqrt(5)]) is tier
    assert tier_of([1.0, 1.0, 3.0, 5.0, 5.0]) is Tier.PAPER  # exactly 2


@pytest.mark.parametrize("sharpes", [[], [1.0] * 4, [1.0] * 6, [1.0] * 4 + [math.nan], [math.inf] * 5])
def test_tier_is_retrain_for_anything_but_five_finite_folds(sharpes: list[float]) -> None:
    """What was not measured as the house measures goes nowhere near a broker."""
    assert tier_of(sharpes) is Tier.RETRAIN


def test_class_is_never_better_than_any_part_of_it() -> None:
    """Bars, floors and data together: the worst one decides, for every pairing of a bar's tier with a floor."""
    floors = {
        "APPROVED": GateBlock(**GOOD, t=3.0, n_bars=350, n_windows=7, n_trades=20, folds=FOLDS),
        "REVIEW": GateBlock(**GOOD, t=2.9, n_bars=350, n_windows=7, n_trades=20, folds=FOLDS),
        "DROP": GateBlock(**GOOD, t=3.0, n_bars=350, n_windows=7, n_trades=0, folds=FOLDS),
    }
    for (floor, block), (value, bar) in itertools.product(floors.items(), places(0.70, 0.50, 1).items()):
        found = judge({**GOOD, "fitness_score": value}, block, HOUSE, HOUSE_POLICY)
        assert found.gate_class is max(GateClass(floor), bar, key=RANK.index)
        assert (found.tier is None) is (found.gate_class is GateClass.DROP)
        refused = judge({**GOOD, "fitness_score": value}, block, replace(HOUSE, has_policy=False), HOUSE_POLICY)
        assert refused.gate_class is GateClass.DROP
