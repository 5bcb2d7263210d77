"""One suite for an archive wherever it lies: a folder, S3 alone, S3 with PostgreSQL, a folder with PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import deployable, load_approved, load_approved_universe
from trader_sdk.archive.export import export_runs
from trader_sdk.archive.exported import verify_export
from trader_sdk.archive.governance import Decider, override, promote, recall, revert
from trader_sdk.archive.manager import TrainingArchiveManager, archive_run
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.signatures import add_signature
from trader_sdk.archive.verify import verify
from trader_sdk.contract.errors import ArchiveError, CheckpointError, CompatibilityError, LifecycleError, UsageError
from trader_sdk.contract.verdicts import GateClass
from trader_sdk.signing import canonical_bytes, generate_key, sign


def test_run_archived_on_one_host_is_loaded_on_another(shop: Any) -> None:
    """The champion's bytes, its verdict and its numbers are the same there."""
    run = shop.archive()
    shop.move("trader-host")
    model = load_approved(shop.name, "AAPL")
    verdict = run.assessments[0]
    assert model.approval.version_id == verdict.version_id
    assert model.policy_sha256 == verdict.policy_sha256
    assert model.sha256.removeprefix("sha256:") in {subject.sha256 for subject in verdict.subjects}
    assert verify(shop.name).faults == ()


def test_runs_and_verdicts_are_seen_by_every_question(shop: Any) -> None:
    """Approved models, history, the gate table and the state."""
    first, second = shop.archive(0), shop.archive(1, symbol="IBM")
    shop.move("trader-host")
    manager = TrainingArchiveManager(shop.name)
    assert manager.get_approved_models(second.timestamp) == ["IBM_1Day"]
    assert [entry.timestamp for entry in manager.get_symbol_history("AAPL")] == [first.timestamp]
    assert [(row.symbol, row.chosen) for row in deployable(shop.name)] == [("AAPL", True), ("IBM", True)]
    assert list(ArchiveReader(shop.name).state.runs) == [first.timestamp, second.timestamp]


def test_runs_of_one_second_have_names_of_their_own(shop: Any) -> None:
    """The name is decided where the commit is."""
    at = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    final = shop.samples.write_checkpoint(shop.folder / "0.safetensors", 0)
    summary = shop.samples.summary_of(shop.samples.model_summary(final))
    names = []
    for host in ("one", "two"):
        shop.move(host)
        names.append(TrainingArchiveManager(shop.name, clock=lambda: at).archive_training_run(summary).timestamp)
    assert names == ["20261121_093000", "20261121_093000_2"]


def test_trials_are_counted_across_hosts(shop: Any) -> None:
    """Opening one GATE block again from another host is a trial."""
    shop.archive(0)
    shop.move("other-host")
    assert shop.archive(1).assessments[0].n_trials == 2


def test_pointer_moves_on_one_host_and_is_followed_on_another(shop: Any) -> None:
    """Promote, revert, and a stale promote that loses."""
    old, new = shop.archive(0).assessments[0].version_id, shop.archive(1).assessments[0].version_id
    shop.move("partner-host")
    promote(shop.name, "AAPL", "1Day", new, why="better")
    shop.move("trader-host")
    assert load_approved(shop.name, "AAPL").approval.version_id == new
    with pytest.raises(LifecycleError):
        promote(shop.name, "AAPL", "1Day", new, expected=old)
    revert(shop.name, "AAPL", "1Day", why="worse")
    shop.move("partner-host")
    assert load_approved(shop.name, "AAPL").approval.version_id == old


def test_recall_on_one_host_refuses_on_all(shop: Any) -> None:
    """E505, at the next look."""
    version = shop.archive().assessments[0].version_id
    shop.move("trader-host")
    load_approved(shop.name, "AAPL")
    shop.move("partner-host")
    recall(shop.name, [version], why="leak")
    shop.move("trader-host")
    with pytest.raises(CompatibilityError) as caught:
        load_approved(shop.name, "AAPL")
    assert caught.value.code == "E505"


def test_override_lifts_a_review_model_on_every_host(shop: Any) -> None:
    """With its ceiling, in the name that the archive knows."""
    run = shop.archive(gate={"final": shop.samples.gate_block(fitness_score=0.6), "best": None})
    assert run.assessments[0].class_ is GateClass.REVIEW
    until = datetime.now(UTC) + timedelta(days=1)
    written = override(shop.name, run.assessments[0].id, why="paper only", until=until)
    shop.move("trader-host")
    assert load_approved(shop.name, "AAPL").approval.override == written


