"""The examples of the docs, run as they stand: other people's trainers save, are judged and archived."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper
from training.cli import run_app

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def example() -> Iterator[Callable[[str], ModuleType]]:
    """Return a loader of examples by name, found where they are run from."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.mark.parametrize(("name", "file"), [("torch_loop", "torch.pt"), ("cleanrl_style", "cleanrl.pt")])
def test_other_peoples_loops_save_and_archive(
    example: Callable[[str], ModuleType], tmp_path: Path, name: str, file: str
) -> None:
    """A plain loop and CleanRL's style: a checkpoint that proves itself, a verdict on bars that were not trained on."""
    verdict = example(name).main(tmp_path, updates=2)
    model = NativeModelWrapper(tmp_path / file, strict_version=True)
    assert model.model_version == "2.7.0"
    assert verdict.class_ in ("APPROVED", "REVIEW", "DROP")
    assert verdict.data.kind == "simulated"
    assert f"sha256:{verdict.subjects[0].sha256}" == model.sha256


def test_exported_stable_baselines3_policy_decides_as_its_own_predict(
    example: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """On every observation the same action, and the run is archived."""
    script = example("sb3_export")
    model, vec = script.trained(256)
    exported = NativeModelWrapper(script.export(model, tmp_path / "sb3.pt"))
    seen = vec.reset()
    for _ in range(20):
        theirs, _ = model.predict(seen, deterministic=True)
        ours = [decision.action for decision in exported.decide(seen)]
        assert ours == theirs.tolist()
        seen, *_ = vec.step(np.asarray(theirs))
    verdict = example("market").judge_and_archive(tmp_path / "sb3.pt", exported.policy, tmp_path)
    assert f"sha256:{verdict.subjects[0].sha256}" == exported.sha256


def test_features_of_ones_own_are_trained_archived_and_traded(
    example: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider by its name in `training run`, approved, then trading on the embedded exchange."""
    example("own_features")
    archive, features = str(tmp_path / "archive"), ["--features", "own_features:Provider"]
    bars = ["--data", "planted:bars=26600", "--symbol", "SIM", "--timeframe", "1Min", "--blocks", "20000,1500,4000"]
    budget = ["--hidden", "16", "--total-steps", "49152", "--learning-rate", "3e-3", "--json", "1"]
    assert run_app(["run", *features, *bars, *budget, "--archive", archive, "--out", str(tmp_path / "run")]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert verdict["class"] == "APPROVED"
    trade = [
        sys.executable,
        "-m",
        "trader_sdk.cli",
        "run",
        "--archive",
        archive,
        "--state-dir",
        str(tmp_path / "state"),
    ]
    trade += ["--market", "simulated-1min", "--max-bars", "8", "--speed", "0", "--json", "1"]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    done = subprocess.run([*trade, *features], env=environment, capture_output=True, text=True, timeout=300, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    (ended,) = [line for line in said if line["event"] == "run_finished"]
    assert (ended["bars"], ended["decisions"]) == (8, 8)


def test_features_for_other_bars_are_refused_before_anything_is_written(
    example: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A provider of minutes on daily bars: one line that says both, and no folder."""
    example("own_features")
    real = ["--data", "vendored", "--symbol", "AAPL", "--timeframe", "1Day", "--out", str(tmp_path / "run")]
    assert run_app(["run", "--features", "own_features:Provider", *real]) == 2
    assert "made for other bars" in capsys.readouterr().err
    assert run_app(["run", "--features", "nowhere:Provider", *real]) == 2
    assert not (tmp_path / "run").exists()
