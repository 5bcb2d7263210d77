"""A five-line bot, run as its owner runs it: in a process of its own, where torch cannot be imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BOT = """\
import numpy as np
from trader_sdk import NativeModelWrapper
model = NativeModelWrapper({path!r}, strict_version=True)
decision = model.decide(np.zeros(model.model_spec.obs_dim, dtype=np.float32))
print(decision.name, decision.direction, decision.size)
"""
BLOCKED = """\
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            raise AssertionError(f"imported {{name}}")
sys.meta_path.insert(0, Block())
"""
HEAVY = (
    "torch",
    "alpaca",
    "pandas",
    "scipy",
    "ray",
    "matplotlib",
    "pydantic",
    "sqlalchemy",
    "structlog",
    "typer",
    "rich",
)


@pytest.mark.parametrize("version", ["2.3.0", "2.7.0"])
def test_five_line_bot_decides_without_torch(golden: Callable[[str], Path], version: str) -> None:
    """Loading and deciding import neither torch nor anything else that is heavy."""
    program = BLOCKED.format(heavy=HEAVY) + BOT.format(path=str(golden(version)))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in (
        "HOLD",
        "BUY",
        "SELL",
        *(f"{s}_{p}%" for s in ("BUY", "SELL") for p in (25, 50, 75)),
    )


def test_bot_says_what_is_wrong_in_one_typed_line(tmp_path: Path) -> None:
    """A file that is no checkpoint ends the bot with the error's code and remedy."""
    (tmp_path / "m.pt").write_text("<html>")
    program = BOT.format(path=str(tmp_path / "m.pt"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "E101 checkpoint-unreadable" in last
    assert "HTML" in last
