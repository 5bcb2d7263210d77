"""Operating a trader: requests as files, the kill switch, notifications, arming, profiles."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from trader_sdk.broker import port
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import BrokerError, ConfigError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.arming import (
    ArmingRecord,
    account_digest,
    check_armed,
    limits_digest,
    read_armed,
    soak_of,
    why_not_armed,
    write_armed,
)
from trader_sdk.live.control import Answer, Command, ControlFolder, Pressed, Request
from trader_sdk.live.events import Draft
from trader_sdk.live.holds import Cause, Hold
from trader_sdk.live.journal import Journal, Stamp, read_events
from trader_sdk.live.kill_switch import KILL_RECORD, KillSwitch
from trader_sdk.live.ledger import fold
from trader_sdk.live.notify import Note, Notifier, note_of
from trader_sdk.live.settings import NotifySettings, Settings, config_file, enter_profile, read_settings, shown
from trader_sdk.live.watchdog import Watchdog
from trader_sdk.plan import Book
from trader_sdk.risk import DEFAULT_RISK_LIMITS, RiskLimits

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


def test_requests_to_a_trader_that_is_down_are_found_at_its_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Halt, a refused typing error, resume with who and why: all in the journal; a KILL file goes with the resume."""
    folder = tmp_path / "paper-alpaca-a1"
    started = {"mode": "PAPER-ALPACA", "account_id": "a1", "epoch": 1, "symbols": ["AAPL"]}
    model = {"symbol": "AAPL", "sha256": "sha256:" + "ab" * 32, "version": "2.7.0", "version_id": "v1"}
    with Journal.open(folder, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        journal.append([Draft(JournalEvent.RUN_STARTED, AT, started), Draft(JournalEvent.MODEL_LOADED, AT, model)])

    def ask(*argv: str) -> int:
        return run_app(build_app(argv), [*argv, "--state-dir", str(tmp_path)])

    assert ask("halt", "--why", "lunch") == 0
    assert ask("halt", "APPL") == 2
    assert ask("models", "disable", "ab" * 5) == 0
    assert ask("models", "disable", "not-a-digest") == 2
    ledger = fold(read_events(folder))
    assert (ledger.state, ledger.state_cause) == ("HALTED", "OPERATOR: lunch")
    assert ledger.exits_only == {"AAPL"}
    (tmp_path / "KILL").touch()
    assert ask("resume", "--why", "back") == 0
    assert ask("resume") == 2
    assert ask("models", "enable", "abababab") == 0
    ledger = fold(read_events(folder))
    assert (ledger.state, ledger.exits_only, (tmp_path / "KILL").exists()) == ("ACTIVE", frozenset(), False)
    assert ask("journal", "backup", str(tmp_path / "copy.db")) == 0
    assert ask("journal", "check") == 0
    assert "back" in json.dumps([entry.body for entry in read_events(folder)])
    assert "whole" in capsys.readouterr().out


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    got: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        """Keep a note."""
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(500 if self.path.startswith("/fail") else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:  # type: ignore[override]  # the base class names its arguments
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """Yield the address of a receiver on loopback."""
    Receiver.got = []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_people_are_told_once_and_without_secrets(receiver: str) -> None:
    """The same news within ten minutes is one note; a planted key is cut; a quiet end is no news."""
    notifier = Notifier(NotifySettings(webhook=f"{receiver}/hook"), lambda text: text.replace("PLANTED", "***"))
    notifier.start()
    for _ in range(3):
        notifier.observe("state_changed", {"state": "HALTED", "cause": "AUTH: PLANTED", "symbol": None})
    notifier.observe("run_finished", {"exit_code": 0})
    notifier.observe("bar_finished", {"equity": "1"})
    notifier.observe("run_finished", {"exit_code": 9})
    notifier.close()
    texts = [note["text"] for note in Receiver.got]
    assert texts == ["account: HALTED: AUTH: ***", "the trader ended with exit code 9"]


def test_receiver_that_fails_is_told_of_without_its_address(receiver: str) -> None:
    """HTTP 500, nobody there, a command that is none: each is named by its host alone."""
    note = Note("test", "k", "text")
    said = Notifier(NotifySettings(webhook=f"{receiver}/fail?token=T0KEN", command="/does/not/exist T0KEN")).send(note)
    gone = Notifier(NotifySettings(webhook="http://127.0.0.1:9/T0KEN")).send(note)
    assert "HTTP 500" in said["webhook"]
    assert "FileNotFoundError" in said["command"]
    assert "T0KEN" not in json.dumps([said, gone])
    assert note_of("order_updated", {}) is None


def test_arming_stands_for_this_account_these_models_and_these_limits(tmp_path: Path) -> None:
    """Every other start with real money is refused, and says why."""
    models = {"AAPL": "sha256:a"}
    now = datetime.now(UTC)
    record = ArmingRecord(
        account=account_digest("123456789"),
        models=models,
        limits=limits_digest(DEFAULT_RISK_LIMITS),
        until=now + timedelta(days=1),
        who="ann",
        at=now,
    )
    with pytest.raises(ConfigError, match="nothing is armed"):
        check_armed(tmp_path, "123456789", models, DEFAULT_RISK_LIMITS)
    path = write_armed(tmp_path, record)
    assert "123456789" not in path.read_text()
    check_armed(tmp_path, "123456789", models, DEFAULT_RISK_LIMITS)
    wider = RiskLimits(symbol_fraction=Decimal("0.9"))
    refusals = [
        why_not_armed(record, "987654321", models, DEFAULT_RISK_LIMITS, now),
        why_not_armed(record, "123456789", {"AAPL": "sha256:b"}, DEFAULT_RISK_LIMITS, now),
        why_not_armed(record, "123456789", {**models, "IBM": "sha256:c"}, DEFAULT_RISK_LIMITS, now),
        why_not_armed(record, "123456789", models, wider, now),
        why_not_armed(record, "123456789", models, DEFAULT_RISK_LIMITS, now + timedelta(days=2)),
    ]
    assert None not in refusals
    assert len(set(refusals)) == 5
    path.chmod(0o666)
    assert read_armed(tmp_path) is None


def test_soak_counts_days_of_this_model_alone(tmp_path: Path) -> None:
    """Days on which it decided; a halt by itself spoils it, one by a person does not."""
    decided = {"symbol": "AAPL", "bar": "2026-01-05T05:00:00Z", "action": "HOLD", "reason": None, "logits": [0.0]}
    with Journal.open(tmp_path, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        for day in range(3):
            body = {**decided, "bar": f"2026-01-0{day + 5}T05:00:00Z", "client_order_id": None}
            digest = "sha256:a" if day else "sha256:other"
            at = AT + timedelta(days=day)
            journal.append([Draft(JournalEvent.DECISION_MADE, at, {**body, "model_sha256": digest, "price": "1"})])
        for cause in ("OPERATOR: lunch", "DRAWDOWN: 15 %"):
            journal.append([Draft(JournalEvent.STATE_CHANGED, AT, {"state": "HALTED", "cause": cause})])
    soak = soak_of(read_events(tmp_path), "AAPL", "sha256:a")
    assert (soak.days, soak.decisions, soak.halts, soak.is_enough) == (2, 2, 1, False)


def test_profile_brings_its_own_keys_and_folder_and_shows_none(tmp_path: Path) -> None:
    """Keys of the environment are taken away first; a file that others can read is refused; nothing secret is shown."""
    file, keys = tmp_path / "trader.toml", tmp_path / "paper.env"
    file.write_text('[notify]\nwebhook = "https://h.example/T0KEN"\n[profile.paper]\nenv_file = "paper.env"\n')
    keys.write_text("# keys\nexport ALPACA_API_KEY=K3Y\nALPACA_SECRET_KEY='S3CRET'\n")
    environ = {"APCA_API_KEY_ID": "other", "APCA_API_SECRET_KEY": "other", "TRADER_CONFIG": str(file)}
    keys.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        enter_profile("paper", environ, config_file(environ))
    keys.chmod(0o600)
    state, notify = enter_profile("paper", environ, config_file(environ))
    assert (state.name, notify.webhook) == ("paper", "https://h.example/T0KEN")
    assert (environ["ALPACA_API_KEY"], environ["ALPACA_SECRET_KEY"]) == ("K3Y", "S3CRET")
    assert "APCA_API_KEY_ID" not in environ
    assert "T0KEN" not in json.dumps(shown(read_settings(file)))
    with pytest.raises(ConfigError, match="no such profile"):
        enter_profile("live", environ, file)
    file.write_text('[notify]\nwebhook = "http://evil.example/T0KEN"\n')
    with pytest.raises(ConfigError) as caught:
        read_settings(file)
    assert "T0KEN" not in str(caught.value)
    assert read_settings(None) == Settings()


def test_profile_stands_for_its_state_folder_in_every_command_about_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, groups' commands, and a command line that names a folder itself; a typing error is exit 3."""
    folder = tmp_path / "home" / "paper-alpaca-a1"
    started = {"mode": "PAPER-ALPACA", "account_id": "a1", "epoch": 1, "symbols": ["AAPL"]}
    with Journal.open(folder, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        journal.append([Draft(JournalEvent.RUN_STARTED, AT, started)])
    (tmp_path / "trader.toml").write_text(f'[profile.paper]\nstate_dir = "{tmp_path / "home"}"\n')
    monkeypatch.setenv("TRADER_CONFIG", str(tmp_path / "trader.toml"))

    def ask(*argv: str) -> int:
        return run_app(build_app(argv), argv)

    for command in (["status"], ["positions"], ["halt", "--why", "lunch"], ["journal", "check"]):
        assert ask(*command, "--profile", "paper") == 0
    assert ask("status", "--profile", "papr") == ConfigError("CONFIG", "").exit_code
    assert ask("status", "--profile", "paper", "--state-dir", str(tmp_path / "none")) == 2
    monkeypatch.setenv("TRADER_PROFILE", "paper")
    capsys.readouterr()
    assert ask("status") == 0
    assert "HALTED account OPERATOR: lunch (by " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cause", "since", "why", "code"),
    [
        (Cause.DRAWDOWN, AT, "", 9),
        (Cause.DRAWDOWN, AT, "seen", 0),
        (Cause.DAY_LOSS, datetime.now(UTC), "seen", 9),
        (Cause.DAY_LOSS, AT, "", 0),
        (Cause.JOURNAL_REBUILT, AT, "seen", 9),
        (Cause.SPLIT_BRAIN, AT, "seen", 9),
        (Cause.CID_COLLISION, AT, "seen", 9),
    ],
)
def test_resume_looks_at_the_cause_first(tmp_path: Path, cause: Cause, since: datetime, why: str, code: int) -> None:
    """A loss is accepted in words, a day's loss ends with the day, the venue's word needs a running trader."""
    folder = tmp_path / "paper-alpaca-a1"
    started = {"mode": "PAPER-ALPACA", "account_id": "a1", "epoch": 1, "symbols": ["AAPL"]}
    with Journal.open(folder, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        journal.append([Draft(JournalEvent.RUN_STARTED, AT, started)])
        journal.append([Hold(cause, cause.state, since, "lost 6 %").draft()])
    argv = ["resume", "--why", why, "--state-dir", str(tmp_path)]
    assert run_app(build_app(argv), argv) == code
    assert bool(fold(read_events(folder)).holds) is (code == 9)


def test_notes_are_kept_with_what_came_of_them(receiver: str) -> None:
    """One that was sent and one that nobody took: both are given to the journal, redacted."""
    kept: list[Any] = []
    for path in ("hook", "fail"):
        notifier = Notifier(NotifySettings(webhook=f"{receiver}/{path}"), lambda text: text.replace("PLANTED", "***"))
        notifier.keep = kept.append
        notifier.start()
        notifier.observe("state_changed", {"state": "HALTED", "cause": "AUTH: PLANTED", "symbol": None})
        notifier.close()
    assert [note["text"] for note in kept] == ["account: HALTED: AUTH: ***"] * 2
    assert [note["receivers"]["webhook"][-8:] for note in kept] == ["ok", "HTTP 500"]


def test_file_that_cannot_be_written_is_one_line_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever command it is: exit 8, and the file's name."""
    argv = ["config", "init", str(tmp_path / "none" / "trader.toml")]
    assert run_app(build_app(argv), argv) == 8
    shown = capsys.readouterr().err
    assert "none/trader.toml" in shown
    assert shown.count("\n") == 1
