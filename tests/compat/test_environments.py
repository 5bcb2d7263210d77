"""The wheel in a repository with folders named like ours, with torch and without."""

import subprocess
import sys
from pathlib import Path

import environments
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("torch", "last"), [("here", "backend torch"), ("none", "save() without torch")])
def test_wheel_holds_every_check_beside_other_peoples_packages(torch: str, last: str, tmp_path: Path) -> None:
    """Loading, goldens, the command and `save()`, where torch is installed and where it is not."""
    wheel = environments.build_wheel(tmp_path / "wheel")
    environment = environments.borrowed(torch, wheel, tmp_path)
    rows = environments.check(environment, environments.sample_repository(tmp_path / "repository"))
    assert [row for row in rows if row["outcome"] != "held"] == []
    assert rows[-1]["check"] == last


def test_table_names_what_failed_and_the_command_is_red(tmp_path: Path) -> None:
    """A wheel that holds no trader_sdk fails, and says with what."""
    import zipfile

    empty = tmp_path / "empty.whl"
    with zipfile.ZipFile(empty, "w") as wheel:
        wheel.writestr("trader_sdk/__init__.py", "raise ImportError('this wheel is empty')\n")
    command = [sys.executable, "compat/environments.py", "--here", "--torch", "none", "--wheel", str(empty)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 4
    assert "this wheel is empty" in done.stdout
    assert done.stdout.strip().endswith("5 failed")
