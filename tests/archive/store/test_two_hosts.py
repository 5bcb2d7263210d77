"""The whole way: one host trains and archives, another that may only read loads and trades."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.demo import demo_archive_path

TRAIN = [
    "run",
    "--data",
    "vendored",
    "--symbol",
    "AAPL",
    "--timeframe",
    "1Day",
    "--hidden",
    "8",
    "--total-steps",
    "8192",
]


def said(module: str, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run a command in a process of its own; return its code, its events and its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--json", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def demo_summary() -> dict[str, Any]:
    """Return what the demo's trainer said of its approved model, with the file that is here."""
    root = demo_archive_path()
    ref = next(ref for ref in ArchiveReader(root).state.verdicts.values() if ref.slot.symbol == "SIM")
    summary: dict[str, Any] = json.loads((root / ref.run / "summary.json").read_text())
    (model,) = summary["models"].values()
    (file,) = (root / ref.run / "models").glob("*.safetensors")
    model |= {"checkpoints": [{"update": model["checkpoints"][-1]["update"], "path": str(file)}], "final": str(file)}
    return summary


@pytest.mark.slow
def test_trainer_archives_and_a_reader_on_another_host_trades(
    open_shop: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL and S3 between them; the trader has a role that may SELECT and a key that may get."""
    shop = open_shop("s3+postgres")
    out = ["--out", str(tmp_path / "run"), "--archive", "desk", "--until", "2012-01-01"]
    code, events, errors = said("training", *TRAIN, *out, "--total-steps", "8192")
    assert code == 0, errors
    assert events[-1]["verdicts"][0]["symbol"] == "AAPL"
    TrainingArchiveManager("desk").archive_training_run(demo_summary())

    shop.move("trader-host")
    for variable, value in shop.bucket.environment("reader").items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TRADER__ARCHIVE__DESK__INDEX", shop.database.url("reader"))
    before = shop.database.execute("SELECT count(*), max(seq) FROM audit")
    code, listed, errors = said("trader_sdk.cli", "archive", "list", "--archive", "desk")
    assert code == 0, errors
    assert {row.get("symbol") for event in listed for row in event.get("rows", [])} >= {"AAPL", "SIM"}
    command = [
        "run",
        "--archive",
        "desk",
        "--symbols",
        "SIM",
        "--max-bars",
        "5",
        "--state-dir",
        str(tmp_path / "state"),
    ]
    code, events, errors = said("trader_sdk.cli", *command)
    assert code == 0, errors
    assert (events[-1]["event"], events[-1]["bars"], events[-1]["decisions"]) == ("run_finished", 5, 5)
    assert [event["chosen"] for event in events if event["event"] == "gate_row"] == [True]
    assert shop.database.execute("SELECT count(*), max(seq) FROM audit") == before


def test_training_is_refused_before_the_first_update_where_the_archive_is_away(
    open_shop: Callable[..., Any], s3_wire: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 5 and no folder, not a trained model that nobody can archive."""
    from training.cli import run_app

    open_shop("s3")
    s3_wire.cut()
    out = ["--out", str(tmp_path / "run"), "--archive", "desk", "--until", "2012-01-01"]
    assert run_app([*TRAIN, *out]) == 5
    assert "E610" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
