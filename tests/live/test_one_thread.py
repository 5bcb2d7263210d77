"""A trader that waits for a bar keeps no second thread spinning in numpy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trader_sdk.cli.one_thread import use_one_thread

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def test_numpy_gets_one_thread_where_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user has set stays."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    use_one_thread()
    assert [os.environ[name] for name in NAMES] == ["1", "1", "3"]


@pytest.mark.parametrize("module", ["run", "replay"])
def test_command_says_how_many_threads_before_numpy_is_there(module: str) -> None:
    """numpy reads the limits once, when it is imported."""
    code = f"import sys, trader_sdk.cli.{module}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
