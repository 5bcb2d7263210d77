"""Many symbols at once: every refusal a value, one look at the chain, and the same models whatever the threads."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk import universe as universe_module
from trader_sdk.approved import ApprovedModel, load_approved, load_approved_universe
from trader_sdk.archive.governance import recall
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.reader import ArchiveReader, subject_path
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.contract.errors import ArchiveError, CompatibilityError, SdkError, UsageError
from trader_sdk.universe import Progress, progress_bar

Samples = Any
SYMBOLS = [f"S{number:02d}" for number in range(24)]


@pytest.fixture
def universe(samples: Samples, manager: TrainingArchiveManager, tmp_path: Path) -> Path:
    """Return an archive of 24 symbols in one run: one file swapped, one recalled, one REVIEW, the rest approved."""
    models = []
    for number, symbol in enumerate(SYMBOLS):
        final = samples.write_checkpoint(tmp_path / "ckpt" / f"{symbol}.safetensors", number)
        gate = None if symbol == "S05" else {"final": samples.gate_block(), "best": None}
        models.append(samples.model_summary(final, symbol=symbol, gate=gate))
    run = manager.archive_training_run(samples.summary_of(*models))
    for subject in run.assessments[3].subjects:
        subject_path(run.path, subject).write_bytes(b"swapped")
    recall(manager.root, [run.assessments[4].version_id], why="leak")
    return manager.root


@pytest.mark.parametrize("workers", [None, 1, 7])
def test_one_bad_symbol_does_not_stop_the_rest(universe: Path, workers: int | None) -> None:
    """Each refusal is the error that loading it alone raises, and the order is the caller's."""
    asked = ["NEW", *reversed(SYMBOLS), "S01"]
    found = load_approved_universe(universe, asked, workers=workers)
    assert list(found) == ["NEW", *reversed(SYMBOLS)]
    refused = {symbol: error.code for symbol, error in found.items() if isinstance(error, SdkError)}
    assert refused == {"NEW": "E601", "S03": "E602", "S04": "E505", "S05": "E601"}
    assert isinstance(found["S03"], ArchiveError)
    assert isinstance(found["S04"], CompatibilityError)
    for symbol in ("S00", "S23"):
        model = found[symbol]
        assert isinstance(model, ApprovedModel)
        alone = load_approved(universe, symbol)
        assert (model.sha256, model.policy_sha256, model.approval) == (
            alone.sha256,
            alone.policy_sha256,
            alone.approval,
        )


def test_chain_and_verdicts_are_read_once_for_all(universe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of symbols of one run cost one reading of the chain and one of its verdicts."""
    reads: dict[str, int] = {}

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            reads[name] = reads.get(name, 0) + 1
            return original(*arguments, **named)

        return call

    from trader_sdk.archive import reader as reader_module

    monkeypatch.setattr(AuditLog, "read", counted("chain", AuditLog.read))
    monkeypatch.setattr(reader_module, "_parsed", counted("verdicts", reader_module._parsed))
    assert len(load_approved_universe(universe, workers=1)) == 23
    assert reads == {"chain": 1, "verdicts": 1}


def test_all_slots_with_a_champion_are_meant_when_none_is_named(universe: Path) -> None:
    """REVIEW made nobody champion; another timeframe has no slot."""
    assert sorted(load_approved_universe(universe)) == [symbol for symbol in SYMBOLS if symbol != "S05"]
    assert sorted(load_approved_universe(universe, follow="latest-approved")) == SYMBOLS
    assert load_approved_universe(universe, timeframe="1Min") == {}


def test_aliases_name_their_own_slot_and_pointer(universe: Path) -> None:
    """An alias beside symbols; a malformed one is that entry's error."""
    found = load_approved_universe(universe, ["models:/S01/1Day@champion", "models:/S01", "S02"])
    assert isinstance(found["models:/S01/1Day@champion"], ApprovedModel)
    assert isinstance(found["models:/S01"], UsageError)
    assert isinstance(found["S02"], ApprovedModel)


def test_archive_as_a_whole_and_wrong_arguments_are_errors(universe: Path, tmp_path: Path) -> None:
    """What concerns every symbol is raised once."""
    with pytest.raises(ArchiveError) as caught:
        load_approved_universe(tmp_path / "nowhere", ["S01"])
    assert caught.value.code == "E608"
    for wrong in ({"follow": "winner"}, {"timeframe": "2Day"}, {"mode": "MOON"}):
        with pytest.raises(UsageError):
            load_approved_universe(universe, ["S01"], **wrong)


def test_progress_is_told_after_each_symbol(universe: Path) -> None:
    """Counted up to the total, refusals with their error, in the caller's own thread."""
    steps: list[Progress] = []
    load_approved_universe(universe, ["S00", "S04", "NEW"], progress=steps.append)
    assert [(step.done, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert {step.symbol: step.refusal is None for step in steps} == {"S00": True, "S04": False, "NEW": False}


def test_interrupt_ends_the_loading(universe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while hundreds load is not answered by loading the rest."""
    begun = []

    def slow(door: object, symbol: str, *_: object) -> ArchiveError:
        begun.append(symbol)
        threading.Event().wait(0.05)
        return ArchiveError("E601", "nothing was looked at")

    def interrupted(_: Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(universe_module, "_load", slow)
    with pytest.raises(KeyboardInterrupt):
        load_approved_universe(universe, [f"X{n}" for n in range(100)], workers=1, progress=interrupted)
    assert len(begun) < 50


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_bar_is_drawn_on_a_terminal_alone(universe: Path) -> None:
    """Nothing in a pipe; on a terminal the count and the refusals."""
    plain, screen = io.StringIO(), Screen()
    for stream in (plain, screen):
        with progress_bar(stream) as progress:
            load_approved_universe(universe, ["S00", "S04"], progress=progress)
    assert plain.getvalue() == ""
    assert "1 refused" in screen.getvalue()
    assert "2/2" in screen.getvalue()


def test_reader_keeps_a_bounded_number_of_parsed_runs(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path
) -> None:
    """A long history is looked through without holding all of it."""
    final = samples.write_checkpoint(tmp_path / "m.safetensors")
    for _ in range(3):
        manager.archive_training_run(samples.summary_of(samples.model_summary(final)))
    reader = ArchiveReader(manager.root)
    for ref in list(reader.state.verdicts.values()) * 2:
        assert reader.judged(ref).verdict.id == ref.id
    assert len(reader._documents) == 3
