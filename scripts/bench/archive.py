"""Registering a run's index row and asking who is champion, beside MLflow's model registry; and how cost grows.

Both sides run SQLite with `synchronous=NORMAL`; MLflow keeps the journal that it comes with, and is shown in WAL mode
too. The whole durable `archive_training_run` is shown beside, without a goal: nobody else does that work. Growth is
measured on chains of 1,000, 10,000 and 100,000 runs (`--quick`: 1,000 only), written by a short cut that leaves out
files, documents and fsync, and nothing of the chain.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rows import OURS, Row, compare, interleaved, main, repeated

from trader_sdk.archive.index.archive_index import ArchiveIndex
from trader_sdk.archive.layout import DATABASE_FILE
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.slots import SlotKey
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import START, ChainHead, encode_record, head_of
from trader_sdk.archive.verified import copy_of, verified_state
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.metadata import get_checkpoint_metadata
from trader_sdk.contract.timeframe import Timeframe

REGISTER = "archive: register the index row"
CHAMPION = "archive: query the champion"
APPROVED = "archive: query approved of a slot"
DURABLE = "archive: whole durable archive_training_run"
GROWTH = "archive: growth, "
SLOTS = 200
REGISTERED = 2_000
MLFLOW = "mlflow"
MLFLOW_WAL = "mlflow, WAL too"
Registry: TypeAlias = Mapping[str, Callable[[], object]]
START_AT = datetime(2020, 1, 1, tzinfo=UTC)
WHO = Who(kind="os", name="bench")


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of the archive."""
    sizes = [1_000] if quick else [1_000, 10_000, 100_000]
    rounds = 3 if quick else 15
    with tempfile.TemporaryDirectory() as folder:
        archives = [FilledArchive(Path(folder) / str(size), size) for size in sizes]
        versions = 100 if quick else 1_000
        peers = {
            MLFLOW: mlflow_registry(Path(folder) / "mlflow.db", versions),
            MLFLOW_WAL: mlflow_registry(Path(folder) / "mlflow-wal.db", versions, journal_mode="WAL"),
        }
        yield from _beside_mlflow(archives[0], {name: peer for name, peer in peers.items() if peer}, rounds)
        yield from _growth(archives, rounds)


def _beside_mlflow(archive: FilledArchive, peers: Mapping[str, Registry], rounds: int) -> Iterator[Row]:
    works = {
        REGISTER: (repeated(archive.register, 30), 30.0),
        CHAMPION: (repeated(archive.champion, 30), 50.0),
        APPROVED: (repeated(archive.approved, 30), 50.0),
    }
    for row, (ours, goal) in works.items():
        cases = {OURS: ours} | {name: repeated(peer[row], 10) for name, peer in peers.items()}
        yield from compare(row, interleaved(cases, rounds), {MLFLOW: goal, MLFLOW_WAL: None})
    cases = {OURS: repeated(archive.archive_a_run, 3)}
    cases |= {name: repeated(peer[REGISTER], 10) for name, peer in peers.items()}
    yield from compare(DURABLE, interleaved(cases, min(rounds, 5)), {MLFLOW: None})


def _growth(archives: list[FilledArchive], rounds: int) -> Iterator[Row]:
    """Yield each size beside the smallest; the peer's name holds the exponent of cost in runs between them."""
    works: dict[str, Callable[[FilledArchive], object]] = {
        "register": FilledArchive.register,
        "champion": FilledArchive.champion,
        "verified look, then champion": FilledArchive.verified_champion,
        "durable archive_training_run": FilledArchive.archive_a_run,
    }
    for name, work in works.items():
        count = 2 if name.startswith("durable") else 100
        cases = {str(archive.size): repeated(partial(work, archive), count) for archive in archives}
        taken = interleaved(cases, min(rounds, 7))
        base = taken[str(archives[0].size)]
        for archive in archives:
            there = taken[str(archive.size)]
            ratio = float(np.median(there) / np.median(base))
            grown = math.log(archive.size / archives[0].size)
            exponent = math.log(ratio) / grown if grown else 0.0
            label = f"{archive.size} runs, exponent {exponent:+.2f}"
            yield from _beside(f"{GROWTH}{name}", label, there, base)


def _beside(row: str, label: str, there: list[float], base: list[float]) -> Iterator[Row]:
    yield from compare(row, {label: there, OURS: base}, {label: None})


