"""``python -m training zoo``: arguments in, one frozen value, run."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.contract.errors import UsageError
from training.zoo.board_cli import board

if TYPE_CHECKING:
    from rich.table import Table

    from training.zoo.job import SpecResult
    from training.zoo.processes import Runner
    from training.zoo.spec import ZooSpec
    from training.zoo.training import ZooSettings

zoo = typer.Typer(help="Train declared variants, rank them net of costs, recommend the best.", add_completion=False)

zoo.command("board")(board)

Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: results as JSON lines on standard output.")]


@zoo.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    specs: Annotated[Path | None, typer.Option(help="Specs, .yaml or .toml; the shipped sample when omitted.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the specs and what they turn.")] = False,
    spec: Annotated[str | None, typer.Option(help="Train this spec.")] = None,
    all_active: Annotated[bool, typer.Option("--all-active", help="Train every active spec.")] = False,
    weekly_rotation: Annotated[
        bool, typer.Option("--weekly-rotation", help="Train the stalest specs: one, or --budget of them.")
    ] = False,
    budget: Annotated[int | None, typer.Option(min=1, help="Train only so many, the stalest first.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and train nothing.")] = False,
    data: Annotated[str | None, typer.Option(help="Bars, as for `run`.")] = None,
    symbol: Annotated[str | None, typer.Option(help="As the venue writes it; SIM for planted and noise.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="1Min, 5Min, 15Min, 30Min, 1Hour, 4Hour or 1Day.")] = None,
    peers: Annotated[str | None, typer.Option(help="Cross-section: IBM,MSFT or SYMBOL@SOURCE.")] = None,
    until: Annotated[str | None, typer.Option(help="Use bars before this date only.")] = None,
    archive: Annotated[str, typer.Option(help="Where what passes is registered.")] = "training_archives",
    out: Annotated[Path, typer.Option(help="Folder for jobs, marks and the trial ledger.")] = Path("runs/zoo"),
    gate: Annotated[Path | None, typer.Option(help="A desk's own gate policy, gate.toml.")] = None,
    preset: Annotated[str, typer.Option(help="Configuration that specs are laid over.")] = "laptop",
    total_steps: Annotated[int | None, typer.Option(min=1, help="Environment steps of the base.")] = None,
    blocks: Annotated[str | None, typer.Option(help="Bars of TRAIN,SELECT,GATE of the base.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Specs trained at once, a process each.")] = 1,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which a spec has hung.")] = None,
    memory: Annotated[int | None, typer.Option(min=1, help="Most memory of a spec, MB (Linux).")] = None,
    ray: Annotated[str | None, typer.Option(help="Train on Ray: ADDRESS, or `local` for a cluster here.")] = None,
    json: Json = 0,
) -> int:
    """Train, or say what would be trained."""
    if context.invoked_subcommand is not None:
        return 0
    from training.zoo.spec import SAMPLE, load_specs

    roster = load_specs(specs or SAMPLE)
    if list_:
        _list(roster, as_json=bool(json))
        return 0
    picked, left = _asked_for(roster, spec, all_active, weekly_rotation, budget)
    settings = _settings(
        data=data,
        symbol=symbol,
        timeframe=timeframe,
        until=until,
        archive=archive,
        out=out,
        gate=gate,
        memory_mb=memory,
        base={"name": preset, "total_steps": total_steps, "blocks": blocks, "peers": peers},
    )
    if dry_run:
        return _dry_run(picked, settings, left, as_json=bool(json))
    results = _train(picked, settings, left, _runner(ray, jobs, timeout), as_json=bool(json))
    _say(results, as_json=bool(json))
    return 1 if any(result.status.value == "failed" for result in results) else 0


def _asked_for(
    roster: Sequence[ZooSpec], spec: str | None, all_active: bool, rotation: bool, budget: int | None
) -> tuple[Sequence[ZooSpec], int | None]:
    """Return the specs in question and the budget."""
    from training.zoo.spec import named

    if sum([spec is not None, all_active, rotation]) != 1:
        if budget is None or spec or all_active:
            raise UsageError(
                "USAGE",
                "what shall be done?",
                where="zoo",
                expected="one of --list, --spec ID, --all-active, --weekly-rotation",
                found="none" if spec is None and not all_active else "several",
                remedy="See python -m training zoo --help.",
            )
        rotation = True
    if spec is not None:
        return [named(roster, spec)], budget
    return roster, (budget or 1) if rotation else budget


def _settings(*, base: dict[str, Any], gate: Path | None, **facts: Any) -> ZooSettings:
    from trader_sdk.archive.policy import load_gate_policy
    from training.config import preset
    from training.zoo.training import ZooSettings

    missing = [f"--{name}" for name in ("data", "symbol", "timeframe") if facts[name] is None]
    if missing:
        raise UsageError(
            "USAGE", "the zoo needs bars", where=", ".join(missing), remedy="Add --data, --symbol and --timeframe."
        )
    config = preset(
        base["name"],
        total_steps=base["total_steps"],
        blocks=_integers(base["blocks"], "--blocks"),
        peers=tuple(base["peers"].split(",")) if base["peers"] else None,
    )
    source = facts.pop("data")
    return ZooSettings(source=source, base=config, gate=None if gate is None else load_gate_policy(gate), **facts)


def _integers(text: str | None, where: str) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError("USAGE", "not a list of whole numbers", where=where, expected="128,64", found=text) from error


def _runner(ray: str | None, jobs: int, timeout: float | None) -> Runner:
    if ray is not None:
        from training.zoo.ray_cluster import RayCluster

        return RayCluster(ray, timeout_seconds=timeout)
    from training.zoo.processes import Processes

    return Processes(jobs, timeout)


def _list(roster: Sequence[ZooSpec], *, as_json: bool) -> None:
    from training.zoo.spec import lines_of

    if as_json:
        for spec in roster:
            facts = spec.model_dump(mode="json", exclude_none=True)
            typer.echo(json_module.dumps({"event": "zoo_spec", **facts, "label": spec.label}))
        return
    print_table(list(lines_of(roster)), ("spec", "status", "priority", "label", "turns"))


def _dry_run(picked: Sequence[ZooSpec], settings: ZooSettings, budget: int | None, *, as_json: bool) -> int:
    from training.zoo.training import chosen_specs

    bars = settings.load()
    chosen = [settings.resolve(spec) for spec in chosen_specs(picked, settings.slot_folder(bars), budget)]
    for each in chosen:
        if as_json:
            typer.echo(json_module.dumps({"event": "zoo_would_train", **each.as_plain()}))
        else:
            turned = ", ".join(f"{k}={v}" for k, v in each.spec.overrides.turned().items()) or "as the base"
            typer.echo(f"would train {each.spec.id} on {len(bars)} {bars.kind.value} bars: {turned}")
    return 0


def _train(
    picked: Sequence[ZooSpec], settings: ZooSettings, budget: int | None, runner: Runner, *, as_json: bool
) -> list[SpecResult]:
    from training.zoo.progress import Lines, LiveTable
    from training.zoo.training import train_all_active

    stream = sys.stderr if as_json else sys.stdout
    watching = LiveTable(stream, [spec.id for spec in picked]) if stream.isatty() else Lines(stream)
    with watching if watching is not None else nullcontext() as watcher:
        return train_all_active(picked, settings, budget=budget, runner=runner, watcher=watcher, beside=len(picked) > 1)


def _say(results: Sequence[SpecResult], *, as_json: bool) -> None:
    from training.zoo.progress import COLUMNS, row_of

    if as_json:
        for result in results:
            typer.echo(json_module.dumps({"event": "zoo_spec_finished", **result.model_dump(mode="json")}))
        return
    print_table([row_of(result) for result in results], COLUMNS)


def print_table(
    rows: Sequence[Sequence[str]], columns: Sequence[str], drawn: Callable[..., Table] | None = None
) -> None:
    """Print a table on a terminal, tab-separated lines in a pipe; ``drawn`` makes it instead of :func:`table_of`."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(row))
        return
    from rich.console import Console

    from training.zoo.progress import table_of

    Console(highlight=False).print((drawn or table_of)(rows, columns))
