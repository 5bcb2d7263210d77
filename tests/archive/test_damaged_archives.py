"""Writes that end in the middle and files that change afterwards: nothing is half there, and damage is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.store import audit as audit_module
from trader_sdk.archive.store.lock import writer_lock
from trader_sdk.archive.verify import Kind, rebuild_index, verify
from trader_sdk.contract.errors import ArchiveError, StorageError

Archive = Callable[..., Any]
Samples = Any
"""The builders of conftest.py, which cannot be imported from here."""


def test_archive_is_as_before_when_the_audit_line_fails(
    archived: Archive, manager: TrainingArchiveManager, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit point failed, so the renamed folder goes too."""
    archived()
    before = samples.files_of(manager.root)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_module, "_append_durably", refuse)
    with pytest.raises(StorageError, match="No space left"):
        archived(1)
    monkeypatch.undo()
    assert samples.files_of(manager.root) == before
    assert verify(manager.root).holds
    assert archived(1).timestamp == "20261121_093300"


def test_run_stays_when_an_interrupt_comes_after_its_audit_line(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is not taken back."""
    real = audit_module.AuditLog.append

    def interrupted(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(audit_module.AuditLog, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        archived()
    monkeypatch.undo()
    found = verify(manager.root)
    assert (found.runs, found.faults) == (1, ())


def test_crash_between_rename_and_audit_line_leaves_an_orphan_that_is_reported_and_ignored(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers see the chain; the orphan keeps its name and nothing is written over it."""
    archived()
    orphan = manager.root / "20261121_093200"
    (manager.root / ".tmp-run").mkdir()
    orphan.mkdir()
    (orphan / "summary.json").write_text("{}")
    assert list(ArchiveReader(manager.root).state.runs) == ["20261121_093100"]
    remarks = {remark.kind for remark in verify(manager.root).remarks}
    assert remarks == {Kind.ORPHAN, Kind.LEFTOVER}
    run = archived(1)
    assert run.timestamp == "20261121_093200_2"
    assert (orphan / "summary.json").read_text() == "{}"
    assert not (manager.root / ".tmp-run").exists()
    assert {remark.kind for remark in verify(manager.root).remarks} == {Kind.ORPHAN}


def test_writer_gives_up_when_the_lock_is_held(
    archived: Archive, manager: TrainingArchiveManager, samples: Samples
) -> None:
    """A live writer is waited for, then named."""
    archived()
    before = samples.files_of(manager.root)
    impatient = TrainingArchiveManager(manager.root, lock_timeout_seconds=0.01)
    with writer_lock(manager.root), pytest.raises(ArchiveError) as caught:
        impatient.archive_training_run(ArchiveReader(manager.root).root / "20261121_093100" / "summary.json")
    assert caught.value.code == "E605"
    assert samples.files_of(manager.root) == before


@pytest.mark.parametrize("damage", ["delete", "garbage", "stale"])
def test_index_is_derived(archived: Archive, manager: TrainingArchiveManager, damage: str) -> None:
    """Deleted, damaged or behind: the next writer makes it again, and rebuilding gives the same bytes."""
    archived(0)
    stale = {name: (manager.root / name).read_bytes() for name in ("index.json", "index.sqlite")}
    archived(1)
    index = (manager.root / "index.json").read_bytes()
    for name, old in stale.items():
        if damage == "delete":
            (manager.root / name).unlink()
        else:
            (manager.root / name).write_bytes(b"garbage" if damage == "garbage" else old)
    assert {remark.kind for remark in verify(manager.root).remarks} == {Kind.INDEX_LAGS}
    assert rebuild_index(manager.root) == 2
    assert (manager.root / "index.json").read_bytes() == index
    if damage == "delete":
        (manager.root / "index.sqlite").unlink()
    else:
        (manager.root / "index.sqlite").write_bytes(b"garbage" if damage == "garbage" else stale["index.sqlite"])
    assert archived(2).assessments[0].n_trials == 3
    assert verify(manager.root).remarks == ()


def test_run_is_committed_although_its_index_could_not_be_written(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is behind; the truth is not."""
    archived(0)
    from trader_sdk.archive.index import listing

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(listing, "replace_derived", refuse)
    run = archived(1)
    monkeypatch.undo()
    assert manager.get_approved_models(run.timestamp) == ["AAPL_1Day"]
    assert {remark.kind for remark in verify(manager.root).remarks} == {Kind.INDEX_LAGS}


@pytest.mark.parametrize("name", ["summary.json", "model_assessments.json", "recommendations.md", "report.html"])
def test_edited_run_is_found(archived: Archive, manager: TrainingArchiveManager, name: str) -> None:
    """Each document of a run is in the chain by digest."""
    run = archived()
    path = run.path / name
    path.write_bytes(path.read_bytes().replace(b"AAPL", b"AAPM"))
    found = verify(manager.root)
    assert not found.holds
    assert {fault.code for fault in found.faults} == {"E602"}
    assert any(name in fault.where for fault in found.faults)


def test_swapped_or_missing_model_is_found(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The artefacts are in the verdict by digest."""
    run = archived()
    policy = run.path / "models" / f"{run.assessments[0].subjects[1].sha256}.safetensors"
    policy.write_bytes(policy.read_bytes()[:-1])
    assert [fault.code for fault in verify(manager.root).faults] == ["E602"]
    policy.unlink()
    assert [fault.actual for fault in verify(manager.root).faults] == ["missing"]


def test_cut_chain_is_found_with_a_head_kept_elsewhere(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Cutting whole lines off the end, and bringing what is derived in line, is only seen by who kept the head."""
    archived(0)
    archived(1)
    head = verify(manager.root).head
    path = manager.root / "audit.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    rebuild_index(manager.root)
    assert verify(manager.root).holds
    with pytest.raises(ArchiveError) as caught:
        verify(manager.root, expected_head=head.sha256)
    assert caught.value.code == "E606"


@pytest.mark.parametrize("kept", ["index.json", "index.sqlite"])
@pytest.mark.parametrize("lines", [0, 1])
def test_cut_chain_is_found_when_a_derived_file_reaches_further(
    archived: Archive, manager: TrainingArchiveManager, kept: str, lines: int
) -> None:
    """A commit writes the index after its record is safe: an index with more records has seen what is gone."""
    archived(0)
    archived(1)
    path = manager.root / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))
    for name in {"index.json", "index.sqlite"} - {kept}:
        (manager.root / name).unlink()
    found = verify(manager.root)
    assert [(fault.code, fault.expected, fault.actual) for fault in found.faults] == [
        ("E606", f"record 2, as {kept} has it", f"the chain ends at record {lines}")
    ]


@pytest.mark.parametrize("make", [False, True])
def test_missing_or_empty_archive_is_refused(tmp_path: Path, make: bool) -> None:
    """Nothing is made by looking."""
    root = tmp_path / "archive"
    if make:
        root.mkdir()
    with pytest.raises(ArchiveError) as caught:
        ArchiveReader(root)
    assert caught.value.code == "E608"
    assert root.exists() is make
