"""``trader inspect`` on whatever a path may lead to: one honest line, a code, and nothing else happens."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from expectations import GOLDEN

from trader_sdk.cli import build_app, run_app

Make = Callable[[Path], object]
MIB = 1 << 20


def _zip(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")


def _hole(size: int) -> Make:
    return lambda path: path.open("wb").truncate(size)


def _text(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def _state() -> dict[str, torch.Tensor]:
    return torch.nn.Linear(3, 2).state_dict()


KINDS: dict[str, tuple[Make, str, str]] = {
    "git-lfs": (_text(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"), "E101", "git lfs pull"),
    "html": (_text(b"<!DOCTYPE html><html><title>Sign in</title>"), "E101", "an HTML or XML page"),
    "html-after-a-comment": (_text(b"<!-- served by nginx -->\n<html>"), "E101", "an HTML or XML page"),
    "html-after-blank-lines": (_text(b"\n\n <html lang=en>"), "E101", "an HTML or XML page"),
    "xml-error": (_text(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), "E101", "HTML or XML"),
    "stable-baselines3": (lambda path: _zip(path, "data", "policy.pth", "pytorch_variables.pth"), "E101", "Baselines3"),
    "torchscript": (lambda path: torch.jit.script(torch.nn.Linear(3, 2)).save(str(path)), "E101", "TorchScript"),
    "whole-module": (lambda path: torch.save(torch.nn.Linear(3, 2), path), "E101", "an instance of torch.nn"),
    "bare-state-dict": (lambda path: torch.save(_state(), path), "E101", 'torch.save({"policy_state_dict"'),
    "lightning": (lambda path: torch.save({"state_dict": _state()}, path), "E101", 'torch.save({"policy_state_dict"'),
    "numpy-array": (lambda path: np.save(path.open("wb"), np.zeros(3)), "E101", "a numpy array"),
    "numpy-archive": (lambda path: np.savez(path.open("wb"), a=np.zeros(3)), "E101", "a numpy .npz archive"),
    "bare-pickle": (_text(b"\x80\x04}\x94."), "E101", "a bare pickle"),
    "empty": (_text(b""), "E101", "the file is empty"),
    "one-byte": (_text(b"P"), "E101", "no checkpoint"),
    "zeros": (_hole(20 * MIB), "E101", "a hole left by an interrupted copy"),
    "hole-of-600-mib": (_hole(600 * MIB), "E107", "too large"),
    "directory": (lambda path: path.mkdir(), "E101", "Name the file itself"),
    "link-to-itself": (lambda path: path.symlink_to(path.name), "E101", "ELOOP"),
    "link-to-nothing": (lambda path: path.symlink_to("absent"), "E101", "ENOENT"),
    "link-to-zeros": (lambda path: path.symlink_to("/dev/zero"), "E101", "a device, pipe or socket"),
    "pipe": (os.mkfifo, "E101", "a device, pipe or socket"),
    "absent": (lambda _: None, "E101", "ENOENT"),
}  # fmt: skip


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that inspects a file: exit code, and everything that was said."""

    def run(*arguments: object) -> tuple[int, str]:
        argv = ["inspect", *map(str, arguments)]
        code = run_app(build_app(argv), argv)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_names_what_it_is_and_what_to_do(
    kind: str, tmp_path: Path, inspect: Callable[..., tuple[int, str]]
) -> None:
    """Exit 3, one line, the code, and words that help with this kind of file."""
    make, code, words = KINDS[kind]
    path = tmp_path / "file.pt"
    make(path)
    status, said = inspect(path)
    assert status == 3
    assert len(said.strip().splitlines()) == 1
    assert code in said
    assert words in said


def _fields(**fields: object) -> bytes:
    header: dict[str, object] = {"__metadata__": {"trader_sdk": json.dumps(fields)}}
    header["w"] = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(24)


def test_inspect_shows_lineage_as_a_table_of_its_own(inspect: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Where a file comes from is read line by line, not as a cut dictionary."""
    lineage = {"seed": 7, "code_revision": "ab" * 20, "stamped_from": "sha256:" + "cd" * 32, "stamped_why": "by hand"}
    (tmp_path / "m.safetensors").write_bytes(_fields(lineage=lineage))
    _, said = inspect(tmp_path / "m.safetensors")
    assert "Lineage" in said
    for name, value in lineage.items():
        assert any(name in line and str(value) in line for line in said.splitlines())


def test_inspect_says_why_a_mode_refuses(inspect: Callable[..., tuple[int, str]]) -> None:
    """The codes stand beside the word."""
    _, said = inspect(GOLDEN / "legacy" / "no-activation" / "checkpoint.pt")
    assert "refused: W310" in said


def test_inspect_of_the_optimizer_shows_types_not_addresses(
    inspect: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Tensors that were not read are shown as type and shape."""
    torch.save({"policy_state_dict": _state(), "optimizer_state_dict": {"m": torch.zeros(30, 4)}}, tmp_path / "f.pt")
    _, said = inspect(tmp_path / "f.pt")
    assert "float32 (30, 4)" in said
    assert "object at 0x" not in said


def test_inspect_cuts_long_lists_for_people_and_never_for_programs(
    inspect: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Three hundred fields: a page on the screen that says how many were left out, all of them as JSON."""
    (tmp_path / "m.safetensors").write_bytes(_fields(**{f"field{n}": n for n in range(300)}))
    _, said = inspect(tmp_path / "m.safetensors")
    assert "260 more: --json 1 shows them" in said
    assert len(said.splitlines()) < 140
    _, lines = inspect(tmp_path / "m.safetensors", "--json", 1)
    (described,) = (e for e in map(json.loads, lines.splitlines()) if e["event"] == "file_described")
    assert len(described["metadata"]) == 300


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
@pytest.mark.parametrize("flags", [(), ("--json", "1"), ("--json-file", "events.json")], ids=" ".join)
def test_inspect_survives_names_and_values_that_no_encoding_has(
    locale: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    """Bytes that are no text in a name, lone surrogates in a field, escapes in both, on a terminal of any locale."""
    named = os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff\x1b[31m.safetensors")
    Path(named).write_bytes(_fields(symbol="\ud800", label="\x1b[2J\u202e\ud83d", note="é"))
    (tmp_path / "empty\udcff.pt").touch()
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "trader_sdk.cli", "inspect", *flags, "--", named, str(tmp_path / "empty\udcff.pt")],
        cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr[-800:]
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    if flags[:1] == ("--json",):
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "file_unreadable"
    if flags[:1] == ("--json-file",):
        assert json.loads((tmp_path / "events.json").read_text("utf-8"))[-1]["event"] == "file_unreadable"
