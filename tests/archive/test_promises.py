"""The archive's promises: whatever call fails and whenever the power goes, nothing committed is lost or half there."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import Kind, verify
from trader_sdk.contract.errors import SdkError

WRITING_CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "truncate", "ftruncate", "close")
"""The calls of ``os`` that a writer changes the disk with."""

DERIVED = ("index", ".lock")
"""What names begin or end with that no promise is about: it is made again."""


@dataclass
class File:
    """Bytes as the system shows them, and those that a sync has made durable; None before the first."""

    data: bytes = b""
    synced: bytes = b""


@dataclass
class Folder:
    """Names as the system shows them, and those that a sync has made durable."""

    entries: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One call: its name, the path below the archive, and bytes, a second path or a length."""

    name: str
    path: tuple[str, ...]
    argument: Any = None


@dataclass(frozen=True)
class Loss:
    """What a crash takes: names that were not synced, and bytes of files that were not."""

    name: str
    keeps_names: bool
    keeps: Callable[[File], bytes]


LOSSES = (
    Loss("nothing: the process was killed", True, lambda file: file.data),
    Loss("all that was not synced", False, lambda file: file.synced),
    Loss("bytes that were not synced, names stay", True, lambda file: file.synced),
    Loss("names that were not synced, bytes stay", False, lambda file: file.data),
    Loss("half of the bytes that were not synced", True, lambda file: _torn(file)),
)


