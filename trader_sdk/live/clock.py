"""Venue time: the wall's for Alpaca, the exchange's own for a replay; the session asks and never looks itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from trader_sdk.broker.local_control import LocalControl, VenueState
from trader_sdk.live.schedule import Schedule

_PACE_POLL_SECONDS: Final = 0.1
POLL: Final = timedelta(seconds=5)
"""How often orders that work are asked for on the wall clock."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The session may act.

    Attributes:
        at: Venue time, aware UTC.
        bars_due: Whether a bar may have become final since the last tick.
        is_over: Whether the market has no further bar (the end of a replay).
    """

    at: datetime
    bars_due: bool
    is_over: bool = False


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Return venue time, aware UTC."""

    async def next(self, due: datetime | None) -> Tick:
        """Wait for the next thing to do: a final bar, or ``due`` if that is earlier."""

    def wake(self) -> None:
        """End a wait early; callable from any thread."""

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets; what is timed and not dated reads it."""


class WallClock:
    """Real time, for a venue that lives in it.

    Args:
        schedule: When bars become final.
        wall: Current time; injected so that a test can play a day.
        sleep: Waits some seconds, for the same reason.
        monotonic: Seconds of a clock that nobody sets, for the same reason.
        longest_nap_seconds: Bound of one sleep, so that a clock that was set meanwhile is noticed.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        longest_nap_seconds: float = 60.0,
    ) -> None:
        self._schedule, self._wall, self._sleep, self._monotonic = schedule, wall, sleep, monotonic
        self._longest_nap_seconds = longest_nap_seconds
        self._seen = wall()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> datetime:
        """Return the current time."""
        return self._wall()

    def monotonic(self) -> float:
        """Return seconds of a clock that nobody sets."""
        return self._monotonic()

    async def next(self, due: datetime | None) -> Tick:
        """Sleep until a bar is final, ``due`` has come, or somebody wakes the session."""
        self._loop = asyncio.get_running_loop()
        final = self._schedule.next_final(self._seen)
        target = min((at for at in (final, due) if at is not None), default=self._wall() + POLL)
        await self._sleep_until(target)
        now = self._wall()
        self._seen = max(self._seen, now)
        return Tick(now, bars_due=final is not None and now >= final)

    def wake(self) -> None:
        """End the current wait."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    async def _sleep_until(self, target: datetime) -> None:
        self._woken.clear()
        while not self._woken.is_set():
            left = (target - self._wall()).total_seconds()
            if left <= 0:
                return
            await self._nap(min(left, self._longest_nap_seconds))

    async def _nap(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        waking = asyncio.ensure_future(self._woken.wait())
        await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sleeping, waking):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class VenueClock:
    """The embedded exchange's own time: it moves on when we say that we are done, or by itself at ``--speed``.

    Args:
        control: The exchange's control channel.
        state: Where the exchange stands.
    """

    def __init__(self, control: LocalControl, state: VenueState) -> None:
        self._control, self._state = control, state
        self._woken = threading.Event()

    def now(self) -> datetime:
        """Return venue time."""
        return self._state.at

    def monotonic(self) -> float:
        """Return seconds of this machine's clock: what is timed in a replay is the real exchange's answers."""
        return time.monotonic()

    async def next(self, due: datetime | None) -> Tick:
        """Let the exchange move to its next bar, or to ``due`` if that is earlier."""
        before = self._state
        if before.is_finished:
            return Tick(before.at, bars_due=False, is_over=True)
        # A thread of its own for this wait: at --speed it lasts as long as a bar, and orders must not queue behind it.
        self._woken.clear()
        self._state = await asyncio.to_thread(self._move, due)
        return Tick(self._state.at, bars_due=self._state.bars_released > before.bars_released)

    def wake(self) -> None:
        """End a wait for the wall clock's pace; replayed time itself stands still while the session works."""
        self._woken.set()

    def _move(self, due: datetime | None) -> VenueState:
        state = self._state
        is_paced = state.speed_seconds is not None
        if not is_paced or (due is not None and state.next_at is not None and due < state.next_at):
            return self._control.ready(state.instant, wake_at=due, until="bar").state
        while state.instant == self._state.instant and not self._woken.wait(_PACE_POLL_SECONDS):
            state = self._control.state()
        return state
