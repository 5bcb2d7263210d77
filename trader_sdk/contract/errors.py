"""Typed errors with evidence and remedy, and the one table that gives each its slug, class and exit code."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple

from trader_sdk.contract.package_data import package_text

EXIT_OK: Final = 0
EXIT_USAGE: Final = 2
EXIT_SIGINT: Final = 130

_MAX_FACT: Final = 500
_MAX_PLACE: Final = 1000
_MAX_LISTED: Final = 12


class Severity(StrEnum):
    """What a finding does: FATAL refuses in both modes, POLICY refuses in strict, INFO is a note."""

    FATAL = "FATAL"
    POLICY = "POLICY"
    INFO = "INFO"


class ErrorKind(NamedTuple):
    """One row of the error table."""

    code: str
    slug: str
    family: str
    severity: Severity
    exit_code: int
    remedy: str


class _Table(Mapping[str, ErrorKind]):
    """The rows of ``errors.toml``, each parsed when it is first asked for: most processes ask for one or two."""

    def __init__(self, text: str) -> None:
        _, *tables = text.split("\n[")
        self._rows = {code: row for code, _, row in (table.partition("]\n") for table in tables)}
        self._kinds: dict[str, ErrorKind] = {}

    def __getitem__(self, code: str) -> ErrorKind:
        if code not in self._kinds:
            self._kinds[code] = _kind(code, tomllib.loads(self._rows[code]))
        return self._kinds[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _kind(code: str, row: Mapping[str, Any]) -> ErrorKind:
    return ErrorKind(code, row["slug"], row["family"], Severity(row["class"]), row["exit"], row["remedy"])


ERROR_TABLE: Final[Mapping[str, ErrorKind]] = _Table(package_text("errors.toml"))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw.

    Args:
        code: A code of :data:`ERROR_TABLE`.
        where: What was looked at: a file, a field, a tensor.
        expected: What the contract asks for, as text.
        actual: What was found, as text.
        remedy: What to do; the table's own remedy when empty.

    A text longer than a page is cut: a file's own words must not fill a report.
    """

    code: str
    where: str = ""
    expected: str = ""
    actual: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        if not self.remedy:
            object.__setattr__(self, "remedy", ERROR_TABLE[self.code].remedy)
        for name, limit in (("where", _MAX_PLACE), ("expected", _MAX_FACT), ("actual", _MAX_FACT)):
            text = getattr(self, name)
            if len(text) > limit:
                object.__setattr__(self, name, _cut(text, limit))

    @property
    def slug(self) -> str:
        """Return the table's short name of this finding."""
        return ERROR_TABLE[self.code].slug

    @property
    def severity(self) -> Severity:
        """Return FATAL, POLICY or INFO."""
        return ERROR_TABLE[self.code].severity

    def to_dict(self) -> dict[str, str]:
        """Return the finding as plain JSON data."""
        return {
            "code": self.code,
            "slug": self.slug,
            "class": self.severity.value,
            "where": self.where,
            "expected": self.expected,
            "actual": self.actual,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        place = f" at {_line(self.where, _MAX_PLACE)}" if self.where else ""
        facts = _facts(self.expected, self.actual)
        return f"{self.code} {self.slug}{place}{': ' + facts if facts else ''}. {self.remedy}"


def _facts(expected: object, found: object) -> str:
    parts = []
    if expected not in (None, ""):
        parts.append(f"expected {_line(expected, _MAX_FACT)}")
    if found not in (None, ""):
        parts.append(f"found {_line(found, _MAX_FACT)}")
    return ", ".join(parts)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _line(value: object, limit: int) -> str:
    # What a file says may hold what commands a terminal, and may be as long as a file.
    text = _cut(str(value), limit)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


class SdkError(Exception):
    """Root of every error this package raises on purpose.

    Args:
        code: A code of :data:`ERROR_TABLE`; its family must be the class's own.
        message: What happened, one clause without a full stop.
        where: File, field, row or endpoint.
        expected: What was asked for.
        found: What was there instead.
        remedy: What to do; the table's remedy when omitted.
        findings: Several faults of one subject, reported together.
        evidence: Further named facts, kept in :attr:`evidence`.
    """

    families: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str = "",
        expected: object = None,
        found: object = None,
        remedy: str | None = None,
        findings: Iterable[Finding] = (),
        **evidence: Any,
    ) -> None:
        kind = ERROR_TABLE[code]
        if self.families and kind.family not in self.families:
            raise TypeError(f"{type(self).__name__} cannot carry {code}: it is of the family {kind.family}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = kind.remedy if remedy is None else remedy
        self.findings = tuple(findings)
        self.evidence: dict[str, Any] = evidence

    @property
    def slug(self) -> str:
        """Return the table's short name of this error."""
        return ERROR_TABLE[self.code].slug

    @property
    def exit_code(self) -> int:
        """Return the process exit code that the command line gives for this error."""
        return ERROR_TABLE[self.code].exit_code

    def __str__(self) -> str:
        place = f" [{_line(self.where, _MAX_PLACE)}]" if self.where else ""
        facts = _facts(self.expected, self.found)
        text = f"{self.code} {self.slug}: {self.message}{place}"
        if facts:
            text += f"; {facts}"
        others = [f for f in self.findings if f.code != self.code or len(self.findings) > 1]
        if len(others) > 1:
            listed = [f"{f.code} {_line(f.where, _MAX_FACT)}".strip() for f in others[:_MAX_LISTED]]
            text += f"; {len(others)} findings: " + ", ".join(listed) + (", ..." if len(others) > len(listed) else "")
        return f"{text}. {self.remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain JSON data."""
        return {
            "code": self.code,
            "slug": self.slug,
            "message": self.message,
            "where": self.where,
            "expected": None if self.expected is None else str(self.expected),
            "found": None if self.found is None else str(self.found),
            "remedy": self.remedy,
            "exit_code": self.exit_code,
            "findings": [finding.to_dict() for finding in self.findings],
            "evidence": {key: str(value) for key, value in self.evidence.items()},
        }

    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "remedy": self.remedy,
            "findings": self.findings,
            **self.evidence,
        }
        return _rebuild, (type(self), self.code, self.message, state)


