"""The command against the embedded exchange, as a user runs it: in processes of their own, through alpaca-py."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "live_trader.py"
Trader = Callable[..., Any]


def test_run_trades_real_days_and_agrees_with_the_venue(ended_run: tuple[Path, Any], ask: Trader) -> None:
    """Approved models trade later real bars, and journal, sleeves and venue agree afterwards."""
    state_dir, result = ended_run
    assert result.code == 0, result.stderr
    last = result.last
    assert (last["event"], last["mode"], last["exit_code"]) == ("run_finished", "PAPER-LOCAL", 0)
    assert (last["bars"], last["decisions"]) == (8, 16)
    assert last["fills"] == last["orders"] > 0
    assert last["replay_from"] > last["model_data_end"]
    assert all({"event", "at", "run_id", "schema"} <= set(event) for event in result.events)
    assert len(result.named("bar_finished")) == 8
    rows = {(row["symbol"], row["chosen"]) for row in result.named("gate_row")}
    assert rows == {("AAPL", True), ("MSFT", True), ("IBM", False)}
    sent = {(event["order_type"], event["time_in_force"]) for event in result.named("intent_recorded")}
    assert sent <= {("market", "opg"), ("market", "day")}
    compared = ask(state_dir, "reconcile", "--dry-run", "1")
    assert compared.code == 0, compared.stdout
    assert compared.last["clean"]
    assert compared.last["orders"] == last["orders"]


def test_run_trades_simulated_minutes(ask: Trader, tmp_path: Path, minute_archive: Path) -> None:
    """A one-minute model trades the simulated market with limits, labelled simulated in the gate table."""
    result = ask(tmp_path, "run", "--archive", str(minute_archive), "--strict-version", "1", "--max-bars", "12")
    assert result.code == 0, result.stderr
    assert result.last["fills"] > 0
    assert result.named("gate_row")[0]["data"] == "simulated"
    assert {event["order_type"] for event in result.named("intent_recorded")} == {"limit"}


def test_looking_commands_tell_what_the_run_did(ended_run: tuple[Path, Any], ask: Trader, tmp_path: Path) -> None:
    """Status, why, orders, positions and fills read the journal of a run that has ended."""
    state_dir, run = ended_run
    status = ask(state_dir, "status").last
    assert (status["state"], status["fills"], status["running"]) == ("ACTIVE", run.last["fills"], False)
    why = ask(state_dir, "why", "aapl").named("why")[0]["rows"]
    assert len(why) == 8
    assert all((row["reason"] == "traded") == (row["order"] != "") for row in why)
    assert len(ask(state_dir, "orders").last["rows"]) == run.last["orders"]
    assert [row["symbol"] for row in ask(state_dir, "positions").last["rows"]] == ["AAPL", "MSFT"]
    table = tmp_path / "fills.csv"
    assert ask(state_dir, "fills", "--csv", str(table)).last["fills"] == run.last["fills"]
    assert len(table.read_text().splitlines()) == run.last["fills"] + 1
    assert ask(state_dir, "why", "TSLA").code == 2
    assert ask(state_dir, "status", "--run", "nobody").code == 2
    assert ask(tmp_path / "empty", "status").code == 2


def test_run_decides_and_sends_nothing_when_it_is_dry(ask: Trader, tmp_path: Path, daily_archive: Path) -> None:
    """A dry run decides on every bar and places no order."""
    result = ask(tmp_path, "run", "--archive", str(daily_archive), "--max-bars", "3", "--dry-run", "1")
    assert result.code == 0, result.stderr
    assert (result.last["decisions"], result.last["orders"], result.last["fills"]) == (6, 0, 0)


def test_run_shows_people_a_table_and_lines(daily_archive: Path, tmp_path: Path) -> None:
    """Without --json the script prints plain lines that fit a narrow terminal, ending with the summary."""
    argv = [sys.executable, str(SCRIPT), "--archive", str(daily_archive), "--once", "1", "--state-dir", str(tmp_path)]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "PAPER-LOCAL" in shown.stdout.splitlines()[0]
    assert "Gate: what trades" in shown.stdout
    assert "passed over: IBM" in shown.stdout
    assert "Summary" in shown.stdout
    assert "{" not in shown.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_run_ends_in_good_order_when_it_is_told_to_stop(
    start_trader: Callable[..., subprocess.Popen[str]],
    ask: Trader,
    daily_archive: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    """A signal ends the run with its own exit code, a last event, and books that agree with the venue."""
    process = start_trader("--archive", str(daily_archive), "--symbols", "AAPL")
    assert process.stdout is not None
    events = (json.loads(line) for line in process.stdout)
    assert any(event["event"] == "bar_finished" for event in events)
    process.send_signal(number)
    last = list(events)[-1]
    assert process.wait(30) == code
    assert (last["event"], last["exit_code"]) == ("run_finished", code)
    assert ask(tmp_path / "state", "reconcile").code == 0


def test_second_run_is_refused_while_the_first_lives(
    start_trader: Callable[..., subprocess.Popen[str]], ask: Trader, daily_archive: Path, tmp_path: Path
) -> None:
    """The second trader on a state folder exits 8; the first goes on, and can be compared with its venue meanwhile."""
    process = start_trader("--archive", str(daily_archive), "--symbols", "AAPL", "--speed", "30")
    assert process.stdout is not None
    assert any(json.loads(line)["event"] == "ready" for line in process.stdout)
    state_dir = tmp_path / "state"
    second = ask(state_dir, "run", "--archive", str(daily_archive), "--symbols", "AAPL", "--speed", "30")
    assert second.code == 8
    assert "LOCKED" in second.stderr
    assert (second.last["event"], second.last["exit_code"]) == ("run_finished", 8)
    compared = ask(state_dir, "reconcile")
    assert (compared.code, compared.last["clean"]) == (0, True)
    assert ask(state_dir, "status").last["running"]
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_demo_lifts_a_review_model_in_its_working_copy_alone(
    ask: Trader, tmp_path: Path, make_archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A REVIEW model of real bars trades in the demo through the run's own override; the package stays as it is."""
    packaged = make_archive(fitness_score=0.6)
    audit = (packaged / "audit.jsonl").read_bytes()
    monkeypatch.setattr("trader_sdk.demo.demo_archive_path", lambda: packaged)
    result = ask(tmp_path / "state", "run", "--strict-version", "1", "--max-bars", "2")
    assert result.code == 0, result.stderr
    (row,) = result.named("gate_row")
    assert (row["class"], row["chosen"]) == ("REVIEW", True)
    assert row["override"].startswith("demo until ")
    assert (packaged / "audit.jsonl").read_bytes() == audit
    outside = ask(tmp_path / "other", "run", "--archive", str(packaged))
    assert outside.code == 5
