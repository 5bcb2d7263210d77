"""``verify-run`` on runs that were tampered with: every rule can fail."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.contract.errors import InvariantViolated, UsageError
from trader_sdk.data import load_bars
from training.config import preset
from training.run import train
from training.verify import verify

Fact = dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short run."""
    out = tmp_path_factory.mktemp("verify") / "run"
    config = preset("laptop", num_envs=16, num_steps=32, hidden_dims=(8,), total_steps=1024, episode_bars=64)
    train(load_bars("planted:bars=3500", "SIM", "1Min"), config, out=out, source="planted:bars=3500")
    return out


def rewritten(finished: Path, folder: Path, change: Callable[[list[Fact]], list[Fact]]) -> Path:
    """Return a copy of the run with its metrics changed."""
    copy = folder / "copy"
    shutil.copytree(finished, copy)
    path = copy / "metrics.jsonl"
    facts = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(fact) + "\n" for fact in change(facts)), "utf-8")
    return copy


def without_first(event: str) -> Callable[[list[Fact]], list[Fact]]:
    """Return a change that removes the first fact of a sort."""

    def change(facts: list[Fact]) -> list[Fact]:
        index = next(i for i, fact in enumerate(facts) if fact["event"] == event)
        return facts[:index] + facts[index + 1 :]

    return change


def with_first(event: str, **values: Any) -> Callable[[list[Fact]], list[Fact]]:
    """Return a change that sets fields of the first fact of a sort."""

    def change(facts: list[Fact]) -> list[Fact]:
        next(fact for fact in facts if fact["event"] == event).update(values)
        return facts

    return change


@pytest.mark.parametrize(
    ("change", "inv"),
    [
        (without_first("optimizer_step"), "INV-TRAIN-001"),
        (with_first("optimizer_step", loss=None), "INV-TRAIN-007"),
        (with_first("optimizer_step", utilisation_percent=140.0), "INV-TRAIN-008"),
        (without_first("validation"), "INV-TRAIN-002"),
        (with_first("update", approx_kl=9.0), "INV-TRAIN-005p"),
        (with_first("update", approx_kl=None), "INV-TRAIN-005p"),
        (with_first("update", value_loss=None), "INV-TRAIN-005p"),
        (lambda facts: [fact for fact in facts if fact["event"] == "run_finished"], "INV-TRAIN-001"),
        (lambda facts: [*facts, 3], "INV-TRAIN-001"),
        (lambda _: [], "INV-TRAIN-001"),
    ],
)
def test_verify_names_the_rule_that_a_run_broke(
    finished: Path, tmp_path: Path, change: Callable[[list[Fact]], list[Fact]], inv: str
) -> None:
    """Each tampering with the metrics is found by its own invariant, exit 7."""
    with pytest.raises(InvariantViolated) as caught:
        verify(rewritten(finished, tmp_path, change))
    assert caught.value.evidence["inv"] == inv
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("suffix", [".pt", ".json"])
def test_verify_finds_a_checkpoint_or_a_record_that_is_gone(finished: Path, tmp_path: Path, suffix: str) -> None:
    """002: the best and the last three are on disk, each with its record."""
    copy = rewritten(finished, tmp_path, lambda facts: facts)
    next(iter((copy / "ckpt").glob(f"*{suffix}"))).unlink()
    with pytest.raises(InvariantViolated) as caught:
        verify(copy)
    assert caught.value.evidence["inv"] == "INV-TRAIN-002"


def test_verify_finds_weights_that_are_not_the_recorded_ones(finished: Path, tmp_path: Path) -> None:
    """003: one byte of a checkpoint is changed, wherever it lies."""
    copy = rewritten(finished, tmp_path, lambda facts: facts)
    path = next(iter((copy / "ckpt").glob("*.pt")))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InvariantViolated) as caught:
        verify(copy)
    assert caught.value.evidence["inv"] == "INV-TRAIN-003"


def test_verify_says_that_a_run_was_cut_off(finished: Path, tmp_path: Path) -> None:
    """A killed run has no end; what it wrote holds, and the report does not call it finished."""
    report = verify(rewritten(finished, tmp_path, lambda facts: facts[:-1]))
    assert "cut off after update 2" in report.checked["001"]


@pytest.mark.parametrize("text", [None, "", "{", '{"config": 1}'])
def test_verify_refuses_a_run_without_a_readable_config(finished: Path, tmp_path: Path, text: str | None) -> None:
    """A typed refusal, exit 2, and no traceback."""
    copy = rewritten(finished, tmp_path, lambda facts: facts)
    (copy / "config.json").unlink()
    if text is not None:
        (copy / "config.json").write_text(text, "utf-8")
    with pytest.raises(UsageError):
        verify(copy)


def test_verify_finds_an_optimizer_that_is_not_the_recorded_one(finished: Path, tmp_path: Path) -> None:
    """003: the record of a checkpoint is changed."""
    copy = rewritten(finished, tmp_path, lambda facts: facts)
    record = next(iter((copy / "ckpt").glob("*.json")))
    document = json.loads(record.read_text("utf-8"))
    record.write_text(json.dumps({**document, "optimizer_digest": "sha256:" + "0" * 64}), "utf-8")
    with pytest.raises(InvariantViolated) as caught:
        verify(copy)
    assert caught.value.evidence["inv"] == "INV-TRAIN-003"


def test_verify_finds_a_run_that_does_not_say_what_it_trained_on(finished: Path, tmp_path: Path) -> None:
    """010: simulated data is never silent."""
    copy = rewritten(finished, tmp_path, lambda facts: facts)
    document = json.loads((copy / "config.json").read_text("utf-8"))
    (copy / "config.json").write_text(json.dumps({**document, "source": ""}), "utf-8")
    with pytest.raises(InvariantViolated) as caught:
        verify(copy)
    assert caught.value.evidence["inv"] == "INV-TRAIN-010"


def test_verify_refuses_a_folder_that_is_no_run(tmp_path: Path) -> None:
    """A mistake of the caller, exit 2."""
    with pytest.raises(UsageError):
        verify(tmp_path)
