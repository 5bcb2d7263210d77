"""The archive's door: the slot's champion, its verdict judged again and its bytes verified, or a typed refusal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from trader_sdk.archive.eligibility import HOUSE_ONLY, Approval, Eligibility, Terms, eligibility
from trader_sdk.archive.location import Place
from trader_sdk.archive.pointers import CHAMPION, checked_follow, followed, resolve
from trader_sdk.archive.reader import ArchiveReader, JudgedModel, deployed_subject
from trader_sdk.archive.signatures import signature_findings
from trader_sdk.archive.slots import SlotKey, VerdictRef
from trader_sdk.archive.store.faults import UnreachableError
from trader_sdk.contract.compatibility import Mode, Pin, Recall, enforce, stale_findings
from trader_sdk.contract.documents import DeploymentTier, TradingMode
from trader_sdk.contract.errors import ArchiveError, CheckpointError, Finding, SdkError, error_for
from trader_sdk.contract.timeframe import parse_timeframe
from trader_sdk.demands import Demands, recalls_of
from trader_sdk.deploy_row import DeployRow as DeployRow
from trader_sdk.deploy_row import empty_row, finding_of, row_of
from trader_sdk.model import LoadOptions, NativeModelWrapper, pins_of
from trader_sdk.signing import PublicKey
from trader_sdk.warnings_shown import warn_once

_MAX_PASSED_OVER: Final = 5


class ApprovedModel(NativeModelWrapper):
    """A model that came through the archive's door and carries its approval."""

    __slots__ = ("_approval",)

    _approval: Approval

    @property
    def approval(self) -> Approval:
        """Return why it may trade."""
        return self._approval

    @property
    def mapped(self) -> bool:
        """Return whether the weights are the artefact's own pages, shared between processes."""
        return self._loaded.raw.mapped

    def _admit(self, approval: Approval, findings: Sequence[Finding], mode: Mode) -> None:
        report = self._loaded.report.with_findings(*findings)
        enforce(report, mode)
        # Nobody else has seen the loaded value yet; a copy of it would lose the policy's digest, computed above.
        object.__setattr__(self._loaded, "report", report)
        object.__setattr__(self, "_approval", approval)
        warn_once(self._loaded.raw.path, self.sha256, report.findings)


def load_approved(
    archive: Path | str | Place,
    symbol: str,
    timeframe: str = "1Day",
    *,
    strict_version: bool = False,
    follow: str = CHAMPION,
    mode: TradingMode | str = TradingMode.PAPER_LOCAL,
    accept_policies: Collection[str] = HOUSE_ONLY,
    require_signature: Collection[PublicKey] | None = None,
    max_model_age: timedelta | None = None,
    pins: Path | str | Sequence[Pin] | None = None,
    recalls: Path | str | Sequence[Recall] | None = None,
    at: datetime | None = None,
    mapped: bool = False,
) -> ApprovedModel:
    """Load the model that a slot's pointer names, if it is approved, accepted, unchanged and compatible.

    Args:
        archive: The archive's folder, its name in ``trader.toml`` or its URL; nothing is written to it.
        symbol: As it was trained, or an alias ``models:/AAPL/1Day@champion`` that also gives the next two.
        timeframe: The slot's timeframe.
        strict_version: Refuse POLICY findings too.
        follow: ``champion``, ``challenger`` (the newest) or ``latest-approved``.
        mode: Where it will trade; decides which deployment tiers and overrides count.
        accept_policies: Hashes of the gate policies that are trusted; the house's own unless given.
        require_signature: Keys one of which must have signed the verdict, and the override where one lifts it. None:
            no signature is required, and an unsigned model has the note W105.
        max_model_age: Older models, and those that do not say when their data ended, have the finding W706.
        pins: What people assert about files: a ``trader-pins.toml``, or the pins themselves.
        recalls: What must not run any more, beside the archive's own recalls: a ``recalls.toml``, or the recalls.
        at: Moment at which an override must be in force, and of the model's age; now when omitted.
        mapped: Share the artefact's pages with every process that maps it instead of copying its weights; see
            :func:`~trader_sdk.checkpoint.mapped.map_own_artefact` for what that gives up.

    Returns:
        The model, a :class:`~trader_sdk.model.NativeModelWrapper` with ``.approval``.

    Raises:
        ArchiveError: E601..E608; ``findings`` lists what was looked at and why each was passed over.
        CompatibilityError: E505 if it was recalled.
        CheckpointError: E104 if no accepted key signed it.
        ConfigError: Pins or recalls cannot be read.
        SdkError: Its file is incompatible; codes as when loading it by path.

    Example:
        >>> model = load_approved("training_archives", "AAPL")  # doctest: +SKIP
        >>> model.approval.tier  # doctest: +SKIP
        <DeploymentTier.PAPER: 'PAPER'>
    """
    key, follow = resolve(symbol, timeframe, follow)
    terms = Terms.of(mode, accept_policies, at)
    reader = _opened(archive, terms)
    asked = Demands(strict_version, require_signature, max_model_age, pins_of(pins), recalls_of(recalls), mapped)
    door = _Door(reader, terms, asked)
    rows: list[DeployRow] = []
    for row in door.rows(key, follow):
        if row.model is not None:
            return row.model
        rows.append(row)
    raise _refusal(reader.place.where, key, follow, rows)


