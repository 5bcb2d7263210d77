"""``python -m training`` as a person calls it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trader_sdk import NativeModelWrapper
from trader_sdk.contract.spec import MODEL_SPECS
from training.cli import run_app

RUN = ["run", "--data", "vendored", "--symbol", "AAPL", "--timeframe", "1Day", "--hidden", "8"]


def test_run_trains_on_real_bars_archives_them_and_says_what_the_gate_thought(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two updates on AAPL: whatever was learned, there is a verdict, and it says real."""
    folders = ["--out", str(tmp_path / "run"), "--archive", str(tmp_path / "archive")]
    assert run_app([*RUN, *folders, "--total-steps", "8192", "--until", "2012-01-01", "--json", "1"]) == 0
    captured = capsys.readouterr()
    finished = json.loads(captured.out.strip().splitlines()[-1])
    (verdict,) = finished["verdicts"]
    assert verdict["symbol"] == "AAPL"
    assert verdict["data"]["kind"] == "real"
    assert verdict["data"]["end"] == "2011-12-30T21:00:00Z"
    assert "real bars from vendored" in captured.err


@pytest.mark.parametrize(
    "arguments",
    [
        [*RUN[:4], "ZZZZ", *RUN[5:]],
        [*RUN, "--preset", "desktop"],
        [*RUN, "--hidden", "wide"],
        [*RUN, "--until", "soon"],
        [*RUN, "--unknown-flag"],
        [*RUN, "--device", "abacus"],
        [*RUN[:6], "7Min"],
        ["run", "--symbol", "AAPL", "--timeframe", "1Day"],
        [*RUN, "--gate", "no-such-file.toml"],
        [*RUN, "--until", "2001-01-01"],
        [*RUN, "--until", "1990-01-01"],
        [*RUN, "--blocks", "50000,4000,8000"],
        [*RUN, "--label", "my label"],
        [*RUN, "--cost-model", "free"],
        [*RUN, "--learning-rate", "inf"],
        [*RUN, "--hidden", "4000,4000,4000"],
        [*RUN, "--features", "json:dumps"],
        [*RUN, "--features", "json:JSONDecoder"],
        [*RUN[:4], "", *RUN[5:]],
        ["pretrain", *RUN[1:7], "--mode", "from-scratch", "--hidden", "16,100000000"],
    ],
)
def test_run_refuses_bad_arguments_with_one_line_and_exit_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown names, unreadable values, too few bars, no provider, a network that no reader would take."""
    monkeypatch.chdir(tmp_path)
    assert run_app(arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", sorted(MODEL_SPECS))
def test_sample_checkpoint_loads_for_every_version(version: str, tmp_path: Path) -> None:
    """An untrained policy goes through the real save path and is accepted strictly."""
    path = tmp_path / "sample.pt"
    assert run_app(["sample-checkpoint", "--out", str(path), "--model-version", version, "--hidden", "8"]) == 0
    model = NativeModelWrapper(path, strict_version=True)
    assert model.model_version == version
    assert model.metadata["lineage"]["data_kind"] == "simulated"


def test_interrupted_run_ends_with_130_and_a_checkpoint(tmp_path: Path) -> None:
    """SIGINT after the first validation: one line, exit 130, a checkpoint of that moment."""
    command = [sys.executable, "-m", "training", "run", "--data", "planted:bars=3500", "--symbol", "SIM"]
    command += ["--timeframe", "1Min", "--hidden", "8", "--total-steps", "100000000", "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("update 2:"):
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "interrupted" in errors
    assert list((tmp_path / "run" / "ckpt").glob("u*.pt"))


def test_importing_training_loads_no_torch() -> None:
    """Names are resolved when they are used."""
    code = "import sys, training; training.FromScratch; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_outlives_the_reader_of_its_output(tmp_path: Path) -> None:
    """``| head -1``: the first line is read, and the run goes on to its end, to exit 0 and to TensorBoard's file."""
    command = [sys.executable, "-m", "training", "run", "--data", "planted:bars=3500", "--symbol", "SIM"]
    command += ["--timeframe", "1Min", "--hidden", "8", "--total-steps", "16384", "--tensorboard", "1"]
    command += ["--out", str(tmp_path / "run"), "--archive", str(tmp_path / "archive")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "simulated bars" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(timeout=120) == 0
    assert "Error" not in errors
    assert (tmp_path / "run" / "summary.json").exists()
    drawn = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload().Tags()["scalars"]
    assert {"train/explained_variance", "train/steps_per_second", "select/fitness_score"} <= set(drawn)


def test_run_starts_from_a_pretrained_parent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its trunk, its weights, its name in the lineage; what PPO made of it is called a finetune."""
    bars = ["--data", "planted:bars=3500", "--symbol", "SIM", "--timeframe", "1Min"]
    learned = ["--mode", "from-scratch", "--hidden", "6", "--epochs", "1", "--samples-per-epoch", "256", "--json", "1"]
    assert run_app(["pretrain", *bars, *learned, "--out", str(tmp_path / "parent")]) == 0
    parent = json.loads(capsys.readouterr().out)["best"]
    folders = ["--out", str(tmp_path / "run"), "--archive", str(tmp_path / "archive")]
    assert run_app(["run", *bars, "--parent", parent, "--total-steps", "8192", *folders, "--json", "1"]) == 0
    child = NativeModelWrapper(next((tmp_path / "run" / "ckpt").glob("u*.pt")))
    assert child.metadata["lineage"]["parent"] == NativeModelWrapper(parent).sha256
    assert child.metadata["hidden_dims"] == [6]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["models"]["SIM_1Min"]["regime"] == {"kind": "finetune"}
