"""``trader features``: what the columns are, and whether a provider keeps its promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.output import Output

if TYPE_CHECKING:
    from trader_sdk.contract.bars import Bars
    from trader_sdk.features import FeatureProvider

app = typer.Typer(help="Check a feature provider.", no_args_is_help=True)

TimeframeName = Annotated[str, typer.Option(help="1Min, 5Min, 15Min, 30Min, 1Hour, 4Hour or 1Day.")]
Version = Annotated[str, typer.Option("--model-version", help="Model version whose columns are meant.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]

_BARS_CHECKED = 900


@app.command()
def check(
    features: Annotated[
        str, typer.Option("--features", help="MODULE:Provider.")
    ] = "trader_sdk.features:Ohlcv53Provider",
    data: Annotated[str, typer.Option(help="Where the bars come from; see `trader data show --help`.")] = "vendored",
    symbol: Annotated[str, typer.Option(help="Whose bars.")] = "AAPL",
    timeframe: TimeframeName = "1Day",
    model_version: Version = "2.7.0",
    json: Json = 0,
    json_file: JsonFile = None,
) -> int:
    """Check a provider on bars: stable hash, finite, history equals streaming, no look-ahead, finite memory."""
    from trader_sdk.data import load_bars
    from trader_sdk.features import DEFAULT_PROVIDER, check_provider

    bars = load_bars(data, symbol, timeframe)
    make = _factory(features, bars, model_version)
    needed = max(_BARS_CHECKED, make().required_history + _BARS_CHECKED // 2)
    own = features == DEFAULT_PROVIDER
    report = check_provider(make, bars.slice(0, needed), target=None if own else features)
    out = Output(json_lines=bool(json), json_file=json_file)
    rows = [(check.name, "ok" if check.passed else "FAILED", check.evidence) for check in report.checks]
    out.table("provider_checks", f"{features} on {symbol} {timeframe}", ("check", "result", "evidence"), rows)
    verdict = "passed" if report.passed else "failed"
    out.event(
        "provider_checked",
        f"{features} {verdict}; feature schema {report.schema_sha256}",
        features=features,
        passed=report.passed,
        feature_schema=report.schema_sha256,
    )
    out.close()
    return 0 if report.passed else _contract_exit_code()


@app.command()
def schema(
    timeframe: TimeframeName = "1Day",
    model_version: Version = "2.7.0",
    calendar: Annotated[str, typer.Option(help="XNYS or 24/7.")] = "XNYS",
    feed: Annotated[str, typer.Option(help="Where volumes come from, for example sip, iex, vendored.")] = "sip",
    adjustment: Annotated[str, typer.Option(help="raw, split, dividend or all.")] = "split",
    json: Json = 0,
    json_file: JsonFile = None,
) -> None:
    """Print this package's feature schema and its hash."""
    from trader_sdk.features import FEATURE_SETS, build_schema

    built = build_schema(model_version, timeframe, calendar=calendar, feed=feed, adjustment=adjustment)
    columns = [column for name in built.feature_sets for column in FEATURE_SETS[name]]
    out = Output(json_lines=bool(json), json_file=json_file)
    rows = [
        (index, column.name, column.group.value, column.formula, f"{column.low:g} .. {column.high:g}")
        for index, column in enumerate(columns)
    ]
    out.table("feature_columns", f"Columns of model {model_version}", ("#", "name", "group", "formula", "range"), rows)
    out.event("feature_schema", f"feature schema {built.sha256}", sha256=built.sha256, document=built.document())
    out.close()


def _factory(features: str, bars: Bars, model_version: str) -> Callable[[], FeatureProvider]:
    from trader_sdk.features import Ohlcv53Provider, build_schema, load_provider

    make = load_provider(features)
    if make is not Ohlcv53Provider:
        return make
    own = build_schema(
        model_version, bars.timeframe, calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment
    )
    return lambda: Ohlcv53Provider(own)


def _contract_exit_code() -> int:
    from trader_sdk.contract.errors import ERROR_TABLE

    return ERROR_TABLE["E309"].exit_code
