"""Clocks compared: ours with the venue's, and the wall's with the one that nobody sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from trader_sdk.broker.port import ClockView
from trader_sdk.live.events import rfc3339
from trader_sdk.live.holds import Cause, StateKeeper

Say = Callable[[str, Mapping[str, Any]], None]

SKEW_TOLD: Final = timedelta(seconds=2)
"""How far apart the venue's clock and ours may be before a person is told."""
_HALF_A_SECOND: Final = timedelta(seconds=0.5)


def ahead(venue: ClockView, ours: datetime) -> timedelta:
    """Return how far the venue is ahead of our clock; of its two statements the one that is further away.

    Args:
        venue: Its clock endpoint, and the date of the reply that brought it.
        ours: Our wall clock when the reply had come.

    Example:
        >>> from datetime import UTC
        >>> at = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
        >>> ahead(ClockView(at, True, at, at, at + timedelta(minutes=1)), at).total_seconds()
        60.5
    """
    stated = [venue.at - ours]
    if venue.date_header is not None:
        stated.append(venue.date_header + _HALF_A_SECOND - ours)  # it is cut to the second
    return max(stated, key=abs)


class TimeWatch:
    """Tells of a clock that is wrong, and lets no position be opened while it is wrong by half a bar.

    Args:
        states: Holds trading back.
        say: Told what people and programs are told.
        bar: Length of a bar.
    """

    def __init__(self, states: StateKeeper, say: Say, bar: timedelta) -> None:
        self._states, self._say, self._bar = states, say, bar
        self._is_told = False
        self._seen: tuple[datetime, float] | None = None

    def compare(self, venue: ClockView, ours: datetime) -> None:
        """Take what the venue says of the time."""
        skew = ahead(venue, ours)
        is_off = abs(skew) > SKEW_TOLD
        if is_off is not self._is_told:
            self._is_told = is_off
            fields = {"seconds": round(skew.total_seconds(), 1), "venue": rfc3339(venue.at), "ours": rfc3339(ours)}
            self._say("clock_skewed" if is_off else "clock_agrees", fields)
        if abs(skew) > self._bar / 2:
            self._states.hold(Cause.CLOCK_SKEW, f"the venue is {skew.total_seconds():+.0f} s from our clock", ours)
        else:
            self._states.lift(Cause.CLOCK_SKEW, ours, why="the clocks agree")

    def jumped(self, wall: datetime, monotonic: float) -> bool:
        """Return whether the wall clock moved otherwise than time passed since the last call: set, or suspended.

        Args:
            wall: Now.
            monotonic: Seconds of a clock that nobody sets.
        """
        before, self._seen = self._seen, (wall, monotonic)
        if before is None:
            return False
        by = wall - before[0] - timedelta(seconds=monotonic - before[1])
        if abs(by) <= SKEW_TOLD:
            return False
        self._say("clock_jumped", {"seconds": round(by.total_seconds(), 1), "ours": rfc3339(wall)})
        return True
