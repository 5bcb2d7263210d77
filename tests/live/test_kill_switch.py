"""The kill switch and its watchdog: ours alone, whatever the loop, the venue and the disk do."""

from __future__ import annotations

import json
import os
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.broker import port
from trader_sdk.contract.errors import BrokerError
from trader_sdk.live.control import Answer, Command, ControlFolder, Pressed, Request
from trader_sdk.live.holds import Cause
from trader_sdk.live.kill_switch import KILL_RECORD, KillSwitch
from trader_sdk.live.watchdog import Watchdog
from trader_sdk.plan import Book

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
BOOK = Book("a1", "PAPER-ALPACA", "main", 3)
OURS, THEIRS = "lt1-main-3-AAPL-gva52-e0-63701431", "by-hand-1"


class Venue:
    """A venue in memory: two open orders, one of them ours, and a position larger than our sleeve."""

    def __init__(self) -> None:
        self.open = {"b1": OURS, "b2": THEIRS}
        self.sent: list[port.OrderRequest] = []
        self.failures = 1

    def open_orders(self) -> tuple[Any, ...]:
        """Fail once, then list what is open."""
        self.failures -= 1
        if self.failures >= 0:
            raise BrokerError("E802", "hangs")
        return tuple(Order(broker, client) for broker, client in self.open.items())

    def cancel(self, broker_order_id: str) -> port.CancelRequested:
        """Cancel."""
        del self.open[broker_order_id]
        return port.CancelRequested()

    def positions(self) -> tuple[Any, ...]:
        """Return what is held, ours and others'."""
        return (Position("AAPL", Decimal(12)), Position("IBM", Decimal(5)))

    def order_by_client_id(self, key: str) -> object:
        """Return what was sent under an id."""
        return next((request for request in self.sent if request.client_order_id == key), None)

    def submit(self, request: port.OrderRequest) -> port.Unknown:
        """Take an order and lose the answer."""
        self.sent.append(request)
        return port.Unknown(port.UnknownCause.TIMEOUT)

    def close(self) -> None:
        """Close."""


class Order:
    """An open order as far as the switch reads it."""

    def __init__(self, broker_order_id: str, client_order_id: str) -> None:
        self.broker_order_id, self.client_order_id = broker_order_id, client_order_id


class Position:
    """A position as far as the switch reads it."""

    def __init__(self, symbol: str, qty: Decimal) -> None:
        self.symbol, self.qty = symbol, qty


@pytest.fixture
def venue() -> Venue:
    """Return a venue in memory."""
    return Venue()


