"""The guide names every flag, every policy key and every command, and its example policy loads."""

from __future__ import annotations

import re
from pathlib import Path

from trader_sdk.archive.gate import FlagName
from trader_sdk.archive.policy import HOUSE_POLICY, load_gate_policy
from trader_sdk.cli.archive import app

GUIDE = Path(__file__).parents[2] / "docs" / "guide"


def test_guide_names_every_flag_and_command() -> None:
    """What can be printed or typed is explained."""
    text = (GUIDE / "archive.md").read_text("utf-8")
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {flag.value for flag in FlagName if flag.value not in text} == set()
    assert {name for name in commands if f"trader archive {name}" not in text} == set()


def test_guide_names_every_key_of_a_policy() -> None:
    """A desk finds each bar it can set."""
    text = (GUIDE / "gate-policy.md").read_text("utf-8")
    assert {name for name in HOUSE_POLICY.values if f"`{name}`" not in text} == set()


def test_guides_example_policy_loads(tmp_path: Path) -> None:
    """Copied and pasted, it works."""
    blocks = re.findall(r"```toml\n(.*?)```", (GUIDE / "gate-policy.md").read_text("utf-8"), re.DOTALL)
    path = tmp_path / "gate.toml"
    path.write_text(blocks[0])
    assert load_gate_policy(path).label == "desk-2026"
