"""Specs being trained: each apart from the others, counted before it is begun, registered when it passed the gate."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.location import locate
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.contract.errors import ArchiveError, DataError
from training.cli import run_app
from training.zoo import ModelSpecError, SpecResult, Status, ZooSpec, load_specs, train_all_active, train_spec
from training.zoo.bundles import BUNDLES_FOLDER, CHECKPOINT, FEATURES, LINEAGE, MANIFEST, read_bundle, register
from training.zoo.processes import ROOT, Processes
from training.zoo.rotation import last_trained
from training.zoo.spec import SpecStatus
from training.zoo.training import Nobody, ZooSettings
from training.zoo.trials import Trial, TrialLedger

# A spec's own trainer that archives a run without training anything: good enough figures, no GATE block, so REVIEW.
ARCHIVES = """
import json, sys
from trader_sdk.archive import archive_run
asked = json.load(sys.stdin)
figures = {"fitness_score": [0.9], "profit_factor": [2.5], "consistency": [0.95], "max_drawdown": [0.01]}
archive_run(asked["archive"], checkpoints=CHECKPOINT, metrics=figures, symbol=asked["data"]["symbol"],
            timeframe=asked["data"]["timeframe"], label=asked["label"], n_trials=asked["trials"])
"""
HANGS = (
    "import subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
)


class StoppedError(Exception):
    """A crash, or a person who stops it, in the middle of something."""


def own_trainer(name: str, code: str) -> ZooSpec:
    return ZooSpec(id=name, command=(sys.executable, "-c", code))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained checkpoint that names no symbol."""
    path = tmp_path_factory.mktemp("sample") / "sample.pt"
    run_app(["sample-checkpoint", "--out", str(path), "--hidden", "4"])
    return path


def test_shipped_sample_trains_five_policies_that_differ(sample_zoo: Any) -> None:
    """Every spec ends with a verdict, no two learned the same, and all were counted as trials before."""
    results = sample_zoo.results
    assert [result.spec_id for result in results] == [spec.id for spec in load_specs()]
    assert {result.status for result in results} <= {Status.LOST, Status.PASSED}
    assert len({result.policy_sha256 for result in results} - {""}) == 5
    verdicts = ArchiveReader(sample_zoo.settings.archive).state.history("SIM")
    assert len(verdicts) == 5
    assert TrialLedger(sample_zoo.slot).count() == 5


def test_zoo_that_is_started_again_trains_nothing_twice(sample_zoo: Any, refuse_to_train: Any) -> None:
    """A killed driver goes on where it was: what has ended today is taken from its mark."""
    again = train_all_active(load_specs(), replace(sample_zoo.settings, baseline=False), runner=refuse_to_train)
    assert again == sample_zoo.results
    assert set(last_trained(sample_zoo.slot)) == {spec.id for spec in load_specs()}
    assert TrialLedger(sample_zoo.slot).count() == 5


def test_spec_without_its_peers_has_insufficient_data_and_the_others_go_on(
    tmp_path: Path, settings_in: Callable[..., ZooSettings], here: Any, tiny: dict[str, Any]
) -> None:
    """A target that needs a cross-section is told apart from one that failed."""
    from training.config import preset

    settings = settings_in(tmp_path, base=preset("laptop", **{**tiny, "peers": ()}))
    wanted = [spec for spec in load_specs() if spec.id in ("default", "cross-sectional-demean")]
    results = {result.spec_id: result for result in train_all_active(wanted, settings, runner=here)}
    assert results["cross-sectional-demean"].status is Status.INSUFFICIENT_DATA
    assert results["default"].status in (Status.LOST, Status.PASSED)


def quiet_day(folder: Path) -> Path:
    """Write two hours of a market without sessions: no worker has to make a calendar of them."""
    said = {"symbol": "SIM", "timeframe": "1Min", "kind": "simulated", "feed": "test", "adjustment": "none"}
    rows = [f"2026-01-01T{minute // 60:02d}:{minute % 60:02d}:00Z,100,101,99,100,5" for minute in range(120)]
    header = "# trader-sdk bars " + json.dumps({**said, "calendar": "24/7"})
    path = folder / "day.csv"
    path.write_text("\n".join([header, "timestamp,open,high,low,close,volume", *rows]) + "\n", "utf-8")
    return path


