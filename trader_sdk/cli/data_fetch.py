"""``trader data fetch``: bars from Alpaca, or from an exchange on this machine, into this host's cache."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trader_sdk.cli.output import Output
from trader_sdk.contract.errors import ConfigError, DataError

if TYPE_CHECKING:
    from trader_sdk.broker.credentials import Credentials
    from trader_sdk.broker.endpoint import Endpoint
    from trader_sdk.contract.bars import Bars
    from trader_sdk.data.fetched import Asked


def fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="alpaca:start=2024-01-02,end=2024-06-28[,feed=iex][,adjustment=split][,url=http://127.0.0.1:PORT]."
        ),
    ],
    symbol: Annotated[str, typer.Option(help="Whose bars, such as AAPL or BTC/USD.")],
    timeframe: Annotated[str, typer.Option(help="1Min, 5Min, 15Min, 30Min, 1Hour, 4Hour or 1Day.")] = "1Day",
    again: Annotated[int, typer.Option(min=0, max=1, help="1: fetch also what was fetched before.")] = 0,
    json: Annotated[int, typer.Option("--json", min=0, max=1, help="1: JSON lines on standard output.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json-file", help="Also write the events to this file.")] = None,
) -> None:
    """Fetch bars with the account's keys and keep them; every command then takes the same source."""
    from trader_sdk.data import describe
    from trader_sdk.data.fetched import keep_fetched, read_fetched
    from trader_sdk.data.sources import asked_of

    asked = asked_of(source, symbol, timeframe)
    outside = 0
    if again or not asked.path.is_file():
        bars, outside = within_sessions(_fetched(asked))
        keep_fetched(asked, bars)
    bars = read_fetched(asked)
    left_out = f"; {outside} outside the sessions left out" if outside else ""
    out = Output(json_lines=bool(json), json_file=json_file)
    out.event(
        "bars_fetched",
        f"{describe(bars)} -> {asked.path}{left_out}",
        source=source,
        path=str(asked.path),
        rows=len(bars),
        left_out=outside,
        digest=bars.digest,
        kind=bars.kind.value,
    )
    out.close()


def _fetched(asked: Asked) -> Bars:
    """Return what the venue has: longer intraday bars are made of its minutes, as live ones are."""
    from trader_sdk.broker.alpaca_data import fetch_bars
    from trader_sdk.contract.timeframe import Timeframe
    from trader_sdk.data import aggregate
    from trader_sdk.data.calendar import ALWAYS_OPEN, XNYS, day_start_ns

    if asked.end >= datetime.now(UTC).date():
        raise DataError(
            "BARS",
            "a day that is not over has no bars yet",
            where="end",
            expected="yesterday or before",
            found=asked.end,
        )
    credentials, endpoint = _credentials(), _endpoint(asked)
    calendar = ALWAYS_OPEN if "/" in asked.symbol else XNYS
    first, after = (day_start_ns(day, calendar) for day in (asked.start, asked.end + timedelta(days=1)))
    start, end = (datetime.fromtimestamp(ns // 10**9, UTC) for ns in (first, after - 10**9))
    asked_for = asked.timeframe if asked.timeframe is Timeframe.DAY_1 else Timeframe.MIN_1
    bars = fetch_bars(endpoint, credentials, asked.symbol, asked_for, start, end, adjustment=asked.adjustment)
    if not len(bars):
        raise DataError("BARS", "the venue has no bars of these days", where=asked.symbol, found=f"{start} to {end}")
    return bars if asked_for is asked.timeframe else aggregate(bars, asked.timeframe, closed_at=after)


def _credentials() -> Credentials:
    from trader_sdk.broker.credentials import credentials_from_env

    credentials = credentials_from_env(os.environ)
    if credentials is None:
        raise ConfigError(
            "CONFIG",
            "bars are fetched with an account's keys",
            where="environment",
            expected="ALPACA_API_KEY and ALPACA_SECRET_KEY",
            found="neither",
            remedy="Set both; a paper account is enough.",
        )
    return credentials


def _endpoint(asked: Asked) -> Endpoint:
    from trader_sdk.broker.endpoint import Endpoint, Venue, alpaca_paper
    from trader_sdk.contract.bars import DataKind

    if not asked.url:
        return alpaca_paper(feed=asked.feed)
    url = asked.url.rstrip("/")
    # An exchange on this machine is no market, whatever it replays.
    return Endpoint(Venue.LOCAL, url, url, url, url, asked.feed, "simulated", DataKind.SIMULATED, None)


def within_sessions(bars: Bars) -> tuple[Bars, int]:
    """Return the bars of the sessions, and how many others there were."""
    from trader_sdk.data import get_calendar

    if not bars.timeframe.is_intraday:
        return bars, 0
    opens, _ = get_calendar(bars.calendar).session_bounds(bars.t)
    inside = opens >= 0
    kept = {name: getattr(bars, name)[inside] for name in ("t", "open", "high", "low", "close", "volume")}
    return replace(bars, **kept), int((~inside).sum())
