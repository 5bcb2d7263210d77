"""Trading sessions: New York's, with holidays and early closes, and the market that never closes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND, Timeframe

Int64 = NDArray[np.int64]

XNYS: Final = "XNYS"
ALWAYS_OPEN: Final = "24/7"
REGULAR_SESSION_SECONDS: Final = 390 * 60
_DAY_NS: Final = 86_400 * NANOSECONDS_PER_SECOND
# Both ends are fixed so that the answer to a question does not depend on the day it is asked.
_XNYS_FIRST, _XNYS_LAST = date(1990, 1, 1), date(2040, 12, 31)
_ALWAYS_FIRST, _ALWAYS_LAST = date(1970, 1, 1), date(2100, 1, 1)
_SESSIONS_PER_YEAR: Final = {XNYS: 252, ALWAYS_OPEN: 365}


class Session(NamedTuple):
    """One trading session: its local date, and open and close as aware UTC times."""

    date: date
    open: datetime
    close: datetime


class Calendar(Protocol):
    """Sessions of a market. Every time in and out is aware UTC."""

    @property
    def name(self) -> str:
        """Return the calendar's id: ``XNYS`` or ``24/7``."""

    def session_of(self, at: datetime) -> Session | None:
        """Return the session that is open at ``at`` (open <= at < close), None while the market is closed."""

    def next_open(self, at: datetime) -> datetime:
        """Return the first session open strictly after ``at``."""

    def previous_session(self, at: datetime) -> Session:
        """Return the last session that had closed at ``at`` (close <= at)."""

    def sessions(self, start: date, end: date) -> list[Session]:
        """Return the sessions dated ``start`` to ``end``, both included."""

    def session_bounds(self, t: Int64) -> tuple[Int64, Int64]:
        """Return open and close, in ns, of the session each time lies in; both -1 outside sessions."""

    def bars_between(self, start: datetime, end: datetime, timeframe: Timeframe) -> Int64:
        """Return the starts, in ns, of the bars that begin in [start, end)."""


@dataclass(frozen=True, slots=True)
class SessionTable:
    """A calendar as a table of sessions, sorted by time.

    Args:
        name: Calendar id.
        dates: datetime64[D] (S,), local dates.
        day_starts: int64 (S,), start of the daily bar, ns UTC (local midnight).
        opens, closes: int64 (S,), ns UTC.
    """

    name: str
    dates: NDArray[np.datetime64]
    day_starts: Int64
    opens: Int64
    closes: Int64

    def session_of(self, at: datetime) -> Session | None:
        """Return the session that is open at ``at``, None while the market is closed."""
        now = _ns(at)
        row = _rows_until(self.opens, now) - 1
        return self._session(row) if row >= 0 and now < self.closes[row] else None

    def next_open(self, at: datetime) -> datetime:
        """Return the first session open strictly after ``at``."""
        return self._session(_rows_until(self.opens, _ns(at))).open

    def previous_session(self, at: datetime) -> Session:
        """Return the last session that had closed at ``at``."""
        return self._session(_rows_until(self.closes, _ns(at)) - 1)

    def sessions(self, start: date, end: date) -> list[Session]:
        """Return the sessions dated ``start`` to ``end``, both included."""
        self._check_dates(start, end)
        first = int(np.searchsorted(self.dates, np.datetime64(start, "D"), "left"))
        last = int(np.searchsorted(self.dates, np.datetime64(end, "D"), "right"))
        return [self._session(row) for row in range(first, last)]

    def session_bounds(self, t: Int64) -> tuple[Int64, Int64]:
        """Return open and close, in ns, of the session each time lies in; both -1 outside sessions."""
        rows = np.maximum(np.searchsorted(self.opens, t, "right") - 1, 0)
        inside = (t >= self.opens[rows]) & (t < self.closes[rows])
        return np.where(inside, self.opens[rows], -1), np.where(inside, self.closes[rows], -1)

    def bars_between(self, start: datetime, end: datetime, timeframe: Timeframe) -> Int64:
        """Return the starts, in ns, of the bars that begin in [start, end).

        Longer intraday bars count from the session's open, so the last one of a session may be short.
        """
        first, last = _ns(start), _ns(end)
        self._check_dates(start.date(), end.date())
        if timeframe is Timeframe.DAY_1:
            starts = self.day_starts
        else:
            rows = slice(max(_rows_until(self.opens, first) - 1, 0), _rows_until(self.opens, last - 1))
            starts = _bar_starts(self.opens[rows], self.closes[rows], timeframe)
        return starts[(starts >= first) & (starts < last)]

    def _session(self, row: int) -> Session:
        if not 0 <= row < len(self.dates):
            raise self._unknown(f"session {row} of {len(self.dates)}")
        return Session(self.dates[row].item(), _utc(int(self.opens[row])), _utc(int(self.closes[row])))

    def _check_dates(self, start: date, end: date) -> None:
        if np.datetime64(start, "D") < self.dates[0] - 7 or np.datetime64(end, "D") > self.dates[-1] + 7:
            raise self._unknown(f"{start}..{end}")

    def _unknown(self, found: str) -> ConfigError:
        known = f"{self.dates[0]}..{self.dates[-1]}"
        return ConfigError(
            "CONFIG",
            "the calendar does not reach this time",
            where=f"calendar {self.name}",
            expected=known,
            found=found,
            remedy="Ask for times inside the calendar's range; an unknown session counts as closed.",
        )


