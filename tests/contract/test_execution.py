"""Execution semantics: the Decimal form, the float64 form, and the rules of one action."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk import ActionError, ExecutionLimits, target_notional
from trader_sdk.contract.execution import target_notional_array
from trader_sdk.contract.spec import ACTION_TABLES, ActionMeaning

ACTIONS = [*ACTION_TABLES["actions/discrete7@1"], ACTION_TABLES["actions/discrete3@1"][2]]
money = st.decimals(min_value=1, max_value=10**7, places=2)
weights = st.decimals(min_value="-0.9", max_value="0.9", places=4)


@pytest.mark.parametrize(
    ("name", "position", "short", "expected"),
    [
        ("BUY_50%", "0", False, "52.50"),
        ("BUY_75%", "180", False, "200.00"),
        ("BUY_25%", "260", False, "260"),
        ("BUY_75%", "-30", True, "0"),
        ("SELL_25%", "100", False, "73.75"),
        ("SELL_75%", "30", False, "0"),
        ("SELL_50%", "0", False, "0"),
        ("SELL_50%", "0", True, "-52.50"),
        ("SELL_75%", "-180", True, "-200.00"),
        ("SELL_25%", "-260", True, "-260"),
        ("HOLD", "123", True, "123"),
    ],
)
def test_target_notional_gives_the_documented_value(name: str, position: str, short: bool, expected: str) -> None:
    """At an equity of 1000: 700 spendable, 105 base, cap 200."""
    action = next(action for action in ACTIONS if action.name == name)
    limits = ExecutionLimits(allow_short=short)
    target = target_notional(action, equity=Decimal(1000), position=Decimal(position), limits=limits)
    assert target == Decimal(expected)


@given(action=st.sampled_from(ACTIONS), equity=money, weight=weights, short=st.booleans())
def test_target_notional_never_crosses_zero_nor_passes_the_cap(
    action: ActionMeaning, equity: Decimal, weight: Decimal, short: bool
) -> None:
    """One action keeps the sign, moves in its own direction, and takes nothing beyond the cap."""
    position = equity * weight
    target = target_notional(action, equity=equity, position=position, limits=ExecutionLimits(allow_short=short))
    assert target * position >= 0
    assert (target - position) * action.direction >= 0
    assert abs(target) <= max(abs(position), equity * Decimal("0.20"))
    if not short:
        assert target >= min(position, Decimal(0))


@given(action=st.sampled_from(ACTIONS), equity=money, weight=weights, short=st.booleans())
def test_target_notional_array_equals_the_decimal_form(
    action: ActionMeaning, equity: Decimal, weight: Decimal, short: bool
) -> None:
    """Training and live size alike."""
    limits = ExecutionLimits(allow_short=short)
    position = equity * weight
    exact = target_notional(action, equity=equity, position=position, limits=limits)
    (many,) = target_notional_array(
        np.array([action.direction], dtype=np.int8),
        np.array([action.size]),
        np.array([float(equity)]),
        np.array([float(position)]),
        limits,
    )
    assert many == pytest.approx(float(exact), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("direction", [2, -2, True, 1.0, None])
def test_target_notional_refuses_a_direction_that_is_none(direction: object) -> None:
    """A direction that is not -1, 0 or +1 sizes nothing."""
    with pytest.raises(ActionError) as caught:
        target_notional(ActionMeaning(direction, 0.5, "?"), equity=Decimal(1), position=Decimal(0))  # type: ignore[arg-type] # the wrong type is the subject
    assert caught.value.code == "E403"
