"""What a person decides about models: promote, revert, override, recall; each one audit line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trader_sdk.archive.identity import login_name as login_name
from trader_sdk.archive.location import Place, committing, locate
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import ArchiveState, Pointers, SlotKey, VerdictRef
from trader_sdk.archive.store.lock import DEFAULT_TIMEOUT_SECONDS
from trader_sdk.contract.audit import AuditKind, Override, Who
from trader_sdk.contract.errors import ArchiveError, CompatibilityError, LifecycleError, UsageError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.slot_state import Champion, SlotState
from trader_sdk.contract.timeframe import parse_timeframe
from trader_sdk.contract.verdicts import DeploymentTier, GateClass

DEFAULT_MODES = (TradingMode.PAPER_LOCAL, TradingMode.PAPER_ALPACA)


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, when, and how long to wait for the archive's lock.

    Attributes:
        who: Name of the person; the login where omitted.
        at: Time of the decision, aware; now where omitted.
        timeout_seconds: Wait for another writer.
        second_person: Refuse to lift or promote what this person archived: two people, or nothing.
    """

    who: str | None = None
    at: datetime | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    second_person: bool = False

    def identity(self, place: Place | None = None) -> Who:
        """Return who decides: as the archive knows it, else as one says, else the login."""
        return place.identity(self.who) if place else Who(kind="os", name=self.who or login_name())

    def time(self) -> datetime:
        """Return when."""
        return self.at or datetime.now(UTC)

    def as_asked_by(self, archive: object) -> Decider:
        """Return the same decider, held to a second person where the archive's table in ``trader.toml`` says so."""
        from trader_sdk.archive.named import asks_for_second_person

        return replace(self, second_person=self.second_person or asks_for_second_person(archive))

    def refuse_own(self, place: Place, state: ArchiveState, ref: VerdictRef) -> None:
        """Refuse a verdict of a run that this person archived, where a second person has to decide.

        Raises:
            ArchiveError: E601 if it is one's own.
        """
        archived_by, name = state.runs[ref.run].who, self.identity(place).name
        if self.second_person and archived_by in ("", name):
            raise ArchiveError(
                "E601",
                "a second person has to decide about this run",
                where=ref.id,
                expected=f"anybody but {archived_by or 'nobody knows whom'}",
                found=name,
                remedy="Ask a colleague to run the same command under a login of their own.",
            )


def promote(
    archive: Path | str | Place,
    symbol: str,
    timeframe: str,
    version: str,
    *,
    why: str = "",
    expected: str | None = None,
    decider: Decider = Decider(),
) -> SlotState:
    """Point a slot at another approved version.

    Args:
        archive: The archive's folder, its name in ``trader.toml``, or its URL.
        symbol, timeframe: The slot.
        version: A ``version_id`` that is APPROVED in this slot or lifted by an override in force.
        why: Reason, kept on the chain.
        expected: Champion that the caller saw; the pointer moves only if it is still the champion. Omitted, the
            champion at the moment of the call.
        decider: Who and when.

    Returns:
        The slot afterwards.

    Raises:
        ArchiveError: E601 if the version is not deployable in this slot; E605 if other writers keep it busy; E610 where
            a shared archive does not answer.
        LifecycleError: E701 if another champion was set meanwhile; the pointer was not moved.
        CompatibilityError: E505 if the version was recalled.
    """
    key, place = SlotKey(symbol, parse_timeframe(timeframe)), locate(archive)
    asked = decider.as_asked_by(archive)
    seen = expected or _champion_id(ArchiveReader(place).state.pointers(key))

    def decide(state: ArchiveState) -> dict[str, Any]:
        slot = _unmoved(state, key, seen)
        ref = _deployable_ref(state, key, version, decider.time())
        asked.refuse_own(place, state, ref)
        if slot.champion is not None and (version, ref.policy_sha256) == _identity(slot.champion):
            raise LifecycleError("E701", "this version is the champion already", where=str(key), found=version)
        return _pointer_body(key, slot, ref.version_id, ref.policy_sha256, why)

    return _commit(place, AuditKind.PROMOTE, decide, decider).slot(key)


def revert(
    archive: Path | str | Place,
    symbol: str,
    timeframe: str,
    *,
    why: str = "",
    expected: str | None = None,
    decider: Decider = Decider(),
) -> SlotState:
    """Point a slot back at its previous champion; a second revert undoes the first.

    Args, Returns and Raises are those of :func:`promote`; LifecycleError E701 also where there is no previous one.
    """
    key, place = SlotKey(symbol, parse_timeframe(timeframe)), locate(archive)
    seen = expected or _champion_id(ArchiveReader(place).state.pointers(key))

    def decide(state: ArchiveState) -> dict[str, Any]:
        slot = _unmoved(state, key, seen)
        if slot.previous is None:
            raise LifecycleError("E701", "the slot has no previous champion", where=str(key))
        return _pointer_body(key, slot, slot.previous.version_id, slot.previous.policy_sha256, why)

    return _commit(place, AuditKind.REVERT, decide, decider).slot(key)


