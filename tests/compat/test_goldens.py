"""Every golden gives what was written beside it when it was frozen."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from expectations import GOLDEN, Golden, detection_faults, goldens, observations, outcomes

from trader_sdk import MODEL_SPECS

ROOT = Path(__file__).parents[2]
CASES = goldens()


@pytest.mark.parametrize("golden", CASES, ids=[golden.name for golden in CASES])
def test_golden_gives_what_it_must_in_both_modes(golden: Golden) -> None:
    """Detection, outcome, findings, digest and torch's own decisions, in warn and strict."""
    assert detection_faults(golden) == []
    for outcome in outcomes(golden):
        assert outcome.faults == (), outcome.mode


def test_every_released_version_has_a_golden() -> None:
    """A model version without an artefact of its own could break unseen."""
    assert set(MODEL_SPECS) <= {golden.name for golden in CASES}


def test_goldens_are_small() -> None:
    """Each file stays below 300 kB, so that history stays light."""
    assert all(golden.path.stat().st_size < 300_000 for golden in CASES)


def test_goldens_decide_differently_from_hold() -> None:
    """Expectations that were all the same would prove little."""
    names = {decision["name"] for golden in CASES for decision in golden.expect["decisions"]}
    assert {"HOLD", "BUY", "SELL"} <= names
    assert len(names) >= 8


@pytest.mark.parametrize("module", ["generate.py", "legacy.py", "networks.py", "writers.py", "corpus.py", "opcodes.py"])
def test_generators_import_nothing_of_the_package(module: str) -> None:
    """A golden made by the code under test would prove nothing."""
    tree = ast.parse((ROOT / "compat" / module).read_text("utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith(("trader_sdk", "training"))]


def test_generator_and_reader_agree_on_the_observations() -> None:
    """The recipe gives the same bits in torch and in numpy."""
    import networks

    assert (networks.observations(3, 5900).numpy() == observations(3, 5900)).all()


def _smoke(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "compat_smoke.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def one_golden(tmp_path: Path) -> Path:
    """Return a folder with a copy of one golden."""
    shutil.copytree(GOLDEN / "2.7.0", tmp_path / "2.7.0")
    return tmp_path


def test_smoke_test_prints_both_modes_and_exits_zero(one_golden: Path) -> None:
    """One row a mode, and a count."""
    done = _smoke(one_golden)
    assert done.returncode == 0, done.stdout
    assert "1 goldens, 2 loads, 0 differences" in done.stdout


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "checkpoint.pt").write_bytes((GOLDEN / "2.6.0" / "checkpoint.pt").read_bytes()),
        lambda folder: (folder / "checkpoint.pt").unlink(),
        lambda folder: (folder / "expect.json").write_text(
            (folder / "expect.json").read_text().replace('"name": "', '"name": "X', 1)
        ),
    ],
)
def test_smoke_test_is_red_when_a_golden_differs(one_golden: Path, damage: Callable[[Path], object]) -> None:
    """Another file, a missing file or another decision: exit 4."""
    damage(one_golden / "2.7.0")
    assert _smoke(one_golden).returncode == 4


def test_smoke_test_is_red_when_nothing_was_checked(tmp_path: Path) -> None:
    """An empty folder proves nothing: exit 3."""
    done = _smoke(tmp_path)
    assert done.returncode == 3
    assert "nothing checked" in done.stderr
