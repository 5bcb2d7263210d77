"""Runs carried out of an archive: proven, taken in elsewhere, and refused when anything was changed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.exported import EXPORT_FILE, verify_export
from trader_sdk.archive.governance import promote
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import verify
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import ArchiveError

Archive = Callable[..., Any]
Samples = Any


def trader(*arguments: object) -> int:
    argv = [str(argument) for argument in arguments]
    return run_app(build_app(argv), argv)


@pytest.mark.parametrize("out", ["carried", "carried.zip"])
def test_export_proves_itself_and_is_taken_in_elsewhere(
    archived: Archive, manager: TrainingArchiveManager, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    """Folder or zip: verified, archived elsewhere, the same policy and numbers, its origin written down."""
    one, two = (archived(seed).assessments[0] for seed in (0, 1))
    promote(manager.root, "AAPL", "1Day", two.version_id, why="better")
    carried = tmp_path / out
    assert trader("archive", "export", "AAPL", "--out", carried, "--archive", manager.root) == 0
    assert trader("archive", "verify", "--archive", carried) == 0
    other = tmp_path / "other"
    assert trader("archive", "add", carried, "--archive", other) == 0
    capsys.readouterr()
    there = ArchiveReader(other)
    found = [there.judged(ref).verdict for ref in there.state.verdicts.values()]
    assert [verdict.policy_sha256 for verdict in found] == [one.policy_sha256, two.policy_sha256]
    assert [verdict.class_ for verdict in found] == ["APPROVED", "APPROVED"]
    assert [verdict.n_trials for verdict in found] == [1, 2]
    assert load_approved(other, "AAPL").policy_sha256 == one.policy_sha256
    run = next(iter(there.state.runs))
    assert "audit head 3 sha256:" in (other / run / "summary.json").read_text()
    assert verify(other).holds
    assert trader("archive", "export", "AAPL", "--out", carried, "--archive", manager.root) == 2
    assert "place is taken" in capsys.readouterr().err


def test_export_of_a_run_that_kept_its_best_checkpoint_is_judged_alike(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """The best checkpoint's own GATE block is judged again, not the final's."""
    best, final = (samples.write_checkpoint(tmp_path / f"{name}.pt", seed) for seed, name in enumerate(("b", "f")))
    course = {name: [value, value] for name, value in samples.good.items()} | {"fitness_score": [1.2, 0.9]}
    model = samples.model_summary(
        final, metrics=course, validation_interval=40,
        checkpoints=[{"update": 40, "path": str(best)}, {"update": 80, "path": str(final)}],
        gate={"final": samples.gate_block(fitness_score=0.1), "best": samples.gate_block()},
    )  # fmt: skip
    verdict = manager.archive_training_run(samples.summary_of(model)).assessments[0]
    assert verdict.use_checkpoint
    carried = tmp_path / "carried"
    assert trader("archive", "export", verdict.version_id, "--out", carried, "--archive", manager.root) == 0
    assert trader("archive", "add", carried, "--archive", tmp_path / "other") == 0
    reader = ArchiveReader(tmp_path / "other")
    again = reader.judged(next(iter(reader.state.verdicts.values()))).verdict
    assert (again.class_, again.policy_sha256, again.use_checkpoint) == ("APPROVED", verdict.policy_sha256, True)


def damaged_exports(folder: Path) -> dict[str, Callable[[], None]]:
    run = next(path for path in sorted(folder.iterdir()) if path.is_dir())
    model = next((run / "models").iterdir())
    manifest = folder / EXPORT_FILE

    def edit(path: Path, old: str, new: str) -> Callable[[], None]:
        return lambda: path.write_text(path.read_text().replace(old, new))

    return {
        "a class is nicer": edit(run / "model_assessments.json", '"REVIEW"', '"APPROVED"'),
        "a summary is nicer": edit(run / "summary.json", "0.61", "0.99"),
        "a model is another": lambda: model.write_bytes(b"other"),
        "a file is gone": lambda: (run / "report.html").unlink(),
        "a record is nicer": edit(manifest, '"review": 1', '"review": 0'),
    }


@pytest.mark.parametrize(
    "damage", ["a class is nicer", "a summary is nicer", "a model is another", "a file is gone", "a record is nicer"]
)
def test_changed_export_is_a_fault_and_is_not_taken_in(
    archived: Archive, manager: TrainingArchiveManager, tmp_path: Path, damage: str
) -> None:
    """Whatever was changed after it was carried out: exit 5, and the other archive stays as it was."""
    archived(gate=None)
    carried, other = tmp_path / "carried", tmp_path / "other"
    assert (
        trader(
            "archive",
            "export",
            next(iter(ArchiveReader(manager.root).state.runs)),
            "--out",
            carried,
            "--archive",
            manager.root,
        )
        == 0
    )
    damaged_exports(carried)[damage]()
    assert trader("archive", "verify", "--archive", carried) == 5
    assert trader("archive", "add", carried, "--archive", other) == 5
    assert not other.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "/etc/passwd",
        "20261121_093100/../../x",
        "20261121_093100/models/x.pt",
        "20261121_093100/models/../x",
    ],
)
def test_zip_with_a_name_that_no_export_has_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is unpacked outside, or at all."""
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(EXPORT_FILE, "{}")
        archive.writestr(name, "boo")
    with pytest.raises(ArchiveError) as caught:
        verify_export(path)
    assert caught.value.code == "E609"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evil.zip"]


def test_zip_that_is_a_bomb_a_liar_or_none_is_refused(tmp_path: Path) -> None:
    """Deflated zeros, one name twice, no manifest, and text."""
    run = "20261121_093100/summary.json"
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(run, b"0" * (1 << 24))
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr(run, "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(run, "2")
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as archive:
        archive.writestr(run, "{}")
    (tmp_path / "text.zip").write_text("no zip")
    for path in sorted(tmp_path.glob("*.zip")):
        assert trader("archive", "verify", "--archive", path) == 5


def test_archive_is_left_out_of_an_export_where_the_disk_fails(
    archived: Archive, manager: TrainingArchiveManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half carried stays: neither folder nor partial file."""
    archived()
    monkeypatch.setattr("trader_sdk.archive.export.write_new", _full)
    out = tmp_path / "carried"
    assert trader("archive", "export", "AAPL", "--out", out, "--archive", manager.root) == 8
    assert [path.name for path in tmp_path.iterdir() if "carried" in path.name] == []
    shutil.rmtree(out, ignore_errors=True)


def _full(*_: object) -> str:
    raise OSError(28, "No space left on device")
