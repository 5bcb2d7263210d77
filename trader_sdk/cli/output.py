"""What a command says: tables for people, JSON lines for programs, one file of JSON when asked."""

from __future__ import annotations

import codecs
import errno
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

EVENT_SCHEMA: Final = 1
_READER_GONE: Final = frozenset({errno.EPIPE, errno.EIO})
"""What writing says once a pipe's reader, or a terminal, is closed."""


def write_json_file(path: Path, document: Any) -> None:
    """Write ``document`` so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    # A file's own words and names may hold lone surrogates, which UTF-8 has not; as an escape JSON has them.
    partial.write_bytes(text.encode("utf-8", "backslashreplace"))
    partial.replace(path)


def log_to_stderr() -> None:
    """Keep warnings of the library off standard output, which belongs to the command's own lines."""
    import logging

    import structlog

    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


class Output:
    """Where a command's results go.

    A reader that goes away, as with ``| head`` or a closed terminal, changes nothing about what the command does or
    how it ends: what is still to be said goes nowhere.

    Args:
        json_lines: One JSON object a line on ``stream`` instead of text.
        json_file: Also collect every event here, written by :meth:`close`.
        run_id: Stamped on each event; a fresh one when omitted.
        stream: Standard output unless a test says otherwise.
    """

    def __init__(
        self,
        *,
        json_lines: bool = False,
        json_file: Path | None = None,
        run_id: str | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self.json_lines = json_lines
        self.run_id = run_id or uuid.uuid4().hex[:12]
        self._json_file = json_file
        self._stream = stream or sys.stdout
        self._is_alone = False
        self._tell_alone: Callable[[], None] = lambda: None
        self._say: Callable[[str], None] = self._write
        self._ascii = codecs.lookup(getattr(self._stream, "encoding", None) or "utf-8").name != "utf-8"
        self._events: list[dict[str, Any]] = []
        log_to_stderr()

    def event(self, name: str, text: str | None = None, /, **fields: Any) -> None:
        """Say one fact: ``text`` to a person, the fields to a program; no text means programs only."""
        if self.json_lines or self._json_file is not None:
            record = {
                "event": name,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "run_id": self.run_id,
                "schema": EVENT_SCHEMA,
                **fields,
            }
            self._events.append(record)
            if self.json_lines:
                self._write(json.dumps(record, ensure_ascii=self._ascii, allow_nan=False, default=str))
        if text is not None:
            self.note(text)

    def note(self, text: str) -> None:
        """Say something to people alone."""
        if not self.json_lines:
            with self.heard():
                self._say(text)

    def divert(self, say: Callable[[str], None] | None) -> None:
        """Give what people read to ``say``, such as a table that keeps the last rows; None writes it out again."""
        self._say = say or self._write

    def when_alone(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once, when the reader has gone away: at once if it has already."""
        self._tell_alone = tell
        if self._is_alone:
            tell()

    @property
    def stream(self) -> TextIO:
        """Return where it goes."""
        return self._stream

    def table(self, name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show rows: one event holding them all, or a table that fits the terminal."""
        cells = [[None if cell is None else cell for cell in row] for row in rows]
        self.event(name, None, rows=[dict(zip(columns, row, strict=True)) for row in cells])
        if self.json_lines or self._is_alone:
            return
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in cells:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        with self.heard():
            width = None if self._stream.isatty() else 160
            Console(file=self._stream, width=width, highlight=False, markup=False).print(table)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Write inside to a reader that may go away."""
        try:
            yield
        except SystemExit:
            # Rich ends the process when the reader of a pipe went away; what that means is the command's to say.
            self._be_alone()
        except OSError as error:
            if error.errno not in _READER_GONE:
                raise
            self._be_alone()

    def _be_alone(self) -> None:
        if self._stream is sys.stdout:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not self._is_alone:
            self._is_alone = True
            self._tell_alone()

    def close(self) -> None:
        """Write the JSON file, if one was asked for."""
        if self._json_file is not None:
            write_json_file(self._json_file, self._events)

    def _write(self, line: str) -> None:
        if not self._is_alone:
            with self.heard():
                self._stream.write(line + "\n")
                self._stream.flush()
