"""The checklist for releasing a model version, done for one that does not exist, in a copy of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("trader_sdk", "compat", "scripts", "docs", "tests/compat", "CHANGELOG.md", "pyproject.toml")
ROW = """
[model."2.8.0"]
window = 100
n_features = 59
n_actions = 3
feature_sets = ["ohlcv53@1", "account3@1", "sizing3@1"]
requires = ["actions/discrete3@1", "execution/delta@1"]
min_trader = "2.8.0"
breaking_changes = ["three actions again: index 2 was BUY_50% and is SELL"]

[trader."2.8.0"]
models = ">=2.3.0,<2.9.0"
capabilities = ["actions/discrete3@1", "actions/discrete7@1", "execution/delta@1"]
"""
LINE = "- **Model 2.8.0 has three actions again.** Update the trader before you train with it.\n"
MATRIX = "trader_sdk/contract/matrix.toml"


def _contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def _run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=170
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree with the row appended and nothing else done."""
    root = tmp_path_factory.mktemp("release")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    with (root / MATRIX).open("a", encoding="utf-8") as target:
        target.write(ROW)
    return root


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, bytes]:
    """Return every file before the release, the row aside."""
    return {**_contents(copy), MATRIX: (ROOT / MATRIX).read_bytes()}


@pytest.fixture(scope="module")
def released(copy: Path, before: dict[str, bytes]) -> Path:
    """Return the copy after the checklist's commands and the changelog's line."""
    assert before
    unlocked = _run(copy, "compat/lock.py")
    assert (unlocked.returncode, "model 2.8.0: not locked yet" in unlocked.stdout) == (4, True)
    for command in (("compat/lock.py", "--add"), ("compat/generate.py",), ("scripts/make_docs.py",)):
        done = _run(copy, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    log = copy / "CHANGELOG.md"
    log.write_text(log.read_text("utf-8").replace("## Unreleased\n\n", f"## Unreleased\n\n{LINE}", 1), "utf-8")
    return copy


def test_release_touches_one_row_one_golden_and_one_changelog_line(released: Path, before: dict[str, bytes]) -> None:
    """No code, no older golden and no released row changes; the lock and the versions page follow by command."""
    after = _contents(released)
    assert {name for name in after if name not in before} == {
        "compat/golden/2.8.0/checkpoint.pt",
        "compat/golden/2.8.0/expect.json",
    }
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {MATRIX, "CHANGELOG.md", "compat/matrix.lock", "docs/reference/versions.md"}
    assert after[MATRIX].startswith(before[MATRIX])
    assert after["compat/matrix.lock"].startswith(before["compat/matrix.lock"])


def test_released_version_is_loaded_detected_and_stamped(released: Path) -> None:
    """The new golden loads in both modes, its shapes tell its version, and `save()` stamps it."""
    code = """
import numpy as np
import trader_sdk as sdk
assert sdk.__file__.startswith(SENT), sdk.__file__
path = "compat/golden/2.8.0/checkpoint.pt"
model = sdk.NativeModelWrapper(path, strict_version=True)
assert (model.model_version, model.model_spec.action_meanings[2]) == ("2.8.0", "SELL")
bare = {"policy_state_dict": {"a.weight": np.zeros((4, 5900)), "a.bias": np.zeros(4),
                              "pi.weight": np.zeros((3, 4)), "pi.bias": np.zeros(3)}}
assert sdk.detect_version_from_checkpoint(bare).candidates == ("2.8.0",)
assert sdk.get_checkpoint_metadata()["min_trader_version"] == "2.8.0"
report = sdk.check_compatibility(sdk.detect_version_from_checkpoint(bare), "2.7.0")
print(sorted(finding.code for finding in report.findings))
""".replace("SENT", repr(str(released)))
    done = _run(released, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "E501" in done.stdout, "the older trader must not run it"


def test_everything_older_still_holds_after_the_release(released: Path) -> None:
    """The smoke test and the laboratory's own tests pass on the copy, the new golden among them."""
    smoke = _run(released, "scripts/compat_smoke.py")
    assert smoke.returncode == 0, smoke.stdout
    assert "loads 2.8.0" in smoke.stdout
    files = (
        "tests/compat/test_matrix_lock.py::test_released_rows_are_as_they_were_released",
        "tests/compat/test_goldens.py",
    )
    tests = _run(released, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not smoke", *files)
    assert tests.returncode == 0, tests.stdout[-3000:]
