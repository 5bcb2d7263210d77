"""JUnit XML: a case a check."""

from __future__ import annotations

from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from trader_sdk.ci.checks import Check, CheckReport, Outcome, timestamp


def junit(report: CheckReport) -> bytes:
    """Return the report as JUnit XML (UTF-8), a suite for each kind of check.

    Only elements and attributes that both the Jenkins and the Surefire schema know are written. No durations: they
    would make two equal runs differ.

    Source:
        junit-10.xsd of the Jenkins xUnit plugin.
    """
    root = Element("testsuites", _counts("trader compat check", report.checks))
    for suite, members in groupby(sorted(report.checks, key=_suite_order), key=lambda check: check.suite):
        checks = tuple(members)
        skipped = sum(check.outcome is Outcome.MISSING for check in checks)
        attributes = {**_counts(suite.value, checks), "skipped": str(skipped), "timestamp": timestamp(report.at)[:-1]}
        element = SubElement(root, "testsuite", attributes)
        _add_properties(element, report)
        for check in checks:
            _add_case(element, check)
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _suite_order(check: Check) -> int:
    return list(type(check.suite)).index(check.suite)


def _counts(name: str, checks: tuple[Check, ...]) -> dict[str, str]:
    failures = sum(check.outcome is Outcome.FAILED for check in checks)
    return {"name": name, "tests": str(len(checks)), "failures": str(failures), "errors": "0"}


def _add_properties(suite: Element, report: CheckReport) -> None:
    properties = SubElement(suite, "properties")
    for name, value in (("mode", report.mode.value), ("trader_version", report.trader_version)):
        SubElement(properties, "property", {"name": name, "value": value})


def _add_case(suite: Element, check: Check) -> None:
    case = SubElement(suite, "testcase", {"classname": f"compat.{check.suite}", "name": check.name})
    if check.error is None:
        return
    kind = "failure" if check.outcome is Outcome.FAILED else "skipped"
    first = check.problems[0]
    element = SubElement(case, kind, {"type": check.error.code, "message": first.text})
    line = "" if check.place.line is None else f":{check.place.line}"
    element.text = "\n".join([f"{check.place.file}{line}", *(problem.text for problem in check.problems)])