def _torn(file: File) -> bytes:
    if not file.data.startswith(file.synced):
        return file.data
    return file.synced + file.data[len(file.synced) : (len(file.synced) + len(file.data)) // 2]


class Recorder:
    """Stands before the calls of ``os`` and records those that change what lies below a folder.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations: list[Operation] = []
        self._paths: dict[int, tuple[str, ...]] = {}
        self._real = {name: getattr(os, name) for name in WRITING_CALLS}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the calls."""
        patch.setattr(os, "open", self._open)
        patch.setattr(os, "write", self._write)
        for name, recorded_as in (("fsync", "fsync"), ("ftruncate", "truncate"), ("close", "close")):
            patch.setattr(os, name, partial(self._on_descriptor, name, recorded_as))
        for name in ("rename", "replace", "mkdir", "truncate"):
            patch.setattr(os, name, partial(self._on_path, name))

    def _below(self, path: Any) -> tuple[str, ...] | None:
        if isinstance(path, int) or not Path(path).is_relative_to(self.root):
            return None
        return Path(path).relative_to(self.root).parts

    def _open(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        descriptor: int = self._real["open"](path, flags, *rest, **more)
        below = self._below(path)
        if below is not None:
            self._paths[descriptor] = below
            if flags & os.O_CREAT:
                self.operations.append(Operation("create", below))
        return descriptor

    def _write(self, descriptor: int, data: Any) -> int:
        count: int = self._real["write"](descriptor, data)
        if descriptor in self._paths:
            self.operations.append(Operation("write", self._paths[descriptor], bytes(data[:count])))
        return count

    def _on_descriptor(self, name: str, recorded_as: str, descriptor: int, *rest: Any) -> Any:
        if name == "fsync" and descriptor not in self._paths:
            self._adopt(descriptor)
        result = self._real[name](descriptor, *rest)
        if descriptor in self._paths:
            self.operations.append(Operation(recorded_as, self._paths[descriptor], *rest))
        if name == "close":
            self._paths.pop(descriptor, None)
        return result

    def _adopt(self, descriptor: int) -> None:
        # Opened by Python itself and not through os.open: what it wrote is known when it is synced.
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        below = self._below(path)
        if below is not None:
            self._paths[descriptor] = below
            self.operations += [Operation("create", below), Operation("write", below, path.read_bytes())]

    def _on_path(self, name: str, path: Any, *rest: Any, **more: Any) -> Any:
        result = self._real[name](path, *rest, **more)
        below = self._below(path)
        if below is not None:
            second = self._below(rest[0]) if name in ("rename", "replace") else (rest[0] if rest else None)
            self.operations.append(Operation(name, below, second))
        return result


@contextmanager
def recorded(root: Path) -> Iterator[list[Operation]]:
    """Record the calls that change what lies below ``root`` while the block runs."""
    recorder = Recorder(root)
    with pytest.MonkeyPatch.context() as patch:
        recorder.install(patch)
        yield recorder.operations


class Disk:
    """The archive's folder as a tree of what is shown and what is durable.

    Args:
        root: Read as it lies; all of it counts as durable.
    """

    def __init__(self, root: Path) -> None:
        self._root = _read(root)

    def apply(self, operation: Operation) -> None:
        """Do one recorded call."""
        *parents, name = operation.path or ("",)
        if operation.name == "close" or name.startswith(DERIVED) or name.endswith(DERIVED):
            return
        parent = self._at(tuple(parents))
        assert isinstance(parent, Folder)
        match operation.name:
            case "create":
                parent.entries.setdefault(name, File())
            case "mkdir":
                parent.entries.setdefault(name, Folder())
            case "rename" | "replace":
                target = self._at(operation.argument[:-1])
                assert isinstance(target, Folder)
                target.entries[operation.argument[-1]] = parent.entries.pop(name)
            case "write":
                _file(self._at(operation.path)).data += operation.argument
            case "truncate":
                file = _file(self._at(operation.path))
                file.data = file.data[: operation.argument]
            case "fsync":
                found = self._at(operation.path)
                if isinstance(found, File):
                    found.synced = found.data
                else:
                    found.synced = dict(found.entries)

    def write(self, folder: Path, loss: Loss) -> None:
        """Write what is left after a crash into ``folder``."""
        _write(self._root, folder, loss)

    def _at(self, path: tuple[str, ...]) -> File | Folder:
        found: File | Folder = self._root
        for part in path:
            assert isinstance(found, Folder)
            found = found.entries[part]
        return found


def _file(found: File | Folder) -> File:
    assert isinstance(found, File)
    return found


def _read(folder: Path) -> Folder:
    entries: dict[str, File | Folder] = {}
    for path in folder.iterdir():
        if path.name.startswith(DERIVED) or path.name.endswith(DERIVED):
            continue
        entries[path.name] = _read(path) if path.is_dir() else File(path.read_bytes(), path.read_bytes())
    return Folder(entries, dict(entries))


def _write(folder: Folder, where: Path, loss: Loss) -> None:
    where.mkdir(parents=True)
    for name, found in (folder.entries if loss.keeps_names else folder.synced).items():
        if isinstance(found, Folder):
            _write(found, where / name, loss)
        else:
            (where / name).write_bytes(loss.keeps(found))


MAY_REMAIN = {Kind.ORPHAN, Kind.LEFTOVER, Kind.TORN_LINE, Kind.INDEX_LAGS}


@pytest.fixture
def summary(samples: Any, tmp_path: Path) -> dict[str, Any]:
    """Return a run that can be archived again and again."""
    return samples.summary_of(samples.model_summary(samples.write_checkpoint(tmp_path / "c.safetensors")))


@pytest.fixture
def base(samples: Any, summary: dict[str, Any], tmp_path: Path) -> Path:
    """Return an archive of one run."""
    root = tmp_path / "base"
    TrainingArchiveManager(root).archive_training_run(summary)
    return root


def runs_of(root: Path) -> set[str]:
    """Return the committed runs, after every byte of the archive was checked."""
    found = verify(root)
    assert found.faults == ()
    assert {remark.kind for remark in found.remarks} <= MAY_REMAIN
    return set(ArchiveReader(root).state.runs)


def assert_goes_on(root: Path, summary: dict[str, Any]) -> None:
    """The next writer succeeds, loses nothing, and clears what an unfinished one left."""
    before = runs_of(root)
    run = TrainingArchiveManager(root).archive_training_run(summary)
    assert runs_of(root) == before | {run.timestamp}
    assert not [remark for remark in verify(root).remarks if remark.kind is Kind.TORN_LINE]


def failing(real: Callable[..., Any], calls: list[int], at: int, error: BaseException) -> Callable[..., Any]:
    """Return ``real``, which raises at the ``at``-th of all counted calls."""

    def call(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise error
        return real(*arguments, **named)

    return call


def archive_with_a_failure(root: Path, summary: dict[str, Any], at: int, error: BaseException) -> tuple[int, Any]:
    """Archive a run whose ``at``-th call fails; return how many calls there were, and the run or what was raised."""
    calls = [0]
    manager = TrainingArchiveManager(root)
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITING_CALLS:
            patch.setattr(os, name, failing(getattr(os, name), calls, at, error))
        try:
            result: Any = manager.archive_training_run(summary)
        except (SdkError, KeyboardInterrupt) as raised:
            result = raised
    return calls[0], result


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error"), OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()],
    ids=["EIO", "ENOSPC", "Ctrl-C"],
)
def test_whichever_call_fails_the_archive_is_as_before_or_holds_the_run(
    error: BaseException, base: Path, summary: dict[str, Any], tmp_path: Path
) -> None:
    """The first, second, ... last call fails: an error means not committed, a result means committed; never half."""
    before, at, outcomes = runs_of(base), 0, set()
    while True:
        at += 1
        root = tmp_path / f"archive{at}"
        shutil.copytree(base, root)
        calls, result = archive_with_a_failure(root, summary, at, error)
        if calls < at:
            break
        after = runs_of(root)
        if isinstance(result, SdkError):
            assert after == before, f"call {at}: {result}"
        elif isinstance(result, KeyboardInterrupt):
            assert before <= after, f"call {at}"
        else:
            assert after == before | {result.timestamp}, f"call {at}"
        outcomes.add(type(result).__name__)
        if at % 7 == 0:
            assert_goes_on(root, summary)
        shutil.rmtree(root)
    assert at > 30
    assert len(outcomes) > 1 or isinstance(error, KeyboardInterrupt)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_whenever_the_power_goes_what_was_committed_is_there(
    loss: Loss, base: Path, summary: dict[str, Any], tmp_path: Path
) -> None:
    """After each call of a writer, what is left on the disk is an archive: with the run, or as before."""
    before = runs_of(base)
    disk = Disk(base)
    with recorded(base) as operations:
        committed = TrainingArchiveManager(base).archive_training_run(summary).timestamp
    seen = set()
    for number, operation in enumerate(operations):
        disk.apply(operation)
        left = tmp_path / f"left{number}"
        disk.write(left, loss)
        after = runs_of(left)
        assert after in (before, before | {committed}), (number, operation)
        seen.add(committed in after)
        if number % 9 == 0:
            assert_goes_on(left, summary)
        shutil.rmtree(left)
    assert seen == {False, True}
    final = tmp_path / "final"
    disk.write(final, loss)
    assert runs_of(final) == before | {committed}, "a run that was archived did not survive"


def test_the_model_of_a_disk_sees_a_writer_that_forgets_a_sync(
    base: Path, summary: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer whose syncs do nothing loses its run or its bytes: the enumeration above can fail."""
    disk = Disk(base)
    with recorded(base) as operations:
        committed = TrainingArchiveManager(base).archive_training_run(summary).timestamp
    for operation in operations:
        if operation.name != "fsync":
            disk.apply(operation)
    left = tmp_path / "left"
    disk.write(left, next(loss for loss in LOSSES if loss.name.startswith("all")))
    assert committed not in runs_of(left)


FULL = """
import sys
from pathlib import Path
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.contract.errors import SdkError
root, summary = sys.argv[1:]
for number in range(100):
    try:
        print(TrainingArchiveManager(root).archive_training_run(Path(summary)).timestamp, flush=True)
    except SdkError as error:
        print(type(error).__name__, error.exit_code, flush=True)
        break
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0,
    reason="only Linux with user namespaces lets a test mount a disk; ENOSPC at each call is played everywhere",
)
def test_full_disk_refuses_the_run_and_keeps_the_others(samples: Any, summary: dict[str, Any], tmp_path: Path) -> None:
    """A real file system of 2 MiB fills up: a typed refusal, and every run that returned is whole."""
    import json

    document, disk, kept = tmp_path / "summary.json", tmp_path / "disk", tmp_path / "kept"
    document.write_text(json.dumps(summary))
    disk.mkdir()
    script = 'mount -t tmpfs -o size=2m tmpfs "$1" && "$2" -c "$3" "$1/archive" "$4" > "$5"; cp -r "$1/archive" "$6"'
    report = tmp_path / "report"
    command = [
        "unshare",
        "-rm",
        "sh",
        "-ec",
        script,
        "sh",
        *map(str, (disk, sys.executable, FULL, document, report, kept)),
    ]
    subprocess.run(command, check=True, timeout=120)
    *archived, refusal = report.read_text().splitlines()
    assert refusal == "StorageError 8"
    assert len(archived) >= 2
    assert runs_of(kept) == set(archived)
