"""``trader report``: one page, its numbers as JSON, and pictures of what a run did."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader_sdk.cli.output import write_json_file
from trader_sdk.cli.status import Json, JsonFile, Run, StateDir, output_of, read_run

if TYPE_CHECKING:
    from trader_sdk.live.run_report import RunReport

PAGE_FILE: Final = "report.html"
DATA_FILE: Final = "report.json"
DRAWN_AT_THE_END: Final = 60_000
"""Most journal entries for which a run draws its own report as it ends; reading them takes a second or two."""


def report(
    out: Annotated[Path | None, typer.Option(help="Folder to write to; the run's own if omitted.")] = None,
    png: Annotated[int, typer.Option(min=0, max=1, help="1: pictures too, which needs matplotlib.")] = 0,
    show: Annotated[int, typer.Option(min=0, max=1, help="1: open the page in a browser.")] = 0,
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Draw what a run did: equity, fills on price, what was blocked and why, costs and slippage."""
    from trader_sdk.live.run_report import report_of

    folder, entries, ledger = read_run(state_dir, run)
    made = report_of(entries, str(folder))
    target = out if out is not None else folder
    written = write_report(made, target)
    if png:
        from trader_sdk.cli.report_pictures import write_pictures

        written += write_pictures(made, target)
    said = output_of(json, json_file, ledger)
    files = [str(path) for path in written]
    said.event("report_written", "\n".join(f"wrote {path}" for path in files), files=files)
    said.close()
    if show:
        webbrowser.open(written[0].resolve().as_uri())
    return 0


def write_report(made: RunReport, folder: Path) -> list[Path]:
    """Write the page and its numbers; a reader sees the old file or the whole new one.

    Args:
        made: What the run did.
        folder: Made if missing.
    """
    from trader_sdk.live.run_page import run_page

    data, page = folder / DATA_FILE, folder / PAGE_FILE
    write_json_file(data, made.fields())
    partial = page.with_suffix(".tmp")
    partial.write_text(run_page(made), "utf-8")
    partial.replace(page)
    return [page, data]


def report_at_the_end(folder: Path) -> Path | None:
    """Write a run's report into its own folder as it ends, None where its journal is too long for that."""
    from trader_sdk.live.journal import last_seq, read_events
    from trader_sdk.live.run_report import report_of

    if last_seq(folder) > DRAWN_AT_THE_END:
        return None
    return write_report(report_of(read_events(folder), str(folder)), folder)[0]