class FilledArchive:
    """An archive with a valid chain of ``size`` runs over 200 slots, its index and this host's verified copy."""

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size
        root.mkdir(parents=True)
        self.log = AuditLog(root)
        self._copies = root.parent / "cache" / "verified"
        self._queries = itertools.count()
        head = self._write_chain()
        self._index = ArchiveIndex.in_folder(root)
        self._index.follow(self.log)
        self._index.close()
        # The same rows three times: the archive's index, this host's verified copy, and one to register into that no
        # chain stands behind.
        copy, registering = copy_of(self.log, self._copies), root / "registering.sqlite"
        copy.parent.mkdir(parents=True, exist_ok=True)
        for target in (copy, registering):
            shutil.copyfile(root / DATABASE_FILE, target)
        self._registering = ArchiveIndex(registering)
        self._head = head
        self._coming = iter(self._coming_records(head))
        os.environ["TRADER_ARCHIVE_CACHE"] = str(self._copies.parent)
        self._manager = TrainingArchiveManager(root, clock=Minutes(START_AT + timedelta(days=20_000)))
        self._summary = summary_of(root.parent / "policy.safetensors")

    def register(self) -> None:
        """Take one committed run into the index: run, verdict, trial, challenger and head, one transaction."""
        self._head = self._registering.advance([next(self._coming)], self._head)

    def champion(self) -> None:
        """Ask the index for the verdict about the model that holds a slot: version, digests, class and tier."""
        key = self._key()
        with self._index.state() as state:
            assert state.champion_verdict(key) is not None

    def approved(self) -> None:
        """Ask the index for a slot's newest verdicts."""
        with self._index.state() as state:
            assert state.verdicts_of(self._key(), limit=10)

    def verified_champion(self) -> None:
        """Ask as a reader does: hold the chain to what this host has verified, then ask its own index."""
        key = self._key()
        state = verified_state(self.log, copies=self._copies, folded_records=0).state
        assert state.champion_verdict(key) is not None

    def archive_a_run(self) -> None:
        """Judge, store and commit a run, fsynced, with its pages and its index."""
        self._manager.archive_training_run(self._summary)

    def _key(self) -> SlotKey:
        return SlotKey(f"S{next(self._queries) * 7 % SLOTS}", Timeframe.DAY_1)

    def _coming_records(self, head: ChainHead) -> list[AuditRecord]:
        """Return what will be registered, made before it is timed."""
        records = []
        for number in range(self.size, self.size + REGISTERED):
            records.append(self._record(number, head))
            head = head_of(records[-1])
        return records

    def _write_chain(self) -> ChainHead:
        head = START
        with self.log.path.open("wb") as stream:
            for number in range(self.size):
                record = self._record(number, head)
                stream.write(encode_record(record) + b"\n")
                (self.root / str(record.body["timestamp"])).mkdir()
                head = head_of(record)
        return head

    def _record(self, number: int, head: ChainHead) -> AuditRecord:
        at = START_AT + timedelta(minutes=number)
        body = run_body(f"{at:%Y%m%d_%H%M%S}", f"S{number % SLOTS}", f"{number:064x}")
        return AuditRecord.make(
            seq=head.seq + 1, prev=head.sha256, at=at, kind=AuditKind.RUN_ARCHIVED, who=WHO, body=body
        )


class Minutes:
    """A clock that moves a minute at each reading."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def __call__(self) -> datetime:
        """Return the next minute."""
        self._now += timedelta(minutes=1)
        return self._now


def run_body(timestamp: str, symbol: str, digest: str) -> dict[str, Any]:
    """Return the body of a run with one APPROVED model, as the archive writes it."""
    names = ("summary.json", "model_assessments.json", "recommendations.md", "report.html")
    verdict = {
        "id": f"{symbol}_1Day/{timestamp}",
        "version_id": f"bench-{timestamp[:8]}-{digest[-8:]}",
        "symbol": symbol,
        "timeframe": "1Day",
        "class": "APPROVED",
        "tier": "LIVE",
        "policy_sha256": f"sha256:{digest}",
        "data_digest": f"sha256:{64 * 'd'}",
        "digest": f"sha256:{digest}",
    }
    counts = {"approved": 1, "review": 0, "dropped": 0}
    return {"timestamp": timestamp, **counts, "files": dict.fromkeys(names, digest), "verdicts": [verdict]}


def summary_of(path: Path) -> dict[str, Any]:
    """Write a small policy and return a summary of it; without a GATE block, so REVIEW."""
    rng = np.random.default_rng(0)
    tensors = {
        "trunk.0.weight": rng.normal(size=(8, 5300)).astype(np.float32),
        "trunk.0.bias": np.zeros(8, dtype=np.float32),
        "actor_head.weight": rng.normal(size=(3, 8)).astype(np.float32),
        "actor_head.bias": np.zeros(3, dtype=np.float32),
    }
    metadata = {**get_checkpoint_metadata("2.3.0"), "activation": "tanh"}
    metadata["action_meanings"] = {str(key): value for key, value in metadata["action_meanings"].items()}
    path.write_bytes(safetensors_bytes(tensors, metadata))
    metrics = {"fitness_score": [0.7], "profit_factor": [1.9], "consistency": [0.9], "max_drawdown": [0.05]}
    model = {"symbol": "REAL", "timeframe": "1Day", "final": str(path), "metrics": metrics}
    return {"schema": 1, "models": {"REAL_1Day": model}}


def mlflow_registry(file: Path, versions: int, *, journal_mode: str = "DELETE") -> Registry:
    """Return the same three questions to MLflow's registry on SQLite; nothing where it is not installed."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    logging.disable(logging.INFO)
    try:
        import sqlalchemy as sa
        from mlflow.tracking import MlflowClient
    except ImportError:
        print("mlflow is not installed: no rows beside it", file=sys.stderr)
        return {}

    @sa.event.listens_for(sa.engine.Engine, "connect")
    def same_durability(connection: Any, _record: object) -> None:
        if connection.__class__.__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=NORMAL")

    with closing(sqlite3.connect(file)) as connection:
        # Kept in the file.
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
    client = MlflowClient(tracking_uri=f"sqlite:///{file}", registry_uri=f"sqlite:///{file}")
    names = [f"S{slot}_1Day" for slot in range(min(SLOTS, versions))]
    for name in names:
        client.create_registered_model(name)
    turn = itertools.count()

    def register() -> object:
        number = next(turn)
        tags = {"class": "APPROVED", "tier": "LIVE", "sha256": f"{number:064x}"}
        return client.create_model_version(names[number % len(names)], f"file:///{number}", tags=tags)

    for _ in range(versions):
        register()
    for name in names:
        client.set_registered_model_alias(name, "champion", "1")
    asked = itertools.cycle(names)
    return {
        REGISTER: register,
        CHAMPION: lambda: client.get_model_version_by_alias(next(asked), "champion"),
        APPROVED: lambda: client.search_model_versions(f"name = '{next(asked)}' and tag.class = 'APPROVED'", 10),
    }


if __name__ == "__main__":
    raise SystemExit(main(measure))
