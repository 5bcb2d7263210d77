"""What a run writes down while it goes: ``metrics.jsonl``, one fact a line, never a NaN."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from trader_sdk.contract.errors import StorageError

CONFIG_FILE: Final = "config.json"
METRICS_FILE: Final = "metrics.jsonl"


class Reporter(Protocol):
    """Who watches a run: a progress bar, plain lines, or nobody."""

    def started(self, facts: dict[str, Any]) -> None:
        """Hear what will be trained."""

    def advanced(self, facts: dict[str, Any]) -> None:
        """Hear of a finished update: update, num_updates, env_step, steps_per_second and the losses."""

    def validated(self, facts: dict[str, Any]) -> None:
        """Hear of a validation on SELECT: update and the metrics."""

    def noticed(self, text: str) -> None:
        """Hear of something a person should know, as a recovery."""

    def close(self) -> None:
        """Hear that nothing more will come, whatever the reason."""


class Silent:
    """Report to nobody."""

    def started(self, facts: dict[str, Any]) -> None:
        """Do nothing."""

    def advanced(self, facts: dict[str, Any]) -> None:
        """Do nothing."""

    def validated(self, facts: dict[str, Any]) -> None:
        """Do nothing."""

    def noticed(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class MetricsLog:
    """Append facts to ``metrics.jsonl``.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / METRICS_FILE
        with self._typed_errors():
            self._stream = self._path.open("a", encoding="utf-8", buffering=1)

    def write(self, event: str, /, **facts: Any) -> None:
        """Write one line; a metric that is undefined is null.

        Raises:
            StorageError: The disk refused; a run that cannot be proven must stop.
        """
        with self._typed_errors():
            self._stream.write(json.dumps({"event": event, **plain(facts)}, allow_nan=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What could not be written was said by the write that failed; closing only fails on it again.
        with suppress(StorageError) if kind is not None else nullcontext(), self._typed_errors():
            self._stream.close()

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError("STORAGE", "cannot write the run's log", where=str(self._path), found=error) from error


def read_metrics(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the facts of a run; a last line that a crash cut short is left out."""
    lines = (folder / METRICS_FILE).read_text("utf-8").split("\n")
    for line in lines[:-1]:
        yield json.loads(line)


def plain(value: Any) -> Any:
    """Return plain JSON data: an undefined number (NaN) is None, an infinite one its name.

    Example:
        >>> plain({"profit_factor": float("inf"), "t": float("nan")})
        {'profit_factor': 'inf', 't': None}
    """
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and value != value:
        return None
    if value in (float("inf"), float("-inf")):
        return str(value)
    return value
