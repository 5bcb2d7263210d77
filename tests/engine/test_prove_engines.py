"""The proof of equality that is published in docs/guide/engine.md, scaled down: real bars, every golden version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from trader_sdk.contract.spec import MODEL_SPECS

SCRIPT = Path(__file__).parents[2] / "scripts" / "prove_engines.py"


def _proof(windows: int, file: Path, *flags: str) -> list[dict[str, object]]:
    command = [sys.executable, str(SCRIPT), "--windows", str(windows), "--json-file", str(file), *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    found: list[dict[str, object]] = json.loads(file.read_text("utf-8"))
    return found


def test_every_engine_decides_as_the_dense_one(tmp_path: Path) -> None:
    """Every version and the sizes that people train: no action differs, and all windows were looked at."""
    found = _proof(600, tmp_path / "proof.json", "--trunks")
    models = {*MODEL_SPECS, "512-256 tanh", "1024-512-256 relu"}
    assert {(each["model"], each["engine"]) for each in found} == {
        (model, engine) for model in models for engine in ("history", "streaming", "stacked")
    }
    assert all(each["differing"] == 0 and each["windows"] == 600 for each in found)
    assert max(float(str(each["largest"])) for each in found) < 2e-5
