"""What GitHub Actions shows: annotations on lines, and a table in the step's summary."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Final

from trader_sdk.ci.checks import Check, CheckReport, Level, Outcome, Place, fleet_matrix

MAX_ROWS: Final = 500
"""Rows of the summary's table; GitHub drops a summary above 1 MiB as a whole."""

_MAX_CELL: Final = 300
_MARKS: Final = {Outcome.PASSED: "passed", Outcome.FAILED: "**failed**", Outcome.MISSING: "missing"}


def annotation_commands(report: CheckReport) -> Iterator[str]:
    """Yield a workflow command for each error and warning.

    Source:
        GitHub's workflow commands: ``%``, CR and LF are escaped in messages, ``:`` and ``,`` in properties too.
    """
    for check in report.checks:
        for problem in check.problems:
            if problem.level is not Level.NOTE:
                yield _command(problem.level, check.place, check.name, problem.text)


def _command(level: Level, place: Place, title: str, text: str) -> str:
    properties = {} if "://" in place.file else {"file": place.file}
    if place.line is not None:
        properties["line"] = str(place.line)
    properties["title"] = title
    written = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items())
    return f"::{level} {written}::{escape_data(text)}"


def escape_data(text: str) -> str:
    r"""Return a command's message so that it stays one.

    Example:
        >>> escape_data("50%\n::error::no")
        '50%25%0A::error::no'
    """
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Return a command's property so that it stays one.

    Example:
        >>> escape_property("a,b:c")
        'a%2Cb%3Ac'
    """
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def step_summary(report: CheckReport) -> str:
    """Return the report as a Markdown section; what failed comes first."""
    rows = sorted(report.checks, key=lambda check: check.outcome is not Outcome.FAILED)
    lines = [
        "### Model compatibility",
        "",
        f"{report.summary}, against trader {report.trader_version}.",
        "",
        "| outcome | check | model | found |",
        "| --- | --- | --- | --- |",
        *(_row(check) for check in rows[:MAX_ROWS]),
    ]
    if len(rows) > MAX_ROWS:
        lines += ["", f"{len(rows) - MAX_ROWS} more checks are in the report."]
    return "\n".join([*lines, "", *_matrix(report), ""])


def _matrix(report: CheckReport) -> list[str]:
    columns, rows = fleet_matrix(report)
    if not rows:
        return []
    table = [columns, ("---",) * len(columns), *rows[:MAX_ROWS]]
    written = [[cell if cell == "---" else escape_cell(cell) for cell in row] for row in table]
    return ["#### Models on deployed traders", "", *(f"| {' | '.join(row)} |" for row in written), ""]


def _row(check: Check) -> str:
    told = [problem.text for problem in check.problems if problem.level is not Level.NOTE]
    found = told[0] if told else " ".join(dict.fromkeys(problem.code for problem in check.problems))
    cells = (f"{check.suite}: {check.name}", check.model_version or "", found)
    return "| " + " | ".join([_MARKS[check.outcome], *map(escape_cell, cells)]) + " |"


def escape_cell(text: str) -> str:
    r"""Return text from anywhere as a table cell: no markup, no link, no image, one line.

    Example:
        >>> print(escape_cell("[x](y) | <b>"))
        \[x\]\(y\) \| &lt;b&gt;
    """
    short = text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}..."
    # A backslash keeps punctuation plain in Markdown; the colon is escaped so that no bare address becomes a link.
    marked = "".join(f"\\{character}" if character in "\\`*_[]()!|~#:@" else character for character in short)
    return html.escape(marked, quote=False)
