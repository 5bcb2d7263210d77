"""A desk's own gate policy, end to end: train on real bars, approve, load, trade later real bars through alpaca-py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# A pilot policy: it asks for evidence of life, not of skill, and says so in its name.
POLICY = """
name = "paper-pilot"
approved_min_fitness = -2.0
review_min_fitness = -2.0
approved_min_pf = 0.1
review_min_pf = 0.1
approved_min_consistency = 0.0
review_min_consistency = 0.0
approved_max_drawdown = 0.40
review_max_drawdown = 0.40
max_real_drawdown = 0.40
min_trades = 3
min_t = 0.0
false_approval_rate = 0.99
"""

pytest.importorskip("torch", reason="training needs the [train] extra")


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ALPACA_", "APCA_"))}
    environment |= {"XDG_STATE_HOME": str(folder / "state"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def events(done: subprocess.CompletedProcess[str], name: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == name]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train IBM on real days before 2012 under the desk's policy, through the public command."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "gate.toml").write_text(POLICY, "utf-8")
    trained = run(
        ["-m", "training", "run", "--data", "vendored", "--symbol", "IBM", "--timeframe", "1Day", "--gate", "gate.toml",
         "--until", "2012-01-01", "--total-steps", "49152", "--hidden", "16,16", "--seed", "7"],
        folder,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert "APPROVED" in trained.stdout
    return folder


def policy_hash(folder: Path) -> str:
    from trader_sdk.archive import load_gate_policy

    return load_gate_policy(folder / "gate.toml").policy_hash


LIVE = ["-m", "trader_sdk.cli", "run", "--paper", "1", "--archive", "training_archives", "--json", "1"]


@pytest.mark.slow
def test_desk_policy_approves_and_its_model_trades_later_real_bars(desk: Path) -> None:
    """With its hash accepted, the model trades real bars after its data_end, and the gate table names the policy."""
    done = run([*LIVE, "--strict-version", "1", "--max-bars", "40", "--accept-policy", policy_hash(desk)], desk)
    assert done.returncode == 0, done.stderr[-2000:]
    (row,) = events(done, "gate_row")
    assert (row["symbol"], row["class"]) == ("IBM", "APPROVED")
    assert "paper-pilot" in json.dumps(row)
    (finished,) = events(done, "run_finished")
    assert (finished["mode"], finished["bars"]) == ("PAPER-LOCAL", 40)
    assert finished["fills"] > 0
    assert finished["replay_from"][:10] >= "2012-01-01" > finished["model_data_end"][:10]


def test_desk_policy_is_refused_where_it_was_not_accepted(desk: Path) -> None:
    """The house trusts no gate it was not told to: E603, exit 5, and the hash that would accept it."""
    done = run([*LIVE, "--strict-version", "1", "--max-bars", "5"], desk)
    assert done.returncode == 5
    assert "E603" in done.stderr
    assert policy_hash(desk) in done.stderr + done.stdout
