"""Small markets by hand and a pytest fixture, for tests of anything that trades on the embedded exchange.

Import the fixture ``start_exchange`` in a ``conftest.py`` to have it in the tests beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.exchange.config import LOG_FILE, AssetSetup, ExchangeSetup
from trader_sdk.exchange.local import LocalExchange
from trader_sdk.exchange.log import EventLog
from trader_sdk.exchange.market import Market, sessions_of
from trader_sdk.exchange.sessions import SessionBook, at_new_york, standard_session
from trader_sdk.exchange.venue import Venue

Ohlc = tuple[float, float, float, float]
FIRST_DAY = date(2012, 1, 3)
"""A Tuesday without surprises."""


def weekdays(count: int, first: date = FIRST_DAY) -> list[date]:
    """Return ``count`` weekdays from ``first`` on."""
    days = (first + timedelta(days=offset) for offset in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def sessions_around(days: Sequence[date]) -> SessionBook:
    """Return a standard session on each day and on each weekday of the two weeks after the last."""
    after = weekdays(10, days[-1] + timedelta(days=1))
    return SessionBook(standard_session(day) for day in (*days, *after))


def daily_bars(symbol: str, prices: Sequence[Ohlc], *, volume: float = 1e6, first: date = FIRST_DAY) -> Bars:
    """Return daily bars with the given (open, high, low, close), one a weekday."""
    t = [at_new_york(day, time(0)) for day in weekdays(len(prices), first)]
    return _bars(symbol, Timeframe.DAY_1, t, prices, volume)


def minute_bars(symbol: str, prices: Sequence[Ohlc], *, volume: float = 1e4, first: date = FIRST_DAY) -> Bars:
    """Return consecutive minutes from 09:30 New York on, inside sessions, going on the next weekday."""
    days = weekdays(len(prices) // 390 + 1, first)
    opens = [standard_session(day).opens_at for day in days]
    t = [start + minute * 60_000_000_000 for start in opens for minute in range(390)][: len(prices)]
    return _bars(symbol, Timeframe.MIN_1, t, prices, volume)


def crypto_bars(symbol: str, prices: Sequence[Ohlc], *, volume: float = 1e3, first: date = FIRST_DAY) -> Bars:
    """Return consecutive minutes of a market that never closes, from midnight UTC on."""
    start = int(np.datetime64(first, "ns").astype(np.int64))
    t = [start + minute * 60_000_000_000 for minute in range(len(prices))]
    return _bars(symbol, Timeframe.MIN_1, t, prices, volume, calendar="24/7")


def _bars(
    symbol: str, timeframe: Timeframe, t: Sequence[int], prices: Sequence[Ohlc], volume: float, calendar: str = "XNYS"
) -> Bars:
    columns = np.array(prices, dtype=np.float64).T
    return Bars(
        symbol=symbol,
        timeframe=timeframe,
        t=np.array(t, dtype=np.int64),
        open=columns[0],
        high=columns[1],
        low=columns[2],
        close=columns[3],
        volume=np.full(len(t), volume),
        kind=DataKind.SIMULATED,
        feed="simulated",
        adjustment="raw",
        calendar=calendar,
    )


def rising(count: int, start: float = 100.0, step: float = 1.0) -> list[Ohlc]:
    """Return bars that open at ``start``, ``start + step``, ... and end half a dollar higher."""
    return [(p, p + 1.0, p - 1.0, p + 0.5) for p in (start + step * index for index in range(count))]


def setup_for(bars: Mapping[str, Bars], *, history: int = 1, **changes: Any) -> ExchangeSetup:
    """Return a setup that replays everything after the first ``history`` bars."""
    first = next(iter(bars.values()))
    start = int(first.t[history]) if history < len(first) else int(first.t[-1]) + 1
    assets = tuple(AssetSetup.of(series) for series in bars.values())
    return ExchangeSetup(**{"run_id": "test", "assets": assets, "start_ns": start, **changes})


def market_of(bars: Mapping[str, Bars]) -> Market:
    """Return a market with the standard sessions of its days and two weeks more."""
    days = [session.day for session in sessions_of(bars).between(0, np.iinfo(np.int64).max)] or [FIRST_DAY]
    return Market(bars, sessions_around(days))


def open_venue(folder: Path, bars: Mapping[str, Bars], *, history: int = 1, **changes: Any) -> Venue:
    """Open a venue in this process, on the log in ``folder``."""
    return Venue(setup_for(bars, history=history, **changes), market_of(bars), EventLog(folder / LOG_FILE))


@pytest.fixture
def start_exchange(tmp_path: Path) -> Iterator[Callable[..., LocalExchange]]:
    """Give a function that starts an exchange over bars; all of them end with the test."""
    running: list[LocalExchange] = []

    def start(
        bars: Mapping[str, Bars], *, history: int = 1, folder: Path | None = None, **changes: Any
    ) -> LocalExchange:
        sessions = [(int(opens), int(closes)) for opens, closes in market_of(bars).sessions.to_array()]
        setup = setup_for(bars, history=history, **changes)
        exchange = LocalExchange(folder or tmp_path / f"exchange{len(running)}", setup, bars, sessions=sessions)
        running.append(exchange)
        return exchange.start()

    yield start
    for exchange in running:
        exchange.stop()