def _rebuild(cls: type[SdkError], code: str, message: str, state: dict[str, Any]) -> SdkError:
    return cls(code, message, **state)


class UsageError(SdkError):
    """Wrong arguments: nothing was run (exit 2)."""

    families: ClassVar[tuple[str, ...]] = ("usage", "config", "data")


class ConfigError(UsageError):
    """A setting is missing, unknown or contradictory (exit 2)."""

    families: ClassVar[tuple[str, ...]] = ("config",)


class DataError(UsageError):
    """Bars are unreadable or invalid (exit 2)."""

    families: ClassVar[tuple[str, ...]] = ("data",)


class CheckpointError(SdkError):
    """A checkpoint's bytes cannot be read, trusted or used (1xx, exit 3)."""

    families: ClassVar[tuple[str, ...]] = ("checkpoint",)


class VersionError(SdkError):
    """A model version is missing, malformed or unknown (2xx, exit 4)."""

    families: ClassVar[tuple[str, ...]] = ("version",)


class ContractError(SdkError):
    """A file contradicts itself or the contract (3xx, exit 4)."""

    families: ClassVar[tuple[str, ...]] = ("contract",)


class ActionError(SdkError):
    """An action, its table or an observation is invalid (4xx, exit 4)."""

    families: ClassVar[tuple[str, ...]] = ("action",)


class CompatibilityError(SdkError):
    """Model and trader do not fit (5xx, exit 4)."""

    families: ClassVar[tuple[str, ...]] = ("compatibility",)


class ArchiveError(SdkError):
    """The archive has no deployable model, or is damaged (6xx, exit 5)."""

    families: ClassVar[tuple[str, ...]] = ("archive",)


class LifecycleError(SdkError):
    """A swap, a shadow or an evaluation was refused (7xx, exit 5)."""

    families: ClassVar[tuple[str, ...]] = ("lifecycle",)


class BrokerError(SdkError):
    """The broker refused, could not be reached or replied unexpectedly (8xx, exit 6)."""

    families: ClassVar[tuple[str, ...]] = ("broker",)


class InvariantViolated(SdkError):  # noqa: N818 - the name users know
    """A training invariant broke (9xx, exit 7); ``evidence`` holds id, epoch, value, limit and regime."""

    families: ClassVar[tuple[str, ...]] = ("invariant",)


class StorageError(SdkError):
    """Journal, disk or lock failed (exit 8)."""

    families: ClassVar[tuple[str, ...]] = ("storage",)


class HaltedError(SdkError):
    """Risk or reconciliation halted trading (exit 9)."""

    families: ClassVar[tuple[str, ...]] = ("halted",)


_CLASS_OF_FAMILY: Final[Mapping[str, type[SdkError]]] = {
    "usage": UsageError,
    "config": ConfigError,
    "data": DataError,
    "checkpoint": CheckpointError,
    "version": VersionError,
    "contract": ContractError,
    "action": ActionError,
    "compatibility": CompatibilityError,
    "archive": ArchiveError,
    "lifecycle": LifecycleError,
    "broker": BrokerError,
    "invariant": InvariantViolated,
    "storage": StorageError,
    "halted": HaltedError,
}


def error_for(code: str, message: str, **details: Any) -> SdkError:
    """Return the error of the family that ``code`` belongs to."""
    return _CLASS_OF_FAMILY[ERROR_TABLE[code].family](code, message, **details)


def exit_code_of(errors: Iterable[SdkError]) -> int:
    """Return one exit code for several failed files: the lowest of 3..9, else the lowest there is, else 0."""
    codes = sorted(error.exit_code for error in errors)
    documented = [code for code in codes if 3 <= code <= 9]
    return (documented or codes or [EXIT_OK])[0]
