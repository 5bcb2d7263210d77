"""Changes into the index: one by one behind its head, or all of a chain at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from trader_sdk.archive.changes import Change, Held, RunRef, SlotKey, change_of
from trader_sdk.archive.index import statements as sql
from trader_sdk.archive.index.rows import (
    held_of,
    held_row,
    override_row,
    recall_rows,
    run_row,
    verdict_key,
    verdict_of,
    verdict_row,
)
from trader_sdk.archive.index.schema import METADATA
from trader_sdk.archive.index.statements import Parameters, Session
from trader_sdk.archive.slots import FoldedState
from trader_sdk.archive.store.chain import ChainHead, HeadMovedError, head_of
from trader_sdk.contract.audit import AuditRecord
from trader_sdk.contract.verdicts import GateClass


def advance(session: Session, records: Iterable[AuditRecord], after: ChainHead, *, where: str) -> ChainHead:
    """Take in the records behind the index's head; for whoever holds a transaction.

    Args:
        session: Inside a transaction.
        records: Verified, oldest first, the first behind ``after``.
        after: The head that the index must have.
        where: The index, for messages.

    Returns:
        The head afterwards.

    Raises:
        HeadMovedError: Another writer advanced the index first, or the records do not continue it; nothing was changed.
    """
    head = after
    changes = []
    for record in records:
        if record.prev != head.sha256:
            raise HeadMovedError(where, head)
        changes.append(change_of(record))
        head = head_of(record)
    moved = {
        "new_seq": head.seq,
        "new_sha256": head.sha256,
        "old_seq": after.seq,
        "old_sha256": after.sha256,
    }
    # First, since it is what concurrent writers of a server's database wait for each other on.
    if session.run(sql.MOVE_HEAD, moved).rowcount != 1:
        raise HeadMovedError(where, after)
    for change in changes:
        write_change(session, change)
    return head


def write_change(session: Session, change: Change) -> None:
    """Write what one record changes."""
    if change.run is not None:
        _write_run(session, change, change.run)
    if change.moved is not None:
        _move(session, held_row(*change.moved))
    if change.override is not None:
        session.run(sql.INSERT_OVERRIDE, override_row(change.seq, change.override))
        row = session.one(sql.ONE_VERDICT, verdict_key(change.override.verdict))
        if row is not None:
            ref = verdict_of(row)
            _add(session, ref.slot, change.candidate(ref))
    if change.recall is not None:
        recall, names = recall_rows(change, change.recall)
        session.run(sql.INSERT_RECALL, recall)
        session.insert_all(sql.INSERT_RECALLED_NAME, names)


def _write_run(session: Session, change: Change, run: RunRef) -> None:
    session.run(sql.INSERT_RUN, run_row(run))
    for place, ref in enumerate(change.verdicts):
        session.run(sql.INSERT_VERDICT, verdict_row(ref, change.seq, place))
        if ref.gate_class is GateClass.APPROVED:
            _add(session, ref.slot, change.candidate(ref, place))


def _add(session: Session, key: SlotKey, held: Held) -> None:
    """Take a deployable model in, as :meth:`trader_sdk.archive.slots.Holders.add` does."""
    row = held_row(key, held)
    last = session.one(sql.LAST_MOVES, {**row, "limit": 1})
    if last is None:
        _move(session, row)
    elif held_of(last).model != held.model:
        session.run(sql.PUT_CHALLENGER[session.dialect_name], row)


def _move(session: Session, row: Parameters) -> None:
    session.run(sql.INSERT_MOVE, row)
    session.run(sql.DELETE_CHALLENGER, row)


@dataclass(slots=True)
class Filling:
    """All rows of a chain, folded in memory and written with one statement a table."""

    state: FoldedState = field(default_factory=FoldedState)
    overrides: list[Parameters] = field(default_factory=list)
    recalls: list[Parameters] = field(default_factory=list)
    names: list[Parameters] = field(default_factory=list)
    verdicts: list[Parameters] = field(default_factory=list)
    head: ChainHead = field(default_factory=lambda: ChainHead(0, ""))

    def take(self, record: AuditRecord) -> None:
        """Fold one record.

        Raises:
            ArchiveError: E606 where the chain names something twice.
        """
        change = change_of(record)
        self.state.apply(change)
        self.head = head_of(record)
        self.verdicts += (verdict_row(ref, change.seq, place) for place, ref in enumerate(change.verdicts))
        if change.override is not None:
            self.overrides.append(override_row(change.seq, change.override))
        if change.recall is not None:
            recall, names = recall_rows(change, change.recall)
            self.recalls.append(recall)
            self.names += names

    def write(self, session: Session) -> None:
        """Replace everything that the tables hold; for whoever holds a transaction."""
        for table in reversed(METADATA.sorted_tables):
            session.run(sql.CLEAR[table.name])
        session.insert_all(sql.INSERT_RUN, [run_row(run) for run in self.state.runs.values()])
        session.insert_all(sql.INSERT_VERDICT, self.verdicts)
        for key, holders in self.state.holders.items():
            session.insert_all(sql.INSERT_MOVE, [held_row(key, held) for held in holders.moves])
            waiting = [held_row(key, held) for held in holders.challengers.values()]
            session.insert_all(sql.INSERT_CHALLENGER, waiting)
        session.insert_all(sql.INSERT_OVERRIDE, self.overrides)
        session.insert_all(sql.INSERT_RECALL, self.recalls)
        session.insert_all(sql.INSERT_RECALLED_NAME, self.names)
        session.run(sql.INSERT_HEAD, {"only": 1, "seq": self.head.seq, "sha256": self.head.sha256})
