"""``trader data``: look at bars, convert and fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trader_sdk.cli.data_fetch import fetch
from trader_sdk.cli.output import Output

if TYPE_CHECKING:
    from trader_sdk.contract.bars import Bars

app = typer.Typer(help="Look at bars, convert and fetch them.", no_args_is_help=True)

Source = Annotated[
    str,
    typer.Argument(
        help="FILE.csv, FILE.csv.gz, FILE.parquet, vendored, planted[:seed=7,edge=1,bars=62000], "
        "noise[:seed=7,bars=62000], anchored[:seed=7,days=160], or alpaca:start=DAY,end=DAY after `trader data fetch`."
    ),
]
Symbol = Annotated[str, typer.Option(help="Whose bars.")]
TimeframeName = Annotated[str, typer.Option(help="1Min, 5Min, 15Min, 30Min, 1Hour, 4Hour or 1Day.")]
CalendarName = Annotated[str | None, typer.Option(help="XNYS or 24/7, for files that do not say.")]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")]


@app.command()
def show(
    source: Source,
    symbol: Symbol,
    timeframe: TimeframeName = "1Day",
    calendar: CalendarName = None,
    json: Json = 0,
    json_file: JsonFile = None,
) -> None:
    """Say what bars a source holds: rows, range, gaps, digest."""
    from trader_sdk.data import load_bars

    # Gaps are what is asked here, so they are shown and not refused.
    bars = load_bars(source, symbol, timeframe, calendar=calendar, allow_gaps=True)
    facts = _facts(bars)
    out = Output(json_lines=bool(json), json_file=json_file)
    out.event("bars_described", None, source=source, **facts)
    if not json:
        out.table("bars", f"Bars of {source}", ("what", "value"), list(facts.items()))
    out.close()


@app.command()
def export(
    source: Source,
    symbol: Symbol,
    out_file: Annotated[Path, typer.Option("--out", help="File to write.")],
    to: Annotated[str, typer.Option(help="csv or parquet.")] = "csv",
    timeframe: TimeframeName = "1Day",
    calendar: CalendarName = None,
    allow_gaps: Annotated[int, typer.Option(min=0, max=1, help="1: accept missing bars.")] = 0,
    json: Json = 0,
    json_file: JsonFile = None,
) -> None:
    """Write a source's bars to a file that reads back equal; simulated bars stay labelled."""
    from trader_sdk.contract.errors import UsageError
    from trader_sdk.data import describe, load_bars, write_bars

    suffixes = {"csv": (".csv", ".csv.gz"), "parquet": (".parquet",)}
    if to not in suffixes or not out_file.name.endswith(suffixes[to]):
        raise UsageError(
            "USAGE",
            "the file's name and its format differ",
            where="--to, --out",
            expected="csv with .csv or .csv.gz, parquet with .parquet",
            found=f"{to} with {out_file.name}",
        )
    bars = load_bars(source, symbol, timeframe, calendar=calendar, allow_gaps=bool(allow_gaps))
    write_bars(bars, out_file)
    out = Output(json_lines=bool(json), json_file=json_file)
    out.event(
        "bars_exported",
        f"{describe(bars)} -> {out_file}",
        source=source,
        path=str(out_file),
        rows=len(bars),
        digest=bars.digest,
        kind=bars.kind.value,
    )
    out.close()


app.command("fetch")(fetch)


def _facts(bars: Bars) -> dict[str, Any]:
    from trader_sdk.data import find_gaps, get_calendar
    from trader_sdk.data.gaps import time_text

    gaps = find_gaps(bars.t, bars.timeframe, get_calendar(bars.calendar))
    return {
        "symbol": bars.symbol,
        "timeframe": bars.timeframe.value,
        "kind": bars.kind.value,
        "rows": len(bars),
        "first": time_text(int(bars.t[0])),
        "last": time_text(int(bars.t[-1])),
        "feed": bars.feed,
        "adjustment": bars.adjustment,
        "calendar": bars.calendar,
        "gaps": gaps.summary(),
        "missing": len(gaps.missing),
        "digest": bars.digest,
    }
