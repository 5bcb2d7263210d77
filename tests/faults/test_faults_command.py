"""``trader faults run``: a table, a list of results, an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trader_sdk.cli import build_app, run_app


def run(*arguments: str) -> int:
    """Run the command in this process."""
    argv = ["faults", "run", *arguments]
    return run_app(build_app(argv), argv)


def test_results_are_a_list_with_an_oracle_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exchange in its own process, each fault twice; the list has what the format promises, the logs are kept."""
    kept, report = tmp_path / "kept", tmp_path / "faults.json"
    assert run("--only", "F09", "--keep", str(kept), "--json-file", str(report)) == 0
    (result,) = json.loads(report.read_text())
    assert (result["fault"], result["ok"], result["outcome"]) == ("F09", True, result["expected"])
    assert result["oracles"] == {f"I{number}": True for number in range(1, 8)}
    assert (kept / "F09" / "exchange" / "exchange-events.jsonl").exists()
    assert "1 faults, 0 not as they must be" in capsys.readouterr().out


def test_exit_code_says_that_a_fault_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario whose expectation is wrong is shown with both, and the command ends with 1."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"id": "X1", "title": "t", "right": "r", "expect": {"posts": 77}}))
    assert run("--plan", str(wrong), "--once", "1", "--threads", "1") == 1
    shown = capsys.readouterr().out
    assert "expected posts=77" in shown
    assert "X1" in shown


def test_seed_plays_one_random_session(capsys: pytest.CaptureFixture[str]) -> None:
    """A seed alone plays its session and nothing else, and says what happened in all of them."""
    assert run("--seed", "5", "--json", "1") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (played,) = (line for line in lines if line["event"] == "fault_played")
    (totals,) = (line for line in lines if line["event"] == "random_sessions_finished")
    assert (totals["sessions"], totals["violations"]) == (1, 0)
    assert f"n_orders={totals['orders']} fills={totals['fills']} struck={totals['strikes']}" in played["outcome"]
    assert (lines[-1]["event"], lines[-1]["played"], lines[-1]["failed"]) == ("campaign_finished", 1, [])
