"""The archive's door: a verdict judged again and its bytes verified, or what was passed over and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from trader_sdk.archive.eligibility import Approval, Eligibility, Terms, eligibility
from trader_sdk.archive.known_policies import is_known_policy, remember_policy
from trader_sdk.archive.location import Place
from trader_sdk.archive.pointers import followed
from trader_sdk.archive.reader import ArchiveReader, JudgedModel, deployed_subject
from trader_sdk.archive.signatures import signature_findings
from trader_sdk.archive.slots import SlotKey, VerdictRef
from trader_sdk.archive.store.faults import UnreachableError
from trader_sdk.contract.compatibility import Mode, Pin, enforce, stale_findings
from trader_sdk.contract.errors import ArchiveError, CheckpointError, Finding, SdkError, error_for
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.verdicts import DeploymentTier
from trader_sdk.demands import Demands
from trader_sdk.deploy_row import DeployRow as DeployRow
from trader_sdk.deploy_row import empty_row, finding_of, row_of
from trader_sdk.loading import LoadOptions
from trader_sdk.model import NativeModelWrapper
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What a later look at the archive says of a model that trades.

    Attributes:
        revoked: Why it may trade no more; None where it may.
        named: The model that the pointer names instead, loaded or refused; None where it names the same.
    """

    revoked: Finding | None
    named: DeployRow | None


@dataclass(frozen=True, slots=True)
class Door:
    """One look at an archive on the terms of whoever loads; safe to share between threads."""

    reader: ArchiveReader
    terms: Terms
    asked: Demands

    @classmethod
    def of(cls, archive: Path | str | Place, terms: Terms, asked: Demands) -> Door:
        """Return the door of an archive.

        Raises:
            ArchiveError: E608 without an archive, E606 where its chain does not hold, E610 where it does not answer.
        """
        return cls(_opened(archive, terms), terms, asked)

    def load(self, key: SlotKey, follow: str) -> ApprovedModel:
        """Return the model that a slot's pointer names.

        Raises:
            SdkError: It may not trade; ``findings`` lists what was looked at and why each was passed over.
        """
        rows: list[DeployRow] = []
        for row in self.rows(key, follow):
            if row.model is not None:
                return row.model
            rows.append(row)
        raise _refusal(self.reader.place.where, key, follow, rows)

    def rows(self, key: SlotKey, follow: str) -> Iterator[DeployRow]:
        """Yield the followed model first, then what else the slot has, newest first."""
        chosen = followed(self.reader.state, key, follow, self._is_eligible)
        newest = self.reader.state.verdicts_of(key, _MAX_PASSED_OVER + 1)
        others = [ref for ref in newest if ref != chosen]
        if chosen is None and not others:
            yield empty_row(key.symbol, key.timeframe)
            return
        if chosen is not None:
            yield self._try(chosen)
        for ref in others[:_MAX_PASSED_OVER]:
            yield self._passed_over(ref, follow)

    def standing(self, key: SlotKey, follow: str, held: Approval) -> Standing:
        """Return what has become of a model that trades, and what the slot's pointer names instead.

        Args:
            key: Its slot.
            follow: The pointer.
            held: The approval that it was loaded with.
        """
        state, policy = self.reader.state, held.verdict.policy_sha256
        own = state.newest_verdict(key, held.version_id, policy)
        refusal = Finding("E602", held.version_id, "a verdict", "none") if own is None else self._refusal_of(own)
        named = followed(state, key, follow, self._is_eligible)
        if named is None or (named.version_id, named.policy_sha256) == (held.version_id, policy):
            return Standing(refusal, None)
        return Standing(refusal, self._try(named))

    def challengers(self, key: SlotKey, most: int) -> Iterator[DeployRow]:
        """Yield a slot's challengers, newest first, loaded, or with why they cannot be."""
        for each in reversed(self.reader.state.slot(key).challengers[-most:]):
            ref = self.reader.state.newest_verdict(key, each.version_id, each.policy_sha256)
            if ref is not None:
                yield self._try(ref)

    def _refusal_of(self, ref: VerdictRef) -> Finding | None:
        try:
            return self._eligibility(self.reader.judged(ref)).refusal
        except UnreachableError:
            raise  # what cannot be looked at has not been revoked
        except ArchiveError as error:
            return finding_of(error, ref)

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
        champion = self.reader.state.champion(ref.slot)
        return champion is not None and (champion.version_id, champion.policy_sha256) == (
            ref.version_id,
            ref.policy_sha256,
        )


def load_pinned(
    archive: Path | str | Place, key: SlotKey, version_id: str, sha256: str, *, pins: Sequence[Pin] = ()
) -> ApprovedModel:
    """Load the very model that a journal names, whatever is thought of it today: to look back, never to trade.

    Args:
        archive: Where it lies.
        key: Its slot.
        version_id: Its name in the archive.
        sha256: ``sha256:<hex>`` of the file that traded.
        pins: What people assert about files.

    Raises:
        ArchiveError: E602 where the archive has no such model, or other bytes under its name.
        SdkError: The file is incompatible.
    """
    reader = ArchiveReader(archive)
    ref = next((one for one in reader.state.verdicts_of(key) if one.version_id == version_id), None)
    if ref is None:
        raise ArchiveError("E602", "the archive has no such model", where=f"{reader.place.where} {key} {version_id}")
    judged = reader.judged(ref)
    model = _read(judged, Demands(False, None, None, pins, (), mapped=False))
    if model.sha256 != sha256:
        raise ArchiveError(
            "E602", "the archive's file is not the one that traded", where=str(key), expected=sha256, found=model.sha256
        )
    # No mode trades this tier, so what is only looked back on cannot be taken for an approval of today.
    approval = Approval(judged.verdict, DeploymentTier.RETRAIN, None, version_id, judged.policy_text)
    model._admit(approval, (), Mode.WARN)
    return model


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
    _require_policy(model, cast(str, verdict.policy_sha256))  # with a subject there is a policy: the document says so
    return model


def _require_policy(model: ApprovedModel, judged: str) -> None:
    if is_known_policy(model.sha256, judged):
        return
    if model.policy_sha256 != judged:
        raise ArchiveError(
            "E602",
            "the policy is not the one that was judged",
            where=str(model._loaded.raw.path),
            expected=judged,
            found=model.policy_sha256,
        )
    remember_policy(model.sha256, judged)


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
