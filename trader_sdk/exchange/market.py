"""The bars that a venue replays, and what of them anybody may see at a given time."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND, Timeframe
from trader_sdk.exchange.sessions import SessionBook, new_york, standard_session, utc

Int64 = NDArray[np.int64]
FINAL_AFTER_CLOSE_NS: Final = 300 * NANOSECONDS_PER_SECOND
_DAY_NS: Final = 86_400 * NANOSECONDS_PER_SECOND
_COLUMNS: Final = ("t", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Track:
    """One symbol's bars with the venue times at which each opens, ends and may be seen.

    Attributes:
        opens_at, ends_at, visible_at: int64 (T,), nanoseconds UTC.
    """

    bars: Bars
    opens_at: Int64
    ends_at: Int64
    visible_at: Int64

    def visible(self, at: int) -> int:
        """Return how many bars may be seen at ``at``."""
        return int(np.searchsorted(self.visible_at, at, side="right"))


@dataclass(frozen=True)
class Market:
    """Bars by symbol, of one timeframe, with the equity sessions around them.

    Raises:
        DataError: No bars, or timeframes differ.
    """

    bars: Mapping[str, Bars]
    sessions: SessionBook

    def __post_init__(self) -> None:
        timeframes = sorted({series.timeframe for series in self.bars.values()})
        if len(timeframes) != 1:
            raise DataError("BARS", "a market has bars of exactly one timeframe", where="market", found=timeframes)

    @cached_property
    def timeframe(self) -> Timeframe:
        """Return the length of every bar."""
        return next(iter(self.bars.values())).timeframe

    @cached_property
    def tracks(self) -> Mapping[str, Track]:
        """Return each symbol's bars with their times, by symbol in alphabetical order."""
        return {symbol: _track(self.bars[symbol], self.sessions) for symbol in sorted(self.bars)}

    @cached_property
    def digest(self) -> str:
        """Return ``sha256:<hex>`` over bars and sessions."""
        sha = hashlib.sha256()
        for symbol in sorted(self.bars):
            sha.update(self.bars[symbol].digest.encode())
        sha.update(np.ascontiguousarray(self.sessions.to_array(), dtype="<i8").tobytes())
        return f"sha256:{sha.hexdigest()}"

    def save(self, path: Path) -> None:
        """Write bars and sessions to one ``.npz``."""
        arrays: dict[str, NDArray[np.float64] | Int64] = {"sessions": self.sessions.to_array()}
        heads = []
        for number, (symbol, series) in enumerate(sorted(self.bars.items())):
            heads.append([symbol, series.timeframe, series.kind, series.feed, series.adjustment, series.calendar])
            arrays |= {f"{name}{number}": getattr(series, name) for name in _COLUMNS}
        text = np.frombuffer(json.dumps(heads).encode(), dtype=np.uint8)
        with path.open("wb") as file:
            np.savez(file, heads=text, **arrays)  # type: ignore[arg-type]  # the stub's keyword is a flag of savez

    @classmethod
    def load(cls, path: Path) -> Market:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: The file is missing or is not a market.
        """
        try:
            if not zipfile.is_zipfile(path):
                raise ValueError("no archive")
            with np.load(path, allow_pickle=False) as file:
                heads = json.loads(file["heads"].tobytes())
                bars = [
                    _series(head, {name: file[f"{name}{number}"] for name in _COLUMNS})
                    for number, head in enumerate(heads)
                ]
                sessions = SessionBook.from_array(file["sessions"])
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise DataError("BARS", "not a market that an exchange wrote", where=str(path), found=error) from error
        return cls({series.symbol: series for series in bars}, sessions)


def _series(head: Sequence[str], columns: Mapping[str, NDArray[np.float64]]) -> Bars:
    symbol, timeframe, kind, feed, adjustment, calendar = head
    return Bars(
        symbol=symbol,
        timeframe=Timeframe(timeframe),
        t=columns["t"].astype(np.int64),
        open=columns["open"],
        high=columns["high"],
        low=columns["low"],
        close=columns["close"],
        volume=columns["volume"],
        kind=DataKind(kind),
        feed=feed,
        adjustment=adjustment,
        calendar=calendar,
    )


def _track(bars: Bars, sessions: SessionBook) -> Track:
    length = bars.timeframe.seconds * NANOSECONDS_PER_SECOND
    if bars.calendar != "XNYS":
        return Track(bars, bars.t, bars.t + length, bars.t + length)
    if bars.timeframe.is_intraday:
        ends = np.minimum(bars.t + length, _closes_after(bars, sessions))
        return Track(bars, bars.t, ends, ends)
    opens, closes = _sessions_on(bars, sessions)
    return Track(bars, opens, closes, closes + FINAL_AFTER_CLOSE_NS)


def _sessions_on(bars: Bars, sessions: SessionBook) -> tuple[Int64, Int64]:
    """Return open and close of the session of each daily bar, which starts at midnight New York."""
    rows = sessions.to_array()
    index = np.minimum(np.searchsorted(rows[:, 0], bars.t), len(rows) - 1)
    outside = (rows[index, 0] < bars.t) | (rows[index, 0] >= bars.t + _DAY_NS)
    if outside.any():
        first = utc(int(bars.t[int(np.argmax(outside))]))
        raise DataError("BARS", "a daily bar on a day without a session", where=bars.symbol, found=first.date())
    return rows[index, 0], rows[index, 1]


def _closes_after(bars: Bars, sessions: SessionBook) -> Int64:
    """Return the close of the session that each intraday bar starts in."""
    rows = sessions.to_array()
    index = np.searchsorted(rows[:, 0], bars.t, side="right") - 1
    outside = (index < 0) | (bars.t >= rows[np.maximum(index, 0), 1])
    if outside.any():
        first = utc(int(bars.t[int(np.argmax(outside))]))
        raise DataError("BARS", "a bar outside the trading sessions", where=bars.symbol, found=first.isoformat())
    closes: Int64 = rows[index, 1]
    return closes


def sessions_of(bars: Mapping[str, Bars], calendar: Sequence[tuple[int, int]] = ()) -> SessionBook:
    """Return the calendar's sessions, and a standard one for each day with equity bars that it does not know.

    Args:
        bars: The market.
        calendar: (open, close) of known sessions, nanoseconds UTC.
    """
    book = SessionBook.from_array(np.array(calendar, dtype=np.int64).reshape(-1, 2))
    known = {session.day for session in book.between(0, np.iinfo(np.int64).max)}
    extra = set()
    for series in bars.values():
        if series.calendar == "XNYS":
            _, first_of_day = np.unique(series.t // _DAY_NS, return_index=True)
            extra |= {new_york(int(t)).date() for t in series.t[first_of_day]} - known
    return SessionBook([*book.between(0, np.iinfo(np.int64).max), *(standard_session(day) for day in extra)])
