"""The walls of the house, and the habits that a linter does not know."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "alpaca", "pandas", "scipy", "ray", "matplotlib", "sqlalchemy", "pydantic", "starlette")
TORCH_ROOMS = ("trader_sdk/checkpoint/torch_backend.py", "trader_sdk/checkpoint/writer.py")


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def offences(root: Path, folder: str, package: str, allowed: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path.relative_to(root)}:{line} imports {name}"
        for path in sorted((root / folder).rglob("*.py"))
        for line, name in imported(path)
        if name.split(".")[0] == package and not str(path.relative_to(root)).startswith(allowed or ("\0",))
    ]


def test_trader_never_imports_training() -> None:
    """The live half does not know the training half."""
    assert offences(ROOT, "trader_sdk", "training") == []


def test_only_the_broker_imports_alpaca() -> None:
    """There is one door to the broker."""
    assert offences(ROOT, "trader_sdk", "alpaca", ("trader_sdk/broker/",)) == []
    assert offences(ROOT, "training", "alpaca") == []


def test_only_named_modules_of_the_trader_import_torch() -> None:
    """Trading needs no torch: it is imported where a checkpoint is written, or read on request."""
    assert offences(ROOT, "trader_sdk", "torch", TORCH_ROOMS) == []


def test_walls_are_red_when_one_is_broken(tmp_path: Path) -> None:
    """The check can fail: a planted import is found."""
    planted = tmp_path / "trader_sdk" / "live"
    planted.mkdir(parents=True)
    (planted / "bad.py").write_text("def f():\n    import alpaca.trading\n    from training.ppo import x\n")
    assert offences(tmp_path, "trader_sdk", "alpaca", ("trader_sdk/broker/",)) == [
        "trader_sdk/live/bad.py:2 imports alpaca.trading"
    ]
    assert offences(tmp_path, "trader_sdk", "training") == ["trader_sdk/live/bad.py:3 imports training.ppo"]


@pytest.mark.parametrize(
    "statement", ["import trader_sdk", "import trader_sdk; dir(trader_sdk); trader_sdk.MODEL_SPECS"]
)
def test_importing_the_package_stays_light(statement: str) -> None:
    """A bot that imports the package pays for numpy at most."""
    code = f"{statement}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_importable() -> None:
    """The lazy table has no name without a home."""
    import trader_sdk

    assert [name for name in trader_sdk.__all__ if getattr(trader_sdk, name, None) is None] == []


def test_layers_hold() -> None:
    """import-linter's contracts of pyproject.toml are kept."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_every_test_says_what_it_shows() -> None:
    """A test's docstring is its claim."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []


def test_no_unsafe_load_is_written_anywhere() -> None:
    """Pickle is never executed, not even on request."""
    forbidden = ("weights_only=False", "add_safe_globals")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("trader_sdk", "training", "scripts", "compat")
        for path in sources(folder)
        for word in forbidden
        if any(
            word in line.split("#")[0].replace(" ", "") and '"' not in line
            for line in path.read_text("utf-8").splitlines()
        )
    ]
    assert found == []
