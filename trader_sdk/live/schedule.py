"""When bars close and orders may be sent: pure questions to the venue's own calendar, all times aware UTC."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any, Final, TypeVar

from trader_sdk.broker.port import SessionView
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND, Timeframe
from trader_sdk.data.calendar import day_start_ns, new_york
from trader_sdk.live.events import bar_ns, bar_time
from trader_sdk.plan import BarContext, fresh_until

FINAL_AFTER_CLOSE: Final = timedelta(minutes=5)
"""How long after the close a daily bar is taken as final."""
_AUCTION_OPENS: Final = time(19, 0)
_DAY: Final = timedelta(days=1)
_MOST_REMEMBERED: Final = 64

T = TypeVar("T")


@dataclass(frozen=True)
class Schedule:
    """Bars and orders of one timeframe.

    Args:
        timeframe: The one that the run trades.
        sessions: The venue's sessions, in order; empty for a market that never closes.
    """

    timeframe: Timeframe
    sessions: tuple[SessionView, ...] = ()

    @classmethod
    def of(cls, timeframe: Timeframe, sessions: Iterable[SessionView], *, always_open: bool = False) -> Schedule:
        """Return the schedule of a venue's calendar; ``always_open`` ignores its sessions."""
        return cls(timeframe, () if always_open else tuple(sorted(sessions, key=lambda session: session.open_at)))

    @cached_property
    def _opens(self) -> list[datetime]:
        return [session.open_at for session in self.sessions]

    @cached_property
    def _closes(self) -> list[datetime]:
        return [session.close_at for session in self.sessions]

    @cached_property
    def _remembered(self) -> dict[tuple[int, int], Any]:
        # Hundreds of symbols ask the same of one bar; a handful of answers is kept.
        return {}

    def _once(self, key: tuple[int, int], answer: Callable[[], T]) -> T:
        known = self._remembered
        if key not in known:
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            known[key] = answer()
        found: T = known[key]
        return found

    @cached_property
    def _by_day(self) -> dict[date, SessionView]:
        return {session.day: session for session in self.sessions}

    def next_open(self, at: datetime) -> datetime | None:
        """Return the first opening after ``at``, None if the calendar ends before."""
        index = bisect_right(self._opens, at)
        return self._opens[index] if index < len(self._opens) else None

    def is_open(self, at: datetime) -> bool:
        """Return whether a session runs at ``at``."""
        if not self.sessions:
            return True
        index = bisect_right(self._opens, at) - 1
        return index >= 0 and at < self._closes[index]

    def closes_at(self, bar_at: int) -> datetime:
        """Return when the bar that starts at ``bar_at`` (ns) ends: at the session's close at the latest."""
        start = bar_time(bar_at)
        if self.timeframe is Timeframe.DAY_1:
            session = self._by_day.get(start.astimezone(new_york()).date()) if self.sessions else None
            return session.close_at if session is not None else start + _DAY
        end = start + timedelta(seconds=self.timeframe.seconds)
        index = bisect_right(self._opens, start) - 1
        inside = index >= 0 and start < self._closes[index]
        return min(end, self._closes[index]) if inside else end

    def context(self, bar_at: int, close: Decimal, decided_at: datetime) -> BarContext:
        """Return what planning reads of a closed bar."""
        closed_at, next_open, auction = self._once((bar_at, -1), lambda: self._times(bar_at))
        return BarContext(self.timeframe, bar_at, close, closed_at, decided_at, next_open, auction)

    def _times(self, bar_at: int) -> tuple[datetime, datetime | None, datetime | None]:
        """Return when a bar closed, the next opening and when its auction begins, both None where there is none."""
        closed_at = self.closes_at(bar_at)
        if self.timeframe is not Timeframe.DAY_1 or not self.sessions:
            return closed_at, None, None
        day = closed_at.astimezone(new_york()).date()
        auction = datetime.combine(day, _AUCTION_OPENS, new_york()).astimezone(UTC)
        return closed_at, self.next_open(closed_at), auction

    def is_fresh(self, bar_at: int, now: datetime) -> bool:
        """Return whether a decision on the bar may still be acted on."""
        return now <= self._once((bar_at, -2), lambda: fresh_until(self.context(bar_at, Decimal(1), now)))

    def is_final(self, bar_at: int, now: datetime) -> bool:
        """Return whether the bar will not change any more by itself."""
        return self.final_at(bar_at) <= now

    def final_at(self, bar_at: int) -> datetime:
        """Return when the bar counts as final."""
        wait = FINAL_AFTER_CLOSE if self.timeframe is Timeframe.DAY_1 and self.sessions else timedelta(0)
        return self.closes_at(bar_at) + wait

    def next_final(self, after: datetime) -> datetime | None:
        """Return the first moment after ``after`` at which a bar becomes final, None past the calendar's end."""
        if not self.sessions:
            return _next_multiple(after, timedelta(seconds=self.timeframe.seconds))
        if self.timeframe is Timeframe.DAY_1:
            index = bisect_right(self._closes, after - FINAL_AFTER_CLOSE)
            return self._closes[index] + FINAL_AFTER_CLOSE if index < len(self._closes) else None
        index = bisect_right(self._closes, after)
        if index == len(self._closes):
            return None
        opened = self._opens[index]
        step = timedelta(seconds=self.timeframe.seconds)
        done = max((after - opened) // step, 0) if after >= opened else 0
        return min(opened + (done + 1) * step, self._closes[index])

    def newest_final(self, now: datetime) -> int | None:
        """Return the start (ns) of the newest bar that is final at ``now``, None before the first of a session."""
        step = timedelta(seconds=self.timeframe.seconds)
        if not self.sessions:
            return bar_ns(_next_multiple(now, step) - 2 * step)
        if self.timeframe is Timeframe.DAY_1:
            index = bisect_right(self._closes, now - FINAL_AFTER_CLOSE) - 1
            return day_start_ns(self.sessions[index].day) if index >= 0 else None
        index = bisect_right(self._opens, now) - 1
        if index < 0:
            return None
        opened, closed = self._opens[index], self._closes[index]
        done = -((opened - closed) // step) if now >= closed else (now - opened) // step
        return bar_ns(opened + (done - 1) * step) if done else None

    def bars_back(self, count: int, now: datetime) -> datetime:
        """Return since when the calendar has ``count`` bars that are over at ``now``, or since when it goes back.

        Example:
            >>> at = datetime(2026, 1, 5, 15, 0, 30, tzinfo=UTC)
            >>> Schedule(Timeframe.MIN_1).bars_back(3, at).isoformat()
            '2026-01-05T14:57:00+00:00'
        """
        step = timedelta(seconds=self.timeframe.seconds)
        if not self.sessions:
            return _next_multiple(now, step) - (count + 1) * step
        index = bisect_right(self._opens, now) - 1
        if self.timeframe is Timeframe.DAY_1:
            return self._opens[max(index - count, 0)] - _DAY
        over = 0
        if index >= 0:
            opened, closed = self._opens[index], self._closes[index]
            done = -((opened - closed) // step) if now >= closed else (now - opened) // step
            over = self._bars_before[index] + done
        first = max(over - count, 0)
        session = bisect_right(self._bars_before, first) - 1
        return self._opens[session] + (first - self._bars_before[session]) * step

    def missing_between(self, last: int, newest: int) -> int:
        """Return how many bars the calendar has strictly between two bar starts (ns)."""
        return self._once((last, newest), lambda: max(self._ordinal(newest) - self._ordinal(last) - 1, 0))

    def _ordinal(self, bar_at: int) -> int:
        """Return a bar's number in the calendar."""
        step = timedelta(seconds=self.timeframe.seconds)
        if not self.sessions:
            return bar_at // (self.timeframe.seconds * NANOSECONDS_PER_SECOND)
        start = bar_time(bar_at)
        if self.timeframe is Timeframe.DAY_1:
            return bisect_left(self._days, start.astimezone(new_york()).date())
        index = max(bisect_right(self._opens, start) - 1, 0)
        return self._bars_before[index] + (start - self._opens[index]) // step

    @cached_property
    def _days(self) -> list[date]:
        return [session.day for session in self.sessions]

    @cached_property
    def _bars_before(self) -> list[int]:
        """Return for each session how many intraday bars all sessions before it have."""
        step = timedelta(seconds=self.timeframe.seconds)
        counts = [-((session.open_at - session.close_at) // step) for session in self.sessions]
        return [0, *accumulate(counts)][:-1]


def _next_multiple(after: datetime, step: timedelta) -> datetime:
    nanoseconds = int(step.total_seconds()) * NANOSECONDS_PER_SECOND
    return bar_time((bar_ns(after) // nanoseconds + 1) * nanoseconds)
