"""The invariants of a PPO run, each held and each broken."""

import math

import pytest

from trader_sdk.contract.errors import InvariantViolated
from training.invariants import INVARIANTS, STEP_FIELDS, DivergenceGuard, check_step

GOOD_STEP = dict.fromkeys(STEP_FIELDS, 1.0)


def test_invariants_have_the_ids_that_users_know() -> None:
    """Twelve numbers and the one of PPO."""
    assert len(INVARIANTS) == 13
    assert {"INV-TRAIN-001", "INV-TRAIN-005p", "INV-TRAIN-012"} <= set(INVARIANTS)


def test_check_step_passes_a_complete_finite_record() -> None:
    """The ordinary case."""
    check_step(GOOD_STEP, update=1)


@pytest.mark.parametrize("name", STEP_FIELDS)
def test_check_step_refuses_a_record_without_a_field(name: str) -> None:
    """001: none may be missing."""
    with pytest.raises(InvariantViolated) as caught:
        check_step({key: value for key, value in GOOD_STEP.items() if key != name}, update=4)
    assert (caught.value.evidence["inv"], caught.value.evidence["epoch"]) == ("INV-TRAIN-001", 4)


@pytest.mark.parametrize(
    ("name", "value", "inv"),
    [
        ("loss", math.nan, "INV-TRAIN-007"),
        ("grad_norm", math.inf, "INV-TRAIN-007"),
        ("lr", math.nan, "INV-TRAIN-007"),
        ("samples_per_second", math.nan, "INV-TRAIN-008"),
        ("samples_per_second", -1.0, "INV-TRAIN-008"),
        ("utilisation_percent", 100.1, "INV-TRAIN-008"),
        ("utilisation_percent", math.nan, "INV-TRAIN-008"),
    ],
)
def test_check_step_refuses_impossible_numbers(name: str, value: float, inv: str) -> None:
    """007 and 008 by the field that broke them."""
    with pytest.raises(InvariantViolated) as caught:
        check_step({**GOOD_STEP, name: value}, update=0)
    assert caught.value.evidence["inv"] == inv


def test_divergence_guard_passes_exactly_ten_times_the_target() -> None:
    """The limit itself passes, anything above it does not, NaN neither."""
    guard = DivergenceGuard(target_kl=0.03)
    guard.check(0, approx_kl=0.3, value_loss=1.0)
    for kl in (0.3001, math.nan):
        with pytest.raises(InvariantViolated):
            guard.check(1, approx_kl=kl, value_loss=1.0)


def test_divergence_guard_refuses_a_value_loss_far_above_its_median() -> None:
    """A hundred times the running median of five updates passes, more does not."""
    guard = DivergenceGuard(target_kl=0.03)
    for update in range(5):
        guard.check(update, approx_kl=0.0, value_loss=1.0)
    with pytest.raises(InvariantViolated) as caught:
        guard.check(5, approx_kl=0.0, value_loss=100.1)
    assert caught.value.evidence["inv"] == "INV-TRAIN-005p"
    guard.check(6, approx_kl=0.0, value_loss=100.0)
