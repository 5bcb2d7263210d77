"""Two people or nothing: who archived a run neither lifts nor promotes it, where the archive asks for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.governance import Decider, override, promote, revert
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.contract.errors import ArchiveError

Archive = Callable[..., Any]
ANN = Decider(who="ann", second_person=True)
BOB = Decider(who="bob", second_person=True)


def chain(root: Path) -> bytes:
    return (root / "audit.jsonl").read_bytes()


def test_promote_is_refused_for_ones_own_run_and_open_to_a_colleague(
    archived: Archive, manager: TrainingArchiveManager
) -> None:
    """The run is ann's: her refusal changes nothing, bob's decision moves the pointer, she may take it back."""
    first, second = (archived(seed).assessments[0].version_id for seed in (0, 1))
    before = chain(manager.root)
    with pytest.raises(ArchiveError, match="second person") as caught:
        promote(manager.root, "AAPL", "1Day", second, decider=ANN)
    assert (caught.value.code, caught.value.found) == ("E601", "ann")
    assert chain(manager.root) == before
    assert promote(manager.root, "AAPL", "1Day", second, decider=BOB).champion.version_id == second
    assert revert(manager.root, "AAPL", "1Day", decider=ANN).champion.version_id == first


def test_override_is_refused_for_ones_own_run_and_open_to_a_colleague(
    archived: Archive, manager: TrainingArchiveManager, samples: Any
) -> None:
    """A REVIEW verdict is lifted by somebody else."""
    verdict = archived(gate=None).assessments[0]
    until = samples.start.replace(year=2126)
    with pytest.raises(ArchiveError, match="second person"):
        override(manager.root, verdict.id, why="mine", until=until, decider=ANN)
    assert override(manager.root, verdict.id, why="looked at", until=until, decider=BOB).who == "bob"


def test_one_person_may_decide_alone_unless_told_otherwise(archived: Archive, manager: TrainingArchiveManager) -> None:
    """On one laptop there is nobody else."""
    _, second = (archived(seed).assessments[0].version_id for seed in (0, 1))
    assert promote(manager.root, "AAPL", "1Day", second, decider=Decider(who="ann")).champion.version_id == second


def test_second_person_is_asked_for_by_the_archives_own_table(
    archived: Archive, manager: TrainingArchiveManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``second_person = true`` in ``trader.toml`` holds whoever names the archive, from the library too."""
    first, second = (archived(seed).assessments[0].version_id for seed in (0, 1))
    config = tmp_path / "trader.toml"
    config.write_text(f'[archive.desk]\nstore = "{manager.root}"\nsecond_person = true\n')
    monkeypatch.setenv("TRADER_CONFIG", str(config))
    with pytest.raises(ArchiveError, match="second person"):
        promote("desk", "AAPL", "1Day", second, decider=Decider(who="ann"))
    assert promote("desk", "AAPL", "1Day", second, decider=Decider(who="bob")).previous.version_id == first
    verdict = archived(2, gate=None).assessments[0]
    until = verdict.at.replace(year=2126)
    with pytest.raises(ArchiveError, match="second person"):
        override("desk", verdict.id, why="mine", until=until, decider=Decider(who="ann"))
    assert override("desk", verdict.id, why="seen", until=until, decider=Decider(who="bob")).who == "bob"
