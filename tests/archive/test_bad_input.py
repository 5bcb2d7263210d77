"""Bad input at every surface of the archive: typed, quick, nothing written, nothing read outside."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.approved import load_approved
from trader_sdk.archive.export import export_runs
from trader_sdk.archive.exported import EXPORT_FILE, verify_export
from trader_sdk.archive.gate import METRICS
from trader_sdk.archive.layout import run_folder
from trader_sdk.archive.manager import TrainingArchiveManager, archive_run
from trader_sdk.archive.preview import read_summary
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import verify
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.canonical import canonical_json
from trader_sdk.contract.errors import ArchiveError, SdkError

Archive = Callable[..., Any]
Samples = Any


def _with_number(value: bytes) -> Callable[[bytes], bytes]:
    """Return what puts a number in the place of the first one, whether the text has spaces or not."""
    return lambda text: re.sub(rb"(: ?)\d+(?=[,}\s])", rb"\g<1>" + value, text, count=1)


POISONS: dict[str, Callable[[bytes], bytes]] = {
    "a key twice": lambda text: re.sub(rb'"schema"(: ?)1', rb'"schema"\g<1>1,"schema"\g<1>1', text, count=1),
    "a number that is none": _with_number(b"NaN"),
    "infinity": _with_number(b"-Infinity"),
    "a number past every float": _with_number(b"1e999"),
    "an integer past 2**53": _with_number(b"9007199254740993"),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "a million levels": lambda _: b"[" * 1_000_000 + b"]" * 1_000_000,
    "a million objects": lambda _: b'{"a":' * 1_000_000,
    "bytes that are no text": lambda text: text.replace(b'"', b'"\xff', 1),
    "half of a pair": lambda text: text.replace(b'"schema"', b'"\\ud800"', 1),
    "nothing": lambda _: b"",
    "seventeen megabytes": lambda text: text + b" " * (17 << 20),
    "another document": lambda _: b'{"hello": "world"}',
    "a list": lambda _: b"[]",
    "a text": lambda _: b'"audit"',
    "an unknown field": lambda text: text.replace(b'"schema"', b'"surprise": 1, "schema"', 1),
    "another schema": lambda text: re.sub(rb'"schema"(: ?)1', rb'"schema"\g<1>2', text, count=1),
    "cut in half": lambda text: text[: len(text) // 2],
}


def quickly(work: Callable[[], object], codes: set[str]) -> SdkError:
    started = time.monotonic()
    with pytest.raises(SdkError) as caught:
        work()
    # A promise of security.md, two seconds, with room for a busy machine: what recurses or backtracks takes minutes.
    assert time.monotonic() - started < 20
    assert caught.value.code in codes
    return caught.value


@pytest.mark.parametrize("poison", POISONS)
def test_summary_is_refused_and_no_archive_is_made(
    samples: Samples, tmp_path: Path, poison: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Archived, previewed or typed: E609 with the file's name."""
    final = samples.write_checkpoint(tmp_path / "m.safetensors")
    path = tmp_path / "summary.json"
    path.write_bytes(POISONS[poison](json.dumps(samples.summary_of(samples.model_summary(final))).encode()))
    manager = TrainingArchiveManager(tmp_path / "archive")
    assert "summary.json" in str(quickly(lambda: manager.archive_training_run(path), {"E609"}))
    quickly(lambda: read_summary(path), {"E609"})
    for command in ("add", "assess"):
        argv = ["archive", command, str(path), "--archive", str(tmp_path / "archive")]
        assert run_app(build_app(argv), argv) == 5
    assert "E609" in capsys.readouterr().err
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize("poison", POISONS)
def test_verdicts_that_were_damaged_load_nothing(
    archived: Archive, manager: TrainingArchiveManager, poison: str
) -> None:
    """E602 at the door, a fault for ``verify``, and the chain stays as it was."""
    path = archived().path / "model_assessments.json"
    path.write_bytes(POISONS[poison](path.read_bytes()))
    chain = (manager.root / "audit.jsonl").read_bytes()
    quickly(lambda: load_approved(manager.root, "AAPL"), {"E602"})
    assert not verify(manager.root).holds
    assert (manager.root / "audit.jsonl").read_bytes() == chain


