"""What one audit record changes: pure, and the same for a state in memory and for an index in a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from trader_sdk.archive.trials import Judged
from trader_sdk.contract.audit import AuditKind, AuditRecord, Override
from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import ArchiveError, UsageError
from trader_sdk.contract.timeframe import Timeframe, parse_timeframe
from trader_sdk.contract.verdicts import DeploymentTier, GateClass


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
        judged: Which bars judged it; None in records of releases that did not say.
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
    judged: Judged | None = None


class Held(NamedTuple):
    """A model that took a slot or waits beside its champion.

    Attributes:
        seq: Number of the audit record that said so.
        place: Of the verdict in that record; together they order everything that happened in a slot.
        version_id, policy_sha256: The model.
        since: Time of the record, aware.
    """

    seq: int
    place: int
    version_id: str
    policy_sha256: str
    since: datetime

    @property
    def model(self) -> tuple[str, str]:
        """Return what makes two of them the same model."""
        return self.version_id, self.policy_sha256


@dataclass(frozen=True, slots=True)
class Recall:
    """A version or a digest that must not be traded any more."""

    names: frozenset[str]
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """What one record says happened; empty for kinds that change nothing that is asked for.

    Attributes:
        seq: The record's number.
        at: The record's time.
        run, verdicts: An archived run.
        moved: A slot whose pointer a person moved, and who holds it now.
        override: A verdict that a person lifted.
        recall: Names that a person forbade.
    """

    seq: int
    at: datetime
    run: RunRef | None = None
    verdicts: tuple[VerdictRef, ...] = ()
    moved: tuple[SlotKey, Held] | None = None
    override: Override | None = None
    recall: Recall | None = None

    def candidate(self, ref: VerdictRef, place: int = 0) -> Held:
        """Return a verdict's model as what this record makes deployable."""
        return Held(self.seq, place, ref.version_id, ref.policy_sha256, self.at)


def change_of(record: AuditRecord) -> Change:
    """Return what a record changes.

    Raises:
        ArchiveError: E606 where its digest holds and its body is nothing that was ever written.
    """
    read = _READERS.get(record.kind)
    if read is None:
        return Change(record.seq, record.at)
    try:
        return read(record, record.body)
    except (KeyError, TypeError, ValueError, ArchiveError, UsageError) as error:
        raise ArchiveError(
            "E606", f"an audit record of kind {record.kind} says nothing", where=f"record {record.seq}", found=error
        ) from error


def said_twice(seq: int, what: str) -> ArchiveError:
    """Return the error of a chain that names twice what there is only once."""
    return ArchiveError("E606", "the audit chain names something twice", where=f"record {seq}", found=what)


def _run_archived(record: AuditRecord, body: Any) -> Change:
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
    verdicts = tuple(_verdict_ref(plain, run.timestamp, record.at) for plain in body["verdicts"])
    if not all(ref.id.endswith(f"/{run.timestamp}") for ref in verdicts):
        raise ValueError(f"a verdict of another run than {run.timestamp}")
    if len({ref.slot for ref in verdicts}) < len(verdicts):
        raise said_twice(record.seq, f"a slot in run {run.timestamp}")
    return Change(record.seq, record.at, run=run, verdicts=verdicts)


def _pointed(record: AuditRecord, body: Any) -> Change:
    key = SlotKey(body["symbol"], parse_timeframe(body["timeframe"]))
    return Change(record.seq, record.at, moved=(key, Held(record.seq, 0, body["to"], body["policy_sha256"], record.at)))


def _overridden(record: AuditRecord, body: Any) -> Change:
    override = parse_document(Override, body["override"], where=f"audit record {record.seq}")
    return Change(record.seq, record.at, override=override)


def _recalled(record: AuditRecord, body: Any) -> Change:
    names = frozenset(str(name).removeprefix("sha256:") for name in body["names"])
    recall = Recall(names=names, who=record.who.name, why=body["why"], at=record.at)
    return Change(record.seq, record.at, recall=recall)


_READERS = {
    AuditKind.RUN_ARCHIVED: _run_archived,
    AuditKind.OVERRIDE: _overridden,
    AuditKind.PROMOTE: _pointed,
    AuditKind.REVERT: _pointed,
    AuditKind.RECALL: _recalled,
}


def _verdict_ref(plain: Mapping[str, Any], run: str, at: datetime) -> VerdictRef:
    judged = plain.get("judged")
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
        judged=None if judged is None else Judged(plain["data_digest"], str(judged["first"]), str(judged["last"])),
    )
