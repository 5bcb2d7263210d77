"""``trader halt``, ``resume``, ``flatten``, ``models``: what a person asks of a trader, running or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.status import Json, JsonFile, Run, StateDir
from trader_sdk.contract.errors import ERROR_TABLE, ConfigError, UsageError

if TYPE_CHECKING:
    from trader_sdk.live.control import Answer, Request

WAIT_SECONDS: Final = 20.0
"""How long a running trader may take to answer: the kill switch's own longest way."""
_NOT_TAKEN: Final = 1

Symbol = Annotated[str | None, typer.Argument(help="One symbol; the whole account if omitted.")]
Why = Annotated[str, typer.Option("--why", help="Kept in the journal with your name.")]
Confirm = Annotated[
    str | None, typer.Option("--confirm", help="Last 4 of the account's number; closing real positions needs it.")
]
app = typer.Typer(help="Disable and enable models of a run; a disabled one only reduces.", no_args_is_help=True)


def halt(
    symbol: Symbol = None,
    flatten: Annotated[int, typer.Option(min=0, max=1, help="1: also close the positions.")] = 0,
    confirm: Confirm = None,
    why: Why = "",
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Stop opening positions and cancel our orders: every running trader, or the newest journal's next start."""
    fields = {"command": "halt", "symbol": symbol, "flatten": flatten == 1, "why": why}
    return _ask(fields, state_dir, run, _output(json, json_file), confirm=confirm)


def resume(
    symbol: Symbol = None,
    why: Why = "",
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Trade again: acknowledge what held the account or a symbol back; exit 9 while its cause still holds."""
    fields = {"command": "resume", "symbol": symbol, "why": why}
    return _ask(fields, state_dir, run, _output(json, json_file))


def flatten(
    symbol: Symbol = None,
    confirm: Confirm = None,
    why: Why = "",
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Close our positions while the market is open and open no others until `trader resume`."""
    fields = {"command": "flatten", "symbol": symbol, "why": why}
    return _ask(fields, state_dir, run, _output(json, json_file), confirm=confirm)


Sha = Annotated[str, typer.Argument(help="Digest of the model's file, or its first 8 and more letters.")]


@app.command()
def disable(
    sha: Sha,
    why: Why = "",
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Let a model only reduce."""
    fields = {"command": "disable", "sha256": sha, "why": why}
    return _ask(fields, state_dir, run, _output(json, json_file))


@app.command()
def enable(
    sha: Sha,
    why: Why = "",
    state_dir: StateDir = None,
    run: Run = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Let a disabled model trade again."""
    fields = {"command": "enable", "sha256": sha, "why": why}
    return _ask(fields, state_dir, run, _output(json, json_file))


def _output(json: int, json_file: Path | None) -> Output:
    return Output(json_lines=json == 1, json_file=json_file)


def _ask(
    fields: dict[str, Any], state_dir: Path | None, run: str | None, out: Output, *, confirm: str | None = None
) -> int:
    """Ask every trader that is meant, and return the exit code that says whether all did it."""
    from trader_sdk.live.config import state_dir_of

    root = state_dir_of(state_dir)
    codes = []
    for folder, is_up in _targets(root, run, one_only=fields["command"] != "halt"):
        request = _request(fields)
        _check_confirmed(folder, request, confirm)
        answer = _asked(folder, root, request, is_up=is_up)
        codes.append(_told(out, folder, request, answer))
    out.close()
    return max(codes)


def _request(fields: dict[str, Any]) -> Request:
    from pydantic import ValidationError

    from trader_sdk.live.control import Request

    given = {**fields, "symbol": fields["symbol"].upper()} if fields.get("symbol") else fields
    try:
        return Request(**given)
    except ValidationError as error:
        fault = error.errors()[0]
        where, found = str(fault["loc"][0]), str(fault.get("input"))
        raise UsageError("USAGE", "this cannot be asked", where=where, expected=fault["msg"], found=found) from error


def _targets(root: Path, run: str | None, *, one_only: bool) -> list[tuple[Path, bool]]:
    """Return the runs that are meant, and whether each is up: all that run, or the newest that does not."""
    from trader_sdk.live.state import find_run, is_running, running_folders

    if run is not None:
        folder = find_run(root, run)
        return [(folder, is_running(folder))]
    up = running_folders(root)
    if len(up) > 1 and one_only:
        names = ", ".join(path.name for path in up)
        raise UsageError("USAGE", "several traders run on this state folder", found=names, expected="--run NAME")
    return [(path, True) for path in up] or [(find_run(root, None), False)]


def _check_confirmed(folder: Path, request: Request, confirm: str | None) -> None:
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.live.control import Command
    from trader_sdk.live.state import read_ledger

    if not (request.flatten or request.command is Command.FLATTEN):
        return
    books = read_ledger(folder)
    if books.mode == TradingMode.LIVE and confirm != books.facts.get("account_suffix"):
        raise ConfigError(
            "CONFIG",
            "closing positions of real money needs a confirmation",
            where="--confirm",
            expected="the last 4 characters of the account's number",
            found=confirm or "nothing",
        )


def _asked(folder: Path, root: Path, request: Request, *, is_up: bool) -> Answer | None:
    from trader_sdk.live.control import ControlFolder
    from trader_sdk.live.offline import record, release_kill_switch

    release_kill_switch(folder, root, request)
    if not is_up:
        return record(folder, request)
    control = ControlFolder(folder)
    control.ask(request)
    return control.wait(request, WAIT_SECONDS)


def _told(out: Output, folder: Path, request: Request, answer: Answer | None) -> int:
    name = f"{request.command}_answered"
    if answer is None:
        text = f"{folder.name}: not answered within {WAIT_SECONDS:.0f} s; the trader does it at its next step"
        out.event(name, text, folder=str(folder), ok=None, answer=None)
        return _NOT_TAKEN
    out.event(name, f"{folder.name}: {answer.text}", folder=str(folder), ok=answer.ok, answer=answer.text)
    if answer.ok:
        return 0
    return ERROR_TABLE["HALTED" if answer.is_held else "USAGE"].exit_code