def load_approved_universe(
    archive: Path | str | Place, symbols: Iterable[str], timeframe: str = "1Day", **options: Any
) -> dict[str, ApprovedModel | SdkError]:
    """Load the models of many symbols; a refusal is a value, so that one fool does not stop the rest.

    Args:
        archive: As for :func:`load_approved`.
        symbols: As they were trained.
        timeframe: One for all.
        **options: Further arguments of :func:`load_approved`.

    Returns:
        Symbol to its model or to the error that :func:`load_approved` would have raised.
    """
    found: dict[str, ApprovedModel | SdkError] = {}
    for symbol in symbols:
        try:
            found[symbol] = load_approved(archive, symbol, timeframe, **options)
        except SdkError as error:
            found[symbol] = error
    return found


def deployable(
    archive: Path | str | Place,
    *,
    symbols: Iterable[str] | None = None,
    timeframe: str | None = None,
    mode: TradingMode | str = TradingMode.PAPER_LOCAL,
    accept_policies: Collection[str] = HOUSE_ONLY,
    strict_version: bool = False,
    follow: str = CHAMPION,
    require_signature: Collection[PublicKey] | None = None,
    max_model_age: timedelta | None = None,
    pins: Path | str | Sequence[Pin] | None = None,
    recalls: Path | str | Sequence[Recall] | None = None,
    at: datetime | None = None,
    mapped: bool = False,
) -> list[DeployRow]:
    """Return the gate table: for each slot what would trade, and what was passed over and why.

    Args:
        archive: The archive's folder, its name in ``trader.toml`` or its URL; nothing is written to it.
        symbols: Only these; a symbol without any verdict gets a row that says so. Every slot when omitted.
        timeframe: Only this one; all when omitted.
        mode, accept_policies, strict_version, follow, require_signature, max_model_age, pins, recalls, at, mapped: As
            for :func:`load_approved`.

    Returns:
        Rows by slot, the followed model first. Chosen rows hold the loaded model; at most one a slot.

    Raises:
        ArchiveError: E608 or E606 about the archive as a whole; about models it is a row, never an error.
        ConfigError: Pins or recalls cannot be read.
    """
    terms = Terms.of(mode, accept_policies, at)
    reader = _opened(archive, terms)
    asked = Demands(strict_version, require_signature, max_model_age, pins_of(pins), recalls_of(recalls), mapped)
    door = _Door(reader, terms, asked)
    wanted = None if symbols is None else list(dict.fromkeys(symbols))
    keys = sorted({ref.slot for ref in reader.state.verdicts.values()})
    only = parse_timeframe(timeframe) if timeframe is not None else None
    keys = [key for key in keys if only in (None, key.timeframe) and (wanted is None or key.symbol in wanted)]
    rows = [row for key in keys for row in door.rows(key, checked_follow(follow))]
    for symbol in wanted or ():
        if not any(key.symbol == symbol for key in keys):
            rows.append(empty_row(symbol, timeframe or "any"))
    return rows