def get_calendar(name: str) -> Calendar:
    """Return the calendar called ``name``.

    Args:
        name: ``XNYS`` (New York, holidays and early closes, 1990 to 2040) or ``24/7`` (UTC days).

    Returns:
        The calendar; the same object for the same name.

    Raises:
        ConfigError: Unknown name, or ``XNYS`` without the library that knows its sessions.

    Source:
        The exchange-calendars library, calendar XNYS
    """
    if name == ALWAYS_OPEN:
        return _always_open()
    if name == XNYS:
        return _new_york()
    raise ConfigError("CONFIG", "unknown calendar", where="calendar", expected=f"{XNYS} or {ALWAYS_OPEN}", found=name)


def bars_per_year(timeframe: Timeframe, calendar: str = XNYS) -> int:
    """Return how many bars a year has: 252 New York sessions of 390 minutes, or 365 days of 24 hours.

    Example:
        >>> bars_per_year(Timeframe.DAY_1), bars_per_year(Timeframe.MIN_1), bars_per_year(Timeframe.HOUR_4)
        (252, 98280, 504)
    """
    sessions = _SESSIONS_PER_YEAR[calendar]
    seconds = REGULAR_SESSION_SECONDS if calendar == XNYS else 86_400
    return sessions * max(1, -(-seconds // timeframe.seconds))


def day_start_ns(day: date, calendar: str = XNYS) -> int:
    """Return where the daily bar of ``day`` starts, ns UTC: midnight New York, or midnight UTC for ``24/7``.

    Example:
        >>> day_start_ns(date(2021, 1, 4)) == 1_609_736_400 * 10**9  # 05:00 UTC
        True
    """
    zone = UTC if calendar == ALWAYS_OPEN else new_york()
    return _ns(datetime(day.year, day.month, day.day, tzinfo=zone))


@lru_cache(maxsize=1)
def new_york() -> ZoneInfo:
    """Return New York's time zone.

    Raises:
        ConfigError: This system has no time zone database.
    """
    try:
        return ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError as error:
        raise ConfigError(
            "CONFIG",
            "the time zone America/New_York is unknown on this system",
            where="time zone database",
            remedy="Install the system's tzdata package, or `pip install tzdata`.",
        ) from error


@lru_cache(maxsize=1)
def _always_open() -> SessionTable:
    dates = np.arange(np.datetime64(_ALWAYS_FIRST, "D"), np.datetime64(_ALWAYS_LAST, "D"))
    opens = dates.astype("datetime64[ns]").astype(np.int64)
    return SessionTable(ALWAYS_OPEN, dates, opens, opens, opens + _DAY_NS)


@lru_cache(maxsize=1)
def _new_york() -> SessionTable:
    try:
        import exchange_calendars  # imports pandas: only where sessions are asked for
    except ImportError as error:
        raise ConfigError(
            "CONFIG",
            "New York's sessions need the package exchange-calendars",
            where="calendar XNYS",
            expected="exchange-calendars installed",
            found="not installed",
            remedy='Install it with `pip install "trader-sdk[live]"` (or `[train]`).',
        ) from error
    with warnings.catch_warnings():
        # exchange-calendars reads its own times in a way that pandas 4 will change; ours are read by name below.
        warnings.filterwarnings("ignore", message="Series.values returning an ndarray that drops timezone")
        table = exchange_calendars.get_calendar(XNYS, start=str(_XNYS_FIRST), end=str(_XNYS_LAST)).schedule
    dates = table.index.to_numpy().astype("datetime64[D]")
    return SessionTable(
        XNYS,
        dates,
        np.array([day_start_ns(day) for day in dates.tolist()], np.int64),
        *(
            table[side].dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
            for side in ("open", "close")
        ),
    )


def _rows_until(column: Int64, now: int) -> int:
    return int(np.searchsorted(column, now, "right"))


def _bar_starts(opens: Int64, closes: Int64, timeframe: Timeframe) -> Int64:
    step = timeframe.seconds * NANOSECONDS_PER_SECOND
    counts = -((opens - closes) // step)
    first_of_session = np.repeat(np.cumsum(counts) - counts, counts)
    starts: Int64 = np.repeat(opens, counts) + step * (np.arange(int(counts.sum())) - first_of_session)
    return starts


def _ns(at: datetime) -> int:
    if at.tzinfo is None:
        raise UsageError("USAGE", "a time without a zone", where="calendar", expected="aware time", found=at)
    return ((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)) * 1_000


def _utc(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)
