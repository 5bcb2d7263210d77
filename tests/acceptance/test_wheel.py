"""The wheel: what it holds, and that it works where nothing else of the repository is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_the_trader_half_only(wheel: Path) -> None:
    """A bot has folders of its own: no top-level package but trader_sdk, and its data files are there."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"trader_sdk"}
    for needed in ("contract/matrix.toml", "contract/errors.toml", "py.typed", "data/vendored/PROVENANCE.md"):
        assert f"trader_sdk/{needed}" in names
    assert any(name.startswith("trader_sdk/demo/archive/") for name in names)
    assert sum(entry.file_size for entry in zipfile.ZipFile(wheel).infolist()) < 12 * 2**20


def test_wheel_runs_the_demo_in_a_folder_with_other_peoples_packages(wheel: Path, tmp_path: Path) -> None:
    """Unpacked alone, beside a user's own training/ and compat/, the main job trades a few bars and ends 0."""
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(site)
    for package in ("training", "compat"):
        (work / package).mkdir(parents=True)
        (work / package / "__init__.py").write_text("raise RuntimeError('this is the user\\'s own package')\n")
    code = (
        "import sys, trader_sdk, pathlib\n"
        f"assert pathlib.Path(trader_sdk.__file__).is_relative_to({str(site)!r}), trader_sdk.__file__\n"
        "from trader_sdk.cli import main\n"
        "main(['run', '--paper', '1', '--strict-version', '1', '--max-bars', '5', '--json', '1'])\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ALPACA_", "APCA_"))}
    environment |= {"PYTHONPATH": f"{site}{os.pathsep}{work}", "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"run_finished"' in done.stdout.splitlines()[-1]
