"""The page of refused files shows what a person sees: each of its commands, run again, says what is written there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from expectations import GOLDEN
from opcodes import checkpoint, container, text

from trader_sdk.cli import build_app, run_app

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "refused-files.md"
EXITS = {"aapl.pt": [3], "msft.pt": [3], "gift.pt": [3], "ibm.pt": [4], "old.pt": [0, 4]}


def blocks() -> dict[str, str]:
    """Return the page's console blocks by the file that they are about."""
    found = re.findall(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return {next(word for word in shlex.split(block.splitlines()[0]) if word.endswith(".pt")): block for block in found}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the five files of the page, and be in it."""
    (tmp_path / "aapl.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 27000000\n")
    damaged = bytearray((GOLDEN / "2.7.0" / "checkpoint.pt").read_bytes())
    damaged[30_000] ^= 1
    (tmp_path / "msft.pt").write_bytes(damaged)
    call = b"cos\nsystem\n(" + text("touch owned") + b"tR"
    (tmp_path / "gift.pt").write_bytes(container(checkpoint(config=call)))
    for name, golden in (("ibm", "swapped-actions"), ("old", "no-metadata-5600-3-ambiguous")):
        shutil.copy(GOLDEN / "legacy" / golden / "checkpoint.pt", tmp_path / f"{name}.pt")
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def session(block: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[int]]:
    """Run a block's commands; return the block as it would be written now, and the exit codes."""
    said, codes = "", []
    for command in [line for line in block.splitlines() if line.startswith("$ ")]:
        argv = shlex.split(command.removeprefix("$ trader "))
        codes.append(run_app(build_app(argv), argv))
        captured = capsys.readouterr()
        lines = [line.rstrip() for line in (captured.out + captured.err).splitlines()]
        said += "\n".join([command, *lines]) + "\n"
    return said, codes


@pytest.mark.parametrize("file", EXITS)
def test_page_shows_what_the_command_says(file: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word, with the exit codes that the page tells, and nothing of the file was run."""
    block = blocks()[file]
    said, codes = session(block, capsys)
    assert said == block
    assert codes == EXITS[file]
    assert not (folder / "owned").exists()


def test_page_has_no_block_beside_these() -> None:
    """Five faults, each with its files above."""
    assert set(blocks()) == set(EXITS)
