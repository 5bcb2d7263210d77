"""Whether this trader may run this model: a pure report of every check, and the one function that enforces it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from packaging.version import InvalidVersion, Version

from trader_sdk.contract.detect import Detection, VersionSource, detect_version_from_checkpoint
from trader_sdk.contract.errors import ConfigError, Finding, Severity, error_for
from trader_sdk.contract.pins import Pin as Pin
from trader_sdk.contract.pins import Recall as Recall
from trader_sdk.contract.pins import asserted_schema, pin_conflicts, pinned, pins_in_force, recall_findings
from trader_sdk.contract.ranges import admits, read_specifier
from trader_sdk.contract.spec import CURRENT_TRADER_VERSION, MODEL_SPECS, ModelSpec, trader_row

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

ForwardCompat = Literal["same-major"]


class Mode(StrEnum):
    """How findings of class POLICY are treated."""

    WARN = "warn"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class CompatReport:
    """Every check of one model against one trader.

    Attributes:
        model_version: The version, or candidates joined by ``|``.
        trader_version: The trader it was checked against.
        spec: What the model means.
        source: How the version was found.
        activation: The activation that will be used, None if it has to be assumed.
        findings: All findings, in the order of the checks.
        asserted_schema: ``sha256:<hex>`` of the features that a pin asserts; None where no pin does.
    """

    model_version: str
    trader_version: str
    spec: ModelSpec
    source: VersionSource
    activation: str | None
    findings: tuple[Finding, ...]
    asserted_schema: str | None = None

    def refusals(self, mode: Mode) -> tuple[Finding, ...]:
        """Return the findings that refuse in ``mode``."""
        refusing = {Severity.FATAL} if mode is Mode.WARN else {Severity.FATAL, Severity.POLICY}
        return tuple(finding for finding in self.findings if finding.severity in refusing)

    def loads(self, mode: Mode) -> bool:
        """Return whether the model loads in ``mode``."""
        return not self.refusals(mode)

    def with_findings(self, *more: Finding) -> CompatReport:
        """Return the report with further findings."""
        return replace(self, findings=(*self.findings, *more))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        return {
            "model_version": self.model_version,
            "trader_version": self.trader_version,
            "source": self.source.value,
            "obs_dim": self.spec.obs_dim,
            "n_actions": self.spec.n_actions,
            "activation": self.activation,
            "warn": self.loads(Mode.WARN),
            "strict": self.loads(Mode.STRICT),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def check_compatibility(
    detection: Detection,
    trader: str = CURRENT_TRADER_VERSION,
    *,
    sha256: str | None = None,
    pins: Sequence[Pin] = (),
    recalls: Sequence[Recall] = (),
    at: datetime | None = None,
    forward_compat: ForwardCompat | None = None,
    max_model_age: timedelta | None = None,
) -> CompatReport:
    """Run every check of a model against a trader; pure.

    Args:
        detection: What the file is.
        trader: Trader version, ``X.Y.Z``.
        sha256: Digest of the file (hex), needed for pins and recalls.
        pins: What people assert about files; only those of this digest and not expired at ``at`` count.
        recalls: Digests and versions that must not run.
        at: Aware UTC time of the check, needed for expiry and age.
        forward_compat: ``"same-major"`` accepts newer self-contained models in strict mode too.
        max_model_age: Oldest ``data_end`` that is not called stale.

    Returns:
        The report with all findings.

    Raises:
        ConfigError: The trader version is malformed, or an age is asked for without a time.
    """
    trader_version = _parse_trader(trader)
    if max_model_age is not None and at is None:
        raise ConfigError("CONFIG", "max_model_age needs the time of the check", where="at")
    held = pins_in_force(pins, sha256, at)
    known = pinned(detection, held)
    findings = [
        *_settled(known.findings, known, forward_compat),
        *pin_conflicts(detection, held, _stated_schema(detection) if held else None),
        *_range_findings(known, trader_version),
        *recall_findings(known, sha256, recalls),
        *_feature_findings(known, held),
        *_activation_findings(known),
        *_age_findings(known, at, max_model_age),
    ]
    return CompatReport(
        known.version,
        trader,
        known.spec,
        known.source,
        known.activation,
        tuple(dict.fromkeys(findings)),
        asserted_schema(held),
    )


def enforce(report: CompatReport, mode: Mode) -> ModelSpec:
    """Return the spec of a model that may run in ``mode``; the only code that reads the mode.

    Raises:
        SdkError: Of the family of the first refusing finding, with all of them in ``findings``.
    """
    refusals = report.refusals(mode)
    if not refusals:
        return report.spec
    first = next((finding for finding in refusals if finding.severity is Severity.FATAL), refusals[0])
    raise error_for(
        first.code,
        f"model {report.model_version} is refused by trader {report.trader_version} in {mode} mode",
        where=first.where,
        expected=first.expected,
        found=first.actual,
        remedy=first.remedy,
        findings=refusals,
        model_version=report.model_version,
        trader_version=report.trader_version,
    )


def assert_compatibility(
    checkpoint: Mapping[str, Any], strict: bool = False, *, trader_version: str | None = None
) -> ModelSpec:
    """Detect, check and enforce in one call.

    Args:
        checkpoint: Mapping with ``policy_state_dict`` and metadata, as saved.
        strict: Refuse POLICY findings too.
        trader_version: Trader to check against; the current one when None.

    Returns:
        The model's spec.

    Raises:
        SdkError: Whatever detection or the check refuses.
    """
    report = check_compatibility(
        detect_version_from_checkpoint(checkpoint),
        CURRENT_TRADER_VERSION if trader_version is None else trader_version,
    )
    return enforce(report, Mode.STRICT if strict else Mode.WARN)


def _parse_trader(text: str) -> Version:
    try:
        return Version(text)
    except (InvalidVersion, TypeError) as error:
        raise ConfigError(
            "CONFIG", "malformed trader version", where="trader_version", found=f"{text!r:.40}"
        ) from error


def _settled(findings: Sequence[Finding], detection: Detection, forward_compat: ForwardCompat | None) -> list[Finding]:
    settled = set()
    if detection.source is VersionSource.PIN:
        settled.add("E202")
    if forward_compat == "same-major":
        settled.add("W206")
    return [finding for finding in findings if finding.code not in settled]


def _range_findings(detection: Detection, trader: Version) -> list[Finding]:
    known = [MODEL_SPECS[version] for version in detection.candidates if version in MODEL_SPECS]
    floors = [Version(spec.min_trader_version) for spec in known]
    row = trader_row(str(trader))
    in_row = row is not None and all(admits(row.models, version, "matrix") for version in detection.candidates)
    by_matrix = not known or (all(trader >= floor for floor in floors) and in_row)
    findings = []
    if not by_matrix:
        least = max(map(str, floors), key=Version)
        findings.append(Finding("E501", where="trader", expected=f"trader {least} or newer", actual=str(trader)))
    return findings + _file_range_findings(detection, trader, by_matrix, floors)


def _file_range_findings(
    detection: Detection, trader: Version, by_matrix: bool, floors: list[Version]
) -> list[Finding]:
    metadata = detection.metadata
    findings: list[Finding] = []
    minimum = metadata.text("min_trader_version")
    ranges = {"requires_trader": metadata.text("requires_trader") or ""}
    if minimum is not None:
        ranges["min_trader_version"] = f">={minimum}"
    by_file = all(admits(text, str(trader), name) for name, text in ranges.items())
    if not by_file:
        lower = _intersection(ranges)
        below = [clause for clause in lower if not clause.contains(trader, prereleases=True)]
        too_old = any(
            clause.operator in (">=", ">", "~=", "==") and trader < Version(clause.version.removesuffix(".*"))
            for clause in below
        )
        wanted = str(lower)
        findings.append(
            Finding("E501" if too_old else "E502", where="requires_trader", expected=wanted, actual=str(trader))
        )
    differs = minimum is not None and floors and Version(minimum) != max(floors)
    if floors and (by_file != by_matrix or differs):
        findings.append(
            Finding(
                "W506",
                where="min_trader_version",
                expected=f"{max(floors)} (matrix)",
                actual=f"{_intersection(ranges)} (file)",
            )
        )
    if any(admits(f"=={text}", str(trader), "bad_traders") for text in metadata.fields.get("bad_traders", ())):
        findings.append(Finding("E503", where="bad_traders", actual=str(trader)))
    return findings


def _intersection(ranges: Mapping[str, str]) -> SpecifierSet:
    first, *others = (read_specifier(text, name) for name, text in ranges.items())
    for other in others:
        first &= other
    return first


def _stated_schema(detection: Detection) -> str | None:
    from trader_sdk.contract.canonical import sha256_of

    document = detection.metadata.fields.get("feature_schema")
    return sha256_of(document) if document is not None else detection.metadata.text("feature_schema_sha256")


def _feature_findings(detection: Detection, pins: Sequence[Pin]) -> list[Finding]:
    fields = detection.metadata.fields
    findings = []
    if "feature_schema" not in fields and asserted_schema(pins) is None:
        findings.append(Finding("W305", where="feature_schema"))
    for name in ("feature_schema", "constants"):
        stated, value = fields.get(f"{name}_sha256"), fields.get(name)
        if stated is None or value is None:
            continue
        # Imported here: with it comes json, and a file without a feature schema needs none.
        from trader_sdk.contract.canonical import sha256_of

        actual = sha256_of(value)
        if stated.removeprefix("sha256:") != actual.removeprefix("sha256:"):
            findings.append(Finding("E304", where=name, expected=stated, actual=actual))
    semantics = fields.get("semantics")
    if semantics == "unproven" or (semantics == "proven" and "golden_probe" not in fields):
        actual = "unproven" if semantics == "unproven" else "called proven, without a golden probe"
        findings.append(Finding("W311", where="semantics", actual=actual))
    return findings


def _activation_findings(detection: Detection) -> list[Finding]:
    if detection.activation is not None or "golden_probe" in detection.metadata.fields:
        return []
    return [Finding("W310", where="activation", expected="a stated activation", actual="tanh assumed")]


def _age_findings(detection: Detection, at: datetime | None, max_model_age: timedelta | None) -> list[Finding]:
    if at is None or max_model_age is None:
        return []
    return stale_findings(detection.metadata.text("data_end"), at, max_model_age)


def stale_findings(data_end: str | None, at: datetime, max_model_age: timedelta) -> list[Finding]:
    """Return W706 where a model's data ended too long ago, or where nothing says when.

    Args:
        data_end: As the file states it, RFC 3339; a time without its offset is UTC.
        at: Aware time of the check.
        max_model_age: Oldest ``data_end`` that is not called stale.

    Example:
        >>> at = datetime(2026, 7, 1, tzinfo=UTC)
        >>> [finding.actual for finding in stale_findings("2026-01-01", at, timedelta(days=90))]
        ['181 days']
    """
    expected = f"data_end of the last {_age(max_model_age)}"
    try:
        ended = datetime.fromisoformat(data_end or "")
    except ValueError:
        return [
            Finding("W706", where="data_end", expected=expected, actual=data_end[:40] if data_end else "not stated")
        ]
    age = at - (ended if ended.tzinfo else ended.replace(tzinfo=UTC))
    return [Finding("W706", where="data_end", expected=expected, actual=_age(age))] if age > max_model_age else []


def _age(age: timedelta) -> str:
    return f"{age.days} days" if age >= timedelta(days=2) else str(age)
