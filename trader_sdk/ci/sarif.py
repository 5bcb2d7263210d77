"""SARIF 2.1.0: a result for each thing that was found."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from trader_sdk.ci.checks import Check, CheckReport, Level, Place, Problem, timestamp
from trader_sdk.contract.errors import ERROR_TABLE, Severity

SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {Severity.FATAL: Level.ERROR, Severity.POLICY: Level.WARNING, Severity.INFO: Level.NOTE}


def sarif(report: CheckReport, version: str) -> dict[str, Any]:
    """Return the report as a SARIF log.

    Args:
        report: The checks.
        version: Of the distribution that checked.

    Source:
        SARIF 2.1.0, sections 3.14 (run), 3.27 (result) and 3.49 (rule).
    """
    found = [(check, problem) for check in report.checks for problem in check.problems]
    codes = sorted({problem.code for _, problem in found})
    run = {
        "tool": {"driver": {"name": "trader compat check", "version": version, "rules": list(map(_rule, codes))}},
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": report.exit_code,
                "startTimeUtc": timestamp(report.at),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_result(check, problem, codes.index(problem.code)) for check, problem in found],
    }
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    kind = ERROR_TABLE[code]
    words = kind.slug.split("-")
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in words),
        "shortDescription": {"text": " ".join(words).capitalize()},
        "fullDescription": {"text": f"{kind.slug} ({kind.severity})"},
        "help": {"text": kind.remedy},
        "defaultConfiguration": {"level": _LEVELS[kind.severity].value},
    }


def _result(check: Check, problem: Problem, rule: int) -> dict[str, Any]:
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": problem.level.value,
        "message": {"text": f"{check.name}: {problem.text}"},
        "locations": [{"physicalLocation": _location(check.place)}],
        "partialFingerprints": {"check/v1": _fingerprint(check, problem)},
    }


def _location(place: Place) -> dict[str, Any]:
    # A viewer needs a line to show anything; a checkpoint has none but its first.
    return {"artifactLocation": artifact(place.file), "region": {"startLine": place.line or 1}}


def artifact(file: str) -> dict[str, str]:
    """Return a file's location: relative to the repository, absolute, or a URL as it is.

    Example:
        >>> artifact("models/a b.pt")
        {'uri': 'models/a%20b.pt', 'uriBaseId': '%SRCROOT%'}
    """
    if "://" in file:
        return {"uri": quote(file, safe=":/?#[]@!$&'()*+,;=%-._~")}
    path = Path(file)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix(), safe="/"), "uriBaseId": "%SRCROOT%"}


def _fingerprint(check: Check, problem: Problem) -> str:
    identity = "\0".join((check.suite, check.name, problem.code))
    return hashlib.sha256(identity.encode("utf-8")).hexdigest()
