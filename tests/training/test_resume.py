"""Exact resume: a run that was stopped ends as if it had not been, or says why it cannot go on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.contract.errors import DataError, StorageError, UsageError
from trader_sdk.data import load_bars
from training.checkpoints import CheckpointKeeper
from training.config import TrainConfig, preset
from training.resume import STATE_FILE
from training.run import TrainResult, resume, train
from training.run_log import Silent, read_metrics
from training.verify import verify

SOURCE = "planted:bars=3500"
TIMES = ("samples_per_second", "utilisation_percent", "wall_seconds", "steps_per_second")


def config(**changes: Any) -> TrainConfig:
    """Return a run of six updates, validated every two."""
    small: dict[str, Any] = {
        "num_envs": 16,
        "num_steps": 32,
        "hidden_dims": (8,),
        "total_steps": 16 * 32 * 6,
        "episode_bars": 40,
        "learning_rate": 1e-3,
    }
    return preset("laptop", **{**small, **changes})


def begin(out: Path, reporter: Silent | None = None, **changes: Any) -> TrainResult:
    """Train the small run."""
    return train(load_bars(SOURCE, "SIM", "1Min"), config(**changes), out=out, source=SOURCE, reporter=reporter)


class StopAfter(Silent):
    """Interrupt a run after some update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def advanced(self, facts: dict[str, Any]) -> None:
        """Interrupt."""
        if facts["update"] == self.update:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Return the run that nothing stopped."""
    return begin(tmp_path_factory.mktemp("whole") / "run")


def numbers_of(folder: Path) -> list[dict[str, Any]]:
    """Return all facts of a run but for clocks."""
    return [{name: value for name, value in fact.items() if name not in TIMES} for fact in read_metrics(folder)]


def assert_same(resumed: TrainResult, whole: TrainResult) -> None:
    """Compare every number that was logged, the verdict's input and the deployed weights."""
    assert numbers_of(resumed.folder) == numbers_of(whole.folder)
    ours, theirs = (json.loads(run.summary.model_dump_json())["models"] for run in (resumed, whole))
    assert ours == theirs
    records = [json.loads((run.folder / "ckpt" / "u6.json").read_text()) for run in (resumed, whole)]
    assert records[0]["optimizer_digest"] == records[1]["optimizer_digest"]


@pytest.mark.parametrize("update", [3, 4, 5])
def test_resumed_run_ends_as_if_it_had_not_been_stopped(update: int, whole: TrainResult, tmp_path: Path) -> None:
    """Stopped between validations, at one, and after the second: every later number is the same."""
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path / "run", StopAfter(update))
    assert_same(resume(tmp_path / "run"), whole)
    verify(tmp_path / "run")


def test_run_with_the_composite_reward_resumes_exactly(tmp_path: Path) -> None:
    """What each environment chose in its episode is part of the state."""
    begin(tmp_path / "whole", reward="composite_v25")
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path / "run", StopAfter(3), reward="composite_v25")
    resume(tmp_path / "run")
    assert numbers_of(tmp_path / "run") == numbers_of(tmp_path / "whole")


def test_run_may_be_stopped_again_and_again(whole: TrainResult, tmp_path: Path) -> None:
    """Two stops, two resumes."""
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path / "run", StopAfter(3))
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path / "run", reporter=StopAfter(5))
    assert_same(resume(tmp_path / "run"), whole)


