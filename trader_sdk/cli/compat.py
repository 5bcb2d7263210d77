"""``trader compat``: check checkpoints against the compatibility matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trader_sdk.cli.compat_check import check
from trader_sdk.cli.compat_golden import app as golden
from trader_sdk.cli.output import Output
from trader_sdk.cli.sign import keygen, sign, verify
from trader_sdk.cli.stamp import stamp
from trader_sdk.contract.spec import ACTION_TABLES, MODEL_SPECS, TRADERS

app = typer.Typer(help="Check checkpoints against the compatibility matrix.", no_args_is_help=True)

Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]


@app.command()
def matrix(json: Json = 0, json_file: JsonFile = None) -> None:
    """Show every model version, what each trader runs, and what the actions mean."""
    out = Output(json_lines=bool(json), json_file=json_file)
    models = [
        (s.version, s.n_features, s.window, s.obs_dim, s.n_actions, s.min_trader_version, "; ".join(s.breaking_changes))
        for s in MODEL_SPECS.values()
    ]
    columns = ("model", "features", "window", "obs_dim", "actions", "min trader", "breaking changes")
    out.table("models", "Model versions", columns, models)
    traders = [(row.version, row.models, ", ".join(sorted(row.capabilities))) for row in TRADERS.values()]
    out.table("traders", "Traders; a newer one uses the newest row not above it", ("trader", "models", "can"), traders)
    actions = [
        (table, index, meaning.name, meaning.direction, meaning.size)
        for table, meanings in ACTION_TABLES.items()
        for index, meaning in enumerate(meanings)
    ]
    out.table("actions", "Actions", ("table", "index", "name", "direction", "size"), actions)
    out.close()


app.command("check")(check)
app.command("stamp")(stamp)
app.command("keygen")(keygen)
app.command("sign")(sign)
app.command("verify")(verify)
app.add_typer(golden, name="golden")
