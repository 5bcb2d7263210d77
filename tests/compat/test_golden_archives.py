"""Every archive that a release wrote is whole, says what it said, and gives its champion, in every later version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from archives import ARCHIVES, AT, SLOT, expectations, write

from trader_sdk.approved import load_approved
from trader_sdk.archive.exported import verify_export
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import Kind, rebuild_index, verify
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.errors import SdkError

RELEASES = sorted(path for path in ARCHIVES.iterdir() if path.is_dir())


@pytest.fixture(params=RELEASES, ids=[path.name for path in RELEASES])
def golden(request: pytest.FixtureRequest) -> Path:
    """Return a release's folder."""
    folder: Path = request.param
    return folder


def test_this_release_left_an_archive() -> None:
    """Without one, the next release could not know whether it reads this one's."""
    from importlib.metadata import version

    assert version("trader-sdk") in {path.name for path in RELEASES}


def test_archive_of_a_release_is_whole(golden: Path) -> None:
    """Chain, files, verdicts from their own numbers; its head is the one that was written down."""
    expected = json.loads((golden / "expect.json").read_text("utf-8"))
    found = verify(golden / "archive", expected_head=expected["head"])
    assert found.faults == ()
    assert {remark.kind for remark in found.remarks} <= {Kind.INDEX_LAGS}


def test_archive_of_a_release_says_what_it_said(golden: Path) -> None:
    """Runs, verdicts and their digests, slots, overrides, recalls, and the champion's decisions."""
    assert json.loads(json.dumps(expectations(golden / "archive"))) == json.loads(
        (golden / "expect.json").read_text("utf-8")
    )


def test_archive_of_a_release_is_not_changed_by_reading(golden: Path, tmp_path: Path) -> None:
    """Looked at through every door, byte for byte as before; refusals are the ones of its own time."""
    copy = tmp_path / "archive"
    shutil.copytree(golden / "archive", copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert load_approved(copy, f"models:/{SLOT.symbol}/1Day@champion", at=AT).approval.tier == "LIVE"
    refusals = {}
    for symbol, timeframe in (("IBM", "1Day"), ("BRK.B", "1Day"), ("NEW", "1Day")):
        with pytest.raises(SdkError) as caught:
            load_approved(copy, symbol, timeframe, at=AT)
        refusals[symbol] = caught.value.code
    assert refusals == {"IBM": "E505", "BRK.B": "E601", "NEW": "E601"}
    assert load_approved(copy, "MSFT", at=AT).approval.override is not None
    assert load_approved(copy, "BTC/USD", "1Hour", at=AT).approval.is_simulated
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_archive_of_a_release_goes_on(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Today's writer appends to it, and both stay readable."""
    copy = tmp_path / "archive"
    shutil.copytree(golden / "archive", copy)
    before = list(ArchiveReader(copy).state.runs)
    rebuild_index(copy)
    export = golden / "export.zip"
    argv = ["archive", "add", str(export), "--archive", str(copy)]
    assert run_app(build_app(argv), argv) == 0
    assert list(ArchiveReader(copy).state.runs)[: len(before)] == before
    assert verify(copy).holds
    assert TrainingArchiveManager(copy).get_approved_models(before[0]) == ["AAPL_1Day"]
    capsys.readouterr()


def test_export_of_a_release_still_proves_itself(golden: Path) -> None:
    """What was sent to somebody years ago."""
    assert verify_export(golden / "export.zip").holds


def test_goldens_are_small_and_name_no_machine(golden: Path) -> None:
    """A megabyte, and no path of the machine that wrote it."""
    files = [path for path in golden.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    assert not [path for path in files if path.suffix in (".sqlite", ".lock")]
    assert not [path for path in files if b"/tmp/" in path.read_bytes()]


def test_generator_writes_what_is_there(tmp_path: Path) -> None:
    """This release's recipe gives its expectations again; the head alone also follows the pages' wording."""
    from importlib.metadata import version

    golden = ARCHIVES / version("trader-sdk")
    (tmp_path / "work").mkdir()
    write(tmp_path / "work", tmp_path / "again")
    again = json.loads((tmp_path / "again" / "expect.json").read_text("utf-8"))
    then = json.loads((golden / "expect.json").read_text("utf-8"))
    assert {**again, "head": ""} == {**then, "head": ""}
