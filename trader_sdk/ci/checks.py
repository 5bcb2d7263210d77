"""One list of checks; every rendering shows this list and adds nothing to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from trader_sdk.contract.compatibility import Mode
from trader_sdk.contract.errors import CheckpointError, Finding, SdkError, Severity, exit_code_of

SCHEMA: Final = "trader-sdk/compat-check@1"


class Suite(StrEnum):
    """What a check is about; reports list the suites in this order."""

    MODEL = "model"
    GOLDEN = "golden"
    FLEET = "fleet"
    READER = "reader"
    RUN = "run"


class Outcome(StrEnum):
    """How a check ended; MISSING is a golden that could not be fetched and was explicitly allowed to be absent."""

    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"


class Level(StrEnum):
    """How much a problem matters, in SARIF's words."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader of the report should look: a file or URL, and the line of a manifest."""

    file: str
    line: int | None = None


class Problem(NamedTuple):
    """One thing to say about a check."""

    code: str
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Check:
    """One judged statement.

    Attributes:
        suite: What kind of check.
        subject: The model: its path or URL as written, or the golden's name.
        place: Where to look.
        outcome: How it ended.
        against: What the model was held against, if not this trader: a fleet's trader, a released reader.
        model_version: As detected, None if the file could not be read so far.
        sha256: Of the file, None if it could not be read.
        error: Why it failed or is missing, None if it passed.
        findings: Everything that was seen, refusing or not.
        facts: Further plain data for programs.
    """

    suite: Suite
    subject: str
    place: Place
    outcome: Outcome
    against: str = ""
    model_version: str | None = None
    sha256: str | None = None
    error: SdkError | None = None
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def name(self) -> str:
        """Return the check's name, unique within its suite for distinct subjects."""
        return printable(f"{self.subject} on {self.against}" if self.against else self.subject)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Return what is to be said, safe to print on one line each."""
        refusing = set(findings_of(self.error)) if self.outcome is Outcome.FAILED and self.error else set()
        said = sorted(dict.fromkeys([*self.findings, *findings_of(self.error)]), key=self._rank(refusing))
        absent = self.outcome is Outcome.MISSING
        return tuple(Problem(f.code, _level(f, refusing, absent=absent), printable(str(f))) for f in said)

    def _rank(self, refusing: set[Finding]) -> Callable[[Finding], tuple[bool, bool]]:
        # What decided comes first, then what else refuses; otherwise in the order of the checks.
        code = self.error.code if self.error else ""
        return lambda finding: (finding.code != code, finding not in refusing)

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON data, keys in a fixed order."""
        document = {
            "suite": self.suite.value,
            "name": self.name,
            "subject": self.subject,
            "against": self.against or None,
            "outcome": self.outcome.value,
            "code": self.error.code if self.error else None,
            "file": self.place.file,
            "line": self.place.line,
            "model_version": self.model_version,
            "sha256": self.sha256,
            "error": self.error.to_dict() if self.error else None,
            "findings": [finding.to_dict() for finding in self.findings],
        }
        return {name: plain(value) for name, value in document.items()}


def _level(finding: Finding, refusing: set[Finding], *, absent: bool) -> Level:
    if absent:
        return Level.WARNING
    if finding in refusing or finding.severity is Severity.FATAL:
        return Level.ERROR
    return Level.WARNING if finding.severity is Severity.POLICY else Level.NOTE


def findings_of(error: SdkError | None) -> tuple[Finding, ...]:
    """Return an error's findings; the error itself as one where it names none."""
    if error is None or error.findings:
        return error.findings if error else ()
    expected = "" if error.expected is None else str(error.expected)
    actual = error.message if error.found in (None, "") else str(error.found)
    return (Finding(error.code, error.where, expected, actual, error.remedy),)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All checks of one run.

    Attributes:
        checks: In the order they were asked for; never empty, see :func:`report_of`.
        mode: Warn or strict.
        trader_version: The trader that the models were held against.
        at: Aware UTC time of the run.
    """

    checks: tuple[Check, ...]
    mode: Mode
    trader_version: str
    at: datetime

    @property
    def exit_code(self) -> int:
        """Return the exit code of the one table: the lowest of 3..9 over what failed, 0 if nothing did."""
        return exit_code_of(check.error for check in self.failed if check.error)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Return the checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    def count(self, outcome: Outcome) -> int:
        """Return how many checks ended so."""
        return sum(check.outcome is outcome for check in self.checks)

    @property
    def summary(self) -> str:
        """Return the run in one line."""
        passed, failed, missing = (self.count(outcome) for outcome in Outcome)
        absent = f", {missing} missing and allowed to be" if missing else ""
        total = f"{len(self.checks)} check{'' if len(self.checks) == 1 else 's'}"
        return f"{total} in {self.mode} mode: {passed} passed, {failed} failed{absent}"

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON data: schema id, fixed order, UTC, no NaN."""
        return {
            "schema_id": SCHEMA,
            "checked_at": timestamp(self.at),
            "mode": self.mode.value,
            "trader_version": self.trader_version,
            **{outcome.value: self.count(outcome) for outcome in Outcome},
            "exit_code": self.exit_code,
            "checks": [check.to_dict() for check in self.checks],
        }


def report_of(checks: Iterable[Check], mode: Mode, trader_version: str, at: datetime, where: str) -> CheckReport:
    """Return the report; a run that held nothing against anything is a failed check of its own (exit 3).

    Args:
        checks: What was judged.
        mode: Warn or strict.
        trader_version: The trader that the models were held against.
        at: Aware time of the run.
        where: What was asked to be checked, for the message.
    """
    judged = tuple(checks)
    if all(check.outcome is Outcome.MISSING for check in judged):
        error = CheckpointError(
            "E101",
            "nothing was checked",
            where=where,
            expected="at least one checkpoint",
            remedy="Name checkpoints, or folders that hold some; a check of nothing proves nothing.",
        )
        judged = (*judged, Check(Suite.RUN, "something was checked", Place(where), Outcome.FAILED, error=error))
    return CheckReport(judged, mode, trader_version, at)


def fleet_matrix(report: CheckReport) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the matrix of models and deployed traders: its columns, and a row a model; empty without a fleet."""
    cells = [check for check in report.checks if check.suite is Suite.FLEET]
    traders = tuple(dict.fromkeys(check.against for check in cells))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for check in cells:
        said = check.error.code if check.error else "runs"
        rows.setdefault((check.subject, check.model_version or ""), {})[check.against] = said
    return ("model", "version", *traders), [
        (*model, *(row.get(trader, "") for trader in traders)) for model, row in rows.items()
    ]


def timestamp(at: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC, seconds and ``Z``.

    Example:
        >>> timestamp(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
        '2026-03-04T05:06:07Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    r"""Return text with everything that could command a terminal, or break a line or an encoder, escaped.

    Example:
        >>> print(printable("a\x1b[31m\n"))
        a\x1b[31m\n
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def plain(value: Any) -> Any:
    """Return JSON data with every text printable; a file's own words may hold lone surrogates."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
