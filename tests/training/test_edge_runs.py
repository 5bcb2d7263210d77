"""Runs at the edge of what can be trained on: little room, and paths that are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError, StorageError
from trader_sdk.data import load_bars
from training.config import preset
from training.run import train
from training.run_log import read_metrics
from training.verify import verify

SMALL: dict[str, Any] = {"num_envs": 16, "num_steps": 32, "hidden_dims": (8,), "total_steps": 1, "episode_bars": 64}


@pytest.fixture(scope="module")
def small_bars() -> Bars:
    """Return just enough bars for three blocks of seven windows each."""
    return load_bars("planted:bars=3500", "SIM", "1Min")


def test_verify_run_accepts_a_rollout_longer_than_the_bars_it_stands_on(small_bars: Bars, tmp_path: Path) -> None:
    """A few hundred bars are passed more than once in one rollout; each pass is said, and 011 holds."""
    config = preset("laptop", **{**SMALL, "num_envs": 64, "envs_per_bar": 1, "blocks": (350, 350, 350)})
    result = train(small_bars, config, out=tmp_path / "run", source="planted")
    said = [fact["passes"] for fact in read_metrics(result.folder) if fact["event"] == "data_cycled"]
    assert said == list(range(1, len(said) + 1))
    assert len(said) > config.num_updates
    assert verify(result.folder).checked["011"].startswith(f"{len(said)} times")


def test_train_refuses_a_folder_that_is_a_file(small_bars: Bars, tmp_path: Path) -> None:
    """A path that a file has taken is a typed error, and the file stays as it is."""
    taken = tmp_path / "taken"
    taken.write_text("something")
    with pytest.raises(StorageError, match="taken"):
        train(small_bars, preset("laptop", **SMALL), out=taken, source="planted")
    assert taken.read_text() == "something"


def test_train_refuses_a_training_block_without_room_for_its_windows(small_bars: Bars, tmp_path: Path) -> None:
    """In-sample figures need windows as GATE does: said before the first update, not after the last."""
    config = preset("laptop", **SMALL, blocks=(349, 350, 350))
    with pytest.raises(DataError, match="TRAIN block"):
        train(small_bars, config, out=tmp_path / "run", source="planted")
    assert not (tmp_path / "run").exists()
