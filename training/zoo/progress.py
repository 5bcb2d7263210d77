"""A zoo being watched: one table that changes in place on a terminal, plain lines in a pipe."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from training.zoo.job import LOG_FILE, Job, SpecResult

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

COLUMNS: Final = ("spec", "status", "class", "stage", "seconds", "detail")
_TAIL_BYTES: Final = 600
_REFRESH_SECONDS: Final = 1.0


def row_of(result: SpecResult) -> tuple[str, ...]:
    """Return a result as a row of the table."""
    seconds = f"{result.seconds:.0f}" if result.seconds else ""
    said = result.version_id if result.stage else ""
    return result.spec_id, result.status.value, result.gate_class, result.stage, seconds, said or result.detail


class Lines:
    """Say in one line when a spec begins and how it ends.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def began(self, job: Job) -> None:
        """Say that it began."""
        self._write(f"{job.spec.id}: training, log in {job.folder / LOG_FILE}")

    def ended(self, result: SpecResult) -> None:
        """Say how it ended."""
        _, status, judged, stage, seconds, detail = row_of(result)
        parts = [status, judged, stage, f"{seconds} s" if seconds else "", detail]
        self._write(f"{result.spec_id}: {', '.join(filter(None, parts))}")

    def _write(self, line: str) -> None:
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the stream as it is."""


class LiveTable:
    """Draw the zoo as a table: what each spec is at, and how it ended.

    Args:
        stream: A terminal.
        spec_ids: The roster, in order.
    """

    def __init__(self, stream: TextIO, spec_ids: Sequence[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._rows: dict[str, tuple[str, ...]] = {name: (name, "waiting", "", "", "", "") for name in spec_ids}
        self._jobs: dict[str, Job] = {}
        console = Console(file=stream, highlight=False)
        self._live: Live = Live(
            get_renderable=self._table, console=console, refresh_per_second=1 / _REFRESH_SECONDS, transient=True
        )

    def began(self, job: Job) -> None:
        """Show it as running, with the last line of its log."""
        self._jobs[job.spec.id] = job

    def ended(self, result: SpecResult) -> None:
        """Show how it ended."""
        self._jobs.pop(result.spec_id, None)
        self._rows[result.spec_id] = row_of(result)

    def _table(self) -> Table:
        running = {name: (name, "training", "", "", "", last_line(job)) for name, job in list(self._jobs.items())}
        return table_of([*{**self._rows, **running}.values()])

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def last_line(job: Job) -> str:
    """Return the last line of a job's log."""
    try:
        with (job.folder / LOG_FILE).open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def table_of(rows: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS, title: str | None = None) -> Table:
    """Return rows as a table for a terminal; the last column is cut where the terminal ends."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if place == len(columns) - 1 else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def standings_of(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    """Return a board for a terminal: no figure is ever cut, and what is said of a version stands below its name.

    Args:
        rows: Name, figures, and what is said of it.
        columns: Their headings.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column(columns[0], overflow="fold", min_width=10)
    for name in columns[1:-1]:
        table.add_column(name, no_wrap=True, justify="right")
    for name, *figures, said in rows:
        table.add_row(Text(name).append(f"\n{said}", style="dim"), *figures)
    return table