@dataclass(frozen=True, slots=True)
class _Door:
    reader: ArchiveReader
    terms: Terms
    asked: Demands

    def rows(self, key: SlotKey, follow: str) -> Iterator[DeployRow]:
        """Yield the followed model first, then what else the slot has, newest first."""
        chosen = followed(self.reader.state, key, follow, self._is_eligible)
        others = [ref for ref in self.reader.state.verdicts_of(key) if ref != chosen]
        if chosen is None and not others:
            yield empty_row(key.symbol, key.timeframe)
            return
        if chosen is not None:
            yield self._try(chosen)
        for ref in others[:_MAX_PASSED_OVER]:
            yield self._passed_over(ref, follow)

    def _is_eligible(self, ref: VerdictRef) -> bool:
        try:
            return self._eligibility(self.reader.judged(ref)).refusal is None
        except UnreachableError:
            raise  # an older model must not take the place of one that cannot be looked at
        except ArchiveError:
            return False

    def _eligibility(self, judged: JudgedModel) -> Eligibility:
        allowed = eligibility(judged, self.reader.state, self.terms)
        refusal = allowed.refusal or self.asked.recall_of(judged.verdict) or self._unsigned(judged, allowed)
        return allowed if refusal is None else replace(allowed, refusal=refusal, override=None)

    def _unsigned(self, judged: JudgedModel, allowed: Eligibility) -> Finding | None:
        if self.asked.signers is None:
            return None
        refusals = signature_findings(self.reader.place, judged.verdict, allowed.override, self.asked.signers)
        return refusals[0] if refusals else None

    def _notes(self, model: NativeModelWrapper, judged: JudgedModel, allowed: Eligibility) -> list[Finding]:
        verdict = judged.verdict
        notes = [*_offline_findings(self.reader.place)]
        notes += signature_findings(self.reader.place, verdict, allowed.override, self.asked.signers)
        if self.asked.max_model_age is None:
            return notes
        end = model.metadata.get("data_end") or (verdict.data.end if verdict.data else None)
        return [*notes, *stale_findings(end, self.terms.at, self.asked.max_model_age)]

    def _try(self, ref: VerdictRef) -> DeployRow:
        try:
            judged = self.reader.judged(ref)
        except ArchiveError as error:
            return row_of(ref, None, self._is_champion(ref), refusal=finding_of(error, ref), error=error)
        allowed = self._eligibility(judged)
        if allowed.refusal is not None:
            return row_of(ref, judged, self._is_champion(ref), tier=allowed.tier, refusal=allowed.refusal)
        try:
            model = self._load(judged, allowed)
        except SdkError as error:
            return row_of(
                ref, judged, self._is_champion(ref), tier=allowed.tier, refusal=finding_of(error, ref), error=error
            )
        return row_of(ref, judged, self._is_champion(ref), tier=allowed.tier, model=model)

    def _load(self, judged: JudgedModel, allowed: Eligibility) -> ApprovedModel:
        model = _read(judged, self.asked)
        approval = Approval(
            verdict=judged.verdict,
            tier=cast(DeploymentTier, allowed.tier),  # an allowed tier is never None: no mode allows it
            override=allowed.override,
            version_id=judged.verdict.version_id,
            gate_policy=judged.policy_text,
        )
        model._admit(approval, self._notes(model, judged, allowed), self.asked.mode)
        return model

    def _passed_over(self, ref: VerdictRef, follow: str) -> DeployRow:
        try:
            judged = self.reader.judged(ref)
        except ArchiveError as error:
            return row_of(ref, None, self._is_champion(ref), refusal=finding_of(error, ref), error=error)
        allowed = self._eligibility(judged)
        refusal = allowed.refusal or Finding("E601", ref.version_id, f"the slot's {follow}", "deployable, not followed")
        return row_of(ref, judged, self._is_champion(ref), tier=allowed.tier, refusal=refusal)

    def _is_champion(self, ref: VerdictRef) -> bool:
        champion = self.reader.state.slot(ref.slot).champion
        return champion is not None and (champion.version_id, champion.policy_sha256) == (
            ref.version_id,
            ref.policy_sha256,
        )


def _opened(archive: Path | str | Place, terms: Terms) -> ArchiveReader:
    reader = ArchiveReader(archive)
    offline = reader.place.offline
    if offline is not None and terms.mode is TradingMode.LIVE:
        raise UnreachableError(
            "real money needs the archive itself: what was recalled since cannot be seen in a copy",
            where=reader.place.where,
            found=offline.reason,
        )
    return reader


def _offline_findings(place: Place) -> Iterator[Finding]:
    if place.offline is not None:
        since = place.offline.since.isoformat(timespec="seconds")
        found = f"seen last on {since}, up to record {place.offline.head.seq}; nothing after it is known here"
        yield Finding("W612", place.where, "an archive that answers", found)


def _read(judged: JudgedModel, asked: Demands) -> ApprovedModel:
    verdict = judged.verdict
    subject = deployed_subject(verdict)
    path = judged.path_of(subject)
    options = LoadOptions(
        expected_sha256=f"sha256:{subject.sha256}",
        symbol=verdict.symbol,
        pins=asked.pins,
        recalls=asked.recalls,
        own_artefact=asked.mapped,
    )
    try:
        model = ApprovedModel._from_options(path, asked.mode, options)
    except CheckpointError as error:
        if path.is_file() and error.code != "E103":
            raise
        raise ArchiveError(
            "E602", "the model file is not the one that was judged", where=str(path), found=error.message
        ) from error
    if model.policy_sha256 != verdict.policy_sha256:
        raise ArchiveError(
            "E602",
            "the policy is not the one that was judged",
            where=str(path),
            expected=verdict.policy_sha256,
            found=model.policy_sha256,
        )
    return model


def _refusal(where: str, key: SlotKey, follow: str, rows: Sequence[DeployRow]) -> SdkError:
    findings = [row.refusal for row in rows if row.refusal is not None]
    first = rows[0]
    if first.error is not None:
        first.error.findings = (*first.error.findings, *findings)
        return first.error
    code = first.refusal.code if first.refusal is not None and (first.is_champion or len(rows) == 1) else "E601"
    looked_at = "; ".join(f"{row.version_id or 'nothing'}: {row.why}" for row in rows)
    return error_for(
        code,
        f"no deployable model: {looked_at}",
        where=f"{where} {key}@{follow}",
        findings=findings,
        remedy=first.refusal.remedy if first.refusal is not None and code == first.refusal.code else None,
    )
