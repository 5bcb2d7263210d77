"""The terminals of the docs are what the commands show today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_recorded_terminals_of_the_docs_are_what_a_terminal_shows() -> None:
    """`python scripts/record_terminal.py` would change nothing, and no line of a run is wider than the terminal."""
    spec = importlib.util.spec_from_file_location("record_terminal", ROOT / "scripts" / "record_terminal.py")
    assert spec is not None
    assert spec.loader is not None
    recorder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recorder)
    recordings = recorder.record()
    text = recorder.PAGE.read_text("utf-8")
    assert recorder.page(text, recordings) == text
    assert "bit for bit" in recordings["replay"]
