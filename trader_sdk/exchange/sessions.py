"""The equity sessions that the venue knows, and New York's wall clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND

NEW_YORK: Final = ZoneInfo("America/New_York")
_OPEN: Final = time(9, 30)
_CLOSE: Final = time(16, 0)


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """One regular trading session.

    Attributes:
        opens_at: Nanoseconds UTC.
        closes_at: Nanoseconds UTC; earlier than 16:00 New York on half days.
    """

    opens_at: int
    closes_at: int

    @property
    def day(self) -> date:
        """Return the New York date."""
        return new_york(self.opens_at).date()


def new_york(at: int) -> datetime:
    """Return nanoseconds UTC as New York wall time, to the microsecond."""
    return utc(at).astimezone(NEW_YORK)


def utc(at: int) -> datetime:
    """Return nanoseconds since the epoch as an aware datetime, to the microsecond."""
    seconds, rest = divmod(at, NANOSECONDS_PER_SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1_000)


def nanoseconds(moment: datetime) -> int:
    """Return an aware datetime as nanoseconds since the epoch, exactly.

    Example:
        >>> nanoseconds(datetime(2020, 1, 2, 14, 30, tzinfo=UTC))
        1577975400000000000
    """
    return int(moment.replace(microsecond=0).timestamp()) * NANOSECONDS_PER_SECOND + moment.microsecond * 1_000


def at_new_york(day: date, clock: time) -> int:
    """Return a New York wall time as nanoseconds UTC."""
    return nanoseconds(datetime.combine(day, clock, NEW_YORK))


def standard_session(day: date) -> Session:
    """Return the full-length session of a day."""
    return Session(at_new_york(day, _OPEN), at_new_york(day, _CLOSE))


class SessionBook:
    """Sessions in order, with the questions that the venue asks about them."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._sessions: Sequence[Session] = sorted(set(sessions))
        self._opens = [session.opens_at for session in self._sessions]
        self._closes = [session.closes_at for session in self._sessions]

    def __len__(self) -> int:
        return len(self._sessions)

    def between(self, start: int, end: int) -> Sequence[Session]:
        """Return the sessions that open in ``start`` (inclusive) to ``end`` (exclusive)."""
        return self._sessions[bisect_left(self._opens, start) : bisect_left(self._opens, end)]

    def running(self, at: int) -> Session | None:
        """Return the session that is open at ``at``; its close no longer is."""
        index = bisect_right(self._opens, at) - 1
        return self._sessions[index] if index >= 0 and at < self._closes[index] else None

    def next_open(self, at: int) -> int | None:
        """Return the first opening after ``at``."""
        index = bisect_right(self._opens, at)
        return self._opens[index] if index < len(self._opens) else None

    def next_close(self, at: int) -> int | None:
        """Return the first close after ``at``."""
        index = bisect_right(self._closes, at)
        return self._closes[index] if index < len(self._closes) else None

    def last_closed(self, at: int) -> Session | None:
        """Return the last session that closed at or before ``at``."""
        index = bisect_right(self._closes, at) - 1
        return self._sessions[index] if index >= 0 else None

    def to_array(self) -> NDArray[np.int64]:
        """Return int64 (n, 2): openings and closes."""
        rows = [(session.opens_at, session.closes_at) for session in self._sessions]
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    @classmethod
    def from_array(cls, rows: NDArray[np.int64]) -> SessionBook:
        """Return the book that :meth:`to_array` wrote."""
        return cls(Session(int(opens), int(closes)) for opens, closes in rows)
