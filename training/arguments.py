"""What the training commands' arguments have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.contract.errors import UsageError

if TYPE_CHECKING:
    from trader_sdk.contract.bars import Bars

Data = Annotated[
    str,
    typer.Option(
        help="FILE.csv|.csv.gz|.parquet, vendored, planted[:seed=7,edge=1], noise[:seed=7], anchored, "
        "alpaca:start=DAY,end=DAY[,feed=iex][,adjustment=split]."
    ),
]
Symbol = Annotated[str, typer.Option(help="As the venue writes it in orders; SIM for planted and noise.")]
TimeframeName = Annotated[str, typer.Option(help="1Min, 5Min, 15Min, 30Min, 1Hour, 4Hour or 1Day.")]
AllowGaps = Annotated[
    int,
    typer.Option(min=0, max=1, help="1: accept missing bars; windows that miss one are neither trained on nor traded."),
]
Json = Annotated[int, typer.Option("--json", min=0, max=1, help="1: the result as one JSON line on standard output.")]


def bars_of(data: str, symbol: str, timeframe: str, until: str | None, *, allow_gaps: bool = False) -> Bars:
    """Return the bars that the arguments name, those before ``until`` where it is given.

    Raises:
        DataError: They cannot be loaded.
        UsageError: ``until`` is not a date, or the symbol is empty.
    """
    from trader_sdk.data import load_bars

    if not symbol.strip():
        raise UsageError("USAGE", "no symbol", where="--symbol", expected="AAPL", found=repr(symbol))
    if data.startswith("alpaca:"):
        from training.fetching import fetch_once

        fetch_once(data, symbol, timeframe)
    bars = load_bars(data, symbol, timeframe, allow_gaps=allow_gaps)
    if allow_gaps:
        _refuse_foreign(bars, data)
    if until is None:
        return bars
    try:
        at = datetime.fromisoformat(until)
    except ValueError as error:
        raise UsageError("USAGE", "not a date", where="--until", expected="2011-12-31", found=until) from error
    end_ns = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 10**9
    return bars.slice(0, int(bars.t.searchsorted(end_ns)))


def _refuse_foreign(bars: Bars, source: str) -> None:
    from trader_sdk.contract.errors import DataError
    from trader_sdk.data import find_gaps, get_calendar

    gaps = find_gaps(bars.t, bars.timeframe, get_calendar(bars.calendar))
    if len(gaps.foreign):
        raise DataError(
            "BARS",
            f"bars that no session has: {gaps.summary()}",
            where=source,
            expected=f"{bars.timeframe} bars of the calendar {bars.calendar}",
            remedy="Leave out what was traded before and after the sessions, or name the right calendar.",
        )


def integers(text: str | None, where: str) -> tuple[int, ...] | None:
    """Return whole numbers between commas; None where nothing was given.

    Raises:
        UsageError: They are none.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError("USAGE", "not a list of whole numbers", where=where, expected="128,64", found=text) from error


def run_folder(bars: Bars) -> Path:
    """Return the folder of a run that starts now."""
    from trader_sdk.archive.layout import model_key

    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    return Path("runs") / model_key(bars.symbol, bars.timeframe) / stamp
