"""A released reader in an environment of its own, so that a change of the contract cannot judge itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from packaging.version import InvalidVersion, Version

from trader_sdk.ci.checks import Check, Outcome, Suite
from trader_sdk.ci.judge import Subject
from trader_sdk.contract.compatibility import Mode
from trader_sdk.contract.errors import (
    ERROR_TABLE,
    ConfigError,
    ContractError,
    Finding,
    SdkError,
    StorageError,
    error_for,
)

_INSTALL_SECONDS: Final = 300
_READ_SECONDS: Final = 60
_SECONDS_A_FILE: Final = 10
_BATCH: Final = 100
_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class ReleasedReader:
    """An installed release.

    Attributes:
        python: Its interpreter.
        release: Version of its distribution.
    """

    python: Path
    release: str


def released_reader(wanted: str, cache: Path) -> ReleasedReader:
    """Return a released reader, installed in the cache when it is asked for the first time.

    A version is installed with its own dependencies from the package index that pip is configured for. A wheel is
    installed alone, with the dependencies of the running environment: nothing is downloaded.

    Args:
        wanted: ``X.Y.Z``, or the path of a ``.whl``.
        cache: Folder for environments.

    Raises:
        ConfigError: Neither a version nor a wheel, or it cannot be installed.
        StorageError: The cache cannot be written, or another process holds it for too long.
    """
    wheel = Path(wanted) if wanted.endswith(".whl") else None
    key = _wheel_digest(wheel) if wheel else _version(wanted)
    home = cache / "readers" / f"{key}-py{sys.version_info.major}.{sys.version_info.minor}"
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{home}.lock", timeout=_INSTALL_SECONDS):
            if not (home / _READY).is_file():
                _install(home, wheel, wanted)
            return ReleasedReader(_python(home), (home / _READY).read_text("utf-8").strip())
    except (OSError, Timeout) as error:
        raise StorageError(
            "STORAGE",
            "the released reader's environment cannot be made",
            where=str(home),
            found=str(error)[:160],
            remedy="Name another folder with --cache.",
        ) from error


def _wheel_digest(wheel: Path) -> str:
    try:
        with wheel.open("rb") as file, zipfile.ZipFile(file) as content:
            ours = "trader_sdk/__init__.py" in content.namelist()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _refused("the wheel cannot be read", str(wheel), str(error)[:160]) from error
    if not ours:
        raise _refused("the wheel is none of trader-sdk", str(wheel), "no trader_sdk in it")
    return digest[:32]


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion as error:
        raise _refused("neither a version nor a wheel", f"{text:.80}", None) from error


def _refused(message: str, where: str, found: object) -> ConfigError:
    remedy = "Name a released version of trader-sdk, or the path of its wheel."
    return ConfigError("CONFIG", message, where=f"--reader {where}", found=found, remedy=remedy)


def _python(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(home: Path, wheel: Path | None, wanted: str) -> None:
    # A half-made environment has no marker; it is thrown away, never repaired.
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], wanted)
    pip = [str(_python(home)), "-I", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
    if wheel:
        _run([*pip, "--no-deps", "--no-index", str(wheel.resolve())], wanted)
        _borrow_dependencies(home)
    else:
        _run([*pip, f"trader-sdk=={_version(wanted)}"], wanted)
    (home / _READY).write_text(_own_release(home, wanted), "utf-8")


def _borrow_dependencies(home: Path) -> None:
    # Plain folders come after the environment's own, so the released trader_sdk is found first.
    inside = json.loads(_run([str(_python(home)), "-I", "-c", _PATHS], "paths"))
    ours = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    Path(inside).joinpath("borrowed-dependencies.pth").write_text("\n".join([*ours, ""]), "utf-8")


_PATHS: Final = "import json, sysconfig; print(json.dumps(sysconfig.get_path('purelib')))"
_RELEASE: Final = (
    "import json, trader_sdk; from importlib.metadata import version; "
    "print(json.dumps([trader_sdk.__file__, version('trader-sdk')]))"
)


def _own_release(home: Path, wanted: str) -> str:
    file, release = json.loads(_run([str(_python(home)), "-I", "-c", _RELEASE], wanted))
    if not Path(file).resolve().is_relative_to(home.resolve()):
        raise _refused("the environment would run another trader_sdk than the released one", wanted, file)
    return str(release)


def _run(command: Sequence[str], wanted: str, *, seconds: float = _INSTALL_SECONDS, ok: tuple[int, ...] = (0,)) -> str:
    environment = {**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUTF8": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our interpreter, and arguments that are a version or a path
            command,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(f"no result after {seconds:g} seconds", wanted, " ".join(command[1:4])) from error
    if done.returncode not in ok:
        raise _refused("a step failed", wanted, f"{' '.join(command[1:5])}: {done.stderr.strip()[-400:]}")
    return done.stdout


def check_with(reader: ReleasedReader, judged: Iterable[tuple[Subject, Check]], mode: Mode) -> list[Check]:
    """Let a released reader judge the same files; one that reads another version than this one is a failure too.

    Args:
        reader: The release.
        judged: Models, each with this reader's own check; those without a local file are left out.
        mode: Warn or strict.

    Raises:
        ConfigError: The released reader crashed or gave no answer.
    """
    here = [(subject, check) for subject, check in judged if subject.path is not None]
    files = list(dict.fromkeys(str(subject.path) for subject, _ in here))
    answers: dict[str, dict[str, Any]] = {}
    for start in range(0, len(files), _BATCH):
        answers |= _answers(reader, files[start : start + _BATCH], mode)
    return [_compared(reader, subject, check, _answer_for(answers, subject, reader)) for subject, check in here]


def _answers(reader: ReleasedReader, files: Sequence[str], mode: Mode) -> dict[str, dict[str, Any]]:
    strict = str(int(mode is Mode.STRICT))
    options = ["--strict-version", strict, "--json", "1"]
    seconds = _READ_SECONDS + _SECONDS_A_FILE * len(files)
    command = [str(reader.python), "-I", "-m", "trader_sdk.cli", "compat", "check", *options, "--", *files]
    said = _run(command, reader.release, seconds=seconds, ok=tuple(range(10)))
    try:
        events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    except ValueError as error:
        raise _refused("the released reader's answer cannot be read", reader.release, str(error)) from error
    return {event["path"]: event for event in events if event.get("event") == "checkpoint_checked"}


def _answer_for(answers: dict[str, dict[str, Any]], subject: Subject, reader: ReleasedReader) -> dict[str, Any]:
    answer = answers.get(str(subject.path))
    if answer is None:
        raise _refused("the released reader gave no answer", reader.release, subject.shown)
    return answer


def _compared(reader: ReleasedReader, subject: Subject, own: Check, answer: dict[str, Any]) -> Check:
    findings = tuple(map(_finding, answer["findings"]))
    error = _error(answer["error"], findings, subject) if answer["error"] else _disagreement(own, answer)
    return Check(
        Suite.READER,
        subject.shown,
        subject.place,
        Outcome.FAILED if error else Outcome.PASSED,
        against=f"trader-sdk {reader.release}",
        model_version=answer.get("model_version"),
        sha256=answer.get("sha256"),
        error=error,
        findings=findings,
    )


def _finding(said: dict[str, Any]) -> Finding:
    code = said["code"] if said["code"] in ERROR_TABLE else "E101"
    return Finding(code, said["where"], said["expected"], said["actual"], said["remedy"])


def _error(said: dict[str, Any], findings: tuple[Finding, ...], subject: Subject) -> SdkError:
    code = said["code"] if said["code"] in ERROR_TABLE else "E101"
    where = str(said["where"]).replace(str(subject.path), subject.shown)
    named = tuple(map(_finding, said["findings"])) or findings
    return error_for(
        code,
        f"the released reader refuses: {said['message']}",
        where=where,
        expected=said["expected"],
        found=said["found"],
        remedy=said["remedy"],
        findings=named,
    )


def _disagreement(own: Check, answer: dict[str, Any]) -> SdkError | None:
    if own.model_version in (None, answer["model_version"]):
        return None
    return ContractError(
        "E301",
        "the released reader reads another model version",
        where="model_version",
        expected=f"{answer['model_version']} as released",
        found=own.model_version,
        remedy="A file that was released keeps its meaning: correct this reader.",
    )
