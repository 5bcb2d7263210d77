from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from trader_sdk.contract.errors import StorageError
from trader_sdk.exchange.codec import Advance, decode_command, encode_command
from trader_sdk.exchange.config import LOG_FILE
from trader_sdk.exchange.events import Cancel, Configure, Refused, Replace, Submit
from trader_sdk.exchange.log import EventLog
from trader_sdk.exchange.replay import Phase
from trader_sdk.exchange.testing import daily_bars, minute_bars, open_venue, rising
from trader_sdk.exchange.values import OrderId, OrderRequest, OrderType, Side, TimeInForce
from trader_sdk.exchange.venue import Venue

BARS = {"AAPL": daily_bars("AAPL", rising(6))}


def submit(name: str, qty: int = 10) -> Submit:
    """Return a market order for the next session."""
    request = OrderRequest("AAPL", Side.BUY, OrderType.MARKET, TimeInForce.DAY, name, qty=Decimal(qty))
    return Submit(request)


def run_for_a_while(venue: Venue) -> None:
    """Trade over two days, with a refusal and a setting in between."""
    venue.apply(submit("a"))
    for _ in range(5):
        venue.advance()
    venue.apply(submit("a"))
    venue.apply(Configure(no_shorting=True))
    venue.advance(wake_at=venue.state.now + 1_000_000_000)
    venue.apply(submit("b", 7))
    venue.advance()


def test_order_decided_on_a_bar_fills_at_the_next_open(tmp_path: Path) -> None:
    """Bar t closes at 100.5, the order fills at the open of t+1 plus costs, before that bar is visible."""
    venue = open_venue(tmp_path, BARS, history=1)
    venue.apply(submit("a"))
    while not venue.state.fills:
        outcome = venue.advance()
    assert venue.phase is Phase.OPEN
    assert not outcome.released
    assert venue.state.fills[0].price == (Decimal(101) * Decimal("1.00025")).quantize(Decimal("0.0001"))


def test_rebuilt_venue_is_the_one_that_was_lost(tmp_path: Path) -> None:
    """After a replay of the log everything is as it was, and goes on the same way."""
    first = open_venue(tmp_path, BARS)
    run_for_a_while(first)
    again = open_venue(tmp_path, BARS)
    assert again.state.digest() == first.state.digest()
    assert (again.instant, again.phase, again.n_order_events, again.n_released, again.n_records) == (
        first.instant,
        first.phase,
        first.n_order_events,
        first.n_released,
        first.n_records,
    )
    first.apply(submit("c"))
    again_too = open_venue(tmp_path, BARS)
    assert again_too.state.digest() == first.state.digest()


def test_half_written_last_line_is_cut_off(tmp_path: Path) -> None:
    """A kill in the middle of a write loses the command that nobody was told of, and nothing else."""
    venue = open_venue(tmp_path, BARS)
    run_for_a_while(venue)
    digest, path = venue.state.digest(), tmp_path / LOG_FILE
    whole = path.read_bytes()
    venue.apply(submit("lost"))
    venue.close()
    last = path.read_bytes()[len(whole) :]
    for cut in (1, len(last) // 2, len(last) - 1):
        path.write_bytes(whole + last[:cut])
        again = open_venue(tmp_path, BARS)
        again.close()
        assert again.state.digest() == digest
        assert path.read_bytes() == whole


def test_damaged_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    """Nothing is guessed about a log that somebody changed: the venue does not open and the file stays."""
    venue = open_venue(tmp_path, BARS)
    run_for_a_while(venue)
    venue.close()
    path = tmp_path / LOG_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:2], b'{"seq":2,\n', *lines[3:]])
    path.write_bytes(damaged)
    with pytest.raises(StorageError) as caught:
        open_venue(tmp_path, BARS)
    assert caught.value.code == "JOURNAL"
    assert path.read_bytes() == damaged


