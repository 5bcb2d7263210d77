"""The list of checks: counts, exit code, problems and what is safe to print."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.ci.checks import (
    Check,
    CheckReport,
    Level,
    Outcome,
    Place,
    Suite,
    findings_of,
    fleet_matrix,
    plain,
    printable,
    report_of,
)
from trader_sdk.contract.compatibility import Mode
from trader_sdk.contract.errors import CheckpointError, CompatibilityError, Finding, SdkError, error_for

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def check(name: str = "a", outcome: Outcome = Outcome.PASSED, **fields: object) -> Check:
    return Check(fields.pop("suite", Suite.MODEL), name, Place(f"{name}.pt"), outcome, **fields)  # type: ignore[arg-type]  # test data


def failed(code: str, name: str = "a") -> Check:
    return check(name, Outcome.FAILED, error=error_for(code, "it is wrong", where="there"))


@pytest.mark.parametrize(
    ("codes", "exit_code"), [([], 0), (["E501"], 4), (["E501", "E103"], 3), (["CONFIG"], 2), (["CONFIG", "E401"], 4)]
)
def test_exit_code_is_the_lowest_of_what_failed(codes: list[str], exit_code: int) -> None:
    """The one table's rule for several files holds for checks of any kind."""
    report = CheckReport((check(), *map(failed, codes)), Mode.WARN, "2.7.0", AT)
    assert report.exit_code == exit_code


@pytest.mark.parametrize("missing", [0, 2])
def test_report_of_nothing_is_a_failed_check(missing: int) -> None:
    """Nothing checked is exit 3, also when everything was missing and allowed to be."""
    absent = [check(str(n), Outcome.MISSING, error=CheckpointError("E101", "gone")) for n in range(missing)]
    report = report_of(absent, Mode.WARN, "2.7.0", AT, "models")
    assert report.exit_code == 3
    assert [member.suite for member in report.checks] == [Suite.MODEL] * missing + [Suite.RUN]


def test_missing_goldens_do_not_fail_beside_a_checked_model() -> None:
    """What was explicitly allowed to be absent is counted, and that is all."""
    absent = check("b", Outcome.MISSING, error=CheckpointError("E101", "gone"))
    report = report_of([check(), absent], Mode.WARN, "2.7.0", AT, "models")
    assert report.exit_code == 0
    assert "1 passed, 0 failed, 1 missing" in report.summary
    assert [problem.level for problem in absent.problems] == [Level.WARNING]


@pytest.mark.parametrize(("code", "outcome"), list(product(["E401", "W310", "W305"], [Outcome.PASSED, Outcome.FAILED])))
def test_level_follows_class_and_refusal(code: str, outcome: Outcome) -> None:
    """A refusing finding is an error whatever its class; else POLICY is a warning and INFO a note."""
    finding = Finding(code)
    error = CompatibilityError("E501", "no", findings=[finding]) if outcome is Outcome.FAILED else None
    (problem,) = check("a", outcome, findings=(finding,), error=error).problems
    expected = {"E401": Level.ERROR, "W310": Level.WARNING, "W305": Level.NOTE}[code]
    assert problem.level is (Level.ERROR if outcome is Outcome.FAILED else expected)


def test_problem_that_decided_comes_first() -> None:
    """A person reads one line; it is the one that refused."""
    findings = (Finding("W305"), Finding("W310"), Finding("E401"))
    error = error_for("E401", "no", findings=findings[1:])
    codes = [problem.code for problem in check("a", Outcome.FAILED, findings=findings, error=error).problems]
    assert codes == ["E401", "W310", "W305"]


def test_error_without_findings_becomes_one() -> None:
    """What was found survives in every rendering; where nothing was, the message does."""
    (finding,) = findings_of(CheckpointError("E103", "other bytes", where="a.pt", expected="x", found="y"))
    assert (finding.where, finding.expected, finding.actual) == ("a.pt", "x", "y")


@given(st.text(st.characters()))
def test_printable_text_has_no_way_out(text: str) -> None:
    """Whatever a file calls itself stays one line that any terminal and encoder take."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert len(shown.splitlines()) <= 1


def test_plain_reaches_every_text() -> None:
    """Keys and nested values are as safe as the surface."""
    assert plain({"\x1b": ["\ud800", {"n": 1, "t": (True, None)}]}) == {
        "\\x1b": ["\\ud800", {"n": 1, "t": [True, None]}]
    }


def test_matrix_has_a_row_a_model_and_a_column_a_trader() -> None:
    """Each cell says whether that model runs there, or the code that stops it."""

    def cell(model: str, trader: str, error: SdkError | None = None) -> Check:
        outcome = Outcome.FAILED if error else Outcome.PASSED
        return check(model, outcome, suite=Suite.FLEET, against=trader, model_version="2.7.0", error=error)

    cells = (
        cell("a", "east"),
        cell("a", "west", CompatibilityError("E501", "no")),
        cell("b", "east"),
        cell("b", "west"),
    )
    columns, rows = fleet_matrix(CheckReport((check(), *cells), Mode.WARN, "2.7.0", AT))
    assert columns == ("model", "version", "east", "west")
    assert rows == [("a", "2.7.0", "runs", "E501"), ("b", "2.7.0", "runs", "runs")]


def test_report_as_data_is_stable_and_complete(tmp_path: Path) -> None:
    """Schema id first, UTC, counts, and each check with the same keys in the same order."""
    document = CheckReport((check(), failed("E103", "b")), Mode.STRICT, "2.7.0", AT).to_dict()
    assert list(document) == [
        "schema_id", "checked_at", "mode", "trader_version", "passed", "failed", "missing", "exit_code", "checks",
    ]  # fmt: skip
    assert (document["checked_at"], document["passed"], document["failed"]) == ("2026-03-04T05:06:07Z", 1, 1)
    first, second = document["checks"]
    assert list(first) == list(second)
    assert (second["code"], second["error"]["exit_code"]) == ("E103", 3)