def test_killed_run_resumes_from_the_command_line(whole: TrainResult, tmp_path: Path) -> None:
    """Kill -9 in the middle of a run: the command goes on and ends with the same numbers."""
    code = (
        "import os, signal, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "import test_resume\n"
        "class Kill(test_resume.StopAfter):\n"
        "    def advanced(self, facts):\n"
        "        if facts['update'] == self.update: os.kill(os.getpid(), signal.SIGKILL)\n"
        "test_resume.begin(Path(sys.argv[1]), Kill(5))\n"
    )
    run = tmp_path / "run"
    here = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    died = subprocess.run(
        [sys.executable, "-c", code, str(run), *here], env=environment, timeout=300, check=False, capture_output=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    command = [
        sys.executable,
        "-m",
        "training",
        "resume",
        str(run),
        "--archive",
        str(tmp_path / "archive"),
        "--json",
        "1",
    ]
    done = subprocess.run(command, env=environment, timeout=300, check=True, capture_output=True, text=True)
    facts = json.loads(done.stdout)
    assert facts["outcome"] == "BUDGET_SPENT"
    assert len(facts["verdicts"]) == 1
    assert "resumed after update 4 of 6" in done.stderr
    assert numbers_of(run) == numbers_of(whole.folder)


def test_finished_run_has_nothing_to_resume(whole: TrainResult) -> None:
    """The state of a run that ended is gone, and the refusal says what to do."""
    with pytest.raises(UsageError, match="nothing to resume"):
        resume(whole.folder)


def test_resume_refuses_what_is_no_run(tmp_path: Path) -> None:
    """An empty folder is not the folder of a run."""
    with pytest.raises(UsageError, match="not the folder of a run"):
        resume(tmp_path)


def test_resume_refuses_a_damaged_state_and_changes_nothing(tmp_path: Path) -> None:
    """Half a state file: typed, and the log is as long as it was."""
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        begin(run, StopAfter(3))
    state = run / "ckpt" / STATE_FILE
    state.write_bytes(state.read_bytes()[:5000])
    log = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(UsageError, match="damaged"):
        resume(run)
    assert (run / "metrics.jsonl").read_bytes() == log


def test_resume_refuses_a_configuration_that_was_edited_and_changes_nothing(tmp_path: Path) -> None:
    """Half a run with one discount and half with another would be neither, and its claims would not be proven."""
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        begin(run, StopAfter(3))
    began = (run / "config.json").read_text()
    (run / "config.json").write_text(began.replace('"gamma": 0.97', '"gamma": 0.9'))
    log = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(UsageError, match="gamma"):
        resume(run)
    assert (run / "metrics.jsonl").read_bytes() == log
    (run / "config.json").write_text(began)
    assert resume(run).folder == run


@pytest.mark.parametrize("kept", [0, 2000])
def test_resume_refuses_a_log_that_lost_lines(kept: int, tmp_path: Path) -> None:
    """What proves the first half of the run is gone: it is said, and nothing is filled in."""
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        begin(run, StopAfter(3))
    log = run / "metrics.jsonl"
    os.truncate(log, kept)
    with pytest.raises(UsageError, match=r"metrics\.jsonl"):
        resume(run)
    assert log.stat().st_size == kept


def test_keeper_forgets_checkpoints_that_a_run_before_forgot_already(tmp_path: Path) -> None:
    """Killed between the removal and the next state, a run comes to the same removal again."""
    keeper = CheckpointKeeper(tmp_path, stamp={}, config={})
    keeper.paths = {update: tmp_path / "ckpt" / f"u{update}.pt" for update in (2, 4, 6, 8, 10)}
    keeper.forget_all_but(4)
    assert sorted(keeper.paths) == [4, 6, 8, 10]


def test_resume_refuses_bars_that_changed(tmp_path: Path) -> None:
    """Data swapped in mid-run: the digest of the bars is not the one that the run began with."""
    file = tmp_path / "SIM.csv"
    bars = load_bars(SOURCE, "SIM", "1Min")
    rows = [
        f"{t},{o},{h},{low},{c},{v}"
        for t, o, h, low, c, v in zip(bars.t, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)
    ]
    file.write_text("\n".join(["t,open,high,low,close,volume", *rows]) + "\n")
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(load_bars(str(file), "SIM", "1Min"), config(), out=run, source=str(file), reporter=StopAfter(3))
    rows[1000] = rows[1000].rsplit(",", 1)[0] + ",7777"
    file.write_text("\n".join(["t,open,high,low,close,volume", *rows]) + "\n")
    with pytest.raises(DataError, match="not those that the run began with"):
        resume(run)


class FillDisk(Silent):
    """Let the disk be full for one file from the first validation on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def validated(self, facts: dict[str, Any]) -> None:  # noqa: ARG002 - the protocol's name
        """Every byte written to the file is refused from now on."""
        if not self.path.is_symlink():
            self.path.symlink_to("/dev/full")


@pytest.mark.parametrize("name", ["resume.tmp", "u4.json.tmp"])
def test_disk_that_is_full_at_a_checkpoint_loses_nothing(whole: TrainResult, tmp_path: Path, name: str) -> None:
    """The run ends with one typed error; with room again it goes on from the last validation to the same end."""
    full = tmp_path / "run" / "ckpt" / name
    with pytest.raises(StorageError):
        begin(tmp_path / "run", FillDisk(full))
    full.unlink()
    result = resume(tmp_path / "run")
    assert numbers_of(result.folder) == numbers_of(whole.folder)
    assert "optimizer steps, none missing" in verify(result.folder).checked["001"]
