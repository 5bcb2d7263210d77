"""``trader data`` from the outside."""

import json
from pathlib import Path

import pytest

from trader_sdk.cli import build_app, run_app


def trader(*argv: str) -> int:
    """Run the command in this process and return its exit code."""
    return run_app(build_app(argv), argv)


def test_show_says_rows_range_gaps_and_digest(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole answer is one event for a program."""
    assert trader("data", "show", "vendored", "--symbol", "IBM", "--json", "1") == 0
    event = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (event["event"], event["rows"], event["kind"], event["gaps"]) == ("bars_described", 3270, "real", "no gaps")
    assert event["digest"].startswith("sha256:")


def test_show_marks_simulated_bars_and_reports_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with a hole is described, not refused."""
    target = tmp_path / "sim.csv"
    assert (
        trader("data", "export", "planted:bars=50", "--symbol", "SIM", "--timeframe", "1Min", "--out", str(target)) == 0
    )
    assert "SIMULATED" in capsys.readouterr().out
    lines = target.read_text().splitlines()
    target.write_text("\n".join(lines[:20] + lines[21:]))
    assert trader("data", "show", str(target), "--symbol", "SIM", "--timeframe", "1Min") == 0
    shown = capsys.readouterr().out
    assert "simulated" in shown
    assert "1 missing" in shown


def test_export_refuses_a_name_of_another_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one line, nothing written."""
    target = tmp_path / "bars.csv"
    assert trader("data", "export", "vendored", "--symbol", "IBM", "--to", "parquet", "--out", str(target)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not target.exists()
