"""The live table at the foot of a terminal; the run's lines scroll by above it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from trader_sdk.live.board import Board, BoardRow

Look = Callable[[], "Board"]

_REFRESHES_PER_SECOND: Final = 4
_LINES_AROUND: Final = 8
"""Rows of the terminal that are left to the lines above, the table's own head and what is not shown."""


class RunBoard:
    """Draws what :func:`~trader_sdk.live.board.board_of` says, at most a few times a second.

    Args:
        stream: The terminal.
        look: Returns the table's data; called in the thread that tells, never in the one that draws.
        monotonic: Clock in seconds.
    """

    def __init__(self, stream: TextIO, look: Look, monotonic: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._look, self._monotonic = look, monotonic
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._board, self._at = look(), monotonic()
        self._live = Live(
            console=self._console,
            get_renderable=self._table,
            refresh_per_second=_REFRESHES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def update(self) -> None:
        """Look again, unless that was done a moment ago."""
        now = self._monotonic()
        if now - self._at >= 1 / _REFRESHES_PER_SECOND:
            self._board, self._at = self._look(), now

    def line(self, text: str) -> None:
        """Write a line of the run above the table."""
        self._console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Leave the table as it stands at the end and give the terminal back; safe to call twice."""
        if self._live.is_started:
            self._board, self._at = self._look(), self._monotonic()
            self._live.stop()

    def _table(self) -> Table:
        room = max(self._console.size.height - _LINES_AROUND, 3)
        return table_of(self._board, room, self._monotonic() - self._at)


def table_of(board: Board, room: int, seconds: float) -> Table:
    """Return the table of at most ``room`` rows, ``seconds`` after ``board`` was looked at."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    left = len(board.rows) - room
    table = Table(
        title=f"{board.at:%m-%d %H:%M}Z  {board.state}  equity {board.equity:.2f}",
        caption=f"and {left} symbols that hold nothing" if left > 0 else None,
        box=SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        pad_edge=False,
    )
    for name, justify in _COLUMNS:
        table.add_column(name, justify="right" if justify else "left", overflow="fold")
    for row in board.rows[:room]:
        table.add_row(*_cells(row, seconds))
    return table


_COLUMNS: Final = (
    ("symbol", False),
    ("gate", False),
    ("held", True),
    ("value", True),
    ("open order", False),
    ("last", False),
    ("age", True),
)


def _cells(row: BoardRow, seconds: float) -> tuple[str, ...]:
    age = "" if row.bar_age_seconds is None else age_text(row.bar_age_seconds + seconds)
    held, value = (f"{row.qty:.4f}".rstrip("0").rstrip("."), f"{row.value:.0f}") if row.qty else ("", "")
    return row.symbol, row.gate, held, value, row.working, row.reason or row.action or "", age


def age_text(seconds: float) -> str:
    """Return a duration in the largest unit that fits.

    Example:
        >>> [age_text(3.2), age_text(150), age_text(7_300), age_text(200_000)]
        ['3s', '2m', '2h', '2d']
    """
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def is_terminal(stream: TextIO) -> bool:
    """Return whether a table can be drawn and redrawn on ``stream``."""
    from rich.console import Console

    console: Console = Console(file=stream)
    return console.is_terminal and not console.is_dumb_terminal
