"""Look whether an archive is whole, and make its derived files again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from trader_sdk.archive.assess import rejudge
from trader_sdk.archive.layout import UNFINISHED_PREFIX, is_run_timestamp
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.slots import FoldedState, RunRef, VerdictRef, fold
from trader_sdk.archive.store.audit import AuditLog, ChainHead
from trader_sdk.archive.store.durable import storage_errors
from trader_sdk.archive.store.lock import DEFAULT_TIMEOUT_SECONDS, writer_lock
from trader_sdk.contract.documents import AuditRecord, Subject, Verdict
from trader_sdk.contract.errors import ArchiveError, Finding


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


def verify(archive: Path | str, *, expected_head: str | None = None) -> Verification:
    """Check the chain, every file of every run, and every verdict against its own numbers.

    Args:
        archive: The archive's folder; nothing is written to it.
        expected_head: Digest of a record that must be in the chain, kept elsewhere.

    Returns:
        What was found.

    Raises:
        ArchiveError: E608 without an archive, E606 where the chain does not hold or lacks the expected record.
    """
    reader = ArchiveReader(archive)
    if expected_head is not None and all(record.sha256 != expected_head for record in reader.chain.records):
        raise ArchiveError(
            "E606",
            "the chain was cut or rewritten: a record kept elsewhere is not in it",
            where=str(reader.root),
            expected=expected_head,
            found=reader.chain.head.sha256,
        )
    # Everything again from the chain's first record, whatever this host has verified before.
    state = fold(reader.chain.records)
    faults = [finding for run in state.runs.values() for finding in _run_faults(reader.root, run)]
    faults += [finding for ref in state.verdicts.values() for finding in _verdict_faults(reader, ref)]
    remarks = tuple(_remarks(reader, state))
    return Verification(reader.chain.head, len(state.runs), len(state.verdicts), tuple(faults), remarks)


def rebuild_index(archive: Path | str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> int:
    """Make ``index.json`` and the database again from the chain; return the number of runs.

    Raises:
        ArchiveError: E608 without an archive, E606 where the chain does not hold, E605 if the lock is held.
    """
    from trader_sdk.archive.index.listing import rebuild

    root = ArchiveReader(archive).root
    with writer_lock(root, timeout_seconds), storage_errors(root):
        return rebuild(root, AuditLog(root))


def _run_faults(root: Path, run: RunRef) -> Iterator[Finding]:
    for name, digest in run.files.items():
        found = _digest(root / run.timestamp / name)
        if found != digest:
            yield Finding("E602", f"{run.timestamp}/{name}", digest, found or "missing")


def _verdict_faults(reader: ArchiveReader, ref: VerdictRef) -> Iterator[Finding]:
    try:
        judged = reader.judged(ref)
    except ArchiveError as error:
        yield Finding(error.code, ref.id, str(error.expected or ""), error.message)
        return
    verdict, again = judged.verdict, rejudge(judged.verdict, judged.policy)
    if (again.gate_class, again.tier) != (verdict.class_, verdict.tier):
        yield Finding("E602", ref.id, f"{again.gate_class} {again.tier}", f"{verdict.class_} {verdict.tier}")
    for subject in verdict.subjects:
        path = subject_path(judged.folder, subject)
        found = _digest(path)
        if found != subject.sha256 and not (found is None and _may_lie_elsewhere(subject, verdict)):
            yield Finding("E602", f"{ref.run}/{path.name}", subject.sha256, found or "missing")


def _may_lie_elsewhere(subject: Subject, verdict: Verdict) -> bool:
    # A training checkpoint is three times its policy and deploys nothing: it may be kept in another place.
    return subject.role == "training" and any(other.role != "training" for other in verdict.subjects)


def _remarks(reader: ArchiveReader, state: FoldedState) -> Iterator[Remark]:
    yield from _elsewhere(reader, state)
    yield from _clock_remarks(reader.chain.records)
    if reader.chain.torn_bytes:
        yield Remark(Kind.TORN_LINE, f"{reader.chain.torn_bytes} bytes of an audit line that was never committed")
    for folder in sorted(path for path in reader.root.iterdir() if path.is_dir()):
        if folder.name.startswith(UNFINISHED_PREFIX):
            yield Remark(Kind.LEFTOVER, f"{folder.name}: left by a writer that died; the next one removes it")
        elif is_run_timestamp(folder.name) and folder.name not in state.runs:
            yield Remark(Kind.ORPHAN, f"{folder.name}: a run that was never committed; it is ignored")
    from trader_sdk.archive.index.listing import disagreements

    for name in disagreements(reader.root, reader.chain, state):
        yield Remark(Kind.INDEX_LAGS, f"{name} is not what the chain says; rebuild it")


def _clock_remarks(records: Sequence[AuditRecord]) -> Iterator[Remark]:
    for before, record in pairwise(records):
        if record.at < before.at:
            what = f"record {record.seq} says an earlier time than the one before; their order on the chain counts"
            yield Remark(Kind.CLOCK_WENT_BACK, what)


def _elsewhere(reader: ArchiveReader, state: FoldedState) -> Iterator[Remark]:
    for ref in state.verdicts.values():
        try:
            judged = reader.judged(ref)
        except ArchiveError:
            continue  # already a fault
        for subject in judged.verdict.subjects:
            if _may_lie_elsewhere(subject, judged.verdict) and not subject_path(judged.folder, subject).exists():
                yield Remark(
                    Kind.TRAINING_ELSEWHERE, f"{ref.id}: training checkpoint {subject.sha256[:8]} is not kept here"
                )


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
