"""Regimes and the divergence rule of pretraining."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.errors import ConfigError, InvariantViolated, UsageError
from training import Finetune, FromScratch, check_non_divergence
from training.regimes import REGIME_ADAPTER

SCRATCH = FromScratch(vocab_size=50257)


@pytest.mark.parametrize(
    ("regime", "limit"),
    [
        (Finetune(), 10.0),
        (SCRATCH, 21.6498),
        (FromScratch(vocab_size=7), 3.8918),
        (FromScratch(vocab_size=3), 2.1972),
    ],
)
def test_epoch_zero_limit_is_ten_or_twice_the_loss_of_guessing(regime: Finetune | FromScratch, limit: float) -> None:
    """The limits that users know, to four digits."""
    assert regime.epoch_zero_val_loss_limit() == pytest.approx(limit, abs=1e-4)


@pytest.mark.parametrize(
    ("epoch", "history", "regime"),
    [
        (0, [10.0], Finetune()),
        (0, [2 * math.log(50257)], SCRATCH),
        (1, [1.0, 2.0], Finetune()),
        (2, [1.0, 2.0, 3.0], Finetune()),
        (1, [0.05, 1.05], Finetune()),
        (0, [0.0], Finetune()),
    ],
)
def test_check_non_divergence_passes_at_each_limit(
    epoch: int, history: list[float], regime: Finetune | FromScratch
) -> None:
    """A limit itself passes."""
    check_non_divergence(epoch, history, regime)


@pytest.mark.parametrize(
    ("epoch", "history", "regime"),
    [
        (0, [10.0001], Finetune()),
        (0, [25.0], SCRATCH),
        (0, [math.nan], SCRATCH),
        (0, [math.inf], Finetune()),
        (0, [-0.1], Finetune()),
        (1, [1.0, 2.0001], Finetune()),
        (3, [1.0, 1.6, 2.0, 3.0001], Finetune()),
        (1, [0.05, 1.0501], Finetune()),
        (2, [1.0, 1.0, math.nan], Finetune()),
    ],
)
def test_check_non_divergence_refuses_past_each_limit(
    epoch: int, history: list[float], regime: Finetune | FromScratch
) -> None:
    """A violation names the invariant, the epoch, the value, the limit and the regime, and exits 7."""
    with pytest.raises(InvariantViolated) as caught:
        check_non_divergence(epoch, history, regime)
    assert caught.value.exit_code == 7
    assert caught.value.evidence["inv"] == "INV-TRAIN-005"
    assert caught.value.evidence["epoch"] == epoch
    assert caught.value.evidence["regime"] == regime.kind


@given(st.floats(0.1, 100.0), st.floats(0.0, 2.0))
def test_check_non_divergence_never_refuses_less_than_twice_the_only_loss(first: float, ratio: float) -> None:
    """Whatever the scale of the loss, a ratio up to 2 passes."""
    check_non_divergence(1, [first, first * ratio], Finetune())


def test_check_non_divergence_refuses_an_epoch_without_a_loss() -> None:
    """Asking about an epoch that never ran is a mistake of the caller."""
    with pytest.raises(UsageError):
        check_non_divergence(2, [1.0], Finetune())


def test_from_scratch_refuses_a_single_class() -> None:
    """Nothing can be learned about one class."""
    with pytest.raises(ConfigError):
        FromScratch(vocab_size=1)


def test_regimes_are_tagged_by_kind_when_dumped_and_loaded() -> None:
    """A regime travels through JSON by its tag."""
    for regime in (Finetune(), SCRATCH):
        assert REGIME_ADAPTER.validate_python(regime.model_dump()) == regime
    assert SCRATCH.model_dump() == {"kind": "from_scratch", "vocab_size": 50257}
