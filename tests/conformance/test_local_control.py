"""The control channel: time moves when the trader says so, and only once."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.local_control import LocalControl
from trader_sdk.contract.errors import BrokerError, ConfigError


def test_venue_time_stands_still_until_the_trader_is_ready(start_venue):
    """Ready moves one instant; the same word again moves nothing; the broker's clock is the venue's."""
    venue = start_venue(run_id="control")
    begin = venue.control.state()
    assert venue.control.state() == begin
    advance = venue.control.ready(begin.instant)
    assert advance.advanced
    assert advance.state.instant == begin.instant + 1
    assert advance.state.at == begin.next_at
    assert venue.broker.clock().at == advance.state.at
    again = venue.control.ready(begin.instant)
    assert not again.advanced
    assert again.state == advance.state


def test_threads_that_ask_at_once_each_get_their_own_reply(start_venue):
    """One may wait for the venue to move while others ask where it stands."""
    venue = start_venue(run_id="at-once")
    begin = venue.control.state()
    with ThreadPoolExecutor(5) as threads:
        waiting = threads.submit(venue.control.wait_past, begin.instant)
        asked = [threads.submit(venue.control.state) for _ in range(100)]
        assert [one.result(30) for one in asked] == [begin] * 100
        moved = venue.control.ready(begin.instant).state
        assert waiting.result(30) == moved


def test_venue_naps_when_the_trader_wants_to_act_before_the_next_instant(start_venue):
    """Time stops where the trader asked for it, without anything happening."""
    venue = start_venue(run_id="nap")
    begin = venue.control.state()
    wake_at = begin.at + dt.timedelta(hours=5)
    advance = venue.control.ready(begin.instant, wake_at=wake_at)
    assert (advance.state.at, advance.state.phase, advance.bars) == (wake_at, "wait", 0)


def test_venue_runs_to_the_end_when_bars_are_asked_for(start_venue):
    """Every bar is released once, then the replay is finished and stays so."""
    venue = start_venue(run_id="to-the-end")
    state, bars = venue.control.state(), 0
    while not state.is_finished:
        advance = venue.control.ready(state.instant, until="bar")
        state, bars = advance.state, bars + advance.bars
    assert bars == state.bars_released == 6 * 60
    assert state.next_at is None
    assert not venue.control.ready(state.instant).advanced


def test_venue_runs_by_itself_when_a_speed_is_set(start_venue):
    """The wall clock sets the pace, and a waiter is told."""
    venue = start_venue(run_id="speed")
    begin = venue.control.run(0.01)
    assert begin.speed_seconds == 0.01
    moved = venue.control.wait_past(begin.instant)
    assert moved.instant > begin.instant
    assert venue.control.run(None).speed_seconds is None


def test_exchange_is_unreachable_when_it_was_stopped(start_venue):
    """Stop ends the process in good order; afterwards its absence is a typed error."""
    venue = start_venue(run_id="stopped")
    venue.control.stop()
    assert venue.exchange.stop() == 0
    with pytest.raises(BrokerError) as caught:
        venue.control.state()
    assert caught.value.code == "E802"


def test_control_is_refused_when_keys_are_wrong_or_the_address_is_not_local(start_venue):
    """The surface is guarded by the account's keys and never spoken to elsewhere."""
    venue = start_venue(run_id="guarded")
    with LocalControl(venue.exchange.control_url, Credentials.of("PKWRONG", "wrong")) as stranger:
        with pytest.raises(BrokerError) as caught:
            stranger.state()
        assert caught.value.code == "E801"
    with pytest.raises(ConfigError):
        LocalControl("http://192.0.2.1/_control", venue.credentials)