def test_specs_that_crash_or_eat_memory_or_forget_to_archive_fail_alone(
    tmp_path: Path, settings_in: Callable[..., ZooSettings], checkpoint: Path
) -> None:
    """Processes of their own: three failures with their reasons, one spec that ends well beside them."""
    specs = [
        own_trainer("crashes", "import os; os.abort()"),
        own_trainer("hungry", "held = [bytearray(1 << 28) for _ in range(64)]"),
        own_trainer("forgets", "import sys; sys.stdin.read()"),
        ZooSpec(id="absent", command=("nowhere/trainer",)),
        own_trainer("works", ARCHIVES.replace("CHECKPOINT", repr(str(checkpoint)))),
        ZooSpec(id="asleep", status=SpecStatus.RETIRED),
    ]
    settings = settings_in(tmp_path, memory_mb=1500, source=str(quiet_day(tmp_path)))
    results = {result.spec_id: result for result in train_all_active(specs, settings, runner=Processes(2))}
    statuses = {name: result.status for name, result in results.items()}
    assert statuses == {
        "crashes": Status.FAILED,
        "hungry": Status.FAILED,
        "forgets": Status.FAILED,
        "absent": Status.FAILED,
        "works": Status.LOST,
        "asleep": Status.NOT_RUN,
    }
    assert results["crashes"].detail == "the command was killed by SIGABRT"
    assert results["hungry"].detail == "the command ended with 1: MemoryError"
    assert "without archive_run" in results["forgets"].detail
    assert results["absent"].detail == "the command cannot be started: nowhere/trainer: No such file or directory"
    assert (results["works"].gate_class, results["works"].stage) == ("REVIEW", "observe")
    (slot,) = (tmp_path / "zoo").iterdir()
    assert set(last_trained(slot)) == {"works"}
    assert TrialLedger(slot).count() == 5
    assert read_bundle(settings.archive, results["works"].version_id).manifest["class"] == "REVIEW"


def is_gone(group: int) -> bool:
    """Return whether no process of a group runs; one that nobody has waited for yet is dead all the same."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            stats.append(path.read_text().rpartition(")")[2].split())
    states = [state for state, _, its_group, *_ in stats if int(its_group) == group]
    return bool(stats) and set(states) <= {"Z"}


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that other processes do; a minute is long for it on any machine."""
    pause = threading.Event()
    for _ in range(6000):
        if is_so():
            return
        pause.wait(0.01)


def test_spec_that_hangs_is_stopped_with_its_children(tmp_path: Path, settings_in: Callable[..., ZooSettings]) -> None:
    """The limit ends it, and what it had started is gone."""
    runner = Processes(timeout_seconds=3.0)
    settings = settings_in(tmp_path, source=str(quiet_day(tmp_path)))
    result = train_spec(own_trainer("hangs", HANGS), settings, runner=runner)
    assert result.status is Status.FAILED
    assert "hung: stopped after 3 s" in result.detail
    assert is_gone(runner.last_group)


class StopsAtFirstEnd(Nobody):
    """Leaves the zoo as Ctrl-C does, when the first spec has ended."""

    def ended(self, result: SpecResult) -> None:
        raise StoppedError(result.spec_id)


def test_spec_that_a_person_stops_has_not_failed(tmp_path: Path, settings_in: Callable[..., ZooSettings]) -> None:
    """What was running ends, and no mark says that it failed; the one that had ended keeps its mark."""
    runner = Processes(2)
    specs = [own_trainer("hangs", HANGS), ZooSpec(id="fails", command=("false",))]
    settings = settings_in(tmp_path, source=str(quiet_day(tmp_path)))
    with pytest.raises(StoppedError, match="fails"):
        train_all_active(specs, settings, runner=runner, watcher=StopsAtFirstEnd())
    assert [path.parent.parent.name for path in tmp_path.glob("zoo/*/*/*/result.json")] == ["fails"]


def test_spec_whose_zoo_is_killed_ends_with_its_children(tmp_path: Path) -> None:
    """Nothing goes on unseen: a zoo that is started again would train in the same folder."""
    goes_on = "import os, time; open('at_work', 'w').write(f'{os.getpgrp()}.'); time.sleep(600)"
    specs, at_work = tmp_path / "specs.yaml", tmp_path / "at_work"
    specs.write_text(json.dumps({"specs": [{"id": "goes-on", "command": [sys.executable, "-c", goes_on]}]}))
    bars = ["--data", str(quiet_day(tmp_path)), "--symbol", "SIM", "--timeframe", "1Min"]
    command = [sys.executable, "-m", "training", "zoo", "--spec", "goes-on", "--specs", str(specs), *bars]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as driver:
        wait_until(lambda: at_work.exists() and at_work.read_text().endswith("."))
        driver.kill()
    group = int(at_work.read_text().rstrip("."))
    wait_until(lambda: is_gone(group))
    assert is_gone(group)
    assert not list(tmp_path.glob("runs/zoo/*/*/*/result.json"))


