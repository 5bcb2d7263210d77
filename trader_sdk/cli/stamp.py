"""``trader compat stamp``: write down what a person asserts about checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import CheckpointError, ContractError, UsageError

if TYPE_CHECKING:
    from trader_sdk.checkpoint.artefacts import SavedCheckpoint
    from trader_sdk.checkpoint.stamp import Assertion, Stamping
    from trader_sdk.checkpoint.stamp_map import Found, Statement
    from trader_sdk.features import FeatureSchema

_MARKET = {"calendar": "XNYS", "feed": "sip", "adjustment": "split"}


def stamp(
    paths: Annotated[list[Path], typer.Argument(help="Checkpoints, or folders that hold some; they are not touched.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the stamped copies.")] = None,
    map_: Annotated[Path | None, typer.Option("--map", help="TOML that says which file is what.")] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Only draft the map: on standard output, or into --map.")
    ] = False,
    probe: Annotated[
        Path | None, typer.Option("--probe", help="Observations and logits made by the author's code: proves one file.")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="MODULE:Provider whose columns the model was trained on.")
    ] = None,
    model_version: Annotated[str | None, typer.Option("--model-version", help="Where several versions fit.")] = None,
    activation: Annotated[str | None, typer.Option("--activation", help="tanh, relu, elu, leaky_relu or silu.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="What it was trained on.")] = None,
    timeframe: Annotated[
        str | None, typer.Option("--timeframe", help="Length of its bars (default: what the file says, else 1Day).")
    ] = None,
    feed: Annotated[
        str | None, typer.Option("--feed", help="Where its volumes came from: iex, vendored, ... (default: sip).")
    ] = None,
    adjustment: Annotated[
        str | None, typer.Option("--adjustment", help="raw, split, dividend or all (default: split).")
    ] = None,
    calendar: Annotated[str | None, typer.Option("--calendar", help="XNYS or 24/7 (default: XNYS).")] = None,
    who: Annotated[str | None, typer.Option("--who", help="Who says so; kept in the copy.")] = None,
    why: Annotated[str | None, typer.Option("--why", help="How it is known; kept in the copy.")] = None,
    json: Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")] = None,
) -> None:
    """Write copies that carry your assertions and say so; with --features the live trader can build observations."""
    from trader_sdk.checkpoint.stamp_map import find_checkpoints, read_flags

    files = find_checkpoints(paths, besides=out)
    if not files:
        raise CheckpointError("E101", "no checkpoint was found", where=", ".join(map(str, paths)))
    report = Output(json_lines=bool(json), json_file=json_file)
    if suggest:
        _suggest(report, files, map_)
    else:
        flags = {
            "version": model_version,
            "activation": activation,
            "features": features,
            "symbol": symbol,
            "timeframe": timeframe,
            "feed": feed,
            "adjustment": adjustment,
            "calendar": calendar,
            "probe": None if probe is None else str(probe),
            "who": who,
            "why": why,
        }
        said = read_flags({name: value for name, value in flags.items() if value is not None})
        _stamp(report, _pairs(report, files, map_, said), out)
    report.close()


def _suggest(report: Output, files: list[Found], target: Path | None) -> None:
    from trader_sdk.checkpoint.files import write_new
    from trader_sdk.checkpoint.suggest import suggest_map

    draft = suggest_map(files)
    if target is None:
        report.event("map_suggested", draft.rstrip("\n"), draft=draft, files=len(files))
        return
    write_new(target, draft.encode("utf-8"))
    report.event("map_suggested", f"{target}: {len(files)} files; fill it in", path=str(target), files=len(files))


def _pairs(
    report: Output, files: list[Found], map_: Path | None, said: Mapping[str, Any]
) -> list[tuple[Found, Statement]]:
    from trader_sdk.checkpoint.stamp_map import Statement, assign, read_map

    if "probe" in said and (map_ is not None or len(files) != 1):
        remedy = "Give each file its own probe in a map."
        raise UsageError(
            "USAGE", "a probe proves one file", where="--probe", found=f"{len(files)} files", remedy=remedy
        )
    if map_ is None:
        return [(file, Statement(said=said)) for file in files]
    assigned = assign(files, read_map(map_))
    for file in assigned.left_out:
        report.event("checkpoint_left_out", f"{file.path}: not in the map, not stamped", path=str(file.path))
    return [(file, _completed(statement, said)) for file, statement in assigned.pairs]


def _completed(statement: Statement, flags: Mapping[str, Any]) -> Statement:
    from dataclasses import replace

    for name, value in flags.items():
        stated = statement.said.get(name, value)
        if stated != value:
            where = f"{statement.where} {name}"
            raise UsageError("USAGE", "map and flag say different things", where=where, expected=stated, found=value)
    return replace(statement, said={**flags, **statement.said})


def _stamp(report: Output, pairs: list[tuple[Found, Statement]], out: Path | None) -> None:
    from trader_sdk.checkpoint.stamp import stamp_all

    if out is None:
        raise UsageError("USAGE", "no folder for the copies", where="--out")
    stampings = [_stamping(file, statement) for file, statement in pairs]
    for stamping, saved in zip(stampings, stamp_all(stampings, out), strict=True):
        report.event(
            "checkpoint_stamped",
            f"{saved.path}: {saved.sha256}, model {saved.metadata['model_version']}, {_how_sure(saved)}",
            path=str(saved.path),
            sha256=saved.sha256,
            policy_sha256=saved.policy_sha256,
            semantics=saved.metadata["semantics"],
            stamped_from=str(stamping.source),
        )


def _how_sure(saved: SavedCheckpoint) -> str:
    if saved.metadata["semantics"] == "proven":
        return f"asserted; activation {saved.metadata['activation']} and layer order proven by the probe"
    return "asserted and unproven (W311)"


def _stamping(file: Found, statement: Statement) -> Stamping:
    from trader_sdk.checkpoint.stamp import Stamping

    return Stamping(file.path, file.name, _assertion(file, statement.said))


def _assertion(file: Found, said: Mapping[str, Any]) -> Assertion:
    from trader_sdk.checkpoint.stamp import Assertion

    timeframe, schema = said.get("timeframe"), None
    if "features" in said:
        timeframe, schema = _schema(file, said)
    return Assertion(
        model_version=said.get("version"),
        activation=said.get("activation"),
        feature_schema=schema,
        symbol=said.get("symbol"),
        timeframe=timeframe,
        probe=said.get("probe"),
        who=said.get("who"),
        why=said.get("why"),
    )


def _schema(file: Found, said: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    from trader_sdk.checkpoint.reader import read_checkpoint
    from trader_sdk.contract.detect import detect_version_from_checkpoint, parse_model_version
    from trader_sdk.features import Ohlcv53Provider, build_schema, load_provider

    raw = read_checkpoint(file.path)
    detection = detect_version_from_checkpoint(raw.fields)
    make: Any = load_provider(said["features"])
    if make is Ohlcv53Provider:
        version = parse_model_version(said.get("version") or detection.candidates[-1])[0]
        bar_length = said.get("timeframe") or detection.metadata.text("timeframe") or "1Day"
        market = {name: said.get(name, default) for name, default in _MARKET.items()}
        schema = build_schema(version, bar_length, **market)
    else:
        constants = raw.metadata.get("constants")
        schema = (make(constants=constants) if constants else make()).schema
    _check_schema(f"{file.path}: {said['features']}", schema, detection.architecture.obs_dim, said.get("timeframe"))
    return schema.timeframe, schema.document()


def _check_schema(where: str, schema: FeatureSchema, obs_dim: int, timeframe: str | None) -> None:
    if schema.obs_dim != obs_dim:
        found = f"{schema.window} x {schema.n_features} = {schema.obs_dim}"
        raise ContractError(
            "E302", "the features are not as wide as the model", where=where, expected=f"obs_dim {obs_dim}", found=found
        )
    if timeframe not in (None, schema.timeframe):
        raise ContractError(
            "E301", "the features are of another timeframe", where=where, expected=timeframe, found=schema.timeframe
        )