def test_log_that_tells_another_story_is_refused(tmp_path: Path) -> None:
    """A fill that the engine would not give again is found."""
    venue = open_venue(tmp_path, BARS)
    run_for_a_while(venue)
    venue.close()
    path = tmp_path / LOG_FILE
    path.write_text(path.read_text().replace('"qty":"10"', '"qty":"11"'))
    with pytest.raises(StorageError, match="does not replay"):
        open_venue(tmp_path, BARS)


@pytest.mark.parametrize("other", [{"run_id": "other"}, {"history": 2}, {"initial_cash": Decimal(5)}])
def test_log_of_another_run_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    """Another run id, another start or other terms: a rebuild would not be the same venue."""
    open_venue(tmp_path, BARS).close()
    with pytest.raises(StorageError, match="another run or market"):
        open_venue(tmp_path, BARS, **other)


def test_log_of_another_market_is_refused(tmp_path: Path) -> None:
    """Other prices give other fills."""
    open_venue(tmp_path, BARS).close()
    with pytest.raises(StorageError, match="another run or market"):
        open_venue(tmp_path, {"AAPL": daily_bars("AAPL", rising(6, start=101))})


def test_log_says_what_happened_for_an_auditor(tmp_path: Path) -> None:
    """Each line has the command and its events, fills with price and execution id."""
    venue = open_venue(tmp_path, BARS)
    run_for_a_while(venue)
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_bytes().splitlines()]
    assert lines[0]["run_id"] == "test"
    assert [line["seq"] for line in lines[1:]] == list(range(1, len(lines)))
    assert lines[1]["command"]["request"]["client_order_id"] == "a"
    events = [event for line in lines[1:] for event in line["events"]]
    assert [event["event"] for event in events][:3] == ["accepted", "new", "fill"]
    assert events[2]["fill"]["execution_id"] == venue.state.fills[0].execution_id
    assert any(event["event"] == "refused" for event in events)


def test_closed_log_refuses_commands(tmp_path: Path) -> None:
    """What cannot be written is not acknowledged."""
    venue = open_venue(tmp_path, BARS)
    venue.close()
    with pytest.raises(StorageError, match="closed"):
        venue.apply(submit("a"))


def test_wake_up_moves_time_and_not_the_market(tmp_path: Path) -> None:
    """Between two instants nothing trades, and a wake-up in the past does nothing."""
    venue = open_venue(tmp_path, BARS)
    now, instant = venue.state.now, venue.instant
    assert venue.advance(wake_at=now + 5).events == ()
    assert (venue.state.now, venue.instant, venue.phase) == (now + 5, instant, Phase.WAIT)
    records = venue.n_records
    venue.advance(wake_at=now)
    assert (venue.state.now, venue.n_records) == (now + 5, records)


def test_replay_ends_and_stays_ended(tmp_path: Path) -> None:
    """After the last bar nothing moves any more."""
    venue = open_venue(tmp_path, {"AAPL": minute_bars("AAPL", rising(4))})
    released = 0
    while not venue.is_finished:
        released += len(venue.advance().released)
    digest = venue.state.digest()
    assert released == 3
    assert venue.advance().released == ()
    assert venue.state.digest() == digest


@pytest.mark.parametrize(
    "command",
    [
        submit("a"),
        Cancel(OrderId("x")),
        Replace(OrderId("x"), "new", qty=Decimal(3), limit_price=Decimal("1.5")),
        Configure(suspend_trade=True),
        Advance(17),
    ],
)
def test_command_survives_the_log(command: object) -> None:
    """What is read back is what was written."""
    assert decode_command(json.loads(json.dumps(encode_command(command)))) == command  # type: ignore[arg-type]  # any


def test_refusal_is_logged_and_changes_nothing(tmp_path: Path) -> None:
    """The auditor sees it, the state does not."""
    venue = open_venue(tmp_path, BARS)
    venue.apply(submit("a"))
    digest = venue.state.digest()
    outcome = venue.apply(submit("a"))
    assert isinstance(outcome.events[0], Refused)
    assert venue.state.digest() == digest
    with EventLog(tmp_path / LOG_FILE) as log:
        assert log.records[-1]["events"][0]["event"] == "refused"
