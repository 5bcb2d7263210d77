"""Archiving a run: what is stored, and what can be asked about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.archive.manager import TrainingArchiveManager, archive_run
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.reader import subject_path
from trader_sdk.archive.verify import Kind, verify
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.checkpoint.artefacts import raw_policy_sha256
from trader_sdk.contract.document import parse_document, to_plain
from trader_sdk.contract.errors import ArchiveError
from trader_sdk.contract.summary import Assertion
from trader_sdk.contract.verdicts import Assessments, Verdict

Archive = Callable[..., Any]
Samples = Any
"""The builders of conftest.py, which cannot be imported from here."""


def sha_of(path: Path) -> str:
    return read_checkpoint(path).sha256.removeprefix("sha256:")


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
    from trader_sdk.archive.verify import verify
    from trader_sdk.demo import demo_archive_path

    found = verify(demo_archive_path())
    assert found.holds
    elsewhere = [remark for remark in found.remarks if remark.kind is Kind.TRAINING_ELSEWHERE]
    assert len(elsewhere) == found.verdicts > 0
