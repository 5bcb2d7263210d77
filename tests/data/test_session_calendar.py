"""Sessions of New York and of the market that never closes."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import bars_per_year, get_calendar

NEW_YORK = get_calendar("XNYS")
ALWAYS = get_calendar("24/7")


def utc(text: str) -> datetime:
    """Return an aware UTC time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "open_", "close"),
    [
        ("2021-03-12T15:00", "2021-03-12T14:30", "2021-03-12T21:00"),  # winter time
        ("2021-03-15T15:00", "2021-03-15T13:30", "2021-03-15T20:00"),  # the Monday after the change
        ("2021-11-26T15:00", "2021-11-26T14:30", "2021-11-26T18:00"),  # early close
    ],
)
def test_session_of_knows_daylight_saving_and_early_closes(at: str, open_: str, close: str) -> None:
    """Open and close follow New York's clock and calendar."""
    session = NEW_YORK.session_of(utc(at))
    assert session is not None
    assert (session.open, session.close) == (utc(open_), utc(close))


@pytest.mark.parametrize(
    "at", ["2021-11-26T18:00", "2021-11-25T15:00", "2021-01-18T15:00", "2021-01-04T14:29", "2021-01-09T15:00"]
)
def test_session_of_is_none_while_the_market_is_closed(at: str) -> None:
    """The close itself, holidays, weekends and the minute before the open are no session."""
    assert NEW_YORK.session_of(utc(at)) is None


def test_next_open_is_strictly_later_and_skips_holidays() -> None:
    """From Wednesday's open before Thanksgiving the next one is Friday's."""
    assert NEW_YORK.next_open(utc("2021-11-24T14:30")) == utc("2021-11-26T14:30")
    assert NEW_YORK.next_open(utc("2021-11-24T14:29")) == utc("2021-11-24T14:30")


def test_previous_session_ends_with_its_close() -> None:
    """At the very close the session counts as closed."""
    assert NEW_YORK.previous_session(utc("2021-11-26T18:00")).date == date(2021, 11, 26)
    assert NEW_YORK.previous_session(utc("2021-11-26T17:59")).date == date(2021, 11, 24)


@pytest.mark.parametrize(
    ("timeframe", "count", "last"),
    [
        (Timeframe.MIN_1, 390, "2021-01-04T20:59"),
        (Timeframe.MIN_30, 13, "2021-01-04T20:30"),
        (Timeframe.HOUR_1, 7, "2021-01-04T20:30"),
        (Timeframe.HOUR_4, 2, "2021-01-04T18:30"),
        (Timeframe.DAY_1, 1, "2021-01-04T05:00"),
    ],
)
def test_bars_between_count_from_the_open(timeframe: Timeframe, count: int, last: str) -> None:
    """Longer bars start at 09:30 and the last one of a session may be short."""
    starts = NEW_YORK.bars_between(utc("2021-01-04T00:00"), utc("2021-01-05T00:00"), timeframe)
    assert len(starts) == count
    assert starts[-1] == int(utc(last).timestamp()) * 10**9


def test_bars_between_includes_its_start_and_not_its_end() -> None:
    """The range is half open."""
    starts = NEW_YORK.bars_between(utc("2021-01-04T14:31"), utc("2021-01-04T14:33"), Timeframe.MIN_1)
    assert [int(start) // 60 // 10**9 % 60 for start in starts] == [31, 32]


def test_session_bounds_are_minus_one_outside_sessions() -> None:
    """A minute before the open belongs to no session."""
    minute = int(utc("2021-01-04T14:30").timestamp()) * 10**9
    opens, closes = NEW_YORK.session_bounds(np.array([minute - 60 * 10**9, minute]))
    assert opens.tolist() == [-1, minute]
    assert closes.tolist() == [-1, minute + 390 * 60 * 10**9]


def test_the_market_that_never_closes_has_utc_days() -> None:
    """A session is a UTC day, the next open the next midnight, an hour an hour."""
    session = ALWAYS.session_of(utc("2021-01-02T12:00"))
    assert session is not None
    assert (session.open, session.close - session.open) == (utc("2021-01-02T00:00"), timedelta(days=1))
    assert ALWAYS.next_open(utc("2021-01-02T00:00")) == utc("2021-01-03T00:00")
    assert len(ALWAYS.bars_between(utc("2021-01-02T00:00"), utc("2021-01-03T00:00"), Timeframe.HOUR_1)) == 24


def test_sessions_are_listed_by_date() -> None:
    """Thanksgiving week of 2021 has four sessions."""
    week = NEW_YORK.sessions(date(2021, 11, 22), date(2021, 11, 26))
    assert [session.date.day for session in week] == [22, 23, 24, 26]


def test_a_naive_time_is_refused() -> None:
    """A time without a zone would be guessed."""
    with pytest.raises(UsageError, match="without a zone"):
        NEW_YORK.session_of(datetime(2021, 1, 4, 15))


def test_a_time_beyond_the_calendar_is_refused() -> None:
    """Nobody knows the sessions of 2090, so they are not invented."""
    with pytest.raises(ConfigError, match="does not reach"):
        NEW_YORK.next_open(utc("2090-01-01T00:00"))


def test_an_unknown_calendar_is_refused() -> None:
    """The two known names are in the message."""
    with pytest.raises(ConfigError, match="XNYS or 24/7"):
        get_calendar("XLON")


def test_bars_per_year_counts_sessions() -> None:
    """252 sessions of seven hours, or 365 days of 24."""
    assert bars_per_year(Timeframe.HOUR_1) == 252 * 7
    assert bars_per_year(Timeframe.HOUR_1, "24/7") == 365 * 24


def test_new_york_without_its_library_names_the_extra() -> None:
    """A core install says which extra knows New York's sessions; everything else still works."""
    program = (
        "import sys; sys.modules['exchange_calendars'] = None\n"
        "from trader_sdk.contract.errors import ConfigError\n"
        "from trader_sdk.data import get_calendar, vendored_bars\n"
        "vendored_bars('AAPL'); get_calendar('24/7')\n"
        "try: get_calendar('XNYS')\n"
        "except ConfigError as error: print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "trader-sdk[live]" in shown.stdout


def test_data_imports_neither_pandas_nor_pyarrow() -> None:
    """Heavy libraries are imported where they are used."""
    program = (
        "import sys, trader_sdk.data as data; data.vendored_bars('FB')\n"
        "print([name for name in ('pandas', 'pyarrow') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_the_calendar_is_read_without_a_warning() -> None:
    """What the library will change does not become our users' noise."""
    code = "from trader_sdk.data import get_calendar; get_calendar('XNYS')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
