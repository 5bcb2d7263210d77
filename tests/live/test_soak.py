"""A small day of the soak: the same script, the same processes, a few symbols."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"


def test_soak_misses_no_bar_and_breaks_no_oracle_on_a_small_day(tmp_path: Path) -> None:
    """Every bar of every symbol is decided on, the oracles hold, and the journal is decided again bit for bit."""
    command = [sys.executable, str(SCRIPT), "--symbols", "4", "--bars", "8", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    summary = json.loads((tmp_path / "soak.json").read_text())
    assert (summary["bars_missed"], summary["bars_late"], summary["drifts"]) == (0, 0, 0)
    assert summary["decisions"] == summary["replayed"]["identical"] == 32
    assert set(summary["oracles"].values()) == {"holds"}
    assert len(summary["trader"]["mib_by_bar"]) == len(summary["exchange"]["mib_by_bar"]) == 8
