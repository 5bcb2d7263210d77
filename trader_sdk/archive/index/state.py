"""The archive's state as the index holds it: each question one or two short queries, however many runs there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final, Generic, TypeVar

from trader_sdk.archive.changes import Recall, RunRef, SlotKey, VerdictRef
from trader_sdk.archive.index import statements as sql
from trader_sdk.archive.index.rows import held_of, override_of, recall_of, run_of, slot_row, verdict_key, verdict_of
from trader_sdk.archive.index.statements import Record, Session
from trader_sdk.archive.slots import Pointers, champion_of, pointers_of, slot_state
from trader_sdk.archive.trials import Judged
from trader_sdk.contract.audit import Override
from trader_sdk.contract.slot_state import Champion, SlotState
from trader_sdk.contract.timeframe import Timeframe

K = TypeVar("K")
V = TypeVar("V")

_FIRST_PAGE: Final = 8
_AFTER_ALL: Final = 2**31 - 1  # the largest number that both databases take


class Rows(Mapping[K, V], Generic[K, V]):
    """A mapping over a table: one key is one query, all of them are read once and kept.

    Args:
        one: Finds the value of a key, None where there is none.
        every: Yields all, oldest first.
    """

    def __init__(self, one: Callable[[K], V | None], every: Callable[[], Iterable[tuple[K, V]]]) -> None:
        self._one = one
        self._every = every

    @cached_property
    def _all(self) -> dict[K, V]:
        return dict(self._every())

    def __getitem__(self, key: K) -> V:
        value = self._all.get(key) if "_all" in self.__dict__ else self._one(key)
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[K]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class IndexedState:
    """An :class:`~trader_sdk.archive.slots.ArchiveState` in a database, all of it at one moment.

    Args:
        session: Inside a transaction that sees one moment; it is ended with :meth:`close`.
        close: Ends it.
    """

    def __init__(self, session: Session, close: Callable[[], object]) -> None:
        self._session = session
        self._close: Callable[[], object] | None = close

    @cached_property
    def runs(self) -> Mapping[str, RunRef]:
        """Return committed runs by timestamp, oldest first."""
        return Rows(self._run, self._runs)

    @cached_property
    def verdicts(self) -> Mapping[str, VerdictRef]:
        """Return verdicts by id, oldest first."""
        return Rows(self._verdict, self._verdicts)

    @cached_property
    def overrides(self) -> Mapping[str, Override]:
        """Return the newest override by verdict id."""
        return Rows(self._override, self._overrides)

    @cached_property
    def slots(self) -> Mapping[SlotKey, SlotState]:
        """Return the slots that ever had a champion."""
        return Rows(self._held_slot, self._slots)

    @property
    def recalls(self) -> list[Recall]:
        """Return all recalls, oldest first."""
        rows = self._session.every(sql.ALL_RECALLS)
        return [recall_of(row, self._session.every(sql.NAMES_OF_RECALL, {"audit_seq": row[0]})) for row in rows]

    def count_runs(self) -> int:
        """Return how many runs there are."""
        row = self._session.one(sql.COUNT_RUNS)
        return int(row[0]) if row else 0

    def keys(self) -> list[SlotKey]:
        """Return every slot that has a verdict, sorted."""
        return sorted(self._judged_slots())

    def _judged_slots(self) -> Iterator[SlotKey]:
        row = self._session.one(sql.NEXT_JUDGED_SLOT, {"symbol": "", "timeframe": ""})
        while row is not None:
            slot = _key(row)
            yield slot
            row = self._session.one(sql.NEXT_JUDGED_SLOT, slot_row(slot))

    def slot(self, key: SlotKey) -> SlotState:
        """Return a slot with all that happened in it; an empty one where nothing was ever approved."""
        moves, challengers = (
            [held_of(row) for row in reversed(self._session.every(statement, slot_row(key)))]
            for statement in (sql.MOVES_OF_SLOT, sql.CHALLENGERS_OF_SLOT)
        )
        return slot_state(key, moves, challengers)

    def champion(self, key: SlotKey) -> Champion | None:
        """Return who holds a slot."""
        row = self._session.one(sql.LAST_MOVES, {**slot_row(key), "limit": 1})
        return champion_of(held_of(row)) if row else None

    def champion_verdict(self, key: SlotKey) -> VerdictRef | None:
        """Return the newest verdict about the model that holds a slot, in one query."""
        row = self._session.one(sql.CHAMPION_VERDICT, slot_row(key))
        return verdict_of(row) if row else None

    def pointers(self, key: SlotKey) -> Pointers:
        """Return what a slot's pointers name."""
        moves = self._session.every(sql.LAST_MOVES, {**slot_row(key), "limit": 2})
        challenger = self._session.one(sql.NEWEST_CHALLENGERS, {**slot_row(key), "limit": 1})
        return pointers_of([held_of(row) for row in reversed(moves)], held_of(challenger) if challenger else None)

    def newest_first(self, key: SlotKey) -> Iterator[VerdictRef]:
        """Yield a slot's verdicts, newest first, a page at a time."""
        before, limit = _AFTER_ALL, _FIRST_PAGE
        while rows := self._page(key, before, limit):
            yield from map(verdict_of, rows)
            before, limit = rows[-1][0], 2 * limit

    def verdicts_of(self, key: SlotKey, limit: int | None = None) -> list[VerdictRef]:
        """Return a slot's verdicts, newest first, at most ``limit``."""
        return [verdict_of(row) for row in self._page(key, _AFTER_ALL, _AFTER_ALL if limit is None else limit)]

    def _page(self, key: SlotKey, before: int, limit: int) -> list[Record]:
        return self._session.every(sql.VERDICTS_OF_SLOT, {**slot_row(key), "before": before, "limit": limit})

    def verdicts_in(self, run: str) -> list[VerdictRef]:
        """Return a run's verdicts in the order it judged them."""
        return [verdict_of(row) for row in self._session.every(sql.VERDICTS_OF_RUN, {"run": run})]

    def history(self, symbol: str) -> list[VerdictRef]:
        """Return a symbol's verdicts at every timeframe, oldest first."""
        return [verdict_of(row) for row in self._session.every(sql.VERDICTS_OF_SYMBOL, {"symbol": symbol})]

    def newest_verdict(self, key: SlotKey, version_id: str, policy_sha256: str | None = None) -> VerdictRef | None:
        """Return the newest verdict about a version in a slot."""
        cursor = self._session.run(sql.VERDICTS_OF_VERSION, {**slot_row(key), "version_id": version_id})
        refs = map(verdict_of, iter(cursor.fetchone, None))
        return next((ref for ref in refs if policy_sha256 in (None, ref.policy_sha256)), None)

    def trials(self, key: SlotKey, judged: Judged | None) -> int:
        """Return how many runs judged a slot on some of these bars; where nobody says which they were, each counts."""
        if judged is None:
            row = self._session.one(sql.TRIALS_OF, slot_row(key))
        else:
            bars = {"data_digest": judged.digest, "judged_first": judged.first, "judged_last": judged.last}
            row = self._session.one(sql.LOOKS_AT, {**slot_row(key), **bars})
        return int(row[0]) if row else 0

    def recall_of(self, *names: str) -> Recall | None:
        """Return the first recall that names a version or digest, with or without its ``sha256:`` prefix."""
        found = [self._session.one(sql.FIRST_RECALL, {"name": name.removeprefix("sha256:")}) for name in names]
        seqs = [row[0] for row in found if row is not None and row[0] is not None]
        if not seqs:
            return None
        rows = self._session.every(sql.ONE_RECALL, {"audit_seq": min(seqs)})
        return recall_of(rows[0], self._session.every(sql.NAMES_OF_RECALL, {"audit_seq": min(seqs)}))

    def close(self) -> None:
        """End the moment; nothing can be asked afterwards. Done at the latest when nobody holds the state."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __del__(self) -> None:
        self.close()

    def _run(self, timestamp: str) -> RunRef | None:
        row = self._session.one(sql.ONE_RUN, {"timestamp": timestamp})
        return run_of(row) if row else None

    def _runs(self) -> Iterator[tuple[str, RunRef]]:
        for run in map(run_of, self._session.every(sql.ALL_RUNS)):
            yield run.timestamp, run

    def _verdict(self, id_: str) -> VerdictRef | None:
        row = self._session.one(sql.ONE_VERDICT, verdict_key(id_))
        return verdict_of(row) if row else None

    def _verdicts(self) -> Iterator[tuple[str, VerdictRef]]:
        for ref in map(verdict_of, self._session.every(sql.ALL_VERDICTS)):
            yield ref.id, ref

    def _override(self, verdict: str) -> Override | None:
        row = self._session.one(sql.NEWEST_OVERRIDE, {"verdict": verdict})
        return override_of(row[0]) if row else None

    def _overrides(self) -> Iterator[tuple[str, Override]]:
        for verdict, document in self._session.every(sql.ALL_OVERRIDES):
            yield verdict, override_of(document)

    def _held_slot(self, key: SlotKey) -> SlotState | None:
        slot = self.slot(key)
        return slot if slot.champion else None

    def _slots(self) -> Iterator[tuple[SlotKey, SlotState]]:
        for key in dict.fromkeys(map(_key, self._session.every(sql.MOVED_SLOTS))):
            yield key, self.slot(key)


def _key(row: Record) -> SlotKey:
    return SlotKey(row[0], Timeframe(row[1]))
