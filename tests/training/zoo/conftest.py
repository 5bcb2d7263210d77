"""A zoo in one process, tiny: the shipped sample, trained and registered once for all tests."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.governance import override
from trader_sdk.archive.location import Place, locate
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.contract.verdicts import GateClass, Verdict
from training.config import preset
from training.zoo.job import RESULT_FILE, Job, SpecResult, write_document
from training.zoo.processes import Watcher
from training.zoo.spec import load_specs
from training.zoo.training import ZooSettings, train_all_active
from training.zoo.worker import run_job

TINY: dict[str, Any] = {
    "num_envs": 8,
    "num_steps": 32,
    "hidden_dims": (6,),
    "total_steps": 8 * 32 * 2,
    "episode_bars": 64,
    "peers": ("SIM@noise:bars=3500",),
}


def _train_here(jobs: Sequence[Job], watcher: Watcher) -> Iterator[SpecResult]:
    for job in jobs:
        watcher.began(job)
        result = run_job(job)
        write_document(job.folder / RESULT_FILE, result)
        watcher.ended(result)
        yield result


@dataclass(frozen=True)
class TrainedZoo:
    """A zoo after its first day."""

    settings: ZooSettings
    results: list[SpecResult]

    @property
    def slot(self) -> Path:
        """Return the slot's folder."""
        return self.settings.out / "SIM_1Min"


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Return the numbers of a run that ends in a second."""
    return TINY


@pytest.fixture(scope="session")
def here() -> Any:
    """Return a runner that trains in this process, job by job, as every runner does elsewhere."""
    return _train_here


@pytest.fixture
def refuse_to_train() -> Any:
    """Return a runner that fails when it is given anything to train."""

    def refuse(jobs: Sequence[Job], watcher: Watcher) -> Iterator[SpecResult]:
        assert not jobs, f"{watcher}: trained again: {[job.spec.id for job in jobs]}"
        yield from ()

    return refuse


@pytest.fixture(scope="session")
def settings_in() -> Callable[..., ZooSettings]:
    """Return a maker of settings for a folder, with any of them replaced."""

    def make(folder: Path, **changes: Any) -> ZooSettings:
        facts: dict[str, Any] = {
            "source": "planted:bars=3500",
            "symbol": "SIM",
            "timeframe": "1Min",
            "archive": str(folder / "archive"),
            "out": folder / "zoo",
            "base": preset("laptop", **TINY),
            **changes,
        }
        return ZooSettings(**facts)

    return make


@pytest.fixture(scope="session")
def sample_zoo(tmp_path_factory: pytest.TempPathFactory, settings_in: Callable[..., ZooSettings]) -> TrainedZoo:
    """Return the shipped sample, trained for two updates a spec."""
    settings = settings_in(tmp_path_factory.mktemp("zoo"))
    return TrainedZoo(settings, train_all_active(load_specs(), settings, runner=_train_here))


@pytest.fixture
def champion_archive(sample_zoo: TrainedZoo, review_checkpoint: Path) -> Callable[[Path], tuple[Place, Verdict]]:
    """Return a maker of archives whose slot SIM/1Min is held by a model of the sample's kind, and its verdict."""
    from trader_sdk.archive import archive_run

    def make(folder: Path) -> tuple[Place, Verdict]:
        archive_run(
            folder,
            checkpoints=review_checkpoint,
            metrics={"fitness_score": [0.9], "profit_factor": [2.5], "consistency": [0.95], "max_drawdown": [0.01]},
            symbol="SIM",
            timeframe="1Min",
            label="held",
        )
        reader = ArchiveReader(folder)
        (ref,) = reader.state.history("SIM")
        assert ref.gate_class is GateClass.REVIEW
        override(folder, ref.id, why="the tests need a champion", until=datetime.now(UTC) + timedelta(days=1))
        return locate(folder), reader.judged(ref).verdict

    return make


@pytest.fixture(scope="session")
def review_checkpoint(sample_zoo: TrainedZoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that the sample zoo trained."""
    (path,) = (Path(sample_zoo.results[0].folder) / "run" / "ckpt").glob("u*.pt")
    return Path(shutil.copy(path, tmp_path_factory.mktemp("held") / "u2.pt"))
