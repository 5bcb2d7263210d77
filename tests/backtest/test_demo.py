"""The packaged demo archive: honest verdicts, policies only, copied before use."""

from pathlib import Path

import pytest

from trader_sdk import ArchiveError, load_approved
from trader_sdk.approved import deployable
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.demo import copy_working_archive, demo_archive_path


def test_demo_has_one_approved_model_and_real_ones_with_their_verdicts() -> None:
    """SIM is deployable; every real-bar model and the noise one show why they are not."""
    rows = {row.symbol: row for row in deployable(demo_archive_path())}
    assert set(rows) == {"SIM", "SIMNOISE", "AAPL", "IBM", "MSFT"}
    assert rows["SIM"].gate_class == "APPROVED"
    assert rows["SIM"].refusal is None
    assert all(rows[symbol].refusal for symbol in rows if symbol != "SIM")


def test_demo_model_is_labelled_simulated_and_leaves_bars_to_trade() -> None:
    """What it was trained on is in the file, and its range ends where the demo's replay begins."""
    model = load_approved(demo_archive_path(), "SIM", "1Min")
    assert model.metadata["lineage"]["data_kind"] == "simulated"
    assert model.metadata["data_end"] == "2021-08-19T19:50:00Z"


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT"])
def test_demo_refuses_a_dropped_model(symbol: str) -> None:
    """The door stays shut: E601, with the reasons."""
    with pytest.raises(ArchiveError) as caught:
        load_approved(demo_archive_path(), symbol, "1Day")
    assert caught.value.code == "E601"


def test_demo_holds_policy_artefacts_only_and_stays_small() -> None:
    """No training checkpoint, no optimizer, less than 5 MB."""
    reader = ArchiveReader(demo_archive_path())
    subjects = [each for ref in reader.state.verdicts.values() for each in reader.judged(ref).verdict.subjects]
    roles = {subject.sha256: subject.role for subject in subjects}
    kept = [roles[path.stem] for path in demo_archive_path().glob("*/models/*")]
    assert set(kept) == {"policy_safetensors", "policy_pt"}
    files = [path for path in demo_archive_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5_000_000


def test_working_copy_is_made_once_and_kept(tmp_path: Path) -> None:
    """What a run wrote into its copy survives the next call, and no partial copy is left beside it."""
    copy = copy_working_archive(tmp_path / "state" / "archive")
    (copy / "note").write_text("kept")
    assert copy_working_archive(copy) == copy
    assert (copy / "note").read_text() == "kept"
    assert [path.name for path in copy.parent.iterdir()] == ["archive"]
    assert (
        load_approved(copy, "SIM", "1Min").policy_sha256
        == load_approved(demo_archive_path(), "SIM", "1Min").policy_sha256
    )


def test_demo_copy_says_one_line_when_the_disk_refuses(tmp_path: Path) -> None:
    """A copy that fails for every file names the cause once and leaves nothing behind."""
    import subprocess
    import sys

    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from trader_sdk import SdkError\n"
        "from trader_sdk.demo import copy_working_archive\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        f"    copy_working_archive(Path({str(tmp_path / 'copy')!r}))\n"
        "except SdkError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("STORAGE")
    assert len(done.stdout) < 400
    assert list(tmp_path.iterdir()) == []
