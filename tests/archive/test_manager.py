"""Archiving a run: what is stored, what is judged, what is refused, and that nothing is half there."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.gate import METRICS
from trader_sdk.archive.governance import override, promote
from trader_sdk.archive.manager import TrainingArchiveManager, archive_run
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.store import audit as audit_module
from trader_sdk.archive.store.lock import writer_lock
from trader_sdk.archive.verify import Kind, rebuild_index, verify
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.checkpoint.artefacts import raw_policy_sha256
from trader_sdk.contract.document import parse_document, to_plain
from trader_sdk.contract.errors import ArchiveError, SdkError, StorageError
from trader_sdk.contract.summary import Assertion
from trader_sdk.contract.verdicts import Assessments, Verdict

Archive = Callable[..., Any]
Samples = Any
"""The builders of conftest.py, which cannot be imported from here."""


def tree(root: Path) -> dict[str, bytes]:
    """Return every file of an archive that readers look at."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith((".lock", "index.sqlite"))
    }


def test_run_is_stored_whole(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The folder of the specification, files named by digest, and an archive that verifies."""
    run = archived()
    assert (run.timestamp, run.path) == ("20261121_093100", manager.root / "20261121_093100")
    assert (run.approved_count, run.review_count, run.dropped_count) == (1, 0, 0)
    names = {path.name for path in run.path.iterdir()}
    assert names == {"summary.json", "model_assessments.json", "recommendations.md", "report.html", "models"}
    verdict = run.assessments[0]
    assert {subject_path(run.path, subject).name for subject in verdict.subjects} == {
        path.name for path in (run.path / "models").iterdir()
    }
    assert [subject.role for subject in verdict.subjects] == ["training", "policy_safetensors", "policy_pt"]
    found = verify(manager.root)
    assert (found.holds, found.runs, found.verdicts, found.remarks) == (True, 1, 1, ())


def test_verdict_is_bound_to_bytes_and_thresholds(archived: Archive) -> None:
    """What documents.md shows, field for field."""
    run = archived()
    document = parse_document(Assessments, (run.path / "model_assessments.json").read_bytes(), where="test")
    verdict = document.assessments[0]
    assert verdict == run.assessments[0]
    assert verdict.id == "AAPL_1Day/20261121_093100"
    assert verdict.version_id == f"spec-default-20261121-{verdict.subjects[0].sha256[:8]}"
    assert verdict.gate_policy == document.policy.hash == ModelGatingConfig().policy_hash
    assert (verdict.class_, verdict.tier, verdict.flags) == ("APPROVED", "LIVE", ())
    assert (verdict.best_idx, verdict.checkpoint_update, verdict.use_checkpoint) == (1, 80, False)
    assert (verdict.model_version, verdict.n_trials, verdict.metrics["t"]) == ("2.3.0", 1, 3.4)


def test_every_file_of_a_run_shares_its_policy_digest(archived: Archive) -> None:
    """The training checkpoint and both policy artefacts hold the same policy."""
    run = archived()
    verdict = run.assessments[0]
    for subject in verdict.subjects:
        raw = read_checkpoint(subject_path(run.path, subject))
        assert raw.sha256 == f"sha256:{subject.sha256}"
        assert raw_policy_sha256(raw) == verdict.policy_sha256


def test_summary_is_stored_as_it_came(samples: Samples, manager: TrainingArchiveManager, tmp_path: Path) -> None:
    """The trainer's own bytes, paths relative to its folder."""
    samples.write_checkpoint(tmp_path / "run" / "ckpt" / "u80.pt")
    text = json.dumps(samples.summary_of(samples.model_summary("ckpt/u80.pt")), indent=7)
    (tmp_path / "run" / "summary.json").write_text(text)
    run = manager.archive_training_run(tmp_path / "run" / "summary.json")
    assert (run.path / "summary.json").read_text() == text


def test_numbers_that_json_does_not_have_survive_the_archive(samples: Samples, archived: Archive) -> None:
    """An endless profit factor and a NaN of a summary in memory, numpy scalars too."""
    metrics = {
        "fitness_score": np.array([0.6, math.nan, 0.66]),
        "profit_factor": [1.5, math.inf, np.float32(1.9)],
        "consistency": (0.8, 0.9, 0.9),
        "max_drawdown": [0.05, 0.04, 0.04],
    }
    run = archived(metrics=metrics, gate={"final": samples.gate_block(profit_factor=math.inf), "best": None})
    assert run.assessments[0].class_ == "APPROVED"
    assert verify(run.path.parent).holds


def test_class_is_review_without_a_gate_block(samples: Samples, archived: Archive) -> None:
    """The last entries of the arrays are judged, and evidence is missing."""
    verdict = archived(gate=None, metrics={name: [value] for name, value in samples.good.items()}).assessments[0]
    assert (verdict.class_, verdict.tier) == ("REVIEW", "RETRAIN")
    assert [flag.name for flag in verdict.flags] == ["INSUFFICIENT_EVIDENCE"]
    assert verdict.metrics["fitness_score"].value == 1.27


@pytest.mark.parametrize("left_out", ["metric_set", "drawdown_kind"])
def test_class_is_review_when_the_summary_does_not_say_how_it_measured(
    samples: Samples, archived: Archive, manager: TrainingArchiveManager, tmp_path: Path, left_out: str
) -> None:
    """What is missing lowers what can be decided and is never invented."""
    model = samples.model_summary(samples.write_checkpoint(tmp_path / "c.pt"))
    del model[left_out], model["reward_scale"]
    run = manager.archive_training_run(samples.summary_of(model))
    assert run.assessments[0].class_ == "REVIEW"
    assert verify(manager.root).holds


def declining(samples: Samples, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    best = samples.write_checkpoint(tmp_path / "u40.pt", 40)
    final = samples.write_checkpoint(tmp_path / "u80.pt", 80)
    arrays = {
        "fitness_score": [0.9, 0.5],
        "profit_factor": [2.5, 1.1],
        "consistency": [0.9, 0.6],
        "max_drawdown": [0.01, 0.2],
    }
    checkpoints = [{"update": 40, "path": str(best)}, {"update": 80, "path": str(final)}]
    return samples.model_summary(final, checkpoints=checkpoints, metrics=arrays, **changes)


def sha_of(path: Path) -> str:
    return read_checkpoint(path).sha256.removeprefix("sha256:")


def test_best_checkpoint_is_judged_and_kept_when_the_final_declined(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """The checkpoint at the peak has a GATE block of its own, and its bytes are the subjects."""
    gate = {"final": samples.gate_block(fitness_score=0.1), "best": samples.gate_block()}
    verdict = manager.archive_training_run(samples.summary_of(declining(samples, tmp_path, gate=gate))).assessments[0]
    assert (verdict.use_checkpoint, verdict.best_idx, verdict.checkpoint_update) == (True, 0, 40)
    assert verdict.class_ == "APPROVED"
    assert verdict.subjects[0].sha256 == sha_of(tmp_path / "u40.pt")
    assert {flag.name for flag in verdict.flags} == {"FITNESS_DECLINE", "UNSTABLE_TRAINING"}


def test_best_checkpoint_is_review_when_gate_was_opened_for_the_final_only(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """Numbers of SELECT alone approve nothing."""
    run = manager.archive_training_run(samples.summary_of(declining(samples, tmp_path)))
    verdict = run.assessments[0]
    assert verdict.class_ == "REVIEW"
    assert verdict.metrics["fitness_score"].value == 0.9
    assert verdict.evidence is None


@pytest.mark.parametrize("interval", [40, 30])
def test_final_is_judged_when_the_best_checkpoint_is_gone(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path, interval: int
) -> None:
    """Recommended, but its file is missing or has no update of that number."""
    model = declining(samples, tmp_path, validation_interval=interval)
    if interval == 40:
        (tmp_path / "u40.pt").unlink()
    verdict = manager.archive_training_run(samples.summary_of(model)).assessments[0]
    assert (verdict.use_checkpoint, verdict.checkpoint_update) == (True, interval)
    assert verdict.subjects[0].sha256 == sha_of(tmp_path / "u80.pt")
    assert verdict.class_ == "APPROVED"


def test_opening_gate_again_on_the_same_data_counts_as_a_trial(samples: Samples, archived: Archive) -> None:
    """Runs of the same symbol, timeframe and data; other data starts from one."""
    weak = {"final": samples.gate_block(t=3.05), "best": None}
    assert [archived(seed, gate=weak).assessments[0].n_trials for seed in range(3)] == [1, 2, 3]
    assert archived(3, gate=weak, n_trials=9).assessments[0].n_trials == 9
    last = archived(4, gate=weak).assessments[0]
    assert (last.n_trials, last.class_) == (5, "REVIEW")
    assert archived(5, data={**samples.data, "digest": "sha256:" + 64 * "e"}).assessments[0].n_trials == 1
    assert archived(6, timeframe="1Hour").assessments[0].n_trials == 1


def test_every_run_of_the_slot_counts_as_a_trial_when_nobody_says_which_data_it_was(archived: Archive) -> None:
    """Leaving the digest out must not make trials free: what was not said counts as the weaker case."""
    assert [archived(seed, data=None).assessments[0].n_trials for seed in range(3)] == [1, 2, 3]
    assert archived(3).assessments[0].n_trials == 1
    assert archived(4, data=None).assessments[0].n_trials == 5


def test_trials_are_counted_on_the_chain_when_the_index_was_edited(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """A derived file must not decide how much evidence is asked for."""
    archived(0)
    with closing(sqlite3.connect(manager.root / "index.sqlite")) as database:
        database.execute("DELETE FROM verdicts")
        database.commit()
    assert archived(1).assessments[0].n_trials == 2


def test_the_four_metrics_come_from_gate_when_further_figures_bear_their_names(
    samples: Samples, archived: Archive
) -> None:
    """``extra`` and ``shown`` add figures; they never take the place of a gated metric."""
    gate = {"final": samples.gate_block(fitness_score=0.1, shown={"max_drawdown": 0.0}), "best": None}
    verdict = archived(gate=gate, extra={"fitness_score": [9.0, 9.0], "max_drawdown": [0.0, 0.0]}).assessments[0]
    values = {name: getattr(metric, "value", metric) for name, metric in verdict.metrics.items()}
    assert verdict.class_ == "DROP"
    assert (values["fitness_score"], values["max_drawdown"]) == (0.1, samples.good["max_drawdown"])


def test_a_desks_own_metric_may_be_a_figure_that_gate_shows(samples: Samples, tmp_path: Path) -> None:
    """``extra`` bars reach what the GATE block shows, without an array of validations beside it."""
    policy = ModelGatingConfig(name="desk", extra={"sortino": {"approved": 2.0, "review": 1.0}})
    final = samples.write_checkpoint(tmp_path / "final.safetensors")
    for sortino, expected in ((2.5, "APPROVED"), (1.5, "REVIEW"), (0.5, "DROP")):
        gate = {"final": samples.gate_block(shown={"active_windows": 7.0, "sortino": sortino}), "best": None}
        manager = TrainingArchiveManager(tmp_path / f"archive{sortino}", policy)
        summary = samples.summary_of(samples.model_summary(final, gate=gate))
        assert manager.archive_training_run(summary).assessments[0].class_ == expected


def test_questions_about_the_archive(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Approved models of a run, history newest last."""
    first, second = archived(0), archived(1, gate=None)
    archived(2, symbol="BTC/USD", timeframe="1Hour")
    assert manager.get_approved_models(first.timestamp) == ["AAPL_1Day"]
    assert manager.get_approved_models(second.timestamp) == []
    history = manager.get_symbol_history("AAPL")
    assert [(entry.timestamp, entry.gate_class) for entry in history] == [
        (first.timestamp, "APPROVED"),
        (second.timestamp, "REVIEW"),
    ]
    assert manager.get_symbol_history("BTC/USD")[0].verdict_id == "BTC%2FUSD_1Hour/20261121_093300"
    assert manager.get_symbol_history("MSFT") == []
    for wrong in ("20991231_000000", "../../etc"):
        with pytest.raises(ArchiveError):
            manager.get_approved_models(wrong)


def test_two_runs_of_one_second_have_two_names(samples: Samples, tmp_path: Path) -> None:
    """Nothing is overwritten."""
    manager = TrainingArchiveManager(tmp_path / "archive", clock=lambda: samples.start)
    summary = samples.summary_of(samples.model_summary(samples.write_checkpoint(tmp_path / "c.pt")))
    names = [manager.archive_training_run(summary).timestamp for _ in range(3)]
    assert names == ["20261121_093000", "20261121_093000_2", "20261121_093000_3"]


def test_hostile_symbols_stay_inside_the_archive(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """Several hostile names at once, each a slot of its own."""
    final = samples.write_checkpoint(tmp_path / "c.pt")
    hostile = ["../../etc", "CON", "BRK.B", "BTC/USD", "~", "$(touch x)", "<script>alert(1)</script>"]
    before = set(tmp_path.rglob("*"))
    run = manager.archive_training_run(
        samples.summary_of(*(samples.model_summary(final, symbol=symbol) for symbol in hostile))
    )
    assert {path for path in set(tmp_path.rglob("*")) - before if manager.root not in (path, *path.parents)} == set()
    assert {verdict.symbol for verdict in run.assessments} == set(hostile)
    assert "<script>alert" not in (run.path / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"final": "missing.pt"}, ArchiveError),
        ({"symbol": ""}, ArchiveError),
        ({"symbol": "A" * 33}, ArchiveError),
        ({"symbol": "A\ud800"}, ArchiveError),
        ({"timeframe": "2Day"}, ArchiveError),
        ({"metrics": {"fitness_score": [1.0]}}, ArchiveError),
        ({"metrics": {name: [1.0] * (1 + (name == "consistency")) for name in METRICS}}, ArchiveError),
        ({"surprise": 1}, ArchiveError),
        ({"data": {"digest": "md5:1"}}, ArchiveError),
        ({"extra": {"calmar": [object()]}}, ArchiveError),
    ],
)
def test_archive_is_untouched_when_a_summary_is_refused(
    archived: Archive, manager: TrainingArchiveManager, change: dict[str, Any], error: type[SdkError]
) -> None:
    """It raised and nothing changed."""
    archived()
    before = tree(manager.root)
    with pytest.raises(error):
        archived(1, **change)
    assert tree(manager.root) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"schema": 1, "schema": 1, "models": {}}',
        '{"schema": NaN}',
        "\ufeff{}",
        "[" * 100_000,
        '{"a": 1e999}',
    ],
)
def test_summary_file_is_refused_when_it_is_not_strict_json(
    manager: TrainingArchiveManager, tmp_path: Path, text: str
) -> None:
    """Duplicate keys, NaN, a byte order mark, endless depth: E609, and no archive is made."""
    path = tmp_path / "summary.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ArchiveError) as caught:
        manager.archive_training_run(path)
    assert caught.value.code == "E609"
    assert not manager.root.exists()


def test_run_is_archived_as_drop_when_its_checkpoint_is_refused(
    samples: Samples, archived: Archive, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """Every run is archived, whatever its result: the reason is kept, the bytes are not, nobody can lift it."""
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    foreign = samples.write_checkpoint(tmp_path / "foreign.pt", symbol="MSFT")
    normaliser = samples.write_checkpoint(tmp_path / "ambiguous.pt", model_version="9.9.9")
    for path, code in ((tmp_path / "bad.pt", "E101"), (foreign, "E301"), (normaliser, "E205")):
        run = archived(final=str(path))
        verdict = run.assessments[0]
        assert (run.dropped_count, verdict.class_, verdict.tier) == (1, "DROP", None)
        assert (verdict.subjects, verdict.policy_sha256, verdict.model_version) == ((), None, None)
        (flag,) = (flag for flag in verdict.flags if flag.name == "CHECKPOINT_REFUSED")
        assert flag.detail.startswith(f"{path.name}: {code} ")
        assert str(tmp_path) not in (run.path / "model_assessments.json").read_text()
        assert list((run.path / "models").iterdir()) == []
        assert code in (run.path / "report.html").read_text()
        assert code in (run.path / "recommendations.md").read_text()
        with pytest.raises(ArchiveError, match="only a REVIEW"):
            override(manager.root, verdict.id, why="anyway", until=samples.start.replace(year=2126))
        with pytest.raises(ArchiveError, match="not deployable"):
            promote(manager.root, "AAPL", "1Day", verdict.version_id)
    assert verify(manager.root).holds
    with pytest.raises(ArchiveError) as caught:
        load_approved(manager.root, "AAPL")
    assert caught.value.code == "E601"


def test_models_of_a_run_are_judged_although_one_is_refused(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """One fool does not stop the rest of its run."""
    (tmp_path / "bad.pt").write_bytes(b"PK\x03\x04 nothing")
    good = samples.write_checkpoint(tmp_path / "good.pt")
    bad = samples.model_summary(tmp_path / "bad.pt", symbol="MSFT")
    run = manager.archive_training_run(samples.summary_of(bad, samples.model_summary(good)))
    assert (run.approved_count, run.dropped_count) == (1, 1)
    assert load_approved(manager.root, "AAPL").policy_sha256 == run.assessments[1].policy_sha256


def test_a_verdict_about_no_bytes_cannot_say_anything_but_drop(archived: Archive) -> None:
    """Neither APPROVED nor half of the binding: not even a document that says so can be read."""
    plain = to_plain(archived().assessments[0])
    for change in (
        {"policy_sha256": None, "subjects": []},
        {"policy_sha256": None},
        {"subjects": []},
    ):
        with pytest.raises(ArchiveError) as caught:
            parse_document(Verdict, {**plain, **change}, where="test")
        assert caught.value.code == "E609"


def test_digest_of_a_document_stays_when_later_fields_say_nothing(archived: Archive) -> None:
    """What was committed before a field existed keeps its digest; where it says something it is written."""
    verdict = archived(gate=None).assessments[0]
    plain = to_plain(verdict)
    assert "asserted" not in plain
    assert "detail" not in plain["flags"][0]
    spoken = verdict.model_copy(update={"asserted": Assertion(trained_until="2010-12-31", who="ann")})
    assert to_plain(spoken)["asserted"]["trained_until"] == "2010-12-31"


def test_two_models_of_one_slot_are_refused(samples: Samples, manager: TrainingArchiveManager, tmp_path: Path) -> None:
    """The fields are the truth, not the keys."""
    model = samples.model_summary(samples.write_checkpoint(tmp_path / "c.pt"))
    with pytest.raises(ArchiveError, match="one model a symbol"):
        manager.archive_training_run(samples.summary_of(model, model))


def test_archive_is_as_before_when_the_audit_line_fails(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit point failed, so the renamed folder goes too."""
    archived()
    before = tree(manager.root)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_module, "_append_durably", refuse)
    with pytest.raises(StorageError, match="No space left"):
        archived(1)
    monkeypatch.undo()
    assert tree(manager.root) == before
    assert verify(manager.root).holds
    assert archived(1).timestamp == "20261121_093300"


def test_run_stays_when_an_interrupt_comes_after_its_audit_line(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed is not taken back."""
    real = audit_module.AuditLog.append

    def interrupted(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(audit_module.AuditLog, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        archived()
    monkeypatch.undo()
    found = verify(manager.root)
    assert (found.runs, found.faults) == (1, ())


def test_crash_between_rename_and_audit_line_leaves_an_orphan_that_is_reported_and_ignored(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers see the chain; the orphan keeps its name and nothing is written over it."""
    archived()
    orphan = manager.root / "20261121_093200"
    (manager.root / ".tmp-run").mkdir()
    orphan.mkdir()
    (orphan / "summary.json").write_text("{}")
    assert list(ArchiveReader(manager.root).state.runs) == ["20261121_093100"]
    remarks = {remark.kind for remark in verify(manager.root).remarks}
    assert remarks == {Kind.ORPHAN, Kind.LEFTOVER}
    run = archived(1)
    assert run.timestamp == "20261121_093200_2"
    assert (orphan / "summary.json").read_text() == "{}"
    assert not (manager.root / ".tmp-run").exists()
    assert {remark.kind for remark in verify(manager.root).remarks} == {Kind.ORPHAN}


def test_writer_gives_up_when_the_lock_is_held(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A live writer is waited for, then named."""
    archived()
    before = tree(manager.root)
    impatient = TrainingArchiveManager(manager.root, lock_timeout_seconds=0.01)
    with writer_lock(manager.root), pytest.raises(ArchiveError) as caught:
        impatient.archive_training_run(ArchiveReader(manager.root).root / "20261121_093100" / "summary.json")
    assert caught.value.code == "E605"
    assert tree(manager.root) == before


@pytest.mark.parametrize("damage", ["delete", "garbage", "stale"])
def test_index_is_derived(archived: Archive, manager: TrainingArchiveManager, damage: str) -> None:
    """Deleted, damaged or behind: the next writer makes it again, and rebuilding gives the same bytes."""
    archived(0)
    stale = {name: (manager.root / name).read_bytes() for name in ("index.json", "index.sqlite")}
    archived(1)
    index = (manager.root / "index.json").read_bytes()
    for name, old in stale.items():
        if damage == "delete":
            (manager.root / name).unlink()
        else:
            (manager.root / name).write_bytes(b"garbage" if damage == "garbage" else old)
    assert {remark.kind for remark in verify(manager.root).remarks} == {Kind.INDEX_LAGS}
    assert rebuild_index(manager.root) == 2
    assert (manager.root / "index.json").read_bytes() == index
    if damage == "delete":
        (manager.root / "index.sqlite").unlink()
    else:
        (manager.root / "index.sqlite").write_bytes(b"garbage" if damage == "garbage" else stale["index.sqlite"])
    assert archived(2).assessments[0].n_trials == 3
    assert verify(manager.root).remarks == ()


def test_run_is_committed_although_its_index_could_not_be_written(
    archived: Archive, manager: TrainingArchiveManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is behind; the truth is not."""
    archived(0)
    from trader_sdk.archive.index import listing

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(listing, "replace_derived", refuse)
    run = archived(1)
    monkeypatch.undo()
    assert manager.get_approved_models(run.timestamp) == ["AAPL_1Day"]
    assert {remark.kind for remark in verify(manager.root).remarks} == {Kind.INDEX_LAGS}


@pytest.mark.parametrize("name", ["summary.json", "model_assessments.json", "recommendations.md", "report.html"])
def test_edited_run_is_found(archived: Archive, manager: TrainingArchiveManager, name: str) -> None:
    """Each document of a run is in the chain by digest."""
    run = archived()
    path = run.path / name
    path.write_bytes(path.read_bytes().replace(b"AAPL", b"AAPM"))
    found = verify(manager.root)
    assert not found.holds
    assert {fault.code for fault in found.faults} == {"E602"}
    assert any(name in fault.where for fault in found.faults)


def test_swapped_or_missing_model_is_found(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The artefacts are in the verdict by digest."""
    run = archived()
    policy = run.path / "models" / f"{run.assessments[0].subjects[1].sha256}.safetensors"
    policy.write_bytes(policy.read_bytes()[:-1])
    assert [fault.code for fault in verify(manager.root).faults] == ["E602"]
    policy.unlink()
    assert [fault.actual for fault in verify(manager.root).faults] == ["missing"]


def test_cut_chain_is_found_with_a_head_kept_elsewhere(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Cutting whole lines off the end is only seen by who kept the head."""
    archived(0)
    archived(1)
    head = verify(manager.root).head
    path = manager.root / "audit.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert verify(manager.root).holds
    with pytest.raises(ArchiveError) as caught:
        verify(manager.root, expected_head=head.sha256)
    assert caught.value.code == "E606"


@pytest.mark.parametrize("make", [False, True])
def test_missing_or_empty_archive_is_refused(tmp_path: Path, make: bool) -> None:
    """Nothing is made by looking."""
    root = tmp_path / "archive"
    if make:
        root.mkdir()
    with pytest.raises(ArchiveError) as caught:
        ArchiveReader(root)
    assert caught.value.code == "E608"
    assert root.exists() is make


def test_archive_run_archives_other_peoples_models_in_one_call(samples: Samples, tmp_path: Path) -> None:
    """Checkpoints by update, the highest is the final one, everything else as in a summary."""
    files = {update: samples.write_checkpoint(tmp_path / f"{update}.pt", update) for update in (40, 80)}
    arrays = {name: [value, value] for name, value in samples.good.items()}
    run = archive_run(
        tmp_path / "archive",
        checkpoints=files,
        metrics=arrays,
        symbol="AAPL",
        timeframe="1Day",
        gate={"final": samples.gate_block()},
        metric_set="house@1",
        drawdown_kind="equity",
        label="theirs",
        data=samples.data,
        run={"trainer": "theirs 1.0"},
    )
    assert (run.approved_count, run.assessments[0].label) == (1, "theirs")
    assert run.assessments[0].subjects[0].sha256 == sha_of(files[80])
    alone = archive_run(tmp_path / "archive", checkpoints=files[40], metrics=arrays, symbol="MSFT", timeframe="1Day")
    assert alone.review_count == 1
    for wrong in ({"checkpoints": {}}, {"checkpoints": files, "fitness": 1}):
        with pytest.raises(ArchiveError):
            archive_run(tmp_path / "archive", metrics=arrays, symbol="AAPL", timeframe="1Day", **wrong)


def test_policy_of_a_desk_is_stored_with_its_name_and_values(samples: Samples, tmp_path: Path) -> None:
    """What was asked for is part of what was decided."""
    desk = ModelGatingConfig(name="desk", approved_min_pf=1.4)
    manager = TrainingArchiveManager(tmp_path / "archive", desk)
    summary = samples.summary_of(samples.model_summary(samples.write_checkpoint(tmp_path / "c.pt")))
    run = manager.archive_training_run(summary)
    policy = json.loads((run.path / "model_assessments.json").read_text())["policy"]
    assert (policy["name"], policy["hash"]) == ("desk", desk.policy_hash)
    assert policy["values"] == desk.values


def test_packaged_demo_archive_is_whole() -> None:
    """What ships verifies without a fault; that training checkpoints are not in the package is said, not hidden."""
    from trader_sdk.archive.verify import Kind, verify
    from trader_sdk.demo import demo_archive_path

    found = verify(demo_archive_path())
    assert found.holds
    elsewhere = [remark for remark in found.remarks if remark.kind is Kind.TRAINING_ELSEWHERE]
    assert len(elsewhere) == found.verdicts > 0
