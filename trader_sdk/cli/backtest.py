"""``trader backtest``: one model over past bars, with the trader's own decisions, sizing and costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.archive_inputs import model_argument
from trader_sdk.cli.archive_output import DEFAULT_ARCHIVE
from trader_sdk.cli.output import Output

if TYPE_CHECKING:
    from trader_sdk.backtest import BacktestResult


def backtest(
    model: Annotated[Path, typer.Argument(help="A checkpoint, or an alias such as models:/AAPL/1Day@champion.")],
    data: Annotated[str, typer.Option(help="Where the bars come from; see `trader data show --help`.")],
    symbol: Annotated[str, typer.Option(help="Whose bars.")],
    timeframe: Annotated[str, typer.Option(help="1Min, 5Min, 15Min, 30Min, 1Hour, 4Hour or 1Day.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Trade from this time on; earlier bars are history.")
    ] = None,
    in_sample: Annotated[
        int, typer.Option("--in-sample", min=0, max=1, help="1: allow bars the model was trained or judged on.")
    ] = 0,
    features: Annotated[str | None, typer.Option(help="MODULE:Provider of a model with its own features.")] = None,
    costs: Annotated[str | None, typer.Option(help="us_equity@1 or crypto@1; the model's own when omitted.")] = None,
    strict_version: Annotated[
        int, typer.Option("--strict-version", min=0, max=1, help="1: refuse doubtful findings too.")
    ] = 0,
    archive: Annotated[str, typer.Option(help="Archive that an alias is looked up in.")] = DEFAULT_ARCHIVE,
    html: Annotated[Path | None, typer.Option(help="Write a page with the equity curve to this file.")] = None,
    json: Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")] = None,
) -> None:
    """Run one model over history: same decisions, sizing and costs as live, buy and hold beside."""
    model = model_argument(model, archive)
    result = _run(model, data, symbol, timeframe, start, features, costs, bool(in_sample), bool(strict_version))
    out = Output(json_lines=bool(json), json_file=json_file)
    out.event("backtest_finished", None, model=str(model), **result.to_dict())
    if not json:
        for line in text_lines(model, result):
            typer.echo(line)
    if html is not None:
        from trader_sdk.cli.backtest_page import page

        html.write_text(page(short_name(model), result), "utf-8")
        out.event("page_written", f"page written to {html}", path=str(html))
    out.close()


def text_lines(model: Path, result: BacktestResult) -> list[str]:
    """Return the figures for a person; simulated bars and in-sample looks are said first."""
    facts = result.to_dict()
    counts = ", ".join(f"{name} {count}" for name, count in result.action_counts.items() if count)
    return [
        f"{short_name(model)} on {facts['bars']} {facts['data_kind']} {facts['symbol']} {facts['timeframe']} bars, "
        f"{facts['start'][:10]} to {facts['end'][:10]}" + (" - IN SAMPLE: proves nothing" if result.in_sample else ""),
        *(f"NOTE: {doubt}" for doubt in result.doubts),
        f"net return    {result.net_return:+.2%} (mean position {facts['mean_position']:.1%} of equity, cap 20%)",
        f"buy and hold  {result.buy_and_hold:+.2%} (all equity)",
        f"max drawdown  {result.max_drawdown:.2%}",
        f"trades        {result.n_trades}, costs {result.cost_total:.3%} of equity ({result.costs.id})",
        f"decisions     {counts}",
    ]


def short_name(model: Path) -> str:
    """Return a file's name; a digest for a name is cut to what a person compares.

    Example:
        >>> short_name(Path("8d842c816b6938eb20bb60b7cd0437b664d5274fe70f7c7283184293d9aaec1e.safetensors"))
        '8d842c816b69.safetensors'
    """
    return model.name if len(model.stem) < 40 else f"{model.stem[:12]}{model.suffix}"


def _run(
    model: Path,
    data: str,
    symbol: str,
    timeframe: str,
    start: str | None,
    features: str | None,
    costs: str | None,
    in_sample: bool,
    strict: bool,
) -> BacktestResult:
    from trader_sdk.backtest import backtest as run_backtest
    from trader_sdk.backtest import check_timeframe, parse_time_ns
    from trader_sdk.contract.costs import cost_model
    from trader_sdk.data import load_bars
    from trader_sdk.features import ObservationBuilder, load_provider
    from trader_sdk.model import NativeModelWrapper

    wrapper = NativeModelWrapper(model, strict)
    factory = None if features is None else load_provider(features)
    provider = ObservationBuilder.for_model(wrapper, features=factory).provider
    bars = load_bars(data, symbol, timeframe)
    check_timeframe(bars, provider.schema.timeframe)
    return run_backtest(
        wrapper,
        bars,
        provider=provider,
        costs=None if costs is None else cost_model(costs),
        first_bar_ns=None if start is None else parse_time_ns(start, "--from"),
        in_sample=in_sample,
    )
