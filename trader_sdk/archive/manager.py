"""The archive's writer: one run in, judged, stored whole and committed by one audit line, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.artefacts import store_artefacts
from trader_sdk.archive.assess import build_verdict, choose_checkpoint, circumstances_of
from trader_sdk.archive.codec import digest_of, encode, jsonable, plain
from trader_sdk.archive.governance import login_name
from trader_sdk.archive.layout import (
    ASSESSMENTS_FILE,
    MODELS_FOLDER,
    RECOMMENDATIONS_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
    UNFINISHED_PREFIX,
    model_key,
    run_folder,
    run_timestamp,
    version_id,
)
from trader_sdk.archive.policy import HOUSE_POLICY, ModelGatingConfig
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey, VerdictRef, fold
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.durable import remove_folder, storage_errors, sync_folder, write_new
from trader_sdk.archive.store.lock import DEFAULT_TIMEOUT_SECONDS, writer_lock
from trader_sdk.contract.documents import (
    Assessments,
    AuditKind,
    AuditRecord,
    GateClass,
    GatePolicySnapshot,
    Summary,
    SummaryModel,
    Verdict,
    Who,
    parse_document,
)
from trader_sdk.contract.errors import ArchiveError, StorageError
from trader_sdk.contract.timeframe import Timeframe

DEFAULT_ARCHIVE: Final = "training_archives"


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """What became of a run.

    Attributes:
        timestamp: Its name, ``YYYYMMDD_HHMMSS[_n]``.
        approved_count, review_count, dropped_count: Models by class.
        assessments: The verdicts.
        path: The run's folder.
    """

    timestamp: str
    approved_count: int
    review_count: int
    dropped_count: int
    assessments: tuple[Verdict, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One verdict of a symbol's history."""

    timestamp: str
    verdict_id: str
    version_id: str
    timeframe: Timeframe
    gate_class: GateClass
    at: datetime


