"""Look whether an archive is whole, and make its derived files again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from trader_sdk.archive.assess import rejudge
from trader_sdk.archive.location import Place
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.slots import FoldedState, RunRef, VerdictRef, fold
from trader_sdk.archive.store.chain import Chain, ChainHead
from trader_sdk.archive.store.faults import UnreachableError
from trader_sdk.archive.store.lock import DEFAULT_TIMEOUT_SECONDS
from trader_sdk.contract.audit import AuditRecord
from trader_sdk.contract.errors import ArchiveError, Finding
from trader_sdk.contract.verdicts import Subject, Verdict


class Kind(StrEnum):
    """What was found beside findings that are faults."""

    ORPHAN = "orphan"
    LEFTOVER = "leftover"
    TORN_LINE = "torn_line"
    INDEX_LAGS = "index_lags"
    CLOCK_WENT_BACK = "clock_went_back"
    TRAINING_ELSEWHERE = "training_elsewhere"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that costs nothing: a crash left it, and readers ignore it."""

    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at the whole archive found.

    Attributes:
        head: The chain's end; keep it elsewhere to notice a chain that was cut or rewritten.
        runs, verdicts: How many were checked.
        faults: Files and verdicts that are not what was committed.
        remarks: What a crash left and nobody reads.
    """

    head: ChainHead
    runs: int
    verdicts: int
    faults: tuple[Finding, ...]
    remarks: tuple[Remark, ...]

    @property
    def holds(self) -> bool:
        """Return whether everything that was committed is there, unchanged."""
        return not self.faults


def verify(archive: Path | str | Place, *, expected_head: str | None = None) -> Verification:
    """Check the chain, every file of every run, and every verdict against its own numbers.

    Args:
        archive: The archive's folder, its name in ``trader.toml``, or its URL; nothing is written to it.
        expected_head: Digest of a record that must be in the chain, kept elsewhere.

    Returns:
        What was found.

    Raises:
        ArchiveError: E608 without an archive, E606 where the chain does not hold or lacks the expected record, E610
            where a shared archive does not answer.
    """
    reader = ArchiveReader(archive)
    # Everything again from the chain's first record, and from the archive itself, whatever this host has seen before.
    place, chain = reader.place, reader.place.chain.read()
    if expected_head is not None and all(record.sha256 != expected_head for record in chain.records):
        raise ArchiveError(
            "E606",
            "the chain was cut or rewritten: a record kept elsewhere is not in it",
            where=place.where,
            expected=expected_head,
            found=chain.head.sha256,
        )
    state = fold(chain.records)
    found = [one for run in state.runs.values() for one in _run_faults(place, run)]
    named = {digest for run in state.runs.values() for digest in run.files.values()}
    for ref in state.verdicts.values():
        found += _look_at(reader, ref, named)
    found += _remarks(place, chain, state, named)
    faults = tuple(one for one in found if isinstance(one, Finding))
    remarks = tuple(one for one in found if isinstance(one, Remark))
    return Verification(chain.head, len(state.runs), len(state.verdicts), faults, remarks)


def rebuild_index(archive: Path | str | Place, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> int:
    """Make ``index.json`` and the database again from the chain; return the number of runs.

    Raises:
        ArchiveError: E608 without an archive, E606 where the chain does not hold, E605 if the lock is held.
    """
    return ArchiveReader(archive).place.rebuild_index(timeout_seconds)


def _run_faults(place: Place, run: RunRef) -> Iterator[Finding | Remark]:
    for name, digest in run.files.items():
        found = place.stored_digest(f"{run.timestamp}/{name}", digest)
        if found != digest:
            yield Finding("E602", f"{run.timestamp}/{name}", digest, found or "missing")


def _look_at(reader: ArchiveReader, ref: VerdictRef, named: set[str]) -> Iterator[Finding | Remark]:
    """Yield what is wrong with a verdict and its files; add the digests of its files to ``named``."""
    try:
        judged = reader.judged(ref)
    except UnreachableError:
        raise
    except ArchiveError as error:
        yield Finding(error.code, ref.id, str(error.expected or ""), error.message)
        return
    verdict, again = judged.verdict, rejudge(judged.verdict, judged.policy)
    if (again.gate_class, again.tier) != (verdict.class_, verdict.tier):
        yield Finding("E602", ref.id, f"{again.gate_class} {again.tier}", f"{verdict.class_} {verdict.tier}")
    for subject in verdict.subjects:
        named.add(subject.sha256)
        path = subject_path(judged.folder, subject)
        name = path.relative_to(reader.root).as_posix()
        found = reader.place.stored_digest(name, subject.sha256)
        if found is None and _may_lie_elsewhere(subject, verdict):
            what = f"{ref.id}: training checkpoint {subject.sha256[:8]} is not kept here"
            yield Remark(Kind.TRAINING_ELSEWHERE, what)
        elif found != subject.sha256:
            yield Finding("E602", f"{ref.run}/{path.name}", subject.sha256, found or "missing")


def _may_lie_elsewhere(subject: Subject, verdict: Verdict) -> bool:
    # A training checkpoint is three times its policy and deploys nothing: it may be kept in another place.
    return subject.role == "training" and any(other.role != "training" for other in verdict.subjects)


def _remarks(place: Place, chain: Chain, state: FoldedState, named: set[str]) -> Iterator[Finding | Remark]:
    yield from _clock_remarks(chain.records)
    if chain.torn_bytes:
        yield Remark(Kind.TORN_LINE, f"{chain.torn_bytes} bytes of an audit line that was never committed")
    for left in place.leftovers(state.runs, named):
        yield Remark(Kind.LEFTOVER if left.is_unfinished else Kind.ORPHAN, f"{left.name}: {left.what}")
    for name, seq in place.reached().items():
        # A commit brings what is derived along when its record is safe, never before; one may have come meanwhile.
        if seq > chain.head.seq and seq > (end := place.chain.head().seq):
            yield Finding("E606", place.where, f"record {seq}, as {name} has it", f"the chain ends at record {end}")
    for name in place.stale_indexes(chain, state):
        yield Remark(Kind.INDEX_LAGS, f"{name} is not what the chain says; rebuild it")


def _clock_remarks(records: Sequence[AuditRecord]) -> Iterator[Remark]:
    for before, record in pairwise(records):
        if record.at < before.at:
            what = f"record {record.seq} says an earlier time than the one before; their order on the chain counts"
            yield Remark(Kind.CLOCK_WENT_BACK, what)
