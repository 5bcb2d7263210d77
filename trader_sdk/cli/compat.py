"""``trader compat``: check checkpoints against the compatibility matrix."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.output import Output
from trader_sdk.cli.stamp import stamp
from trader_sdk.contract.errors import CheckpointError, Finding, SdkError, exit_code_of
from trader_sdk.contract.spec import ACTION_TABLES, MODEL_SPECS, TRADERS

if TYPE_CHECKING:
    from trader_sdk.contract.compatibility import Mode, Pin

app = typer.Typer(help="Check checkpoints against the compatibility matrix.", no_args_is_help=True)

SCHEMA = "trader-sdk/compat-check@1"
_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".safetensors"})

Paths = Annotated[list[Path], typer.Argument(help="Checkpoints, or folders that hold some.")]
Strict = Annotated[int, typer.Option("--strict-version", min=0, max=1, help="1: refuse findings of class POLICY too.")]
Trader = Annotated[str | None, typer.Option("--trader-version", help="Check against this trader (default: this one).")]
Pins = Annotated[Path | None, typer.Option("--pins", help="A trader-pins.toml.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]


@app.command()
def check(
    paths: Paths,
    strict_version: Strict = 0,
    trader_version: Trader = None,
    pins: Pins = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Load each checkpoint as a trader would and say what it finds; exit 0 if all load in the asked mode."""
    from trader_sdk.checkpoint.pins import read_pins
    from trader_sdk.contract.compatibility import Mode

    mode = Mode.STRICT if strict_version else Mode.WARN
    known = read_pins(pins) if pins else ()
    files = list(_files(paths))
    out = Output(json_lines=bool(json), json_file=json_file)
    results = [_check_one(file, mode, trader_version, known) for file in files]
    for result, _ in results:
        out.event("checkpoint_checked", None, **result)
    _show(out, mode, [result for result, _ in results])
    errors = [error for _, error in results if error is not None]
    if not files:
        errors = [CheckpointError("E101", "nothing was checked: no checkpoint found", where=", ".join(map(str, paths)))]
        out.event("nothing_checked", str(errors[0]))
    out.event(
        "compat_finished",
        f"{len(files)} checked in {mode} mode, {len(errors)} refused",
        schema_id=SCHEMA,
        mode=mode.value,
        checked=len(files),
        refused=len(errors),
        exit_code=exit_code_of(errors),
    )
    out.close()
    return exit_code_of(errors)


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        else:
            yield path


def _check_one(
    file: Path, mode: Mode, trader_version: str | None, pins: tuple[Pin, ...]
) -> tuple[dict[str, Any], SdkError | None]:
    from trader_sdk.contract.compatibility import enforce
    from trader_sdk.model import check_file

    try:
        raw, report = check_file(file, trader_version=trader_version, pins=pins)
    except SdkError as error:
        named = [*error.findings] or [Finding(error.code, where=error.where, actual=error.message)]
        findings = [finding.to_dict() for finding in named]
        refusal = {"error": error.to_dict(), "sha256": None, "model_version": None, "warn": False, "strict": False}
        return {"path": str(file), **refusal, "findings": findings}, error
    result = {"path": str(file), "sha256": raw.sha256, **report.to_dict(), "error": None}
    try:
        enforce(report, mode)
    except SdkError as error:
        return {**result, "error": error.to_dict()}, error
    return result, None


def _show(out: Output, mode: Mode, results: list[dict[str, Any]]) -> None:
    if out.json_lines or not results:
        return
    rows = []
    for result in results:
        codes = " ".join(dict.fromkeys(finding["code"] for finding in result["findings"]))
        outcome = f"refused {result['error']['code']}" if result["error"] else "loads"
        rows.append((result["path"], result["model_version"], outcome, codes))
    out.table("checks", f"Compatibility, {mode} mode", ("file", "model", "outcome", "findings"), rows)
    for result in results:
        if result["error"]:
            error = result["error"]
            facts = f"expected {error['expected']}, found {error['found']}" if error["found"] else ""
            out.event(
                "refusal_shown", f"{error['code']} {error['where']}: {error['message']}. {facts}\n  {error['remedy']}"
            )


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


app.command("stamp")(stamp)
