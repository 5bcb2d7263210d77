"""What a person asks of a trader that is down: recorded in its journal, for its next start."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.events import Draft
from trader_sdk.live.holds import Cause, Hold
from trader_sdk.live.journal import Journal, Stamp, read_events
from trader_sdk.live.ledger import fold

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


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