def test_spec_that_another_zoo_trains_is_left_to_it(
    tmp_path: Path, settings_in: Callable[..., ZooSettings], refuse_to_train: Any
) -> None:
    """The second of two zoos trains nothing in the first one's folders, and says so."""
    specs, settings = [ZooSpec(id="a"), ZooSpec(id="b")], settings_in(tmp_path, source=str(quiet_day(tmp_path)))
    told = []

    def meanwhile(jobs: Any, watcher: Any) -> Any:
        told.extend(train_all_active(specs[:1], settings, runner=refuse_to_train))
        yield from ()

    train_all_active(specs, settings, runner=meanwhile)
    assert [(result.status, result.detail) for result in told] == [(Status.NOT_RUN, "another zoo is training it")]


def test_retired_spec_is_refused_before_anything_is_made(
    tmp_path: Path, settings_in: Callable[..., ZooSettings]
) -> None:
    """Nothing is trained by name that was retired."""
    with pytest.raises(ModelSpecError, match="retired"):
        train_spec(ZooSpec(id="old", status=SpecStatus.RETIRED), settings_in(tmp_path))
    assert not list(tmp_path.iterdir())


def test_mixed_vintages_are_insufficient_data_not_a_comparison(
    tmp_path: Path, settings_in: Callable[..., ZooSettings]
) -> None:
    """A worker that would see other bars than the zoo refuses them."""
    from training.zoo.worker import run_job

    jobs = []

    def other_bars(asked: Any, watcher: Any) -> Any:
        jobs.extend(asked)
        for job in asked:
            yield run_job(job.model_copy(update={"source": "planted:bars=3501"}))

    (result,) = train_all_active([ZooSpec(id="a")], settings_in(tmp_path), runner=other_bars)
    assert result.status is Status.INSUFFICIENT_DATA
    assert "mixed vintages" in result.detail
    assert not Path(jobs[0].archive).exists()


def test_no_bars_at_all_is_an_error_before_any_spec(tmp_path: Path, settings_in: Callable[..., ZooSettings]) -> None:
    """The roster is not blamed for a file that is not there."""
    with pytest.raises(DataError):
        train_all_active(load_specs(), settings_in(tmp_path, source="nowhere.csv"))
    assert not list(tmp_path.iterdir())


class CrashingPlace:
    """An archive whose host dies after so many files."""

    def __init__(self, place: Any, writes: int) -> None:
        self._place, self._left = place, writes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)

    def put_named(self, name: str, data: bytes) -> bool:
        if self._left == 0:
            raise StoppedError(name)
        self._left -= 1
        put: bool = self._place.put_named(name, data)
        return put


def test_registration_that_crashes_at_any_step_leaves_the_champion_and_can_be_done_again(
    sample_zoo: Any, tmp_path: Path, champion_archive: Callable[[Path], Any]
) -> None:
    """Half a bundle is refused as such; exactly one champion throughout; the same content keeps the same name."""
    place, verdict = champion_archive(tmp_path / "archive")
    facts = {"id": "x", "label": "x", "horizon": 1, "digest": "sha256:0"}
    holders = set()
    for writes in range(4):
        with pytest.raises(StoppedError):
            register(CrashingPlace(place, writes), verdict, facts)
        with pytest.raises(ArchiveError) as refused:
            read_bundle(place, verdict.version_id)
        assert refused.value.code == ("E601" if writes == 0 else "E602")
        slot = ArchiveReader(place).state.slot(ArchiveReader(place).state.keys()[0])
        holders.add((slot.champion.version_id, len(slot.history)))
    assert register(place, verdict, facts).value == "champion"
    bundle = read_bundle(place, verdict.version_id)
    assert set(bundle.lineage["files"]) == {bundle.checkpoint.name, MANIFEST, FEATURES}
    assert bundle.checkpoint.name.startswith(CHECKPOINT)
    assert len(bundle.features["names"]) == 59
    assert holders == {(verdict.version_id, 1)}
    assert register(place, verdict, facts).value == "champion"
    damaged = place.root / BUNDLES_FOLDER / verdict.version_id / MANIFEST
    damaged.write_text("{}")
    with pytest.raises(ArchiveError, match=r"manifest\.json was changed"):
        read_bundle(place, verdict.version_id)
    (place.root / BUNDLES_FOLDER / verdict.version_id / LINEAGE).unlink()
    with pytest.raises(ArchiveError, match="never finished"):
        read_bundle(place, verdict.version_id)


