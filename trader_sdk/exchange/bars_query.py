"""Historical bars as the market-data API pages them: one limit over all symbols, a token to go on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np

from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND
from trader_sdk.exchange.market import Int64, Market
from trader_sdk.exchange.parse import Unreadable
from trader_sdk.exchange.rejections import invalid
from trader_sdk.exchange.sessions import at_new_york, new_york
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.wire import timestamp

MAX_PAGE: Final = 10_000
_MOST_DIGITS: Final = 5
_UNITS: Final = {"Min": 60, "T": 60, "Hour": 3_600, "H": 3_600, "Day": 86_400, "D": 86_400}
_COLUMNS: Final = ("t", "open", "high", "low", "close", "volume")
_FOR_SPLITS: Final = ("split", "all")


@dataclass(frozen=True, slots=True)
class Seen:
    """What decides which bars are told, and how.

    Attributes:
        now: Nothing later is ever shown, nanoseconds UTC.
        unprinted: Bars that a halt left out, by symbol.
        splits: (time, new units for one) by symbol.
    """

    now: int
    unprinted: Mapping[str, Sequence[int]] = field(default_factory=dict)
    splits: Mapping[str, Sequence[tuple[int, Decimal]]] = field(default_factory=dict)

    @classmethod
    def by(cls, state: VenueState) -> Seen:
        """Return what a venue tells now."""
        return cls(state.now, state.unprinted, state.splits)


@dataclass(frozen=True)
class Columns:
    """Bars as parallel arrays: t int64 nanoseconds UTC, the others float64, all (n,)."""

    t: Int64
    open: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    low: np.ndarray[Any, Any]
    close: np.ndarray[Any, Any]
    volume: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.t)

    def between(self, start: int, end: int) -> Columns:
        """Return the bars that start in ``start`` to ``end``, both included."""
        low, high = np.searchsorted(self.t, start), np.searchsorted(self.t, end, side="right")
        return Columns(*(getattr(self, name)[low:high] for name in _COLUMNS))

    def row(self, index: int) -> dict[str, Any]:
        """Return one bar as the API writes it; trade count and average price are not known from bars."""
        return {
            "t": timestamp(int(self.t[index])),
            "o": float(self.open[index]),
            "h": float(self.high[index]),
            "l": float(self.low[index]),
            "c": float(self.close[index]),
            "v": float(self.volume[index]),
            "n": None,
            "vw": None,
        }


@dataclass(frozen=True, slots=True)
class BarsQuery:
    """What GET /v2/stocks/bars asks for; times are nanoseconds UTC, both ends included."""

    symbols: Sequence[str]
    timeframe: str
    start: int
    end: int
    limit: int = 1_000
    descending: bool = False
    page_token: str | None = None
    adjustment: str = "raw"


def page(market: Market, query: BarsQuery, seen: Seen) -> dict[str, Any]:
    """Return one page: bars by symbol and the token of the next page, or null.

    Raises:
        Unreadable: The timeframe or the token makes no sense.
    """
    seconds = timeframe_seconds(query.timeframe)
    after = None if query.page_token is None else _read_token(query.page_token)
    bars: dict[str, list[dict[str, Any]]] = {}
    room = query.limit
    for symbol in sorted(set(query.symbols)):
        if symbol not in market.tracks or (after is not None and symbol < after[0]):
            continue
        start, end = query.start, query.end
        if after is not None and symbol == after[0]:
            start, end = (start, after[1] - 1) if query.descending else (after[1] + 1, end)
        columns = visible_columns(market, symbol, seconds, seen, query.adjustment).between(start, end)
        order = range(len(columns))[:: -1 if query.descending else 1]
        rows = [columns.row(index) for index in order[:room]]
        if rows:
            bars[symbol] = rows
            room -= len(rows)
        if len(columns) > len(rows):
            last = columns.t[order[len(rows) - 1]] if rows else (query.end + 1 if query.descending else start - 1)
            return {"bars": bars, "next_page_token": _write_token(symbol, int(last))}
    return {"bars": bars, "next_page_token": None}


def timeframe_seconds(text: str) -> int:
    """Return a timeframe's length in seconds.

    Raises:
        Unreadable: It is not a number of minutes, hours or one day.

    Example:
        >>> timeframe_seconds("15Min"), timeframe_seconds("1Day")
        (900, 86400)
    """
    digits = len(text) - len(text.lstrip("0123456789"))
    unit = _UNITS.get(text[digits:])
    count = int(text[: min(digits, _MOST_DIGITS)] or 0)
    if unit is None or digits > _MOST_DIGITS or count < 1 or count * unit > 86_400:
        raise Unreadable(invalid(f"invalid timeframe: {text}"))
    return count * unit


def visible_columns(market: Market, symbol: str, seconds: int, seen: Seen, adjustment: str = "raw") -> Columns:
    """Return a symbol's bars that may be seen, aggregated if a longer timeframe is asked for.

    Minutes and hours are cut at whole multiples of UTC, as the vendor's are; days are New York's.
    """
    track = market.tracks[symbol]
    count = track.visible(seen.now)
    base = Columns(*(getattr(track.bars, name)[:count] for name in _COLUMNS))
    base = _without(base, seen.unprinted.get(symbol, ()))
    if adjustment in _FOR_SPLITS:
        base = _adjusted(base, seen.splits.get(symbol, ()))
    if seconds == market.timeframe.seconds:
        return base
    if seconds < market.timeframe.seconds or seconds % market.timeframe.seconds:
        raise Unreadable(invalid(f"this market replays {market.timeframe} bars and longer"))
    return _aggregated(base, seconds, is_equity=track.bars.calendar == "XNYS")


def _without(base: Columns, left_out: Sequence[int]) -> Columns:
    if not left_out:
        return base
    kept = ~np.isin(base.t, np.array(left_out, dtype=np.int64))
    return Columns(*(getattr(base, name)[kept] for name in _COLUMNS))


def _adjusted(base: Columns, splits: Sequence[tuple[int, Decimal]]) -> Columns:
    """Return bars as if every split had always been: prices before it divided, volumes multiplied."""
    factor = np.ones(len(base))
    for at, ratio in splits:
        factor[base.t < at] *= float(ratio)
    open_, high, low, close = (getattr(base, name) / factor for name in ("open", "high", "low", "close"))
    return Columns(base.t, open_, high, low, close, base.volume * factor)


def _aggregated(base: Columns, seconds: int, *, is_equity: bool) -> Columns:
    if not len(base):
        return base
    if seconds == _UNITS["Day"] and is_equity:
        starts = _day_starts(base.t)
    else:
        length = seconds * NANOSECONDS_PER_SECOND
        starts = base.t // length * length
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    last = np.append(first[1:], len(starts)) - 1
    return Columns(
        t=starts[first],
        open=base.open[first],
        high=np.maximum.reduceat(base.high, first),
        low=np.minimum.reduceat(base.low, first),
        close=base.close[last],
        volume=np.add.reduceat(base.volume, first),
    )


def _day_starts(t: Int64) -> Int64:
    """Return midnight New York of each time; sessions lie inside one UTC day, so that is asked once a day."""
    days, first, inverse = np.unique(t // (86_400 * NANOSECONDS_PER_SECOND), return_index=True, return_inverse=True)
    midnight = new_york(0).time().min
    starts = [at_new_york(new_york(int(t[index])).date(), midnight) for index in first]
    assert len(starts) == len(days)
    result: Int64 = np.array(starts, dtype=np.int64)[inverse]
    return result


def _write_token(symbol: str, after: int) -> str:
    return base64.urlsafe_b64encode(f"{symbol}|{after}".encode()).decode()


def _read_token(token: str) -> tuple[str, int]:
    try:
        symbol, _, after = base64.urlsafe_b64decode(token.encode()).decode().rpartition("|")
        return symbol, int(after)
    except (ValueError, binascii.Error) as error:
        raise Unreadable(invalid("invalid page_token")) from error
