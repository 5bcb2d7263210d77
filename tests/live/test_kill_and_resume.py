"""kill -9 at chosen instants, then the same command again: nothing doubled, nothing lost, the same trades."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.live import LiveConfig

BARS = "6"

# Runs the real command, and ends the process like a power cut at the n-th call of one function.
KILLED_RUN = """
import os, signal, sys
from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.live.clock import VenueClock
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.journal import Journal
from trader_sdk.cli import main

where, when, number, arguments = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
owner, name = {
    "submit": (AlpacaBroker, "submit"),
    "append": (Journal, "append"),
    "read": (AlpacaBroker, "orders_since"),
    "advance": (VenueClock, "_move"),
}[where]
original, calls = getattr(owner, name), 0

def wrapped(*given, **named):
    global calls
    calls += 1
    if calls == number and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*given, **named)
    if calls == number and when == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, wrapped)
make = LiveConfig.of
LiveConfig.of = classmethod(lambda cls, **fields: make(**fields, unknown_grace_seconds=0.05))
main(["run", *arguments])
"""

TRADED = "SELECT symbol, bar, side, qty, time_in_force FROM intents ORDER BY seq"
Ask = Callable[..., Any]
Trades = tuple[list[Any], list[Any]]
_UNDISTURBED: list[Trades] = []
FILLED = "SELECT symbol, side, qty, price FROM fills ORDER BY seq"


def arguments(archive: Path) -> list[str]:
    """Return the arguments that every start of the run has."""
    return ["--archive", str(archive), "--symbols", "AAPL", "--max-bars", BARS]


def run_until_killed(
    state_dir: Path, archive: Path, where: str, when: str, number: int
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that ends at the ``number``-th call."""
    argv = [sys.executable, "-c", KILLED_RUN, where, when, str(number), *arguments(archive)]
    argv += ["--state-dir", str(state_dir), "--json", "1"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def run_to_the_end(ask: Ask, daily_archive: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """Return a function that runs the same command to its end, in this process, with a short grace."""
    make = LiveConfig.of
    monkeypatch.setattr(LiveConfig, "of", lambda **fields: make(**fields, unknown_grace_seconds=0.05))
    return lambda state_dir: ask(state_dir, "run", *arguments(daily_archive))


def rows(state_dir: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return rows of the only run's journal."""
    (path,) = (state_dir / "paper-local").glob("*/journal.db")
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def undisturbed(run_to_the_end: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Trades:
    """Return orders and fills of a run that nobody killed; made once."""
    if not _UNDISTURBED:
        state_dir = tmp_path_factory.mktemp("undisturbed")
        assert run_to_the_end(state_dir).code == 0
        _UNDISTURBED.append((rows(state_dir, TRADED), rows(state_dir, FILLED)))
    return _UNDISTURBED[0]


@pytest.mark.parametrize(
    ("where", "when", "number"),
    [
        ("submit", "before", 2),  # the intent is durable, the venue never saw it
        ("submit", "after", 2),  # the venue has it, the journal does not know
        ("advance", "after", 5),  # a bar was released that nobody looked at
        ("read", "after", 3),  # fills were read and not yet booked
    ],
)
def test_resumed_run_trades_what_an_undisturbed_one_does(
    tmp_path: Path,
    daily_archive: Path,
    ask: Ask,
    run_to_the_end: Callable[[Path], Any],
    undisturbed: Trades,
    where: str,
    when: str,
    number: int,
) -> None:
    """After a kill at any instant the resumed run ends 0 with the same orders and fills, agreeing with the venue."""
    killed = run_until_killed(tmp_path, daily_archive, where, when, number)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = run_to_the_end(tmp_path)
    assert resumed.code == 0, resumed.stderr
    assert resumed.named("run_started")[0]["resumed"]
    compared = ask(tmp_path, "reconcile")
    assert compared.code == 0, compared.stdout
    assert rows(tmp_path, TRADED) == undisturbed[0]
    assert rows(tmp_path, FILLED) == undisturbed[1]


def test_run_resumes_after_being_killed_again_and_again(
    tmp_path: Path,
    daily_archive: Path,
    ask: Ask,
    run_to_the_end: Callable[[Path], Any],
    undisturbed: Trades,
) -> None:
    """Three kills in one run, each at another transaction, cost nothing but time."""
    for number in (4, 6, 8):
        killed = run_until_killed(tmp_path, daily_archive, "append", "after", number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run_to_the_end(tmp_path).code == 0
    assert ask(tmp_path, "reconcile").code == 0
    assert rows(tmp_path, FILLED) == undisturbed[1]


def test_run_with_other_arguments_starts_anew(tmp_path: Path, daily_archive: Path, ask: Ask) -> None:
    """An unfinished run is continued by the same command only; another one leaves it alone."""
    run_until_killed(tmp_path, daily_archive, "append", "after", 6)
    other = ask(tmp_path, "run", "--archive", str(daily_archive), "--symbols", "MSFT", "--once", "1")
    assert other.code == 0, other.stderr
    assert len(list((tmp_path / "paper-local").glob("*/journal.db"))) == 2
