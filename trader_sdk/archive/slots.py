"""Who holds a slot: a pure fold over the audit chain, so that a crash never leaves a slot without its champion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from trader_sdk.contract.documents import (
    AuditKind,
    AuditRecord,
    Challenger,
    Champion,
    DeploymentTier,
    GateClass,
    Override,
    SlotState,
    Stage,
    parse_document,
)
from trader_sdk.contract.timeframe import Timeframe, parse_timeframe


class SlotKey(NamedTuple):
    """A symbol at a timeframe."""

    symbol: str
    timeframe: Timeframe

    def __str__(self) -> str:
        return f"{self.symbol}/{self.timeframe}"


@dataclass(frozen=True, slots=True)
class RunRef:
    """A committed run."""

    timestamp: str
    seq: int
    at: datetime
    approved: int
    review: int
    dropped: int
    files: Mapping[str, str]
    who: str = ""


@dataclass(frozen=True, slots=True)
class VerdictRef:
    """A verdict as the audit chain knows it; the document itself lies in the run's folder.

    Attributes:
        id: ``{key}/{timestamp}``.
        slot: Its symbol and timeframe.
        run: Timestamp of its run.
        digest: Of the verdict's canonical JSON.
    """

    id: str
    version_id: str
    slot: SlotKey
    run: str
    gate_class: GateClass
    tier: DeploymentTier | None
    policy_sha256: str
    data_digest: str | None
    digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Recall:
    """A version or a digest that must not be traded any more."""

    names: frozenset[str]
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """Everything that the audit chain says, after its last record.

    Attributes:
        runs: Committed runs by timestamp, oldest first.
        verdicts: Verdicts by id, oldest first.
        slots: Who holds each slot.
        overrides: Newest override by verdict id.
        recalls: All recalls, oldest first.
    """

    runs: dict[str, RunRef] = field(default_factory=dict)
    verdicts: dict[str, VerdictRef] = field(default_factory=dict)
    slots: dict[SlotKey, SlotState] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    recalls: tuple[Recall, ...] = ()

    def slot(self, key: SlotKey) -> SlotState:
        """Return a slot; an empty one where nothing was ever approved."""
        return self.slots.get(key) or SlotState(symbol=key.symbol, timeframe=key.timeframe, champion=None)

    def verdicts_of(self, key: SlotKey) -> list[VerdictRef]:
        """Return a slot's verdicts, newest first."""
        return [ref for ref in reversed(self.verdicts.values()) if ref.slot == key]

    def trials(self, key: SlotKey, data_digest: str | None) -> int:
        """Return how many runs judged a slot on this data; where nobody says which data it was, every run counts."""
        return len({ref.run for ref in self.verdicts_of(key) if data_digest in (None, ref.data_digest)})

    def newest_verdict(self, key: SlotKey, version_id: str, policy_sha256: str | None = None) -> VerdictRef | None:
        """Return the newest verdict about a version in a slot."""
        return next(
            (
                ref
                for ref in self.verdicts_of(key)
                if ref.version_id == version_id and policy_sha256 in (None, ref.policy_sha256)
            ),
            None,
        )

    def recall_of(self, *names: str) -> Recall | None:
        """Return the first recall that names a version or digest, with or without its ``sha256:`` prefix."""
        wanted = {name.removeprefix("sha256:") for name in names}
        return next((recall for recall in self.recalls if recall.names & wanted), None)


def fold(records: Iterable[AuditRecord]) -> ArchiveState:
    """Return the state after ``records``, oldest first; the same records always give the same state."""
    state = ArchiveState()
    for record in records:
        state = _STEPS[record.kind](state, record) if record.kind in _STEPS else state
    return state


def with_champion(slot: SlotState, champion: Champion) -> SlotState:
    """Return a slot after its pointer moved; what held it becomes ``previous``."""
    return slot.model_copy(
        update={
            "champion": champion,
            "previous": slot.champion or slot.previous,
            "history": (*slot.history, champion),
            "challengers": tuple(c for c in slot.challengers if not _same(c, champion)),
        }
    )


def with_candidate(slot: SlotState, champion: Champion) -> SlotState:
    """Return a slot after a model became deployable: champion of an empty slot, the newest challenger otherwise."""
    if slot.champion is None:
        return with_champion(slot, champion)
    if _same(slot.champion, champion):
        return slot
    challenger = Challenger(
        version_id=champion.version_id,
        policy_sha256=champion.policy_sha256,
        stage=Stage.CHALLENGER,
        since=champion.since,
    )
    others = tuple(c for c in slot.challengers if not _same(c, champion))
    return slot.model_copy(update={"challengers": (*others, challenger)})


def _same(one: Champion | Challenger, other: Champion | Challenger) -> bool:
    return (one.version_id, one.policy_sha256) == (other.version_id, other.policy_sha256)


def _run_archived(state: ArchiveState, record: AuditRecord) -> ArchiveState:
    body: Any = record.body
    run = RunRef(
        timestamp=body["timestamp"],
        seq=record.seq,
        at=record.at,
        approved=body["approved"],
        review=body["review"],
        dropped=body["dropped"],
        files=body["files"],
        who=record.who.name,
    )
    state.runs[run.timestamp] = run
    for plain in body["verdicts"]:
        ref = _verdict_ref(plain, run.timestamp, record.at)
        state.verdicts[ref.id] = ref
        if ref.gate_class is GateClass.APPROVED:
            state.slots[ref.slot] = with_candidate(state.slot(ref.slot), _champion(ref, record.at))
    return state


def _overridden(state: ArchiveState, record: AuditRecord) -> ArchiveState:
    body: Any = record.body
    override = parse_document(Override, body["override"], where=f"audit record {record.seq}")
    state.overrides[override.verdict] = override
    ref = state.verdicts.get(override.verdict)
    if ref is not None:
        state.slots[ref.slot] = with_candidate(state.slot(ref.slot), _champion(ref, record.at))
    return state


def _pointed(state: ArchiveState, record: AuditRecord) -> ArchiveState:
    body: Any = record.body
    key = SlotKey(body["symbol"], parse_timeframe(body["timeframe"]))
    champion = Champion(version_id=body["to"], policy_sha256=body["policy_sha256"], since=record.at)
    state.slots[key] = with_champion(state.slot(key), champion)
    return state


def _recalled(state: ArchiveState, record: AuditRecord) -> ArchiveState:
    body: Any = record.body
    names = frozenset(str(name).removeprefix("sha256:") for name in body["names"])
    recall = Recall(names=names, who=record.who.name, why=body["why"], at=record.at)
    return replace(state, recalls=(*state.recalls, recall))


_STEPS = {
    AuditKind.RUN_ARCHIVED: _run_archived,
    AuditKind.OVERRIDE: _overridden,
    AuditKind.PROMOTE: _pointed,
    AuditKind.REVERT: _pointed,
    AuditKind.RECALL: _recalled,
}


def _champion(ref: VerdictRef, since: datetime) -> Champion:
    return Champion(version_id=ref.version_id, policy_sha256=ref.policy_sha256, since=since)


def _verdict_ref(plain: Mapping[str, Any], run: str, at: datetime) -> VerdictRef:
    return VerdictRef(
        id=plain["id"],
        version_id=plain["version_id"],
        slot=SlotKey(plain["symbol"], parse_timeframe(plain["timeframe"])),
        run=run,
        gate_class=GateClass(plain["class"]),
        tier=DeploymentTier(plain["tier"]) if plain["tier"] else None,
        policy_sha256=plain["policy_sha256"] or "",  # a refused checkpoint has no policy
        data_digest=plain["data_digest"],
        digest=plain["digest"],
        at=at,
    )
