"""Judging one model: as this trader would load it, as a golden promises it, as a fleet's traders would run it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from trader_sdk.checkpoint.reader import read_checkpoint
from trader_sdk.ci.checks import Check, Outcome, Place, Suite, findings_of
from trader_sdk.ci.fetch import UnreachableError
from trader_sdk.ci.probe import decide_on
from trader_sdk.contract.compatibility import CompatReport, Mode, Pin, Recall, check_compatibility, enforce
from trader_sdk.contract.detect import Detection, detect_version_from_checkpoint
from trader_sdk.contract.errors import CheckpointError, ContractError, Finding, SdkError
from trader_sdk.contract.spec import trader_row
from trader_sdk.decisions import Decision
from trader_sdk.loading import LoadOptions
from trader_sdk.model import NativeModelWrapper, load_quietly

if TYPE_CHECKING:
    from trader_sdk.ci.manifest import GoldenEntry, TraderEntry

LOGIT_TOLERANCE: Final = 1e-4
"""Largest difference of a logit, relative to the largest: float32 sums in another order, as the golden probe's."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One model to be judged.

    Attributes:
        shown: What reports call it: its path or URL as written, or the golden's name.
        place: Where a reader of the report should look.
        path: The local file; None if it could not be had.
        missing: Why it could not be had.
        golden: What it promises, for a golden.
        folder: Of the manifest that names it.
    """

    shown: str
    place: Place
    path: Path | None = None
    missing: SdkError | None = None
    golden: GoldenEntry | None = None
    folder: Path = Path()

    @property
    def suite(self) -> Suite:
        """Return the kind of check that the model itself is."""
        return Suite.GOLDEN if self.golden else Suite.MODEL


@dataclass(frozen=True, slots=True)
class Rules:
    """What every model is held against.

    Attributes:
        mode: Warn or strict.
        at: Aware time of the run, for pins that expire.
        trader_version: This trader's own when None.
        pins: What people assert about files.
        recalls: Files and versions that must not run any more.
        max_model_age: A model whose data ends earlier is stale (W706); None does not ask.
        allow_missing: A golden that cannot be had is shown as missing instead of failing.
    """

    mode: Mode
    at: datetime
    trader_version: str | None = None
    pins: Sequence[Pin] = ()
    recalls: Sequence[Recall] = ()
    max_model_age: timedelta | None = None
    allow_missing: bool = False

    def options(self, expected_sha256: str | None) -> LoadOptions:
        """Return what a load is told."""
        return LoadOptions(
            self.trader_version, expected_sha256, pins=self.pins, recalls=self.recalls, max_model_age=self.max_model_age
        )


def check_model(subject: Subject, rules: Rules) -> Check:
    """Load a model as a trader would; a golden must also decide as it promises."""
    if subject.path is None:
        return _absent(subject, rules)
    digest = subject.golden.sha256 if subject.golden else None
    try:
        model = load_quietly(subject.path, rules.options(digest))
    except SdkError as error:
        return _failed(subject, _relocated(error, subject))
    try:
        enforce(model.report, rules.mode)
        if subject.golden:
            _keep_promises(model, subject.golden, subject.folder)
    except SdkError as error:
        return _judged(subject, model, _relocated(error, subject))
    return _judged(subject, model, None)


def _absent(subject: Subject, rules: Rules) -> Check:
    error = subject.missing or CheckpointError("E101", "there is no such file", where=subject.shown)
    allowed = rules.allow_missing and subject.golden is not None and isinstance(error, UnreachableError)
    outcome = Outcome.MISSING if allowed else Outcome.FAILED
    return Check(subject.suite, subject.shown, subject.place, outcome, error=error, findings=findings_of(error))


def _failed(subject: Subject, error: SdkError) -> Check:
    findings = findings_of(error)
    facts = {"warn": False, "strict": False}
    return Check(
        subject.suite, subject.shown, subject.place, Outcome.FAILED, error=error, findings=findings, facts=facts
    )


def _judged(subject: Subject, model: NativeModelWrapper, error: SdkError | None) -> Check:
    more = [finding for finding in findings_of(error) if finding not in model.report.findings]
    return Check(
        subject.suite,
        subject.shown,
        subject.place,
        Outcome.FAILED if error else Outcome.PASSED,
        model_version=model.model_version,
        sha256=model.sha256,
        error=error,
        findings=(*model.report.findings, *more),
        facts=model.report.to_dict(),
    )


def _relocated(error: SdkError, subject: Subject) -> SdkError:
    # A cached file's path says nothing to the person who listed a URL.
    error.where = error.where.replace(str(subject.path), subject.shown)
    return error


def _keep_promises(model: NativeModelWrapper, golden: GoldenEntry, folder: Path) -> None:
    if model.model_version != golden.version:
        raise ContractError(
            "E301",
            "the golden is read as another version than it was listed with",
            where="version",
            expected=golden.version,
            found=model.model_version,
            remedy="If the new reading is right, correct the manifest; if not, this reader is wrong.",
        )
    fault = decisions_fault(decide_on(model, golden.probe, folder), golden)
    if fault:
        raise ContractError(
            "E308",
            "the golden does not decide as it did",
            where="decisions",
            expected=f"the {len(golden.decisions)} recorded decisions",
            found=fault,
            remedy="Find out what changed before anything trades: the same bytes must keep deciding the same.",
        )


def decisions_fault(decisions: Sequence[Decision], golden: GoldenEntry) -> str | None:
    """Return how decisions differ from what was recorded, None if they do not."""
    if len(decisions) != len(golden.decisions):
        return f"{len(decisions)} observations, {len(golden.decisions)} decisions listed"
    pairs = zip(decisions, golden.decisions, strict=True)
    moved = [f"{i}: {made.name}, not {wanted}" for i, (made, wanted) in enumerate(pairs) if made.name != wanted]
    if moved:
        return f"{len(moved)} differ: {'; '.join(moved[:3])}"
    return _logits_fault(decisions, golden) if golden.logits else None


def _logits_fault(decisions: Sequence[Decision], golden: GoldenEntry) -> str | None:
    widths = {len(row) for row in golden.logits}
    if widths != {len(decisions[0].logits)}:
        return f"{len(decisions[0].logits)} logits a row, {', '.join(map(str, sorted(widths)))} listed"
    wanted = np.asarray(golden.logits, dtype=np.float64)
    made = np.asarray([decision.logits for decision in decisions], dtype=np.float64)
    allowed = LOGIT_TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    difference = float(np.abs(made - wanted).max())
    return None if difference <= allowed else f"logits differ by {difference:.3g}, allowed {allowed:.3g}"


def check_fleet(subject: Subject, fleet: Iterable[TraderEntry], manifest: str, rules: Rules) -> list[Check]:
    """Hold one model against every deployed trader: a row of the matrix. A missing model has no row."""
    if subject.path is None:
        return []
    try:
        raw = read_checkpoint(subject.path)
        detection = detect_version_from_checkpoint(raw.fields)
    except SdkError as error:
        fault = _relocated(error, subject)
        return [_cell(subject, trader, manifest, None, fault) for trader in fleet]
    return [_on_trader(subject, trader, manifest, raw.sha256, detection, rules) for trader in fleet]


def _on_trader(
    subject: Subject, trader: TraderEntry, manifest: str, sha256: str, detection: Detection, rules: Rules
) -> Check:
    found = check_compatibility(
        detection,
        trader.version,
        sha256=sha256,
        pins=rules.pins,
        recalls=rules.recalls,
        at=rules.at,
        max_model_age=rules.max_model_age,
    )
    report = found.with_findings(*missing_abilities(detection, trader))
    try:
        enforce(report, rules.mode)
    except SdkError as error:
        return _cell(subject, trader, manifest, report, error, sha256)
    return _cell(subject, trader, manifest, report, None, sha256)


def missing_abilities(detection: Detection, trader: TraderEntry) -> list[Finding]:
    """Return what a model needs and a deployed trader does not have: capabilities (E307), its features (E309)."""
    row = trader_row(trader.version)
    known = row.capabilities if row else frozenset()
    able = known if trader.capabilities is None else frozenset(trader.capabilities)
    needed = {*detection.spec.requires, *detection.metadata.fields.get("requires", ())}
    findings = [
        Finding("E307", where="requires", expected=", ".join(sorted(able)) or "none", actual=name)
        for name in sorted(needed - able)
    ]
    if trader.providers is not None:
        schema = detection.metadata.text("feature_schema_sha256")
        if schema not in trader.providers:
            wanted = ", ".join(trader.providers) or "none"
            findings.append(Finding("E309", where="feature_schema", expected=wanted, actual=schema or "not stated"))
    return findings


def _cell(
    subject: Subject,
    trader: TraderEntry,
    manifest: str,
    report: CompatReport | None,
    error: SdkError | None,
    sha256: str | None = None,
) -> Check:
    return Check(
        Suite.FLEET,
        subject.shown,
        Place(manifest, trader.line),
        Outcome.FAILED if error else Outcome.PASSED,
        against=f"{trader.name} (trader {trader.version})",
        model_version=report.model_version if report else None,
        sha256=sha256,
        error=error,
        findings=report.findings if report else findings_of(error),
    )