def override(
    archive: Path | str | Place,
    verdict_id: str,
    *,
    why: str,
    until: datetime,
    tier_ceiling: DeploymentTier = DeploymentTier.PAPER,
    modes: Iterable[TradingMode] = DEFAULT_MODES,
    decider: Decider = Decider(),
) -> Override:
    """Lift a REVIEW verdict to APPROVED, with a ceiling and an end; an empty slot gets it as its champion.

    Args:
        archive: The archive's folder, its name in ``trader.toml``, or its URL.
        verdict_id: ``{key}/{timestamp}`` of a REVIEW verdict.
        why: Reason, not empty.
        until: End, aware; afterwards the model is not approved.
        tier_ceiling: No higher deployment tier than this.
        modes: Where it may trade.
        decider: Who and when.

    Raises:
        ArchiveError: E601 if the verdict does not exist or is not REVIEW; E607 if the end has passed.
        UsageError: No reason was given.
    """
    if not why.strip():
        raise UsageError("USAGE", "an override needs a reason", where="why")
    if until <= decider.time():
        raise ArchiveError("E607", "the override would end before it starts", where=verdict_id, found=until.isoformat())
    asked = decider.as_asked_by(archive)
    place = locate(archive)
    record = Override(
        verdict=verdict_id,
        class_from=GateClass.REVIEW,
        class_to=GateClass.APPROVED,
        tier_ceiling=tier_ceiling,
        modes=tuple(modes),
        who=decider.identity(place).name,
        why=why,
        until=until,
    )

    def decide(state: ArchiveState) -> dict[str, Any]:
        ref = state.verdicts.get(verdict_id)
        if ref is None or ref.gate_class is not GateClass.REVIEW:
            found = "no such verdict" if ref is None else ref.gate_class.value
            raise ArchiveError("E601", "only a REVIEW verdict can be lifted", where=verdict_id, found=found)
        asked.refuse_own(place, state, ref)
        return {"override": record.model_dump(mode="json")}

    _commit(place, AuditKind.OVERRIDE, decide, decider)
    return record


def recall(
    archive: Path | str | Place,
    names: Iterable[str],
    *,
    why: str,
    decider: Decider = Decider(),
) -> None:
    """Forbid versions or digests from now on; loading them is E505.

    Args:
        archive: The archive's folder, its name in ``trader.toml``, or its URL.
        names: Version ids, file digests or policy digests.
        why: Reason, not empty.
        decider: Who and when.

    Raises:
        UsageError: Nothing was named or no reason was given.
    """
    listed = sorted(set(names))
    if not listed or not why.strip():
        raise UsageError("USAGE", "a recall needs at least one name and a reason", where="names, why")
    _commit(locate(archive), AuditKind.RECALL, lambda _: {"names": listed, "why": why}, decider)


def override_in_force(state: ArchiveState, verdict_id: str, at: datetime) -> Override | None:
    """Return the override that lifts a verdict at a time, if there is one."""
    found = state.overrides.get(verdict_id)
    return found if found is not None and at < found.until else None


def _commit(
    place: Place, kind: AuditKind, decide: Callable[[ArchiveState], Mapping[str, Any]], decider: Decider
) -> ArchiveState:
    ArchiveReader(place)  # before anything is made where there is no archive
    who = decider.identity(place)

    def attempt() -> None:
        seen = ArchiveReader(place)
        place.chain.append(kind, decide(seen.state), who=who, at=decider.time(), expected=seen.head)
        place.keep_index()

    committing(place, decider.timeout_seconds, attempt)
    return ArchiveReader(place).state


def _unmoved(state: ArchiveState, key: SlotKey, seen: str | None) -> Pointers:
    slot = state.pointers(key)
    if _champion_id(slot) != seen:
        raise LifecycleError(
            "E701",
            "the champion changed meanwhile; the pointer was not moved",
            where=str(key),
            expected=seen or "an empty slot",
            found=_champion_id(slot) or "an empty slot",
        )
    return slot


def _deployable_ref(state: ArchiveState, key: SlotKey, version: str, at: datetime) -> VerdictRef:
    ref = state.newest_verdict(key, version)
    if ref is None:
        raise ArchiveError("E601", "this slot has no verdict about this version", where=str(key), found=version)
    recalled = state.recall_of(version, ref.policy_sha256)
    if recalled is not None:
        raise CompatibilityError("E505", f"recalled by {recalled.who}: {recalled.why}", where=str(key), found=version)
    if ref.gate_class is not GateClass.APPROVED and override_in_force(state, ref.id, at) is None:
        raise ArchiveError("E601", "this version is not deployable", where=str(key), found=ref.gate_class.value)
    return ref


def _pointer_body(key: SlotKey, slot: Pointers, to: str, policy_sha256: str, why: str) -> dict[str, Any]:
    return {
        "symbol": key.symbol,
        "timeframe": key.timeframe.value,
        "from": _champion_id(slot),
        "to": to,
        "policy_sha256": policy_sha256,
        "why": why,
    }


def _champion_id(slot: Pointers) -> str | None:
    return slot.champion.version_id if slot.champion else None


def _identity(champion: Champion) -> tuple[str, str]:
    return champion.version_id, champion.policy_sha256
