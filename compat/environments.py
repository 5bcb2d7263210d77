"""Runs the wheel in other people's environments and prints one table.

    python compat/environments.py --torch none --torch 2.4.0 --torch 2.15.0

For each torch an environment of its own gets the wheel; `environment_bot.py` runs there, in a sample repository that
has ``training/`` and ``compat/`` folders of its own. Environments are kept in ``--keep FOLDER`` and used again.
``--here`` uses the running interpreter and its packages instead, and installs nothing.

Exit codes: 0 everything held; 3 nothing was checked; 4 something did not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NO_TORCH = "none"
EXIT_NOTHING_CHECKED, EXIT_DIFFERENT = 3, 4
INSTALL_SECONDS = 1800
_OWN_PACKAGE = '"""The desk\'s own."""\n\nOWNER = "the desk"\n'


@dataclass(frozen=True)
class Environment:
    """An interpreter that can import the wheel.

    Attributes:
        name: What the table calls it.
        python: Its interpreter.
        path: A folder to import from first: the unpacked wheel, where it is not installed.
        hide_torch: Whether torch has to look as if it were not there.
    """

    name: str
    python: Path
    path: Path | None = None
    hide_torch: bool = False


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this tree, without a network."""
    _run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=HERE.parent
    ).check_returncode()
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(torch: str, wheel: Path, keep: Path) -> Environment:
    """Return an environment with the wheel and one torch, made when it is not there yet."""
    home = keep / f"torch-{torch}"
    python = home / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(home)]).check_returncode()
    _pip(python, str(wheel), *([] if torch == NO_TORCH else [f"torch=={torch}"]))
    _pip(python, "--force-reinstall", "--no-deps", str(wheel))
    return Environment(f"torch {torch}", python)


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = _run(command)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} cannot be installed: {done.stderr.strip()[-400:]}")


def _run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - an interpreter of ours, with arguments of ours
        command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS, **options
    )


def borrowed(torch: str, wheel: Path, folder: Path) -> Environment:
    """Return the running interpreter with the unpacked wheel in front of its packages; ``none`` hides its torch."""
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return Environment(f"{torch} (borrowed)", Path(sys.executable), site, hide_torch=torch == NO_TORCH)


def sample_repository(folder: Path) -> Path:
    """Make a repository with packages named as our folders are, and the bot that runs the checks."""
    for package in ("training", "compat"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(_OWN_PACKAGE, "utf-8")
    (folder / "bot.py").write_bytes((HERE / "environment_bot.py").read_bytes())
    return folder


def check(environment: Environment, repository: Path) -> list[dict[str, str]]:
    """Run the bot in an environment and return its rows: check, outcome, detail."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if environment.path is not None:
        variables["PYTHONPATH"] = str(environment.path)
    arguments = [str(HERE / "golden"), "--hide-torch" if environment.hide_torch else "--as-it-is"]
    done = _run([str(environment.python), "bot.py", *arguments], cwd=repository, env=variables)
    rows: list[dict[str, str]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        rows.append({"check": "the bot ran to its end", "outcome": "failed", "detail": done.stderr.strip()[-500:]})
    return rows


def table(results: Sequence[tuple[Environment, list[dict[str, str]]]]) -> str:
    """Return one line a check and environment."""
    width = max(len(environment.name) for environment, _ in results)
    wide = max((len(row["check"]) for _, rows in results for row in rows), default=0)
    lines = [f"{'environment':{width}}  {'check':{wide}}  outcome  detail"]
    for environment, rows in results:
        lines += [
            f"{environment.name:{width}}  {row['check']:{wide}}  {row['outcome']:7}  {row['detail']}" for row in rows
        ]
    failed = sum(row["outcome"] == "failed" for _, rows in results for row in rows)
    lines.append(f"{len(results)} environments, {sum(len(rows) for _, rows in results)} checks, {failed} failed")
    return "\n".join(lines)


def main() -> int:
    """Make the environments, run the checks, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", action="append", help="a torch version, or none; repeatable (default: none)")
    parser.add_argument("--keep", type=Path, help="folder of environments to keep and use again")
    parser.add_argument("--here", action="store_true", help="use the running interpreter's packages, install nothing")
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already (default: of this tree)")
    asked = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="environments-") as name:
        folder = Path(name)
        wheel = asked.wheel.resolve() if asked.wheel else build_wheel(folder)
        for number, torch in enumerate(dict.fromkeys(asked.torch or [NO_TORCH])):
            own = folder / str(number)
            make = borrowed(torch, wheel, own) if asked.here else installed(torch, wheel, asked.keep or folder)
            results.append((make, check(make, sample_repository(own / "repository"))))
    sys.stdout.write(table(results) + "\n")
    outcomes = {row["outcome"] for _, rows in results for row in rows}
    return EXIT_NOTHING_CHECKED if not outcomes else EXIT_DIFFERENT if "failed" in outcomes else 0


if __name__ == "__main__":
    raise SystemExit(main())
