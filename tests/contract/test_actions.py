"""Action tables, enumerated."""

import numpy as np
import pytest

from trader_sdk import MODEL_SPECS, ActionError, interpret_action

SEVEN = {0: (0, 0.0), 1: (1, 0.25), 2: (1, 0.5), 3: (1, 0.75), 4: (-1, 0.25), 5: (-1, 0.5), 6: (-1, 0.75)}
THREE = {0: (0, 0.0), 1: (1, 0.5), 2: (-1, 0.5)}


@pytest.mark.parametrize("version", MODEL_SPECS)
@pytest.mark.parametrize("kind", [int, np.int64, np.int8, np.uint16])
def test_interpret_action_gives_the_table_for_every_index(version: str, kind: type) -> None:
    """Every index of every version means what the protocol's table says, whatever integer type it has."""
    spec = MODEL_SPECS[version]
    table = SEVEN if spec.n_actions == 7 else THREE
    assert {index: tuple(interpret_action(kind(index), spec))[:2] for index in range(spec.n_actions)} == table


@pytest.mark.parametrize("action", [-1, 7, 3.0, True, np.bool_(True), float("nan"), "1", None, 2**70, np.float32(1)])
def test_interpret_action_refuses_what_is_no_index(action: object) -> None:
    """Nothing but an integer inside the table is an action."""
    with pytest.raises(ActionError) as caught:
        interpret_action(action, MODEL_SPECS["2.7.0"])  # type: ignore[arg-type] # the wrong type is the subject
    assert caught.value.code == "E402"


def test_interpret_action_index_two_turns_around_between_versions() -> None:
    """The most dangerous index: SELL with three actions, BUY_50% with seven."""
    assert interpret_action(2, MODEL_SPECS["2.6.0"]).name == "SELL"
    assert interpret_action(2, MODEL_SPECS["2.7.0"]).name == "BUY_50%"
