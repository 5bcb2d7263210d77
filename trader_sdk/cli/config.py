"""``trader config``: write a first trader.toml, and show what is in force without a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.status import Json, JsonFile
from trader_sdk.contract.errors import UsageError

app = typer.Typer(help="Settings: profiles and whom to notify.", no_args_is_help=True)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where; overwrites nothing.")] = Path("trader.toml"),
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Write a trader.toml to start from."""
    from trader_sdk.live.settings import EXAMPLE

    if file.exists():
        raise UsageError("USAGE", "the file exists", where=str(file), expected="a new name")
    file.write_text(EXAMPLE, "utf-8")
    out = Output(json_lines=json == 1, json_file=json_file)
    out.event("config_written", f"{file} written; keys go into the profiles' env files", path=str(file))
    out.close()
    return 0


@app.command()
def show(
    profile: Annotated[str | None, typer.Option(help="Check this profile's keys and state folder too.")] = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Show the settings in force; addresses, commands and keys are cut."""
    from trader_sdk.broker.credentials import credentials_from_env
    from trader_sdk.live.config import default_state_dir
    from trader_sdk.live.settings import config_file, enter_profile, read_settings, shown

    path, environ = config_file(), dict(os.environ)
    document = shown(read_settings(path))
    state = default_state_dir()
    if profile is not None:
        state, _ = enter_profile(profile, environ, path)
    rows = [
        ("file", str(path or "none: defaults")),
        ("state folder", str(state)),
        ("API keys", "present" if credentials_from_env(environ) is not None else "none"),
        *((f"notify.{name}", str(value)) for name, value in document["notify"].items()),
        *((f"profile.{name}", ", ".join(f"{k}={v}" for k, v in p.items())) for name, p in document["profile"].items()),
    ]
    out = Output(json_lines=json == 1, json_file=json_file)
    out.table("config", "Settings", ("setting", "value"), rows)
    out.close()
    return 0
