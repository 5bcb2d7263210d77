"""The derived files beside the runs: brought to the chain's end by every commit, right whenever they are there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from trader_sdk.archive.index import listing
from trader_sdk.archive.index.archive_index import ArchiveIndex
from trader_sdk.archive.index.listing import disagreements, keep_index, rebuild
from trader_sdk.archive.slots import fold

Chain = Any
"""The builder of conftest.py, which cannot be imported from here."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an archive's folder."""
    return tmp_path / "archive"


@pytest.fixture
def kept(chain_in: type[Chain], root: Path, some_runs: Callable[[Chain], None]) -> Chain:
    """Return a chain in that folder, its derived files up to date."""
    chain = chain_in(root)
    some_runs(chain)
    keep_index(root, chain.log)
    return chain


def wrong(root: Path, chain: Chain) -> list[str]:
    """Return the derived files that are not what the chain says."""
    return disagreements(root, chain.log.read(), fold(chain.records))


def listed(root: Path) -> list[str]:
    return [run["timestamp"] for run in json.loads((root / "index.json").read_text())["runs"]]


def test_every_commit_brings_both_files_along(kept: Chain, root: Path) -> None:
    """After each record the list and the database are what the chain says, and nothing else lies there."""
    for number in range(3):
        kept.run(("AAPL", "DROP", number, None))
        assert wrong(root, kept) == ["index.json", "index.sqlite"]
        keep_index(root, kept.log)
        assert wrong(root, kept) == []
        assert listed(root) == list(fold(kept.records).runs)
    assert {path.name for path in root.iterdir()} == {"audit.jsonl", "index.json", "index.sqlite"}


def test_long_list_is_removed_rather_than_wrong(kept: Chain, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its limit on it is not written at each commit; it is made when somebody asks, and gone at the next run."""
    monkeypatch.setattr(listing, "LISTED_RUNS", 4)
    for expected in (True, False, False):
        kept.run(("AAPL", "DROP", 5, None))
        keep_index(root, kept.log)
        assert (root / "index.json").exists() is expected
        assert wrong(root, kept) == []
    assert rebuild(root, kept.log) == 6
    assert len(listed(root)) == 6
    assert wrong(root, kept) == []
    kept.run(("AAPL", "DROP", 6, None))
    keep_index(root, kept.log)
    assert not (root / "index.json").exists()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE verdicts SET class = 'APPROVED'",
        "DELETE FROM recalls",
        "UPDATE moves SET version_id = 'm-9'",
        "UPDATE runs SET approved = 7",
        "DELETE FROM challengers",
        "UPDATE head SET seq = 1",
        "DELETE FROM overrides",
    ],
)
def test_edited_database_is_found_and_made_right(kept: Chain, root: Path, edit: str) -> None:
    """Looking at it changes nothing; rebuilding gives the same rows as before."""
    with closing(ArchiveIndex.in_folder(root)) as index:
        before = index.dump()
    with closing(sqlite3.connect(root / "index.sqlite")) as database:
        assert database.execute(edit).rowcount > 0 or "challengers" in edit
        database.execute("INSERT INTO recalled_names VALUES ('m-1', 9)")
        database.commit()
    edited = (root / "index.sqlite").read_bytes()
    assert wrong(root, kept) == ["index.sqlite"]
    assert (root / "index.sqlite").read_bytes() == edited
    rebuild(root, kept.log)
    assert wrong(root, kept) == []
    with closing(ArchiveIndex.in_folder(root)) as index:
        assert index.dump() == before


def test_deleted_files_come_back_equal(kept: Chain, root: Path) -> None:
    """Derived: delete, rebuild, equal."""
    with closing(ArchiveIndex.in_folder(root)) as index:
        before = ((root / "index.json").read_bytes(), index.dump())
    for name in ("index.json", "index.sqlite"):
        (root / name).unlink()
    assert wrong(root, kept) == ["index.json"]
    rebuild(root, kept.log)
    with closing(ArchiveIndex.in_folder(root)) as index:
        assert ((root / "index.json").read_bytes(), index.dump()) == before


def test_index_that_cannot_be_written_is_said_and_made_good_later(kept: Chain, root: Path) -> None:
    """Another process holds it while a run is committed: the run stays, the next commit brings the index along."""
    kept.run(("AAPL", "DROP", 5, None))
    impatient = ArchiveIndex(root / "index.sqlite", busy_seconds=0.01)
    with closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with structlog.testing.capture_logs() as logs:
            keep_index(root, kept.log, impatient)
    assert [(log["event"], log["where"]) for log in logs] == [("index_behind", str(root / "index.sqlite"))]
    assert "index.sqlite" in wrong(root, kept)
    kept.run(("AAPL", "DROP", 6, None))
    keep_index(root, kept.log)
    assert wrong(root, kept) == []
