"""``trader archive add`` and ``assess``: what is put in, and what the gate would say before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.cli import build_app, run_app

Archive = Callable[..., Any]
Samples = Any


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    # The fixtures archive by the library, whose log goes to standard output unless a command says otherwise.
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


@pytest.fixture
def run_folder(samples: Samples, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a finished run's folder."""

    def write(seed: int = 0, **changes: Any) -> Path:
        folder = tmp_path / "runs" / str(seed)
        samples.write_checkpoint(folder / "final.safetensors", seed)
        summary = samples.summary_of(samples.model_summary("final.safetensors", **changes))
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return write


def test_add_archives_a_folder_or_its_summary_once(
    run_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder, a file; the same summary again is refused, and a trial more when it is meant."""
    archive = tmp_path / "archive"
    assert trader("archive", "add", run_folder(0), "--archive", archive) == 0
    assert [event["event"] for event in events(capsys)] == ["verdict_shown", "run_archived"]
    assert trader("archive", "add", run_folder(1) / "summary.json", "--archive", archive) == 0
    assert len(ArchiveReader(archive).state.runs) == 2
    assert trader("archive", "add", run_folder(0), "--archive", archive) == 2
    assert "archived already" in capsys.readouterr().err
    assert trader("archive", "add", run_folder(0), "--archive", archive, "--again", 1) == 0
    assert events(capsys)[0]["verdict"]["n_trials"] == 3


def test_add_and_assess_exit_by_the_class_that_is_required(
    run_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """5 below it, 0 at it; a run is archived whatever its result; a class that there is not changes nothing."""
    archive, review = tmp_path / "archive", run_folder(0, gate=None)
    for require, code in (("APPROVED", 5), ("review", 0)):
        assert trader("archive", "assess", review, "--archive", archive, "--require", require) == code
    assert not archive.exists()
    assert trader("archive", "add", review, "--archive", archive, "--require", "GOOD") == 2
    assert not archive.exists()
    assert trader("archive", "add", review, "--archive", archive, "--require", "APPROVED") == 5
    assert len(ArchiveReader(archive).state.runs) == 1
    capsys.readouterr()
    assert trader("archive", "add", tmp_path / "nowhere", "--archive", archive) == 5
    assert "summary cannot be read" in capsys.readouterr().err


def test_assess_says_what_add_would_write(
    run_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same verdict but for its time, the earlier runs of the archive counted, a desk's policy in force."""
    archive, folder, page = tmp_path / "archive", run_folder(0), tmp_path / "page.html"
    trader("archive", "add", run_folder(1), "--archive", archive)
    capsys.readouterr()
    assert trader("archive", "assess", folder, "--archive", archive, "--html", page) == 0
    said = events(capsys)[0]["verdict"]
    assert "It passed" in page.read_text()
    assert trader("archive", "add", folder, "--archive", archive) == 0
    written = events(capsys)[0]["verdict"]
    assert said["n_trials"] == written["n_trials"] == 2
    # Stored artefacts, the moment, and the id that is made of it are the archive's own.
    own = ("subjects", "at", "id", "version_id")
    assert {k: v for k, v in said.items() if k not in own} == {k: v for k, v in written.items() if k not in own}
    gate = tmp_path / "gate.toml"
    gate.write_text('name = "desk"\napproved_min_pf = 9.0\n')
    assert trader("archive", "assess", folder, "--archive", archive, "--gate-policy", gate) == 0
    (event,) = events(capsys)
    assert (event["policy"], event["verdict"]["class"]) == ("desk", "REVIEW")


def test_assess_tells_of_a_refused_checkpoint(
    run_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DROP with the reason, before anything is archived."""
    folder = run_folder(0)
    (folder / "final.safetensors").write_bytes(b"<html>not found</html>")
    assert trader("archive", "assess", folder, "--archive", tmp_path / "a", "--json", 0) == 0
    out = capsys.readouterr().out
    assert "CHECKPOINT_REFUSED" in out
    assert "E101" in out
