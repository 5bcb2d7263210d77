"""Clocks compared, and the calendar that is kept for the day on which it cannot be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.port import ClockView, SessionView
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.live.calendar_cache import CALENDAR_FILE, covers, keep_calendar, kept_calendar
from trader_sdk.live.report import Status
from trader_sdk.live.time_watch import TimeWatch, ahead

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
VENUE = ClockView(AT, True, AT, AT)
SESSIONS = tuple(
    SessionView(date(2026, 1, day), datetime(2026, 1, day, 14, 30, tzinfo=UTC), datetime(2026, 1, day, 21, tzinfo=UTC))
    for day in (5, 6)
)


class _NoStates:
    """Stands for the holds, which are not asked here."""

    def hold(self, *_: object) -> bool:
        return False

    def lift(self, *_: object, **__: object) -> bool:
        return False


def watch(told: list[tuple[str, Mapping[str, Any]]]) -> TimeWatch:
    states: Any = _NoStates()
    return TimeWatch(states, lambda name, fields: told.append((name, fields)), timedelta(minutes=1))


@pytest.mark.parametrize(
    ("wall", "monotonic", "jumped"),
    [(60.0, 60.0, False), (61.5, 60.0, False), (80.0, 60.0, True), (40.0, 60.0, True), (3_600.0, 0.0, True)],
)
def test_wall_clock_that_was_set_is_found_out(wall: float, monotonic: float, jumped: bool) -> None:
    """Seconds of both clocks since the last look: what differs by more than two was set, or slept through."""
    told: list[tuple[str, Mapping[str, Any]]] = []
    looking = watch(told)
    assert looking.jumped(AT, 1_000.0) is False
    assert looking.jumped(AT + timedelta(seconds=wall), 1_000.0 + monotonic) is jumped
    assert [name for name, _ in told] == (["clock_jumped"] if jumped else [])


def test_skew_is_told_once_and_its_end_too() -> None:
    """Not at every comparison: a person reads it."""
    told: list[tuple[str, Mapping[str, Any]]] = []
    looking = watch(told)
    for seconds in (0, 5, 6, 5, 1, 0):
        looking.compare(VENUE, AT + timedelta(seconds=seconds))
    assert [name for name, _ in told] == ["clock_skewed", "clock_agrees"]


def test_date_header_speaks_where_the_clock_endpoint_is_as_wrong_as_we_are() -> None:
    """Of two statements the one that is further away counts."""
    stale = replace(VENUE, date_header=AT + timedelta(seconds=40))
    assert ahead(VENUE, AT) == timedelta(0)
    assert ahead(stale, AT) == timedelta(seconds=40.5)


def test_kept_calendar_is_the_one_that_was_read(tmp_path: Path) -> None:
    """Days, openings and closes come back as they were."""
    keep_calendar(tmp_path, SESSIONS)
    assert kept_calendar(tmp_path) == SESSIONS


@pytest.mark.parametrize("damage", ["{", '{"schema": 1}', "[]", "null"])
def test_damaged_calendar_says_nothing(tmp_path: Path, damage: str) -> None:
    """A file that is cut, foreign or changed by a byte is no calendar."""
    assert kept_calendar(tmp_path) == ()
    keep_calendar(tmp_path, SESSIONS)
    path = tmp_path / CALENDAR_FILE
    document = json.loads(path.read_text())
    document["sessions"][0]["close"] = "2026-01-05T23:00:00Z"
    for text in (damage, json.dumps(document)):
        path.write_text(text)
        assert kept_calendar(tmp_path) == ()


@pytest.mark.parametrize(
    ("at", "known"),
    [(AT, True), (AT + timedelta(days=1), True), (AT - timedelta(days=1), False), (AT + timedelta(days=3), False)],
)
def test_calendar_covers_what_lies_between_its_first_open_and_its_last_close(at: datetime, known: bool) -> None:
    """Beyond them, and in an empty one, nobody knows whether the market is open."""
    assert covers(SESSIONS, at) is known
    assert not covers((), at)


def test_replay_on_another_clock_than_the_venues_opens_nothing_and_says_so(
    day: Any, daily_archive: Path, tmp_path: Path
) -> None:
    """An embedder who forgets the venue's clock would wait for years; the first comparison holds and tells why."""
    broker = AlpacaBroker(day.broker._endpoint, day.broker._credentials)
    config = LiveConfig.of(archive=str(daily_archive), symbols=("AAPL",), state_dir=tmp_path / "state")

    async def opened() -> Status:
        async with LiveTrader(config, archive=daily_archive, broker=broker) as trader:
            return trader.status()

    status = asyncio.run(opened())
    broker.close()
    assert (status.mode, status.state, status.cause.partition(":")[0]) == ("PAPER-LOCAL", "REDUCING", "CLOCK_SKEW")
