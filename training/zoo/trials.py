"""The trial ledger: every variant that was ever tried on a slot, failed and dropped ones too, in one growing file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock

from trader_sdk.contract.errors import StorageError

TRIALS_FILE: Final = "trials.jsonl"
_LOCK_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant on one data vintage.

    Attributes:
        spec_id: What it was called.
        digest: Of its configuration: the same numbers under another name are the same trial.
        data_digest: Of the bars.
        horizon: Bars that its evaluation looks ahead, declared before anything was seen.
        at: When it was begun, RFC 3339 UTC.
    """

    spec_id: str
    digest: str
    data_digest: str
    horizon: int
    at: str


class TrialLedger:
    """The trials of one slot; only ever appended to.

    Args:
        folder: Folder of the slot.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TRIALS_FILE

    def add(self, trials: Iterable[Trial]) -> None:
        """Write trials down before they are begun; those that are there already are not counted again.

        Raises:
            StorageError: The disk refused.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_suffix(".lock"), timeout=_LOCK_SECONDS):
                known = {(trial.digest, trial.data_digest) for trial in self}
                new = [trial for trial in trials if (trial.digest, trial.data_digest) not in known]
                with self._path.open("a+", encoding="utf-8") as stream:
                    stream.write(self._end_of_a_torn_line() + "".join(f"{json.dumps(asdict(t))}\n" for t in new))
        except OSError as error:
            raise StorageError(
                "STORAGE", "the trial ledger cannot be written", where=str(self._path), found=error
            ) from error

    def _end_of_a_torn_line(self) -> str:
        text = self._path.read_bytes() if self._path.exists() else b""
        return "" if text.endswith(b"\n") or not text else "\n"

    def __iter__(self) -> Iterator[Trial]:
        if not self._path.exists():
            return
        for line in self._path.read_text("utf-8").splitlines():
            try:
                yield Trial(**json.loads(line))
            except (ValueError, TypeError):  # a line that a crash cut short
                continue

    def count(self, data_digest: str | None = None) -> int:
        """Return how many variants were tried, on this data or, where none is named, on any."""
        digests = {trial.digest for trial in self if data_digest in (None, trial.data_digest)}
        return len(digests)


def now() -> str:
    """Return the time as RFC 3339 UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
