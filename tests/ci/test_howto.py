"""The how-to page and the reusable workflow, run as they are written on a sample repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "ci.md").read_text("utf-8")
WORKFLOW = (ROOT / ".github" / "workflows" / "compat-check.yml").read_text("utf-8")


def block(name: str) -> str:
    """Return the code below a marker of the page."""
    (found,) = re.findall(rf"<!-- ci: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def workflow_script(step: str) -> str:
    """Return the shell script of a step of the workflow."""
    (found,) = re.findall(rf"- name: {step}\n(?:.*\n)*?        run: \|\n((?:          .*\n)+)", WORKFLOW)
    return re.sub(r"^ {10}", "", found, flags=re.MULTILINE)


@pytest.fixture
def repository(desk: Path, web: Any) -> Path:
    """Return a sample repository: one model in it, another served by a server."""
    (desk / "models" / "2.7.0.pt").rename(desk / "models" / "aapl.pt")
    web.files["/msft.pt"] = (desk / "models" / "2.4.0.pt").read_bytes()
    (desk / "models" / "2.4.0.pt").unlink()
    return desk


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    commands = Path(sys.executable).parent
    kept = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # as a GitHub runner starts it
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(os.name == "nt", reason="the page's commands are for bash")
def test_commands_of_the_page_run_as_written(repository: Path, web: Any) -> None:
    """Each block in the order of the page; only the placeholder address is another."""
    (repository / "fleet.toml").write_text(block("fleet.toml"), "utf-8")
    for name in ("check", "golden", "fleet", "reports"):
        done = bash(block(name).replace("https://models.example", web.url), repository)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    assert "paper-east" in bash(block("fleet"), repository).stdout
    assert {"report.json", "junit.xml", "compat.sarif"} <= {file.name for file in repository.iterdir()}


def test_reader_of_the_page_is_this_distribution() -> None:
    """The version that the page names is one that exists; test_released.py runs the option itself."""
    from importlib.metadata import version

    assert f"--reader {version('trader-sdk')}" in block("reader")


@pytest.mark.skipif(os.name == "nt", reason="the workflow runs on Linux")
@pytest.mark.parametrize(("strict", "code"), [("0", 0), ("1", 4)])
def test_workflow_script_checks_a_repository(repository: Path, strict: str, code: int) -> None:
    """The step's own script, with inputs in the environment as GitHub passes them."""
    source = ROOT / "compat" / "golden" / "legacy" / "no-activation" / "checkpoint.pt"
    (repository / "models" / "old.pt").write_bytes(source.read_bytes())
    inputs = {"MODELS": "models/aapl.pt models/old.pt", "GOLDENS": "", "FLEET": "", "READER": "", "ALLOW_MISSING": "0"}
    done = bash(workflow_script("Check"), repository, STRICT=strict, **inputs)
    assert done.returncode == code, done.stderr
    assert "::error file=models/old.pt" in done.stdout if code else "::warning file=models/old.pt" in done.stdout
    events = json.loads((repository / "compat-report" / "report.json").read_text("utf-8"))
    assert [event["name"] for event in events[-2]["checks"]] == ["models/aapl.pt", "models/old.pt"]


@pytest.mark.skipif(os.name == "nt", reason="the workflow runs on Linux")
def test_workflow_input_cannot_become_a_command(repository: Path) -> None:
    """Whatever a caller passes stays an argument."""
    hostile = "$(touch marker) ; touch marker --goldens"
    inputs = {"MODELS": hostile, "GOLDENS": "", "FLEET": "", "READER": "", "ALLOW_MISSING": "0", "STRICT": "1"}
    assert bash(workflow_script("Check"), repository, **inputs).returncode == 3
    assert not (repository / "marker").exists()


def test_workflow_without_models_uses_the_goldens(repository: Path) -> None:
    """An empty list of models is no argument at all."""
    assert bash("trader compat golden add models/aapl.pt", repository).returncode == 0
    inputs = {"MODELS": "", "GOLDENS": "goldens.toml", "FLEET": "", "READER": "", "ALLOW_MISSING": "0", "STRICT": "1"}
    done = bash(workflow_script("Check"), repository, **inputs)
    assert done.returncode == 0, done.stderr


def test_workflow_passes_inputs_through_the_environment_only() -> None:
    """An expression inside a script would be pasted into it as text."""
    scripts = re.findall(r"        run: (?:\|\n((?:          .*\n)+)|(.*)\n)", WORKFLOW)
    assert len(scripts) == 2
    assert not any("${{" in part for script in scripts for part in script)
