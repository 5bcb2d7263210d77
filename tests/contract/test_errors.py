"""The error table and the errors that use it."""

import pickle
import tomllib

import pytest

from trader_sdk.contract import errors
from trader_sdk.contract.errors import ERROR_TABLE, Finding, SdkError, Severity, error_for, exit_code_of
from trader_sdk.contract.package_data import package_text
from trader_sdk.contract.reasons import REASON_REMEDIES, Reason

EXIT_OF_FAMILY = {
    "usage": 2, "config": 2, "data": 2, "checkpoint": 3, "version": 4, "contract": 4, "action": 4, "compatibility": 4,
    "archive": 5, "lifecycle": 5, "broker": 6, "invariant": 7, "storage": 8, "halted": 9,
}  # fmt: skip


@pytest.mark.parametrize("code", ERROR_TABLE)
def test_error_table_rows_are_whole(code: str) -> None:
    """Each code has a family with its exit code, a remedy that is a sentence, and survives pickling as an error."""
    kind = ERROR_TABLE[code]
    assert kind.exit_code == (0 if kind.severity is Severity.INFO else EXIT_OF_FAMILY[kind.family])
    assert kind.remedy.endswith(".")
    error = error_for(code, "what happened", where="field", expected=1, found=2, row=3, findings=[Finding(code)])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), again.evidence) == (type(error), str(error), {"row": 3})
    assert all(part in str(error) for part in (code, kind.slug, "what happened", "field", "expected 1", "found 2"))


def test_error_class_refuses_a_code_of_another_family() -> None:
    """An error's class always tells its exit code."""
    with pytest.raises(TypeError):
        errors.ArchiveError("E101", "wrong family")


def test_every_family_has_its_error_class() -> None:
    """No code falls back to the root."""
    assert all(type(error_for(code, "x")) is not SdkError for code in ERROR_TABLE)


def test_exit_code_of_several_failures_is_the_lowest_documented() -> None:
    """When files fail differently the most basic failure wins; usage does not hide a broken checkpoint."""
    failures = [error_for(code, "x") for code in ("E601", "E101", "BARS")]
    assert exit_code_of(failures) == 3
    assert exit_code_of([]) == 0


def test_every_reason_has_a_remedy() -> None:
    """A person who asks why nothing traded is told what to do."""
    assert set(REASON_REMEDIES) == set(Reason)


def test_error_table_row_by_row_is_the_table_as_toml_reads_it() -> None:
    """A row that is parsed alone, when it is needed, says what it says in the whole file."""
    rows = tomllib.loads(package_text("errors.toml"))
    assert list(ERROR_TABLE) == list(rows)
    assert len(ERROR_TABLE) == len(rows)
    for code, row in rows.items():
        kind = ERROR_TABLE[code]
        stated = (row["slug"], row["family"], row["class"], row["exit"], row["remedy"])
        assert (kind.slug, kind.family, kind.severity, kind.exit_code, kind.remedy) == stated
    with pytest.raises(KeyError):
        ERROR_TABLE["E999"]
