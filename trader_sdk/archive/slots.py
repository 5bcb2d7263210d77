"""Who holds a slot: a pure fold over the audit chain, so that a crash never leaves a slot without its champion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from trader_sdk.archive.changes import Change, Held, change_of, said_twice
from trader_sdk.archive.changes import Recall as Recall
from trader_sdk.archive.changes import RunRef as RunRef
from trader_sdk.archive.changes import SlotKey as SlotKey
from trader_sdk.archive.changes import VerdictRef as VerdictRef
from trader_sdk.archive.trials import Judged
from trader_sdk.contract.audit import AuditRecord, Override
from trader_sdk.contract.slot_state import Challenger, Champion, SlotState, Stage
from trader_sdk.contract.verdicts import GateClass


class Pointers(NamedTuple):
    """What a slot's pointers name; all that following one needs, however much the slot has seen."""

    champion: Champion | None
    previous: Champion | None
    challenger: Challenger | None


class ArchiveState(Protocol):
    """Everything that the audit chain says after a record, in memory or in an index.

    The mappings answer for one key without looking at the others; going through all of them costs what there is.
    """

    @property
    def runs(self) -> Mapping[str, RunRef]:
        """Return committed runs by timestamp, oldest first."""

    @property
    def verdicts(self) -> Mapping[str, VerdictRef]:
        """Return verdicts by id, oldest first."""

    @property
    def overrides(self) -> Mapping[str, Override]:
        """Return the newest override by verdict id."""

    @property
    def slots(self) -> Mapping[SlotKey, SlotState]:
        """Return the slots that ever had a champion, with all that happened in them."""

    @property
    def recalls(self) -> Sequence[Recall]:
        """Return all recalls, oldest first."""

    def keys(self) -> list[SlotKey]:
        """Return every slot that has a verdict, sorted."""

    def slot(self, key: SlotKey) -> SlotState:
        """Return a slot with all that happened in it; an empty one where nothing was ever approved."""

    def champion(self, key: SlotKey) -> Champion | None:
        """Return who holds a slot."""

    def champion_verdict(self, key: SlotKey) -> VerdictRef | None:
        """Return the newest verdict about the model that holds a slot."""

    def pointers(self, key: SlotKey) -> Pointers:
        """Return what a slot's pointers name."""

    def newest_first(self, key: SlotKey) -> Iterator[VerdictRef]:
        """Yield a slot's verdicts, newest first, as they are asked for."""

    def verdicts_of(self, key: SlotKey, limit: int | None = None) -> list[VerdictRef]:
        """Return a slot's verdicts, newest first, at most ``limit``."""

    def verdicts_in(self, run: str) -> list[VerdictRef]:
        """Return a run's verdicts in the order it judged them."""

    def history(self, symbol: str) -> list[VerdictRef]:
        """Return a symbol's verdicts at every timeframe, oldest first."""

    def newest_verdict(self, key: SlotKey, version_id: str, policy_sha256: str | None = None) -> VerdictRef | None:
        """Return the newest verdict about a version in a slot."""

    def trials(self, key: SlotKey, judged: Judged | None) -> int:
        """Return how many runs judged a slot on some of these bars; where nobody says which they were, each counts."""

    def recall_of(self, *names: str) -> Recall | None:
        """Return the first recall that names a version or digest, with or without its ``sha256:`` prefix."""


@dataclass(slots=True)
class Holders:
    """What happened in one slot.

    Attributes:
        moves: Every champion, oldest first.
        challengers: Who waits, newest last.
    """

    moves: list[Held] = field(default_factory=list)
    challengers: dict[tuple[str, str], Held] = field(default_factory=dict)

    def move(self, held: Held) -> None:
        """Give the slot to a model; it waits no longer."""
        self.moves.append(held)
        self.challengers.pop(held.model, None)

    def add(self, held: Held) -> None:
        """Take a deployable model in: champion of an empty slot, the newest challenger otherwise."""
        if not self.moves:
            self.move(held)
        elif self.moves[-1].model != held.model:
            self.challengers.pop(held.model, None)
            self.challengers[held.model] = held