def test_who_is_what_the_archive_itself_knows(shop: Any) -> None:
    """A role, a key, or where there is neither the login or what one says."""
    shop.archive()
    expected = {"folder": "os", "s3": "key", "s3+postgres": "database", "folder+postgres": "database"}[shop.kind]
    who = ArchiveReader(shop.name).chain.records[0].who
    assert who.kind == expected
    if expected == "database":
        assert who.name == "writer"
    before = ArchiveReader(shop.name).head
    if expected == "os":
        recall(shop.name, ["x"], why="y", decider=Decider(who="bob"))
        assert ArchiveReader(shop.name).chain.records[-1].who.name == "bob"
        return
    final = shop.samples.write_checkpoint(shop.folder / "0.safetensors", 0)
    summary = shop.samples.summary_of(shop.samples.model_summary(final))
    for act in (
        lambda: recall(shop.name, ["x"], why="y", decider=Decider(who="bob")),
        lambda: TrainingArchiveManager(shop.name, who="bob").archive_training_run(summary),
    ):
        with pytest.raises(UsageError):
            act()
    assert ArchiveReader(shop.name).head == before


def test_refused_summary_leaves_nothing(shop: Any) -> None:
    """E609, and no archive is made by it."""
    with pytest.raises(ArchiveError) as caught:
        archive_run(shop.name, checkpoints="nowhere.pt", metrics={}, symbol="../../etc", timeframe="1Day")
    assert caught.value.code == "E609"
    with pytest.raises(ArchiveError) as caught:
        ArchiveReader(shop.name)
    assert caught.value.code == "E608"
    assert "desk" in str(caught.value) or str(shop.folder.parent) in str(caught.value)


def test_archive_without_runs_is_typed_for_every_question(shop: Any) -> None:
    """E608 for readers and for deciders; nothing is made by asking."""
    for act in (
        lambda: load_approved(shop.name, "AAPL"),
        lambda: deployable(shop.name),
        lambda: recall(shop.name, ["x"], why="y"),
        lambda: promote(shop.name, "AAPL", "1Day", "x"),
        lambda: verify(shop.name),
    ):
        with pytest.raises(ArchiveError) as caught:
            act()
        assert caught.value.code == "E608"


def test_universe_is_loaded_in_one_look_on_another_host(shop: Any) -> None:
    """Side by side, a refusal a value."""
    for seed, symbol in enumerate(("AAPL", "IBM")):
        shop.archive(seed, symbol=symbol)
    shop.move("trader-host")
    found = load_approved_universe(shop.name, ["AAPL", "IBM", "MSFT"])
    assert [isinstance(one, ArchiveError) for one in found.values()] == [False, False, True]


def test_run_is_carried_out_of_one_archive_and_into_another(shop: Any, tmp_path: Path) -> None:
    """Exported on another host, checked, and taken into a folder."""
    run = shop.archive()
    shop.move("partner-host")
    reader = ArchiveReader(shop.name)
    out = tmp_path / "out"
    export_runs(reader, [run.timestamp], out, who=reader.place.identity(), at=datetime.now(UTC))
    assert verify_export(out).faults == ()


def test_verdict_is_signed_on_one_host_and_asked_for_on_another(shop: Any) -> None:
    """The signature lies beside the runs; without it nothing trades where it is required."""
    verdict = shop.archive().assessments[0]
    key = generate_key()
    shop.move("trader-host")
    with pytest.raises(CheckpointError):
        load_approved(shop.name, "AAPL", require_signature=[key.public])
    shop.move("partner-host")
    for _ in range(2):
        add_signature(shop.name, sign(canonical_bytes(verdict), key))
    shop.move("trader-host")
    assert load_approved(shop.name, "AAPL", require_signature=[key.public]).approval


_LIGHT = """
import sys
from trader_sdk.approved import load_approved
load_approved(sys.argv[1], "AAPL")
heavy = {"obstore", "psycopg", "sqlalchemy", "torch", "alpaca"} & set(sys.modules)
assert not heavy, heavy
"""


def test_folder_needs_neither_a_client_of_s3_nor_of_a_database(tmp_path: Path, samples: Any) -> None:
    """What a URL asks for is imported where one is given."""
    final = samples.write_checkpoint(tmp_path / "c.safetensors")
    archive = tmp_path / "archive"
    TrainingArchiveManager(archive).archive_training_run(samples.summary_of(samples.model_summary(final)))
    done = subprocess.run([sys.executable, "-c", _LIGHT, str(archive)], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
