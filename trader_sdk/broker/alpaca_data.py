"""Bars of the past from Alpaca's market data service, as the contract's own values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from trader_sdk.broker.alpaca_http import AlpacaHttp, ReadRetry
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Endpoint, Timeouts
from trader_sdk.broker.request_budget import RequestBudget
from trader_sdk.broker.wire_bars import bar_from_wire, column, possible, starts
from trader_sdk.contract.bars import Bar, Bars
from trader_sdk.contract.errors import BrokerError, DataError
from trader_sdk.contract.timeframe import Timeframe

BARS_PER_PAGE: Final = 10_000
ADJUSTMENTS: Final = ("raw", "split", "dividend", "all")
_STOCKS: Final = "/stocks/bars"
_CRYPTO: Final = "/bars"


class AlpacaBars:
    """Read bars through alpaca-py's historical clients.

    Args:
        endpoint: Where market data lives, and what its feed is called.
        http: The account's leashed clients.
    """

    def __init__(self, endpoint: Endpoint, http: AlpacaHttp) -> None:
        self._endpoint, self._http = endpoint, http

    def history(
        self, symbol: str, timeframe: Timeframe, start: dt.datetime, end: dt.datetime, *, adjustment: str = "split"
    ) -> Bars:
        """Return the bars of ``symbol`` that start within ``start`` to ``end``, both inclusive.

        The venue also gives the bar that is still forming: ask for an ``end`` before its start, or judge by the clock.

        Raises:
            BrokerError: The service refused or did not answer.
            DataError: Its bars are not valid.
        """
        return self.histories([symbol], timeframe, start, end, adjustment=adjustment)[symbol]

    def histories(
        self,
        symbols: Sequence[str],
        timeframe: Timeframe,
        start: dt.datetime,
        end: dt.datetime,
        *,
        adjustment: str = "split",
    ) -> dict[str, Bars]:
        """Return :meth:`history` of each of some symbols, in one request a page of 10,000 bars.

        Raises:
            BrokerError: The service refused or did not answer.
            DataError: Its bars are not valid.
        """
        if adjustment not in ADJUSTMENTS:
            raise DataError("BARS", "unknown adjustment", expected=" ".join(ADJUSTMENTS), found=adjustment)
        asked: dict[str, Any] = {
            "timeframe": timeframe.value,
            "start": _rfc3339(start),
            "end": _rfc3339(end),
            "limit": BARS_PER_PAGE,
            "sort": "asc",
        }
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for crypto, names in _by_service(symbols):
            more = {} if crypto else {"feed": self._endpoint.feed, "adjustment": adjustment}
            rows |= self._all_pages(names, asked | more, crypto=crypto)
        return {symbol: self._columns(symbol, timeframe, rows[symbol], adjustment) for symbol in symbols}

    def latest(self, symbols: Sequence[str]) -> Mapping[str, Bar]:
        """Return the last minute bar of each symbol that has one."""
        found: dict[str, Bar] = {}
        for crypto, names in _by_service(symbols):
            found |= self._latest(names, crypto=crypto)
        return found

    def _latest(self, symbols: Sequence[str], *, crypto: bool) -> dict[str, Bar]:
        asked = {"symbols": ",".join(symbols)} | ({} if crypto else {"feed": self._endpoint.feed})
        path = "/latest/bars" if crypto else _STOCKS + "/latest"
        rows = _bars_of(self._get(path, asked, crypto=crypto))
        return {symbol: bar_from_wire(symbol, row) for symbol, row in rows.items() if symbol in symbols}

    def _all_pages(
        self, symbols: Sequence[str], asked: dict[str, Any], *, crypto: bool
    ) -> dict[str, list[Mapping[str, Any]]]:
        """Return the rows of every symbol; a page holds several, and may end in the middle of one."""
        asked = {"symbols": ",".join(symbols), **asked}
        rows: dict[str, list[Mapping[str, Any]]] = {symbol: [] for symbol in symbols}
        seen: set[str] = set()
        while True:
            page = self._get(_CRYPTO if crypto else _STOCKS, asked, crypto=crypto)
            for symbol, some in _bars_of(page).items():
                if symbol in rows:
                    rows[symbol].extend(some or ())
            token = page.get("next_page_token")
            if not token:
                return rows
            if token in seen:
                raise BrokerError("E803", "the pages of bars repeat", where=asked["symbols"][:80], found=token)
            seen.add(token)
            asked = {**asked, "page_token": token}

    def _get(self, path: str, asked: Mapping[str, Any], *, crypto: bool) -> Mapping[str, Any]:
        read = self._http.read_crypto if crypto else self._http.read_stocks
        full_path = f"/crypto/us{path}" if crypto else path
        body = read(lambda client: client.get(full_path, dict(asked)), where=f"GET {full_path}")
        if not isinstance(body, Mapping):
            raise BrokerError("E803", "a reply could not be read", where=path, expected="an object", found=body)
        return body

    def _columns(self, symbol: str, timeframe: Timeframe, rows: list[Mapping[str, Any]], adjustment: str) -> Bars:
        endpoint, crypto = self._endpoint, _is_crypto(symbol)
        rows = possible(rows, where=f"{symbol} {timeframe}")
        open_, high, low, close, volume = (column(rows, key) for key in "ohlcv")
        return Bars(
            symbol=symbol,
            timeframe=timeframe,
            t=starts(rows),
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=volume,
            kind=endpoint.data_kind,
            feed=endpoint.volume_label,
            adjustment="raw" if crypto else adjustment,
            calendar="24/7" if crypto else "XNYS",
        )


def fetch_bars(
    endpoint: Endpoint,
    credentials: Credentials,
    symbol: str,
    timeframe: Timeframe,
    start: dt.datetime,
    end: dt.datetime,
    *,
    adjustment: str = "split",
) -> Bars:
    """Return the history of one symbol without opening a trading connection.

    Args:
        endpoint: Paper and live share one market data service; its ``feed`` decides what is read.
        credentials: Keys of any account.
        symbol: ``AAPL`` or ``BTC/USD``.
        timeframe: Length of the bars.
        start, end: Aware times; bars that start within them, both inclusive.
        adjustment: ``raw``, ``split``, ``dividend`` or ``all``; crypto is always raw.

    Raises:
        BrokerError: The service refused or did not answer.
        DataError: Its bars are not valid.
    """
    http = AlpacaHttp(
        endpoint,
        credentials,
        timeouts=Timeouts(read_seconds=15.0, total_seconds=30.0),  # a page of 10,000 bars is a large reply
        retry=ReadRetry(attempts=5, total_seconds=120.0, budget_patience_seconds=60.0),
        budget=RequestBudget(endpoint.requests_per_minute),
    )
    try:
        return AlpacaBars(endpoint, http).history(symbol, timeframe, start, end, adjustment=adjustment)
    finally:
        http.close()


def _bars_of(page: Mapping[str, Any]) -> Mapping[str, Any]:
    bars = page.get("bars")
    if bars is None:
        return {}
    if not isinstance(bars, Mapping):
        raise BrokerError("E803", "a reply could not be read", where="bars", expected="an object", found=bars)
    return bars


def _rfc3339(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _by_service(symbols: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield the symbols of stocks, then those of crypto, as (whether crypto, symbols), where there are any."""
    for crypto in (False, True):
        names = [symbol for symbol in symbols if _is_crypto(symbol) is crypto]
        if names:
            yield crypto, names


def _is_crypto(symbol: str) -> bool:
    return "/" in symbol
