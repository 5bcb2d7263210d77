"""When bars close and orders may be sent, from a venue's own calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.broker.port import SessionView
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import get_calendar
from trader_sdk.data.calendar import day_start_ns
from trader_sdk.live.events import bar_ns, bar_time
from trader_sdk.live.schedule import Schedule

# Wednesday before Thanksgiving 2021 to the Monday after: a holiday, a half day, a weekend.
CALENDAR = get_calendar("XNYS")
SESSIONS = [
    SessionView(session.date, session.open, session.close)
    for session in CALENDAR.sessions(date(2021, 11, 22), date(2021, 11, 30))
]
WEDNESDAY, FRIDAY, MONDAY = date(2021, 11, 24), date(2021, 11, 26), date(2021, 11, 29)
DAILY = Schedule.of(Timeframe.DAY_1, SESSIONS)
MINUTES = Schedule.of(Timeframe.MIN_1, SESSIONS)
HOURS = Schedule.of(Timeframe.HOUR_4, SESSIONS)
ALWAYS = Schedule.of(Timeframe.MIN_1, SESSIONS, always_open=True)


def utc(*parts: int) -> datetime:
    """Return a time in UTC."""
    return datetime(*parts, tzinfo=UTC)


def test_daily_bar_is_final_five_minutes_after_a_half_days_close() -> None:
    """On the day after Thanksgiving the session ends at 13:00 New York, and so does its bar."""
    bar = day_start_ns(FRIDAY)
    assert DAILY.closes_at(bar) == utc(2021, 11, 26, 18)
    assert DAILY.final_at(bar) == utc(2021, 11, 26, 18, 5)
    assert not DAILY.is_final(bar, utc(2021, 11, 26, 18, 4))


def test_order_of_a_friday_waits_for_mondays_auction() -> None:
    """The next open is Monday's; the auction takes orders from Friday evening on."""
    context = DAILY.context(day_start_ns(FRIDAY), Decimal(1), utc(2021, 11, 26, 18, 5))
    assert context.next_open == utc(2021, 11, 29, 14, 30)
    assert context.auction_from == utc(2021, 11, 27, 0, 0)
    assert DAILY.is_fresh(day_start_ns(FRIDAY), utc(2021, 11, 29, 14, 45))
    assert not DAILY.is_fresh(day_start_ns(FRIDAY), utc(2021, 11, 29, 14, 46))


@pytest.mark.parametrize(
    ("schedule", "now", "expected"),
    [
        (DAILY, utc(2021, 11, 24, 21, 4), utc(2021, 11, 24, 21, 5)),
        (DAILY, utc(2021, 11, 24, 21, 5), utc(2021, 11, 26, 18, 5)),
        (MINUTES, utc(2021, 11, 24, 20, 59, 30), utc(2021, 11, 24, 21, 0)),
        (MINUTES, utc(2021, 11, 24, 21, 0), utc(2021, 11, 26, 14, 31)),
        (HOURS, utc(2021, 11, 26, 14, 30), utc(2021, 11, 26, 18, 0)),
        (HOURS, utc(2021, 11, 24, 15, 0), utc(2021, 11, 24, 18, 30)),
        (ALWAYS, utc(2021, 11, 25, 3, 0, 1), utc(2021, 11, 25, 3, 1)),
        (DAILY, utc(2021, 12, 24), None),
    ],
)
def test_next_final_is_the_next_moment_a_bar_ends(schedule: Schedule, now: datetime, expected: datetime | None) -> None:
    """Holidays, half days, nights and short last bars are the calendar's."""
    assert schedule.next_final(now) == expected


@pytest.mark.parametrize(
    ("schedule", "now", "expected"),
    [
        (DAILY, utc(2021, 11, 25, 12), day_start_ns(WEDNESDAY)),
        (DAILY, utc(2021, 11, 26, 18, 5), day_start_ns(FRIDAY)),
        (MINUTES, utc(2021, 11, 24, 14, 30, 30), None),
        (MINUTES, utc(2021, 11, 24, 14, 32), bar_ns(utc(2021, 11, 24, 14, 31))),
        (MINUTES, utc(2021, 11, 25, 12), bar_ns(utc(2021, 11, 24, 20, 59))),
        (HOURS, utc(2021, 11, 24, 22), bar_ns(utc(2021, 11, 24, 18, 30))),
        (ALWAYS, utc(2021, 11, 25, 3, 0, 30), bar_ns(utc(2021, 11, 25, 2, 59))),
    ],
)
def test_newest_final_bar_is_the_last_that_ended(schedule: Schedule, now: datetime, expected: int | None) -> None:
    """What should be there now is known from the calendar alone."""
    assert schedule.newest_final(now) == expected


@pytest.mark.parametrize(
    ("schedule", "last", "newest", "missing"),
    [
        (DAILY, day_start_ns(WEDNESDAY), day_start_ns(FRIDAY), 0),
        (DAILY, day_start_ns(WEDNESDAY), day_start_ns(MONDAY), 1),
        (MINUTES, bar_ns(utc(2021, 11, 24, 20, 59)), bar_ns(utc(2021, 11, 26, 14, 30)), 0),
        (MINUTES, bar_ns(utc(2021, 11, 24, 20, 58)), bar_ns(utc(2021, 11, 26, 14, 31)), 2),
        (ALWAYS, bar_ns(utc(2021, 11, 25, 3, 0)), bar_ns(utc(2021, 11, 25, 3, 5)), 4),
    ],
)
def test_missing_bars_are_those_the_calendar_has(schedule: Schedule, last: int, newest: int, missing: int) -> None:
    """Holidays and nights are no gaps; a session or a minute that is not there is one."""
    assert schedule.missing_between(last, newest) == missing


@given(naive=st.datetimes(datetime(2021, 11, 12), datetime(2021, 12, 10)), count=st.integers(1, 700))
@pytest.mark.parametrize("timeframe", [Timeframe.MIN_1, Timeframe.HOUR_4])
def test_bars_back_leaves_room_for_that_many_bars_and_no_more(
    timeframe: Timeframe, naive: datetime, count: int
) -> None:
    """Counting bars by hand from there to now, over nights, weekends and half days, gives what was asked for."""
    schedule, now = Schedule.of(timeframe, SESSIONS), naive.replace(tzinfo=UTC)
    step = timedelta(seconds=timeframe.seconds)
    starts = [
        one.open_at + step * number
        for one in SESSIONS
        for number in range(-((one.open_at - one.close_at) // step))
        if one.open_at + step * number < one.close_at
    ]
    over = [at for at in starts if schedule.closes_at(bar_ns(at)) <= now]
    since = schedule.bars_back(count, now)
    assert since == (over[-count] if count <= len(over) else SESSIONS[0].open_at)


@given(st.datetimes(datetime(2021, 11, 22, 15), datetime(2021, 11, 29, 20)))
def test_schedule_agrees_with_itself_at_any_moment(naive: datetime) -> None:
    """The next bar to become final is not final yet, and once it is it is the newest."""
    now = naive.replace(tzinfo=UTC)
    for schedule in (DAILY, MINUTES, HOURS, ALWAYS):
        final = schedule.next_final(now)
        assert final is not None
        assert final > now
        newest = schedule.newest_final(final)
        assert newest is not None
        assert schedule.final_at(newest) == final
        before = schedule.newest_final(final - timedelta(microseconds=1))
        assert before is None or before < newest
        assert bar_time(newest) < final