@pytest.mark.parametrize("poison", [name for name in POISONS if name not in ("nothing", "cut in half")])
def test_chain_that_was_damaged_is_not_read(archived: Archive, manager: TrainingArchiveManager, poison: str) -> None:
    """E606 whatever asks; nobody appends to it either."""
    archived(0)
    archived(1)
    path = manager.root / "audit.jsonl"
    first, second, _ = path.read_bytes().split(b"\n")
    damaged = POISONS[poison](first) + b"\n" + second + b"\n"
    path.write_bytes(damaged)
    quickly(lambda: ArchiveReader(manager.root).state, {"E606"})
    quickly(lambda: load_approved(manager.root, "AAPL"), {"E606"})
    quickly(lambda: archived(2), {"E606"})
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("poison", POISONS)
def test_manifest_of_an_export_that_was_damaged_is_refused(
    archived: Archive, manager: TrainingArchiveManager, tmp_path: Path, poison: str
) -> None:
    """E609 before any file of it is looked at."""
    run = archived()
    out = tmp_path / "out"
    export_runs(ArchiveReader(manager.root), [run.timestamp], out, who=Who(kind="os", name="a"), at=datetime.now(UTC))
    manifest = out / EXPORT_FILE
    manifest.write_bytes(POISONS[poison](manifest.read_bytes()))
    quickly(lambda: verify_export(out), {"E609"})


# fmt: off
TIMESTAMPS = ("../../etc", "..", ".", "", "20261121_093100/..", "/etc/passwd", "20261121_093100\n",
              "２０２６1121_093100", "20261121_093100_0", "C:\\x", "con", "\x00", "a" * 5000)
# fmt: on


@pytest.mark.parametrize("timestamp", TIMESTAMPS)
def test_timestamp_is_never_a_path(archived: Archive, manager: TrainingArchiveManager, timestamp: str) -> None:
    """From a caller, from the command line, and from a chain that somebody wrote who could."""
    archived()
    quickly(lambda: run_folder(manager.root, timestamp), {"E609"})
    quickly(lambda: manager.get_approved_models(timestamp), {"E609"})
    if timestamp and "\x00" not in timestamp:
        argv = ["archive", "show", timestamp, "--archive", str(manager.root)]
        assert run_app(build_app(argv), argv) == 5
    forge(manager.root, timestamp)
    opened = watched(manager.root)
    error = quickly(
        lambda: load_approved(manager.root, "AAPL", follow="latest-approved"), {"E609", "E602", "E606", "E601"}
    )
    assert error.exit_code == 5
    assert [path for path in opened if not path.startswith(str(manager.root.parent))] == []


def forge(root: Path, timestamp: str) -> None:
    """Rewrite an archive's one record so that it names another folder, every digest and link correct."""
    path = root / "audit.jsonl"
    plain = json.loads(path.read_text())
    body = {**plain["body"], "timestamp": timestamp}
    record = AuditRecord.make(
        seq=1,
        prev="",
        at=datetime.fromisoformat(plain["at"]),
        kind=AuditKind.RUN_ARCHIVED,
        who=Who(**plain["who"]),
        body=body,
    )
    path.write_bytes(canonical_json(json.loads(record.model_dump_json(by_alias=True))) + b"\n")


_WATCHED: dict[str, Any] = {"root": None, "opened": []}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _WATCHED["root"] is not None and isinstance(arguments[0], str | bytes):
        name = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode("utf-8", "replace")
        if name.endswith(("model_assessments.json", ".safetensors", ".pt", "passwd")):
            _WATCHED["opened"].append(name)


sys.addaudithook(_hook)


def watched(root: Path) -> list[str]:
    """Return the list that every file opened from now on is added to."""
    _WATCHED["root"], _WATCHED["opened"] = root, []
    opened: list[str] = _WATCHED["opened"]
    return opened


# fmt: off
SYMBOLS = ("BTC/USD", "BRK.B", "../../etc", "..", ".", "CON", "con.txt", "COM1", "a\\b", "C:", "A B", "%2e%2e", "~",
           "-rf", "ÄÖ", "股票", "nul", ".hidden", "x" * 32)
# fmt: on


