"""Runs that are refused whole, and models that are archived as DROP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.gate import METRICS
from trader_sdk.archive.governance import override, promote
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.verify import verify
from trader_sdk.contract.errors import ArchiveError, SdkError

Archive = Callable[..., Any]
Samples = Any
"""The builders of conftest.py, which cannot be imported from here."""


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
    archived: Archive, manager: TrainingArchiveManager, samples: Samples, change: dict[str, Any], error: type[SdkError]
) -> None:
    """It raised and nothing changed."""
    archived()
    before = samples.files_of(manager.root)
    with pytest.raises(error):
        archived(1, **change)
    assert samples.files_of(manager.root) == before


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


def test_two_models_of_one_slot_are_refused(samples: Samples, manager: TrainingArchiveManager, tmp_path: Path) -> None:
    """The fields are the truth, not the keys."""
    model = samples.model_summary(samples.write_checkpoint(tmp_path / "c.pt"))
    with pytest.raises(ArchiveError, match="one model a symbol"):
        manager.archive_training_run(samples.summary_of(model, model))