@pytest.fixture
def switch(venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KillSwitch:
    """Return a kill switch on that venue that does not wait."""
    monkeypatch.setattr("trader_sdk.live.kill_switch._BETWEEN_LOOKS_SECONDS", 0.0)
    monkeypatch.setattr("trader_sdk.live.kill_switch.LOOP_PATIENCE_SECONDS", 0.0)
    held = {"AAPL": Decimal(10), "MSFT": Decimal(1)}
    return KillSwitch(lambda: venue, BOOK, lambda: held, tmp_path, lambda *_: None)  # type: ignore[arg-type, return-value]  # of the port only what the switch uses


def test_kill_switch_cancels_ours_alone_and_closes_no_more_than_is_ours(
    switch: KillSwitch, venue: Venue, tmp_path: Path
) -> None:
    """A failed read is tried again; orders of others live on; pressing twice closes once; the record is private."""
    first = switch.work(Pressed("test", flatten=True))
    assert first.is_done
    assert list(venue.open.values()) == [THEIRS]
    assert [(r.symbol, r.side, r.qty) for r in venue.sent] == [("AAPL", port.Side.SELL, Decimal(10))]
    again = switch.work(Pressed("test", flatten=True))
    assert again.is_done
    assert len(venue.sent) == 1
    record = tmp_path / KILL_RECORD
    assert json.loads(record.read_text())["done"] is True
    assert record.stat().st_mode & 0o777 == 0o600


def test_kill_switch_closes_nothing_without_a_durable_record(
    switch: KillSwitch, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes nothing: cancels go out, no order does."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trader_sdk.live.kill_switch.write_private", full)
    outcome = switch.work(Pressed("test", flatten=True))
    assert (list(venue.open.values()), venue.sent) == ([THEIRS], [])
    assert "could not be written" in outcome.faults[-1]


@pytest.mark.parametrize("took_over", [True, False], ids=["the loop closed before", "the switch closed before"])
def test_kill_switch_closes_what_was_opened_since_an_earlier_press_was_over(
    switch: KillSwitch, venue: Venue, took_over: bool
) -> None:
    """Another day, another press, and this time the loop hangs: whoever closed then, the switch closes now."""
    switch._now = lambda: AT
    assert not took_over or switch.take_over_flattening()
    switch.work(Pressed("test", flatten=True))
    before = len(venue.sent)
    switch.rearm()
    switch._now = lambda: AT + timedelta(days=1)
    switch.work(Pressed("test", flatten=True))
    sent = [request.client_order_id for request in venue.sent]
    assert len(set(sent)) == len(sent) == before + 1


def test_loop_and_switch_never_both_close(switch: KillSwitch, venue: Venue) -> None:
    """Whoever takes it first closes the positions."""
    assert switch.take_over_flattening()
    switch.work(Pressed("test", flatten=True))
    assert venue.sent == []


def hostile_venue(venue: Venue, *, listing_fails: bool) -> None:
    """Add three orders of ours; the venue cannot cancel one, look up or list, each time once or for ever."""
    for number in range(3):
        venue.open[f"c{number}"] = f"lt1-main-3-T{number}-gva52-e0-63701431"
    cancel, list_open, stuck = venue.cancel, venue.open_orders, [True, True]

    def cancel_hardly(broker_order_id: str) -> port.CancelRequested:
        if broker_order_id == "c0" and stuck:
            stuck.pop()
            raise BrokerError("E803", "a reply could not be read")
        return cancel(broker_order_id)

    def look_up(key: str) -> object:
        raise BrokerError("E802", f"look-ups hang: {key}")

    def list_hardly() -> tuple[Any, ...]:
        if listing_fails and len(venue.open) > 1:
            raise BrokerError("E803", "one order in the list cannot be read")
        return list_open()

    venue.cancel, venue.order_by_client_id, venue.open_orders = cancel_hardly, look_up, list_hardly  # type: ignore[method-assign]  # a venue that turned hostile


@pytest.mark.parametrize("listing_fails", [False, True])
def test_kill_switch_lets_no_bad_order_protect_the_others(
    switch: KillSwitch, venue: Venue, tmp_path: Path, listing_fails: bool
) -> None:
    """A cancel that fails is asked for again, the others go out; a list nobody can read is replaced by our books."""
    hostile_venue(venue, listing_fails=listing_fails)
    switch._working = lambda: {client: broker for broker, client in venue.open.items() if client != THEIRS}
    outcome = switch.work(Pressed("test", flatten=True))
    assert list(venue.open.values()) == [THEIRS]
    record = json.loads((tmp_path / KILL_RECORD).read_text())
    assert outcome.is_done
    assert record["orders"][0]["outcome"] == "NotSent"
    assert "look-ups hang" in record["faults"][-1]
    assert venue.sent == []


def test_kill_switch_is_not_done_while_the_venue_never_answers(switch: KillSwitch, venue: Venue) -> None:
    """Nothing was seen open because nothing was seen: that is no success."""
    venue.failures = 10_000
    assert not switch.work(Pressed("test")).is_done


def test_watchdog_outlives_whatever_it_meets(switch: KillSwitch, venue: Venue, tmp_path: Path) -> None:
    """The loop is gone, the venue breaks in an unforeseen way, the folder is a file: recorded, and the kill is done."""
    (tmp_path / "run").mkdir()

    def gone(request: Request, cause: Cause, reply: Any) -> None:
        raise RuntimeError("Event loop is closed")

    dog = Watchdog(tmp_path / "run", tmp_path, switch, gone, "6789", presses := deque[Pressed]())
    (tmp_path / "run" / "control").write_text("no folder")
    listed, breaks = venue.open_orders, [True]

    def broken_once() -> tuple[Any, ...]:
        if breaks:
            raise KeyError(breaks.pop())
        return listed()

    venue.open_orders = broken_once  # type: ignore[method-assign]  # a venue with a bug
    presses.append(Pressed("test"))
    dog.look()
    dog.look()
    assert list(venue.open.values()) == [THEIRS]
    record = json.loads((tmp_path / KILL_RECORD).read_text())
    assert record["done"] is True
    assert record["faults"][:2] == ["RuntimeError: Event loop is closed", "KeyError: True"]


def test_request_from_long_ago_halts_but_does_nothing_else(switch: KillSwitch, tmp_path: Path) -> None:
    """A trader that died before it read them: the halt counts at the next start, the resume does not."""
    (tmp_path / "run").mkdir()
    control, handed = ControlFolder(tmp_path / "run"), list[tuple[Request, Cause]]()
    old = datetime.now(UTC) - timedelta(hours=2)
    resume, halt = (Request(command=c, symbol="AAPL", at=old) for c in (Command.RESUME, Command.HALT))
    control.ask(resume)
    control.ask(halt)
    watchdog(tmp_path, switch, handed).look()
    assert [request.command for request, _ in handed] == [Command.HALT]
    answer = control.wait(resume, 5.0)
    assert answer is not None
    assert "too long ago" in answer.text


def watchdog(folder: Path, switch: KillSwitch, handed: list[tuple[Request, Cause]]) -> Watchdog:
    """Return a watchdog that is looked through by hand."""

    def hand_over(request: Request, cause: Cause, reply: Any) -> None:
        handed.append((request, cause))
        reply(Answer(True, "done"))

    return Watchdog(folder / "run", folder, switch, hand_over, "6789", deque())


def test_watchdog_obeys_its_owner_and_nobody_else(switch: KillSwitch, tmp_path: Path) -> None:
    """A request is answered once; files that others could have written, links and nonsense are set aside."""
    (tmp_path / "run").mkdir()
    control, handed = ControlFolder(tmp_path / "run"), list[tuple[Request, Cause]]()
    dog = watchdog(tmp_path, switch, handed)
    request = Request(command=Command.RESUME, who="ann", why="checked")
    control.ask(request)
    folder = tmp_path / "run" / "control"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    good = (folder / f"{request.id}.json").read_text()
    (folder / "7-0000000a.json").write_text(good)
    (folder / "7-0000000a.json").chmod(0o666)
    (folder / "8-0000000b.json").symlink_to(folder / f"{request.id}.json")
    (folder / "9-0000000c.json").write_text("{")
    os.mkfifo(folder / "9-0000000d.json", 0o600)
    dog.look()
    dog.look()
    assert [asked.who for asked, _ in handed] == ["ann"]
    answer = control.wait(request, 5.0)
    assert answer is not None
    assert (answer.ok, answer.text) == (True, "done")
    assert sum(path.suffix == ".refused" for path in folder.iterdir()) == 4


@pytest.mark.parametrize(("words", "flattens"), [("", False), ("flatten 6789", True), ("flatten 1111", False)])
def test_kill_file_presses_once_and_closes_only_with_the_account(
    switch: KillSwitch, venue: Venue, tmp_path: Path, words: str, flattens: bool
) -> None:
    """Its presence is enough to halt; to close positions it must name the account."""
    (tmp_path / "run").mkdir()
    (tmp_path / "KILL").write_text(words)
    handed: list[tuple[Request, Cause]] = []
    dog = watchdog(tmp_path, switch, handed)
    dog.look()
    dog.look()
    assert [(r.command, r.flatten, cause) for r, cause in handed] == [(Command.HALT, flattens, Cause.KILL_SWITCH)]
    assert bool(venue.sent) is flattens