def test_symbols_of_every_kind_share_one_archive_and_stay_inside(
    samples: Samples, manager: TrainingArchiveManager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each its own key and slot, loaded by its own name, and no file outside the archive."""
    final = samples.write_checkpoint(tmp_path / "ckpt" / "m.safetensors")
    manager.archive_training_run(samples.summary_of(*(samples.model_summary(final, symbol=s) for s in SYMBOLS)))
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "ckpt"}
    state = ArchiveReader(manager.root).state
    assert {key.symbol for key in state.keys()} == set(SYMBOLS)  # noqa: SIM118 - a method of the state
    assert len({ref.id.casefold() for ref in state.verdicts.values()}) == len(SYMBOLS)
    for symbol in SYMBOLS:
        assert load_approved(manager.root, symbol).approval.verdict.symbol == symbol
        assert load_approved(manager.root, f"models:/{symbol}/1Day@champion").approval.verdict.symbol == symbol
    argv = ["archive", "history", "../../etc", "--archive", str(manager.root)]
    assert run_app(build_app(argv), argv) == 0
    assert verify(manager.root).holds


@pytest.mark.parametrize("symbol", ["", "x" * 33, "A\nB", "A\x00", "\x7f", "\ud800", 7, None, ["A"]])
def test_what_is_no_symbol_is_refused(samples: Samples, tmp_path: Path, symbol: Any) -> None:
    """E609, and no archive is made."""
    final = samples.write_checkpoint(tmp_path / "m.safetensors")
    manager = TrainingArchiveManager(tmp_path / "archive")
    summary = samples.summary_of(samples.model_summary(final, symbol=symbol))
    quickly(lambda: manager.archive_training_run(summary), {"E609"})
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("wrong", ["missing", [], "0.7", [None], [True, "x"], [[0.7]], {"0": 0.7}])
def test_summary_without_one_of_its_metrics_is_refused(
    samples: Samples, tmp_path: Path, metric: str, wrong: Any
) -> None:
    """Each of the four: not there, empty, text, no numbers."""
    final = samples.write_checkpoint(tmp_path / "m.safetensors")
    metrics = {name: [value] for name, value in samples.good.items()}
    metrics[metric] = wrong
    if wrong == "missing":
        del metrics[metric]
    with pytest.raises(ArchiveError) as caught:
        archive_run(tmp_path / "archive", checkpoints=final, metrics=metrics, symbol="AAPL", timeframe="1Day")
    assert caught.value.code == "E609"
    assert metric in str(caught.value)
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize(
    ("changes", "gate_class"),
    [
        ({"drawdown_kind": "proxy", "reward_scale": 0.001}, "APPROVED"),
        ({"drawdown_kind": "proxy", "reward_scale": 1.0}, "REVIEW"),
        ({"drawdown_kind": "proxy", "reward_scale": "NaN"}, "REVIEW"),
        ({"drawdown_kind": "proxy", "reward_scale": 0.0}, "REVIEW"),
        ({"drawdown_kind": "equity", "reward_scale": 1.0}, "APPROVED"),
        ({"metric_set": "theirs@1"}, "DROP"),
    ],
)
def test_numbers_of_another_scale_or_set_are_not_taken_for_ours(
    archived: Archive, changes: dict[str, Any], gate_class: str
) -> None:
    """Bars are calibrated for one metric set, and for a proxy's drawdown at one reward scale."""
    assert archived(**changes).assessments[0].class_ == gate_class


@pytest.mark.parametrize(
    "change",
    [
        {"drawdown_kind": "guess"},
        {"reward_scale": "big"},
        {"timeframe": "2Day"},
        {"n_trials": 0},
        {"validation_interval": 0},
        {"label": "../../x"},
        {"label": "x" * 65},
        {"checkpoints": [{"update": -1, "path": "x"}]},
        {"final": ""},
        {"final": "x" * 2000},
        {"data": {"digest": "sha256:short", "kind": "real", "start": "a", "end": "b"}},
        {"gate": {"final": {"fitness_score": 1.0}}},
        {"gate": {"best": None}},
        {"asserted": {"trained_until": "", "who": "x"}},
    ],
)
def test_summary_with_a_field_that_cannot_be_is_refused(
    samples: Samples, tmp_path: Path, change: dict[str, Any]
) -> None:
    """E609 naming the field, and no archive is made."""
    final = samples.write_checkpoint(tmp_path / "m.safetensors")
    summary = samples.summary_of({**samples.model_summary(final), **change})
    error = quickly(lambda: TrainingArchiveManager(tmp_path / "archive").archive_training_run(summary), {"E609"})
    assert next(iter(change)) in str(error)
    assert not (tmp_path / "archive").exists()
