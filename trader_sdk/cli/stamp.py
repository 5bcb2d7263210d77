"""``trader compat stamp``: write down what a person asserts about a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from trader_sdk.cli.output import Output


def stamp(
    paths: Annotated[list[Path], typer.Argument(help="Checkpoints to stamp; they are not touched.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the stamped copies.")],
    features: Annotated[
        str | None, typer.Option("--features", help="MODULE:Provider whose columns the model was trained on.")
    ] = None,
    model_version: Annotated[str | None, typer.Option("--model-version", help="Where several versions fit.")] = None,
    activation: Annotated[str | None, typer.Option("--activation", help="tanh, relu, elu, leaky_relu or silu.")] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="What it was trained on.")] = None,
    timeframe: Annotated[
        str | None, typer.Option("--timeframe", help="Length of its bars (default: what the file says, else 1Day).")
    ] = None,
    feed: Annotated[str, typer.Option("--feed", help="Where its volumes came from: sip, iex, vendored, ...")] = "sip",
    adjustment: Annotated[str, typer.Option("--adjustment", help="raw, split, dividend or all.")] = "split",
    calendar: Annotated[str, typer.Option("--calendar", help="XNYS or 24/7.")] = "XNYS",
    json: Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")] = None,
) -> None:
    """Write copies that carry your assertions and say so; with --features the live trader can build observations."""
    from trader_sdk.checkpoint.reader import read_checkpoint
    from trader_sdk.checkpoint.stamp import Assertion
    from trader_sdk.checkpoint.stamp import stamp as write_stamped
    from trader_sdk.contract.detect import detect_version_from_checkpoint

    report = Output(json_lines=bool(json), json_file=json_file)
    for path in paths:
        detection = detect_version_from_checkpoint(read_checkpoint(path).fields)
        version = model_version or detection.candidates[-1]
        bar_length = timeframe or detection.metadata.text("timeframe") or "1Day"
        market = {"calendar": calendar, "feed": feed, "adjustment": adjustment}
        schema = _schema(features, version, bar_length, market) if features else None
        said = Assertion(model_version, activation, schema, symbol, bar_length)
        saved = write_stamped(path, out, said)
        report.event(
            "checkpoint_stamped",
            f"{saved.path}: {saved.sha256}, model {saved.metadata['model_version']}, asserted and unproven (W311)",
            path=str(saved.path),
            sha256=saved.sha256,
            policy_sha256=saved.policy_sha256,
            stamped_from=str(path),
        )
    report.close()


def _schema(features: str, version: str, timeframe: str, market: dict[str, str]) -> dict[str, Any]:
    from trader_sdk.features import Ohlcv53Provider, build_schema, load_provider

    make = load_provider(features)
    if make is Ohlcv53Provider:
        return build_schema(version, timeframe, **market).document()
    return make().schema.document()
