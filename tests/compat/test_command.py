"""``trader inspect`` and ``trader compat``: what they say and how they exit."""

import json
from pathlib import Path
from typing import Any

import pytest
from expectations import GOLDEN
from opcodes import checkpoint, container, tensor, text

from trader_sdk.cli import build_app, run_app


def _trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


def _events(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text("utf-8"))


def _file(name: str) -> Path:
    return GOLDEN / name / "checkpoint.pt"


def test_inspect_describes_a_checkpoint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Version, how it was found, tensors, metadata and findings, to a person and to a program."""
    assert _trader("inspect", _file("2.7.0"), "--json-file", tmp_path / "o.json") == 0
    shown = capsys.readouterr().out
    for expected in ("2.7.0", "explicit", "trunk.0.weight", "float32 (8, 5900)", "W305", "tanh"):
        assert expected in shown
    (described,) = (event for event in _events(tmp_path / "o.json") if event["event"] == "file_described")
    assert (described["model_version"], described["strict"]) == ("2.7.0", "loads")


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["2.7.0", "2.3.0"], 0),
        (["2.7.0", "legacy/no-metadata-1000-3"], 4),
        (["legacy/weights-nan", "legacy/no-metadata-1000-3"], 3),
    ],
)
def test_inspect_exits_with_the_lowest_code_of_its_files(names: list[str], code: int) -> None:
    """Several files, one exit code."""
    assert _trader("inspect", *map(_file, names), "--json", 1) == code


def test_inspect_says_what_any_file_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Look-alikes, folders and missing files are named, all in one run."""
    (tmp_path / "a.pt").write_text("<!doctype html>")
    (tmp_path / "b.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert _trader("inspect", tmp_path / "a.pt", tmp_path / "b.pt", tmp_path, tmp_path / "absent") == 3
    shown = capsys.readouterr().out
    for expected in ("HTML", "git-lfs", "directory", "ENOENT"):
        assert expected in shown


def test_inspect_cannot_be_made_to_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences in names and values are shown, not sent."""
    escape = "\x1b]0;owned\x07"
    config = b"}" + text(escape) + text(escape) + b"s"
    policy = b"}" + text(f"w{escape}.weight") + tensor() + b"s"
    pickle = checkpoint(config=config, more=text(escape) + text(escape)).replace(
        b"}(" + text("w.weight") + tensor() + b"u", policy
    )
    (tmp_path / "f.pt").write_bytes(container(pickle))
    _trader("inspect", tmp_path / "f.pt")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "owned" in shown


@pytest.mark.parametrize(
    ("names", "strict", "code"),
    [
        (["2.3.0", "2.7.0"], 1, 0),
        (["legacy/no-activation"], 0, 0),
        (["legacy/no-activation"], 1, 4),
        (["legacy/weights-nan", "legacy/no-activation"], 1, 3),
        (["legacy/swapped-actions"], 0, 4),
    ],
)
def test_check_exits_by_mode(names: list[str], strict: int, code: int, tmp_path: Path) -> None:
    """Warn and strict differ by POLICY findings only; the file holds every check."""
    assert (
        _trader("compat", "check", *map(_file, names), "--strict-version", strict, "--json-file", tmp_path / "o.json")
        == code
    )
    events = _events(tmp_path / "o.json")
    checked = [event for event in events if event["event"] == "checkpoint_checked"]
    assert [event["path"] for event in checked] == [str(_file(name)) for name in names]
    finished = events[-1]
    assert (finished["event"], finished["exit_code"], finished["checked"]) == ("compat_finished", code, len(names))


def test_check_walks_folders(capsys: pytest.CaptureFixture[str]) -> None:
    """A folder stands for the checkpoints in it."""
    assert _trader("compat", "check", GOLDEN / "2.7.0", GOLDEN / "2.3.0", "--json", 1) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["model_version"] for event in events if event["event"] == "checkpoint_checked"] == ["2.7.0", "2.3.0"]


def test_check_is_red_when_nothing_was_checked(tmp_path: Path) -> None:
    """An empty folder proves nothing: exit 3."""
    assert _trader("compat", "check", tmp_path) == 3


def test_check_honours_pins_and_trader(tmp_path: Path) -> None:
    """A pin settles what the file leaves open; an older trader is refused."""
    ambiguous = _file("legacy/no-metadata-5600-3-ambiguous")
    digest = json.loads((ambiguous.parent / "expect.json").read_text())["sha256"]
    pins = tmp_path / "pins.toml"
    pins.write_text(f'[[pin]]\nsha256 = "{digest}"\nversion = "2.6.0"\nwho = "a"\nwhy = "b"\n')
    assert _trader("compat", "check", ambiguous, "--strict-version", 1) == 4
    assert _trader("compat", "check", ambiguous, "--strict-version", 1, "--pins", pins) == 0
    assert _trader("compat", "check", _file("2.7.0"), "--strict-version", 1, "--trader-version", "2.6.0") == 4


def test_matrix_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Every model version, trader and action of the registry."""
    assert _trader("compat", "matrix", "--json", 1) == 0
    tables = {event["event"]: event["rows"] for event in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [row["model"] for row in tables["models"]] == ["2.3.0", "2.4.0", "2.5.0", "2.6.0", "2.7.0"]
    assert [row["trader"] for row in tables["traders"]] == ["2.3.0", "2.4.0", "2.7.0"]
    assert len(tables["actions"]) == 10
