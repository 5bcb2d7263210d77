"""What stands behind four numbers: trades, t, trials, drawdown kind, metric set, data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from trader_sdk.archive.evidence import UNSTATED, Circumstances, judge
from trader_sdk.archive.gate import Tier
from trader_sdk.archive.metrics import required_t
from trader_sdk.archive.policy import HOUSE_POLICY, ModelGatingConfig
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.summary import FoldResult, GateBlock

GOOD = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
FOLDS = tuple(FoldResult(start="a", end="b", net_return=0.03, sharpe=0.9, n_trades=12) for _ in range(5))
AS_IT_SHOULD_BE = Circumstances("house@1", "equity", 0.001, 1, DataKind.REAL)


def block(**changes: Any) -> GateBlock:
    base = GateBlock(**GOOD, t=3.4, n_bars=2100, n_windows=7, n_trades=84, real_drawdown=0.05, folds=FOLDS, shown={})
    return base.model_copy(update=changes)


def test_model_is_approved_when_bars_and_floors_are_met() -> None:
    """The example of the specification."""
    found = judge(GOOD, block(), AS_IT_SHOULD_BE, HOUSE_POLICY)
    assert (found.gate_class, found.tier, found.flags) == ("APPROVED", Tier.LIVE, ())


@pytest.mark.parametrize(
    ("evidence", "gate_class", "flag", "metric"),
    [
        (None, "REVIEW", "INSUFFICIENT_EVIDENCE", "gate"),
        (block(t=None), "REVIEW", "INSUFFICIENT_EVIDENCE", "t"),
        (block(t=2.999), "REVIEW", "INSUFFICIENT_EVIDENCE", "t"),
        (block(t=math.nan), "REVIEW", "INSUFFICIENT_EVIDENCE", "t"),
        (block(t=math.inf), "REVIEW", "INSUFFICIENT_EVIDENCE", "t"),
        (block(n_trades=None), "REVIEW", "INSUFFICIENT_EVIDENCE", "n_trades"),
        (block(n_trades=19), "REVIEW", "TOO_FEW_TRADES", "n_trades"),
        (block(n_trades=0), "DROP", "INVALID_METRIC", "n_trades"),
        (block(shown={"active_windows": 4.0}), "REVIEW", "TOO_FEW_TRADES", "active_windows"),
        (block(n_windows=None), "REVIEW", "INSUFFICIENT_EVIDENCE", "n_windows"),
        (block(n_windows=6), "REVIEW", "INSUFFICIENT_EVIDENCE", "n_windows"),
        (block(n_windows=15), "REVIEW", "INSUFFICIENT_EVIDENCE", "n_windows"),
        (block(n_bars=None), "REVIEW", "INSUFFICIENT_EVIDENCE", "n_bars"),
        (block(n_bars=349), "REVIEW", "INSUFFICIENT_EVIDENCE", "n_bars"),
        (block(real_drawdown=0.1501), "DROP", "HIGH_DRAWDOWN", "real_drawdown"),
        (block(real_drawdown=math.nan), "DROP", "INVALID_METRIC", "real_drawdown"),
        (block(real_drawdown=-0.1), "DROP", "INVALID_METRIC", "real_drawdown"),
    ],
)
def test_class_is_capped_when_evidence_is_missing_or_weak(evidence, gate_class: str, flag: str, metric: str) -> None:
    """Each floor by itself, with its own flag."""
    found = judge(GOOD, evidence, AS_IT_SHOULD_BE, HOUSE_POLICY)
    assert found.gate_class == gate_class
    assert [(str(one), one.metric) for one in found.flags] == [(flag, metric)]


@pytest.mark.parametrize(
    "evidence",
    [
        block(t=3.0),
        block(n_trades=20),
        block(real_drawdown=0.15),
        block(real_drawdown=None),
        block(shown={"active_windows": 5.0}),
        block(n_bars=350),
        block(n_windows=14),
    ],
)
def test_model_is_approved_when_a_floor_is_exactly_met(evidence: GateBlock) -> None:
    """Floors are inclusive."""
    assert judge(GOOD, evidence, AS_IT_SHOULD_BE, HOUSE_POLICY).gate_class == "APPROVED"


@pytest.mark.parametrize("n_trials", [1, 3, 4, 10, 100, 2**53])
def test_needed_t_grows_with_every_trial_on_the_same_data(n_trials: int) -> None:
    """Opening GATE again is a trial and raises the floor."""
    circumstances = replace(AS_IT_SHOULD_BE, n_trials=n_trials)
    needed = required_t(n_trials)
    assert judge(GOOD, block(t=needed), circumstances, HOUSE_POLICY).gate_class == "APPROVED"
    below = judge(GOOD, block(t=math.nextafter(needed, 0)), circumstances, HOUSE_POLICY)
    assert below.gate_class == "REVIEW"


@pytest.mark.parametrize(
    ("changes", "gate_class", "flag"),
    [
        ({"metric_set": UNSTATED}, "REVIEW", "INSUFFICIENT_EVIDENCE"),
        ({"metric_set": "desk@1"}, "DROP", "INVALID_METRIC"),
        ({"drawdown_kind": "proxy", "reward_scale": 0.001}, "APPROVED", None),
        ({"drawdown_kind": "proxy", "reward_scale": 1.0}, "REVIEW", "INSUFFICIENT_EVIDENCE"),
        ({"drawdown_kind": "proxy", "reward_scale": math.nan}, "REVIEW", "INSUFFICIENT_EVIDENCE"),
        ({"drawdown_kind": "equity", "reward_scale": 1.0}, "APPROVED", None),
    ],
)
def test_class_depends_on_how_the_numbers_were_measured(changes: dict, gate_class: str, flag: str | None) -> None:
    """Bars apply to one metric set, and a proxy drawdown to one reward scale."""
    found = judge(GOOD, block(), replace(AS_IT_SHOULD_BE, **changes), HOUSE_POLICY)
    assert found.gate_class == gate_class
    assert [str(one) for one in found.flags] == ([flag] if flag else [])


@pytest.mark.parametrize(
    ("kind", "tier"), [(DataKind.REAL, Tier.LIVE), (DataKind.SIMULATED, Tier.PAPER), (None, Tier.PAPER)]
)
def test_tier_is_live_only_for_real_data(kind: DataKind | None, tier: Tier) -> None:
    """What was never measured on a real market is not fit for real money."""
    assert judge(GOOD, block(), replace(AS_IT_SHOULD_BE, data_kind=kind), HOUSE_POLICY).tier is tier


def test_tier_is_retrain_without_folds_and_none_for_a_dropped_model() -> None:
    """What is missing lowers what can be decided."""
    assert judge(GOOD, block(folds=()), AS_IT_SHOULD_BE, HOUSE_POLICY).tier is Tier.RETRAIN
    assert judge({**GOOD, "profit_factor": 1.0}, block(), AS_IT_SHOULD_BE, HOUSE_POLICY).tier is None


def test_a_desks_floors_replace_the_houses() -> None:
    """A gate of one's own may ask for less evidence; its hash says so."""
    desk = ModelGatingConfig(name="desk", min_t=0.5, false_approval_rate=0.5, min_trades=3)
    weak = block(t=0.5, n_trades=3)
    assert judge(GOOD, weak, AS_IT_SHOULD_BE, desk).gate_class == "APPROVED"
    assert judge(GOOD, weak, AS_IT_SHOULD_BE, HOUSE_POLICY).gate_class == "REVIEW"