@dataclass(slots=True)
class FoldedState:
    """The state in memory; grows by :meth:`apply`."""

    runs: dict[str, RunRef] = field(default_factory=dict)
    verdicts: dict[str, VerdictRef] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    recalls: list[Recall] = field(default_factory=list)
    holders: dict[SlotKey, Holders] = field(default_factory=dict)
    _of_slot: dict[SlotKey, list[VerdictRef]] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """Take in what the next record changes.

        Raises:
            ArchiveError: E606 where the chain names a run twice.
        """
        if change.run is not None:
            self._add_run(change, change.run)
        if change.moved is not None:
            key, held = change.moved
            self._holders(key).move(held)
        if change.override is not None:
            self.overrides[change.override.verdict] = change.override
            ref = self.verdicts.get(change.override.verdict)
            if ref is not None:
                self._holders(ref.slot).add(change.candidate(ref))
        if change.recall is not None:
            self.recalls.append(change.recall)

    def _add_run(self, change: Change, run: RunRef) -> None:
        if run.timestamp in self.runs:
            raise said_twice(change.seq, f"run {run.timestamp}")
        self.runs[run.timestamp] = run
        for place, ref in enumerate(change.verdicts):
            self.verdicts[ref.id] = ref
            self._of_slot.setdefault(ref.slot, []).append(ref)
            if ref.gate_class is GateClass.APPROVED:
                self._holders(ref.slot).add(change.candidate(ref, place))

    def _holders(self, key: SlotKey) -> Holders:
        return self.holders.setdefault(key, Holders())

    @property
    def slots(self) -> dict[SlotKey, SlotState]:
        """Return the slots that ever had a champion."""
        return {key: self.slot(key) for key in self.holders}

    def keys(self) -> list[SlotKey]:
        """Return every slot that has a verdict, sorted."""
        return sorted(self._of_slot)

    def slot(self, key: SlotKey) -> SlotState:
        """Return a slot with all that happened in it; an empty one where nothing was ever approved."""
        holders = self.holders.get(key, Holders())
        return slot_state(key, holders.moves, holders.challengers.values())

    def champion(self, key: SlotKey) -> Champion | None:
        """Return who holds a slot."""
        holders = self.holders.get(key)
        return champion_of(holders.moves[-1]) if holders and holders.moves else None

    def champion_verdict(self, key: SlotKey) -> VerdictRef | None:
        """Return the newest verdict about the model that holds a slot."""
        champion = self.champion(key)
        return self.newest_verdict(key, champion.version_id, champion.policy_sha256) if champion else None

    def pointers(self, key: SlotKey) -> Pointers:
        """Return what a slot's pointers name."""
        holders = self.holders.get(key, Holders())
        return pointers_of(holders.moves[-2:], next(reversed(holders.challengers.values()), None))

    def newest_first(self, key: SlotKey) -> Iterator[VerdictRef]:
        """Yield a slot's verdicts, newest first."""
        return reversed(self._of_slot.get(key, []))

    def verdicts_of(self, key: SlotKey, limit: int | None = None) -> list[VerdictRef]:
        """Return a slot's verdicts, newest first, at most ``limit``."""
        return list(islice(self.newest_first(key), limit))

    def verdicts_in(self, run: str) -> list[VerdictRef]:
        """Return a run's verdicts in the order it judged them."""
        return [ref for ref in self.verdicts.values() if ref.run == run]

    def history(self, symbol: str) -> list[VerdictRef]:
        """Return a symbol's verdicts at every timeframe, oldest first."""
        return [ref for ref in self.verdicts.values() if ref.slot.symbol == symbol]

    def newest_verdict(self, key: SlotKey, version_id: str, policy_sha256: str | None = None) -> VerdictRef | None:
        """Return the newest verdict about a version in a slot."""
        return next(
            (
                ref
                for ref in self.newest_first(key)
                if ref.version_id == version_id and policy_sha256 in (None, ref.policy_sha256)
            ),
            None,
        )

    def trials(self, key: SlotKey, judged: Judged | None) -> int:
        """Return how many runs judged a slot on some of these bars; where nobody says which they were, each counts."""
        return sum(judged is None or judged.shares_bars_with(ref.judged) for ref in self.newest_first(key))

    def recall_of(self, *names: str) -> Recall | None:
        """Return the first recall that names a version or digest, with or without its ``sha256:`` prefix."""
        wanted = {name.removeprefix("sha256:") for name in names}
        return next((recall for recall in self.recalls if recall.names & wanted), None)


def fold(records: Iterable[AuditRecord]) -> FoldedState:
    """Return the state after ``records``, oldest first; the same records always give the same state."""
    state = FoldedState()
    for record in records:
        state.apply(change_of(record))
    return state


def slot_state(key: SlotKey, moves: Sequence[Held], challengers: Iterable[Held]) -> SlotState:
    """Return a slot as a document."""
    history = tuple(champion_of(held) for held in moves)
    return SlotState(
        symbol=key.symbol,
        timeframe=key.timeframe,
        champion=history[-1] if history else None,
        previous=history[-2] if len(history) > 1 else None,
        history=history,
        challengers=tuple(_challenger_of(held) for held in challengers),
    )


def pointers_of(last_moves: Sequence[Held], challenger: Held | None) -> Pointers:
    """Return a slot's pointers from its last two moves, oldest first, and its newest challenger."""
    return Pointers(
        champion=champion_of(last_moves[-1]) if last_moves else None,
        previous=champion_of(last_moves[-2]) if len(last_moves) > 1 else None,
        challenger=_challenger_of(challenger) if challenger else None,
    )


def champion_of(held: Held) -> Champion:
    """Return a model as the champion of its slot."""
    return Champion(version_id=held.version_id, policy_sha256=held.policy_sha256, since=held.since)


def _challenger_of(held: Held) -> Challenger:
    return Challenger(
        version_id=held.version_id, policy_sha256=held.policy_sha256, stage=Stage.CHALLENGER, since=held.since
    )
