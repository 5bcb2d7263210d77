"""``trader journal``: check a journal, and copy it while a trader may be writing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.status import Json, JsonFile, Run, StateDir
from trader_sdk.contract.errors import ERROR_TABLE

app = typer.Typer(help="Back up and check the journal of a run.", no_args_is_help=True)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where the copy goes; overwrites nothing.")],
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Copy the journal, also while the trader runs; put back as `journal.db` of an empty folder it says the same."""
    from trader_sdk.live.config import state_dir_of
    from trader_sdk.live.recovery import backup as copy
    from trader_sdk.live.state import find_run

    folder = find_run(state_dir_of(state_dir), run)
    events = copy(folder, file.expanduser())
    out = Output(json_lines=json == 1, json_file=json_file)
    out.event("journal_copied", f"{events} events of {folder.name} in {file}", folder=str(folder), events=events)
    out.close()
    return 0


@app.command()
def check(state_dir: StateDir = None, run: Run = None, json: Json = 0, json_file: JsonFile = None) -> int:
    """Say whether the journal is whole: SQLite's own check, then the chain of digests; exit 8 if it is not."""
    from trader_sdk.live.config import state_dir_of
    from trader_sdk.live.recovery import examine
    from trader_sdk.live.state import find_run

    folder = find_run(state_dir_of(state_dir), run)
    found = examine(folder)
    out = Output(json_lines=json == 1, json_file=json_file)
    broken = "its end is not true" if found.is_torn else "it is damaged in the middle"
    text = f"{folder.name}: {found.intact} events, whole" if found.is_whole else f"{folder.name}: {broken}"
    facts = {"intact": found.intact, "total": found.total, "is_sound": found.is_sound}
    out.event("journal_checked", text, folder=str(folder), whole=found.is_whole, **facts)
    out.close()
    return 0 if found.is_whole else ERROR_TABLE["JOURNAL"].exit_code