class TrainingArchiveManager:
    """Archives training runs and answers what was approved.

    Every run is archived, whatever its result. Once :meth:`archive_training_run` returns, the run survives power
    loss; before, no reader sees any of it.

    Args:
        archive_dir: The archive's folder; made at the first run.
        config: The gate's policy; the house's when omitted.
        clock: Source of aware times.
        who: Name of whoever archives; the login when omitted.
        lock_timeout_seconds: Wait for another writer.
    """

    def __init__(
        self,
        archive_dir: Path | str = DEFAULT_ARCHIVE,
        config: ModelGatingConfig | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        who: str | None = None,
        lock_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self.root = Path(archive_dir)
        self.policy = config or HOUSE_POLICY
        self._clock = clock
        self._who = who
        self._lock_timeout_seconds = lock_timeout_seconds

    def archive_training_run(
        self, summary: Mapping[str, Any] | Path | str, *, base: Path | str | None = None
    ) -> ArchivedRun:
        """Judge a run's models, store them and commit.

        Args:
            summary: A summary (docs/guide/archive.md) or the file that holds one.
            base: Folder that its paths are relative to; the file's own folder, or the working directory.

        Returns:
            The archived run.

        Raises:
            ArchiveError: E609 for an invalid summary, E605 if the lock is held, E606 if the chain does not hold.
            SdkError: A checkpoint cannot be read; codes as when loading it.
            StorageError: The disk refused. On every error the archive is as it was before.
        """
        document, data, folder = _read_summary(summary, Path(base) if base is not None else None)
        _check_slots(document)
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with writer_lock(self.root, self._lock_timeout_seconds):
            return self._archive(document, data, folder)

    def get_approved_models(self, timestamp: str) -> list[str]:
        """Return the keys of a run's APPROVED models, sorted.

        Raises:
            ArchiveError: E608 without an archive, E609 if there is no such run.
        """
        run_folder(self.root, timestamp)
        state = ArchiveReader(self.root).state
        if timestamp not in state.runs:
            raise ArchiveError("E609", "no such run in this archive", where="timestamp", found=timestamp)
        refs = [ref for ref in state.verdicts.values() if ref.run == timestamp]
        return sorted(model_key(*ref.slot) for ref in refs if ref.gate_class is GateClass.APPROVED)

    def get_symbol_history(self, symbol: str) -> list[HistoryEntry]:
        """Return a symbol's verdicts at every timeframe, newest last."""
        verdicts = ArchiveReader(self.root).state.verdicts.values()
        return [_history_entry(ref) for ref in verdicts if ref.slot.symbol == symbol]

    def _archive(self, document: Summary, data: bytes, base: Path) -> ArchivedRun:
        audit, index = AuditLog(self.root), _fresh_index(self.root)
        at = self._clock()
        timestamp = self._free_timestamp(at)
        with _unfinished_folder(self.root) as unfinished:
            models = unfinished / MODELS_FOLDER
            models.mkdir()
            verdicts = [
                self._judge(model, base, models, timestamp, at, index.trials) for model in document.models.values()
            ]
            files = {SUMMARY_FILE: write_new(unfinished / SUMMARY_FILE, data)}
            files |= self._write_documents(unfinished, document, verdicts)
            sync_folder(models)
            sync_folder(unfinished)
            record = self._commit(audit, unfinished, timestamp, verdicts, files, at)
        _extend_index(index, self.root, record)
        counts = _counts(verdicts)
        return ArchivedRun(
            timestamp,
            counts[GateClass.APPROVED],
            counts[GateClass.REVIEW],
            counts[GateClass.DROP],
            tuple(verdicts),
            self.root / timestamp,
        )

    def _judge(
        self,
        model: SummaryModel,
        base: Path,
        folder: Path,
        timestamp: str,
        at: datetime,
        trials: Callable[[SlotKey, str], int],
    ) -> Verdict:
        choice = choose_checkpoint(model, base, self.policy)
        artefacts = store_artefacts(choice.path, folder)
        earlier = trials(SlotKey(model.symbol, model.timeframe), model.data.digest) if model.data else 0
        return build_verdict(
            model,
            choice,
            artefacts,
            self.policy,
            circumstances_of(model, earlier),
            timestamp=timestamp,
            version=version_id(model.label, at, artefacts.subjects[0].sha256),
            sdk_version=installed_version("trader-sdk"),
            at=at,
        )

    def _write_documents(self, folder: Path, summary: Summary, verdicts: Sequence[Verdict]) -> dict[str, str]:
        from trader_sdk.archive.recommendations import recommendations
        from trader_sdk.archive.report import report_html

        snapshot = GatePolicySnapshot(name=self.policy.label, values=self.policy.values, hash=self.policy.policy_hash)
        assessments = Assessments(policy=snapshot, assessments=tuple(verdicts))
        before = self._earlier_verdicts(verdicts)
        return {
            ASSESSMENTS_FILE: write_new(folder / ASSESSMENTS_FILE, encode(plain(assessments))),
            RECOMMENDATIONS_FILE: write_new(
                folder / RECOMMENDATIONS_FILE, recommendations(assessments, before).encode()
            ),
            REPORT_FILE: write_new(folder / REPORT_FILE, report_html(summary, assessments).encode()),
        }

    def _earlier_verdicts(self, verdicts: Sequence[Verdict]) -> dict[str, Verdict]:
        if not AuditLog(self.root).path.exists():
            return {}
        reader = ArchiveReader(self.root)
        found = {}
        for verdict in verdicts:
            refs = reader.state.verdicts_of(SlotKey(verdict.symbol, verdict.timeframe))
            if refs:
                found[verdict.id] = reader.judged(refs[0]).verdict
        return found

    def _commit(
        self,
        audit: AuditLog,
        unfinished: Path,
        timestamp: str,
        verdicts: Sequence[Verdict],
        files: Mapping[str, str],
        at: datetime,
    ) -> AuditRecord:
        counts = _counts(verdicts)
        body = {
            "timestamp": timestamp,
            "approved": counts[GateClass.APPROVED],
            "review": counts[GateClass.REVIEW],
            "dropped": counts[GateClass.DROP],
            "files": dict(files),
            "verdicts": [_reference(verdict) for verdict in verdicts],
        }
        final = self.root / timestamp
        with storage_errors(final):
            unfinished.rename(final)
        try:
            with storage_errors(self.root):
                sync_folder(self.root)
            return audit.append(AuditKind.RUN_ARCHIVED, body, who=Who(kind="os", name=self._who or login_name()), at=at)
        except BaseException:
            # Not committed: the folder would be an orphan, so it goes back to being unfinished.
            final.rename(unfinished)
            raise

    def _free_timestamp(self, at: datetime) -> str:
        attempt = 1
        while (self.root / run_timestamp(at, attempt)).exists():
            attempt += 1
        return run_timestamp(at, attempt)


def archive_run(
    archive: Path | str,
    *,
    checkpoints: Mapping[int, Path | str] | Path | str,
    metrics: Mapping[str, Sequence[float]],
    symbol: str,
    timeframe: str,
    gate: Mapping[str, Any] | None = None,
    config: ModelGatingConfig | None = None,
    run: Mapping[str, Any] | None = None,
    **rest: Any,
) -> ArchivedRun:
    """Archive one model of somebody else's trainer in one call.

    Args:
        archive: The archive's folder.
        checkpoints: Update number to file, or the final file alone. The highest update is the final one unless
            ``final`` says otherwise.
        metrics: The four arrays by validation, oldest first.
        symbol, timeframe: The slot.
        gate: GATE block results, ``{"final": {...}, "best": {...} or None}``; without it REVIEW at best.
        config: The gate's policy.
        run: Where the run came from.
        **rest: Further fields of a summary's model: ``label``, ``data``, ``validation_interval``, ...

    Returns:
        The archived run, of one model.

    Raises:
        ArchiveError: E609 for an unknown or invalid field.
    """
    listed = {0: checkpoints} if isinstance(checkpoints, str | os.PathLike) else dict(checkpoints)
    if not listed:
        raise ArchiveError("E609", "no checkpoint was given", where="checkpoints")
    model = {
        "symbol": symbol,
        "timeframe": timeframe,
        "checkpoints": [{"update": update, "path": str(path)} for update, path in sorted(listed.items())],
        "final": str(listed[max(listed)]),
        "metrics": metrics,
        "gate": gate,
        **rest,
    }
    summary = {"schema": 1, "run": run or {}, "models": {"model": model}}
    return TrainingArchiveManager(archive, config).archive_training_run(summary)


def _read_summary(summary: Mapping[str, Any] | Path | str, base: Path | None) -> tuple[Summary, bytes, Path]:
    if isinstance(summary, Mapping):
        text = encode(jsonable(summary))
        return parse_document(Summary, text, where=SUMMARY_FILE), text, base or Path.cwd()
    path = Path(summary)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ArchiveError("E609", "the summary cannot be read", where=str(path), found=error) from error
    return parse_document(Summary, text, where=str(path)), text, base or path.parent


def _check_slots(summary: Summary) -> None:
    keys = [model_key(model.symbol, model.timeframe) for model in summary.models.values()]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ArchiveError("E609", "a run has one model a symbol and timeframe", where="models", found=", ".join(twice))


@contextmanager
def _unfinished_folder(root: Path) -> Iterator[Path]:
    """Give a folder that no reader looks at; gone afterwards unless it was renamed away."""
    for leftover in root.glob(f"{UNFINISHED_PREFIX}*"):
        # Only the lock's holder makes them, so whoever left this one is dead.
        remove_folder(leftover)
    folder = root / f"{UNFINISHED_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with storage_errors(folder):
            folder.mkdir()
            yield folder
    finally:
        remove_folder(folder)


def _fresh_index(root: Path) -> Any:
    from trader_sdk.archive.index import SqliteIndex

    index, head = SqliteIndex(root), AuditLog(root).head()
    if index.head() != head:
        index.rebuild(fold(AuditLog(root).read().records), head)
    return index


def _extend_index(index: Any, root: Path, record: AuditRecord) -> None:
    """Bring the derived files up to date; a failure costs a rebuild at the next write and nothing else."""
    from trader_sdk.archive.index import write_index_json
    from trader_sdk.archive.store.audit import ChainHead

    added = fold([record])
    try:
        index.add(next(iter(added.runs.values())), added.verdicts.values(), ChainHead(record.seq, record.sha256))
        write_index_json(root, index.runs())
    except (ArchiveError, StorageError, OSError):
        # The run is committed; whoever needs the index sees that it lags behind the chain and rebuilds it.
        return


def _counts(verdicts: Sequence[Verdict]) -> dict[GateClass, int]:
    return {kind: sum(verdict.class_ is kind for verdict in verdicts) for kind in GateClass}


def _reference(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "version_id": verdict.version_id,
        "symbol": verdict.symbol,
        "timeframe": verdict.timeframe.value,
        "class": verdict.class_.value,
        "tier": verdict.tier.value if verdict.tier else None,
        "policy_sha256": verdict.policy_sha256,
        "data_digest": verdict.data.digest if verdict.data else None,
        "digest": digest_of(verdict),
    }


def _history_entry(ref: VerdictRef) -> HistoryEntry:
    return HistoryEntry(ref.run, ref.id, ref.version_id, ref.slot.timeframe, ref.gate_class, ref.at)
