"""A released reader: today's wheel as the release, installed without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.ci.checks import Check, Outcome, Place, Suite
from trader_sdk.ci.judge import Subject
from trader_sdk.ci.released import ReleasedReader, check_with, released_reader
from trader_sdk.contract.compatibility import Mode
from trader_sdk.contract.errors import ConfigError, StorageError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build today's wheel as a release 9.9.9."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "trader_sdk", source / "trader_sdk", ignore=shutil.ignore_patterns("__pycache__", "demo"))
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'version = "0.1.0"' in text
    (source / "pyproject.toml").write_text(text.replace('version = "0.1.0"', 'version = "9.9.9"'), "utf-8")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(source / "dist")]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="module")
def reader(wheel: Path, cache: Path) -> ReleasedReader:
    return released_reader(str(wheel), cache)


def test_released_reader_is_the_release_and_not_this_tree(reader: ReleasedReader, cache: Path) -> None:
    """Its own package in its own environment; only dependencies are borrowed."""
    code = "import trader_sdk, numpy; print(trader_sdk.__file__); print(numpy.__file__)"
    command = [str(reader.python), "-I", "-c", code]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    package, borrowed = map(Path, done.stdout.splitlines())
    assert reader.release == "9.9.9"
    assert package.resolve().is_relative_to(cache.resolve())
    assert not borrowed.resolve().is_relative_to(cache.resolve())


def test_environment_is_made_once(reader: ReleasedReader, wheel: Path, cache: Path) -> None:
    """The second run finds it and installs nothing."""
    (environment,) = (path for path in (cache / "readers").iterdir() if path.is_dir())
    made = (environment / "pyvenv.cfg").stat().st_mtime_ns
    assert released_reader(str(wheel), cache) == reader
    assert (environment / "pyvenv.cfg").stat().st_mtime_ns == made


def test_released_reader_judges_the_same_files(
    desk: Path, trader: Any, golden: Callable[[str], Path], reader: ReleasedReader, wheel: Path, cache: Path
) -> None:
    """A row for each model, named by the release; a refusal of either reader fails the run."""
    arguments = ("--reader", wheel, "--cache", cache, "--strict-version", 1, "--json-file", "r.json")
    assert trader("compat", "check", "models", *arguments) == 0
    (report,) = (e for e in json.loads((desk / "r.json").read_text()) if e["event"] == "checks_reported")
    released = [check for check in report["checks"] if check["suite"] == "reader"]
    assert [check["name"] for check in released] == [
        "models/2.4.0.pt on trader-sdk 9.9.9", "models/2.7.0.pt on trader-sdk 9.9.9",
    ]  # fmt: skip
    assert trader("compat", "check", golden("legacy/no-activation"), *arguments) == 4
    (report,) = (e for e in json.loads((desk / "r.json").read_text()) if e["event"] == "checks_reported")
    assert [(check["suite"], check["code"]) for check in report["checks"]] == [("model", "W310"), ("reader", "W310")]


def test_reader_that_reads_another_version_is_a_failure(desk: Path, reader: ReleasedReader) -> None:
    """A changed contract that gives an old file a new meaning is seen, though both readers accept it."""
    path = desk / "models" / "2.7.0.pt"
    subject = Subject("a", Place("a"), path)
    own = Check(Suite.MODEL, "a", Place("a"), Outcome.PASSED, model_version="2.8.0")
    (check,) = check_with(reader, [(subject, own)], Mode.WARN)
    assert check.outcome is Outcome.FAILED
    assert check.error is not None
    assert (check.error.code, check.error.found) == ("E301", "2.8.0")


def test_models_that_could_not_be_had_are_left_out(reader: ReleasedReader) -> None:
    """There is nothing to hand to the released reader."""
    absent = Check(Suite.MODEL, "a", Place("a"), Outcome.FAILED)
    assert check_with(reader, [(Subject("a", Place("a")), absent)], Mode.WARN) == []


@pytest.mark.parametrize("wanted", ["latest", "../0.1.0", "trader-sdk @ file:///x", "", "absent.whl", "--help"])
def test_reader_that_is_no_release_is_refused(desk: Path, trader: Any, tmp_path: Path, wanted: str) -> None:
    """A version or a wheel, nothing that pip could read as something else."""
    assert trader("compat", "check", "models", f"--reader={wanted}", "--cache", tmp_path / "held") == 2
    assert not list(tmp_path.glob("held/readers/*/pyvenv.cfg"))


@pytest.mark.parametrize("content", [None, b"no zip", b""], ids=["another", "no-zip", "empty"])
def test_wheel_of_something_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """No environment is made for a wheel that is none of ours, or no wheel at all."""
    wheel = tmp_path / "trader_sdk-0.1.0-py3-none-any.whl"
    if content is None:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other.py", "")
    else:
        wheel.write_bytes(content)
    with pytest.raises(ConfigError, match="the wheel"):
        released_reader(str(wheel), tmp_path / "held")
    assert not (tmp_path / "held").exists()


def test_wheel_that_does_not_install_leaves_no_ready_environment(tmp_path: Path) -> None:
    """The next run starts over instead of trusting a half-made environment."""
    wheel = tmp_path / "trader_sdk-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("trader_sdk/__init__.py", "")
    with pytest.raises(ConfigError, match="a step failed"):
        released_reader(str(wheel), tmp_path / "held")
    assert not list(tmp_path.glob("held/readers/*/ready"))


def test_reader_cache_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """Exit 8, and nothing was judged."""
    (tmp_path / "held").write_text("")
    with pytest.raises(StorageError):
        released_reader("0.1.0", tmp_path / "held")


def test_answer_that_is_none_is_refused(desk: Path, tmp_path: Path) -> None:
    """A release that crashes or says nothing about a file proves nothing."""
    silent = tmp_path / "python"
    silent.write_text('#!/bin/sh\necho \'{"event": "other"}\'\n')
    silent.chmod(0o755)
    subject = Subject("a", Place("a"), desk / "models" / "2.7.0.pt")
    own = Check(Suite.MODEL, "a", Place("a"), Outcome.PASSED)
    with pytest.raises(ConfigError, match="gave no answer"):
        check_with(ReleasedReader(silent, "0.0.1"), [(subject, own)], Mode.WARN)
    silent.write_text("#!/bin/sh\necho '{nonsense'\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        check_with(ReleasedReader(silent, "0.0.1"), [(subject, own)], Mode.WARN)
    silent.write_text("#!/bin/sh\nexit 70\n")
    with pytest.raises(ConfigError, match="a step failed"):
        check_with(ReleasedReader(silent, "0.0.1"), [(subject, own)], Mode.WARN)
