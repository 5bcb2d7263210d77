"""The archive's public face: archive a run, ask what was approved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.archive.codec import encode, jsonable
from trader_sdk.archive.layout import SUMMARY_FILE, model_key, run_folder
from trader_sdk.archive.location import Place, committing, locate
from trader_sdk.archive.policy import HOUSE_POLICY, ModelGatingConfig
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.store.lock import DEFAULT_TIMEOUT_SECONDS
from trader_sdk.archive.transaction import RunWriter, count_of
from trader_sdk.contract.document import parse_document
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.summary import Summary
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.contract.verdicts import GateClass, Verdict

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
        archive_dir: The archive's folder, made at the first run; its name in ``trader.toml``, or its URL.
        config: The gate's policy; the house's when omitted.
        clock: Source of aware times.
        who: Name of whoever archives; the login, or where there is one the database role or key, when omitted.
        lock_timeout_seconds: Wait for other writers.
    """

    def __init__(
        self,
        archive_dir: Path | str | Place = DEFAULT_ARCHIVE,
        config: ModelGatingConfig | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        who: str | None = None,
        lock_timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self.place = locate(archive_dir)
        self.root = self.place.root
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
            StorageError: The disk refused.
            UnreachableError: E610, a shared archive does not answer. On every error the archive is as it was before.
        """
        document, text, folder = _read_summary(summary, Path(base) if base is not None else None)
        _check_slots(document)
        timestamp, verdicts = committing(
            self.place, self._lock_timeout_seconds, lambda: self._writer().write(document, text, folder)
        )
        return ArchivedRun(
            timestamp,
            count_of(verdicts, GateClass.APPROVED),
            count_of(verdicts, GateClass.REVIEW),
            count_of(verdicts, GateClass.DROP),
            verdicts,
            self.root / timestamp,
        )

    def _writer(self) -> RunWriter:
        # The clock is read by whoever may write: records that wait for each other keep their order in time.
        return RunWriter(self.place, self.policy, self.place.identity(self._who), self._clock())

    def get_approved_models(self, timestamp: str) -> list[str]:
        """Return the keys of a run's APPROVED models, sorted.

        Raises:
            ArchiveError: E608 without an archive, E609 if there is no such run.
        """
        run_folder(self.root, timestamp)
        state = ArchiveReader(self.place).state
        if timestamp not in state.runs:
            raise ArchiveError("E609", "no such run in this archive", where="timestamp", found=timestamp)
        refs = state.verdicts_in(timestamp)
        return sorted(model_key(*ref.slot) for ref in refs if ref.gate_class is GateClass.APPROVED)

    def get_symbol_history(self, symbol: str) -> list[HistoryEntry]:
        """Return a symbol's verdicts at every timeframe, newest last."""
        return [
            HistoryEntry(ref.run, ref.id, ref.version_id, ref.slot.timeframe, ref.gate_class, ref.at)
            for ref in ArchiveReader(self.place).state.history(symbol)
        ]


def archive_run(
    archive: Path | str | Place,
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
        archive: As for :class:`TrainingArchiveManager`.
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
