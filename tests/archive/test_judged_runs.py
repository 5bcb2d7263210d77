"""What of a run is judged: which checkpoint, on which evidence, among how many trials."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.policy import ModelGatingConfig
from trader_sdk.archive.verify import verify
from trader_sdk.checkpoint import read_checkpoint

Archive = Callable[..., Any]
Samples = Any
"""The builders of conftest.py, which cannot be imported from here."""


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
    """Runs of the same symbol, timeframe and data; bars that nobody looked at start from one."""
    weak = {"final": samples.gate_block(t=3.05), "best": None}
    assert [archived(seed, gate=weak).assessments[0].n_trials for seed in range(3)] == [1, 2, 3]
    assert archived(3, gate=weak, n_trials=9).assessments[0].n_trials == 9
    last = archived(4, gate=weak).assessments[0]
    assert (last.n_trials, last.class_) == (5, "REVIEW")
    later = {**weak, "final": {**weak["final"], "folds": [judged_on("2031-01-01T05:00:00Z", "2032-01-01T05:00:00Z")]}}
    fresh = {**samples.data, "digest": "sha256:" + 64 * "e"}
    assert archived(5, gate=later, data=fresh).assessments[0].n_trials == 1
    assert archived(6, timeframe="1Hour").assessments[0].n_trials == 1


@pytest.mark.parametrize(
    ("first", "last", "trials"),
    [
        ("2030-03-02T05:00:00Z", "2030-06-03T04:00:00Z", 2),
        ("2030-06-01T04:00:00Z", "2030-09-01T04:00:00Z", 2),
        ("2029-01-01T05:00:00Z", "2030-03-01T05:00:00Z", 2),
        ("2030-04-01T00:00:00-04:00", "2030-04-02T00:00:00-04:00", 2),
        ("2030-06-01T04:00:01Z", "2030-09-01T04:00:00Z", 1),
        ("2029-01-01T05:00:00Z", "2030-03-01T04:59:59Z", 1),
        ("some day", "another", 2),
    ],
)
def test_look_at_some_of_the_same_bars_counts_whatever_file_they_came_from(
    samples: Samples, archived: Archive, first: str, last: str, trials: int
) -> None:
    """GATE from March to June; the next run's data ends a bar later, so its digest is another and its look is not."""
    gate = {"final": {**samples.gate_block(), "folds": [judged_on("2030-03-01T05:00:00Z", "2030-06-01T04:00:00Z")]}}
    archived(0, gate=gate)
    other = {"final": {**samples.gate_block(), "folds": [judged_on(first, last)]}}
    found = archived(1, gate=other, data={**samples.data, "digest": "sha256:" + 64 * "e"}).assessments[0]
    assert found.n_trials == trials


def judged_on(start: str, end: str) -> dict[str, Any]:
    """Return a fold of these bars."""
    return {"start": start, "end": end, "net_return": 0.01, "sharpe": 1.0, "n_trades": 5}


def test_every_run_of_the_slot_counts_as_a_trial_when_nobody_says_which_data_it_was(archived: Archive) -> None:
    """Leaving the data out must not make trials free, neither this run's nor the next one's."""
    assert [archived(seed, data=None).assessments[0].n_trials for seed in range(3)] == [1, 2, 3]
    assert archived(3).assessments[0].n_trials == 4
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