def test_baseline_is_the_champion_trained_again_on_these_bars(
    sample_zoo: Any, champion_archive: Any, tmp_path: Path
) -> None:
    """Its architecture and numbers are the champion's; without a champion there is no baseline."""
    from training.zoo.baseline import baseline_of

    place, _ = champion_archive(tmp_path / "archive")
    bars = sample_zoo.settings.load()
    (found,) = baseline_of(str(place.root), bars)
    assert found.config.hidden_dims == (6,)
    assert baseline_of(str(tmp_path / "none"), bars) == []


def test_trial_ledger_counts_numbers_not_names_and_survives_a_torn_line(tmp_path: Path) -> None:
    """The same configuration twice is one trial; a line that a crash cut short costs nothing but itself."""
    ledger = TrialLedger(tmp_path)
    first = Trial("a", "sha256:1", "sha256:d", 1, "2026-01-01T00:00:00Z")
    ledger.add([first, replace(first, spec_id="b", digest="sha256:2")])
    with (tmp_path / "trials.jsonl").open("a") as stream:
        stream.write('{"spec_id": "torn')
    ledger.add([replace(first, spec_id="renamed"), replace(first, digest="sha256:3", data_digest="sha256:e")])
    assert (ledger.count(), ledger.count("sha256:d"), len(list(ledger))) == (3, 2, 3)


def test_zoo_command_lists_and_says_what_it_would_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--list and --dry-run change nothing; JSON lines hold the whole resolved spec."""
    monkeypatch.chdir(tmp_path)
    assert run_app(["zoo", "--list"]) == 0
    assert "long-horizon\tactive\t0\tspec-long-horizon\thorizon=20" in capsys.readouterr().out
    bars = ["--data", "planted:bars=3500", "--symbol", "SIM", "--timeframe", "1Min"]
    assert run_app(["zoo", "--weekly-rotation", "--budget", "2", "--dry-run", "--json", "1", *bars]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["id"] for each in told] == ["default", "cross-sectional-demean"]
    assert told[1]["config"]["cross_sectional_demean"] is True
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["zoo"], "one of --list"),
        (["zoo", "--spec", "defualt"], "Did you mean default?"),
        (["zoo", "--spec", "default"], "--data, --symbol, --timeframe"),
        (["zoo", "--spec", "default", "--all-active"], "several"),
        (["zoo", "--budget", "2", "--specs", "empty.yaml"], "empty roster"),
        (["zoo", "--all-active", "--specs", "empty.yaml"], "no active spec to train"),
        (["zoo", "--list", "--specs", "nothing.yaml"], "found an empty file"),
        (["zoo", "--list", "--specs", "twice.yaml"], "key 'id' twice, line 1, column 9"),
        (["zoo", "--list", "--specs", "typo.yaml"], "did you mean horizon?"),
        (["zoo", "--list", "--specs", "none.yaml"], "cannot be read"),
        (["zoo", "--budget", "0"], "--budget"),
    ],
)
def test_zoo_command_refuses_bad_input_in_one_line_with_exit_2(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, and what to do; nothing is made."""
    monkeypatch.chdir(tmp_path)
    Path("empty.yaml").write_text("specs: []")
    Path("nothing.yaml").touch()
    Path("twice.yaml").write_text("specs: [{id: a, id: b}]")
    Path("typo.yaml").write_text("specs: [{id: a, overrides: {horizn: 3}}]")
    bars = ["--data", "planted:bars=3500", "--symbol", "SIM", "--timeframe", "1Min"]
    assert run_app(arguments + (bars if "empty.yaml" in arguments else [])) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["empty.yaml", "typo.yaml", "nothing.yaml", "twice.yaml"]
    )


def test_result_is_the_same_after_a_way_through_a_file(tmp_path: Path) -> None:
    """Marks are read back as they were written."""
    from training.zoo.job import read_result, write_document

    result = SpecResult(spec_id="a", label="spec-a", digest="sha256:0", status=Status.LOST, seconds=1.5)
    write_document(tmp_path / "result.json", result)
    assert read_result(tmp_path) == result
    (tmp_path / "result.json").write_text("{")
    assert read_result(tmp_path) is None
    assert locate(str(tmp_path)).root == tmp_path
