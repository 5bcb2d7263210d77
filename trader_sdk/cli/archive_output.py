"""What all ``trader archive`` commands share: their options, tables of 80 columns, and names with near misses."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import ArchiveError, UsageError

ArchiveOption = Annotated[str, typer.Option("--archive", help="Folder, name in trader.toml, or URL of the archive.")]
TimeframeOption = Annotated[str, typer.Option(help="The slot's timeframe.")]
WhyOption = Annotated[str, typer.Option(help="Reason, kept on the audit chain.")]
ExpectedOption = Annotated[str | None, typer.Option(help="Only if this version holds the slot now.")]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Say it on one page, for a partner.")]
SecondPersonOption = Annotated[
    int, typer.Option("--second-person", min=0, max=1, help="1: refuse it for a run that you archived yourself.")
]
PolicyOption = Annotated[
    Path | None, typer.Option("--gate-policy", help="A desk's own gate, a TOML file; the house's when omitted.")
]
RequireOption = Annotated[
    str | None, typer.Option("--require", help="APPROVED or REVIEW: exit 5 if a model's class is lower.")
]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Also write the report page to this file.")]
JsonOption = Annotated[
    int | None,
    typer.Option("--json", min=0, max=1, help="1: JSON lines, 0: text; text on a terminal, JSON in a pipe."),
]
JsonFileOption = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]

DEFAULT_ARCHIVE: Final = "training_archives"
_PLAIN_WIDTH: Final = 80
_WIDEST: Final = 120
_GAP: Final = 3
_LEAST_TEXT: Final = 12


@contextmanager
def archive_output(json: int | None, json_file: Path | None) -> Iterator[Output]:
    """Give the command's output: text on a terminal and JSON in a pipe, unless ``--json`` says which.

    What a command does it does before it speaks: a reader that goes away changes neither that nor the exit code.
    """
    lines = not sys.stdout.isatty() if json is None else json == 1
    out = Output(json_lines=lines, json_file=json_file)
    try:
        yield out
    finally:
        out.close()


def show_table(
    out: Output,
    name: str,
    title: str,
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    *,
    empty: str = "none",
) -> None:
    """Show rows: all their facts to a program, the named columns to a person.

    Args:
        out: Where to.
        name: The event's name.
        title: Above the table.
        columns: Fact to heading, in order.
        rows: Facts by name.
        empty: What to say where there is no row.
    """
    facts = [dict(row) for row in rows]
    cells = [[_cell(row.get(key)) for key in columns] for row in facts]
    text = _rendered(title, list(columns.values()), cells) if cells else f"{title}: {empty}"
    out.event(name, None if out.json_lines else text, rows=facts)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _rendered(title: str, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = min(shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns, _WIDEST)
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    # Names stay on one line where there is room for the last column, the one with sentences, to fold.
    whole = sum(widths[:-1]) + _GAP * len(widths) + min(widths[-1], _LEAST_TEXT) <= width
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", pad_edge=False, title_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=whole and index < len(headings) - 1)
    for row in cells:
        table.add_row(*row)
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip("\n").split("\n"))


def short_time(at: datetime) -> str:
    """Return a time as people compare it, UTC to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def near_misses(name: str, known: Iterable[str]) -> str:
    """Return what a mistyped name may have meant, as the beginning of a remedy; empty where nothing is near."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = [by_folded[key] for key in get_close_matches(name.casefold(), list(by_folded), n=3, cutoff=0.6)]
    return f"Did you mean {' or '.join(found)}? " if found else ""


def unknown_name(what: str, name: str, known: Iterable[str], where: str) -> ArchiveError:
    """Return E601 for a name that the archive does not know, with near misses."""
    hint = near_misses(name, known)
    return ArchiveError(
        "E601",
        f"the archive has no {what} of this name",
        where=where,
        found=name,
        remedy=f"{hint}`trader archive list` shows what is there.",
    )


def member(members: Any, text: str, where: str) -> Any:
    """Return the member of a closed set that ``text`` names, in any case.

    Raises:
        UsageError: There is none.
    """
    try:
        return members(text.strip().upper())
    except ValueError as error:
        legal = [str(one) for one in members]
        remedy = f"{near_misses(text, legal)}Use one of {', '.join(legal)}."
        raise UsageError("USAGE", "unknown value", where=where, found=text, remedy=remedy) from error


def moment(text: str, where: str) -> datetime:
    """Return an RFC 3339 time.

    Raises:
        UsageError: It is none, or has no zone.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError("USAGE", "not a time", where=where, expected="RFC 3339", found=text) from error
    if parsed.tzinfo is None:
        raise UsageError("USAGE", "a time needs its zone", where=where, expected=f"{text}Z", found=text)
    return parsed.astimezone(UTC)
