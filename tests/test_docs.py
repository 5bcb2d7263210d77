"""The documentation is whole: generated pages are current, links lead somewhere, named commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from trader_sdk.cli import COMMANDS, GROUPS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "compat" / "README.md"]
)
SPEAKING = [
    *PAGES,
    *sorted((ROOT / "trader_sdk").rglob("*.py")),
    *sorted((ROOT / "trader_sdk").rglob("*.toml")),
    *sorted((ROOT / "training").rglob("*.py")),
]


def test_generated_pages_match_the_code() -> None:
    """`python scripts/make_docs.py` would change nothing."""
    done = subprocess.run(
        [sys.executable, "scripts/make_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    """A relative link names a file of the repository."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_every_page_of_the_guide_is_in_the_navigation() -> None:
    """A page that nobody can find is not written."""
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert written == listed


def test_commands_that_are_named_exist() -> None:
    """Errors, docs and docstrings name no command that is not there."""
    plain = {name for name, _, _ in COMMANDS}
    groups = {name: target for name, target, _ in GROUPS}
    unknown = []
    for path in SPEAKING:
        for words in re.findall(r"`trader ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", path.read_text("utf-8")):
            name, _, second = words.partition(" ")
            known = name in plain or (name in groups and (not second or second in _subcommands(groups[name])))
            if not known:
                unknown.append(f"{path.relative_to(ROOT)}: trader {words}")
    assert unknown == []


def _subcommands(target: str) -> set[str]:
    import importlib

    module, name = target.split(":")
    app = getattr(importlib.import_module(module), name)
    commands = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    return commands | {group.name for group in app.registered_groups}


def test_every_extra_of_the_readme_exists() -> None:
    """An install line of the docs names extras that pyproject has."""
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    named = {
        extra
        for page in PAGES
        for group in re.findall(r'-e "?\.\[([a-z,]+)\]', page.read_text("utf-8"))
        for extra in group.split(",")
    }
    assert named
    assert named <= extras
