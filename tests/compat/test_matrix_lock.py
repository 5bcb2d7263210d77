"""The registry is append-only: released rows are locked by their digests."""

import copy

import lock
import pytest

from trader_sdk.contract.spec import read_matrix


def test_released_rows_are_as_they_were_released() -> None:
    """No row was edited or removed, and every row is locked."""
    assert lock.faults(lock.row_digests(read_matrix()), lock.locked(lock.LOCK.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("kind", "name", "field", "value"),
    [
        ("model", "2.4.0", "min_trader", "2.3.0"),
        ("model", "2.7.0", "n_actions", 3),
        ("trader", "2.7.0", "models", ">=2.3.0"),
        ("actions", "actions/discrete3@1", "names", ["HOLD", "SELL", "BUY"]),
    ],
)
def test_lock_sees_an_edited_row(kind: str, name: str, field: str, value: object) -> None:
    """Any changed field of any kind of row is named."""
    matrix = copy.deepcopy(read_matrix())
    matrix[kind][name][field] = value
    held = lock.locked(lock.LOCK.read_text("utf-8"))
    assert lock.faults(lock.row_digests(matrix), held) == [f"{kind} {name}: a released row was edited or removed"]


def test_lock_sees_removed_and_new_rows() -> None:
    """A removed row is a fault for ever; a new one until it is locked."""
    matrix = copy.deepcopy(read_matrix())
    matrix["model"]["2.8.0"] = matrix["model"].pop("2.3.0")
    held = lock.locked(lock.LOCK.read_text("utf-8"))
    assert lock.faults(lock.row_digests(matrix), held) == [
        "model 2.3.0: a released row was edited or removed",
        "model 2.8.0: not locked yet, run compat/lock.py --add",
    ]
