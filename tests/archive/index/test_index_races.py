"""Writers race for one claim in processes of their own: one wins, nobody's run is lost; 64 of them in race.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WRITERS = 5


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_one_writer_wins_each_claim_and_none_is_lost(backend: str, request: pytest.FixtureRequest) -> None:
    """The same second, the same empty slot, the same champion, the same step of the index."""
    index = "sqlite" if backend == "sqlite" else request.getfixturevalue("database").url()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("race.py")), "--writers", str(WRITERS), "--index", index]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["promoted"] == {"promoted": 1, "E701": WRITERS - 1}
    assert found["advanced"] == {"advanced": 1, "E605": WRITERS - 1}
    assert all(found["holds"].values())
