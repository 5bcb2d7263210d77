"""``zoo board`` as a person calls it: on journals, on past bars, with its report, and promoting."""

import io
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from trader_sdk.archive import archive_run
from trader_sdk.archive.governance import override, promote
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.slots import SlotKey
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import LifecycleError, StorageError
from trader_sdk.contract.execution import DEFAULT_LIMITS
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import load_bars
from trader_sdk.data.journal import read_journal
from trader_sdk.live.events import Draft, bar_time, rfc3339
from trader_sdk.live.journal import Journal, Stamp
from trader_sdk.live.shadow_account import ShadowAccount, shadow_ledger
from training.cli import run_app
from training.zoo.board_cli import promote_best
from training.zoo.journals import shadowed
from training.zoo.progress import standings_of
from training.zoo.promotion import Candidate, PromotionReason
from training.zoo.slot import slot_view

KEY = SlotKey("SIM", Timeframe.MIN_1)
FIGURES = {"fitness_score": [0.9], "profit_factor": [2.5], "consistency": [0.95], "max_drawdown": [0.01]}


@pytest.fixture(scope="module")
def slot_of_two(sample_zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive whose slot has a champion and a challenger, both of the sample zoo, both lifted by a person."""
    folder = tmp_path_factory.mktemp("two")
    for result, label in zip(sample_zoo.results[:2], ("held", "young"), strict=True):
        (path,) = (Path(result.folder) / "run" / "ckpt").glob("u*.pt")
        archive_run(folder, checkpoints=path, metrics=FIGURES, symbol="SIM", timeframe="1Min", label=label)
        ref = next(ArchiveReader(folder).state.newest_first(KEY))
        override(folder, ref.id, why="for the test", until=datetime.now(UTC) + timedelta(days=1))
    return folder


def shadow_bodies(version: str, role: str, seed: int, edge: float) -> list[dict[str, Any]]:
    """Return what a shadow writes over six weeks of hours, as the trader writes it; it knows the next bar a little."""
    rng = np.random.default_rng([3, seed])
    market = np.random.default_rng(11).normal(0, 0.004, 1009)
    opens = 100 * np.cumprod(1 + market)
    account = ShadowAccount(10_000.0, cost_model("us_equity@1"), DEFAULT_LIMITS)
    actions, bodies = MODEL_SPECS["2.7.0"].actions, []
    long, short = (max((a for a in actions if a.direction == side), key=lambda a: a.size) for side in (1, -1))
    for place in range(1008):
        price = float(opens[place])
        bar = Bar("SIM", place * 3600 * 10**9, price, price * 1.01, price * 0.99, price, 1.0)
        row = account.take(bar)
        knows = rng.random() < 0.5 + edge
        if place % 2 == 0 and place + 4 < 1008:
            up = opens[place + 3] > opens[place + 1]
            account.order(long if up == knows else short, bar.close)
        told = {name: getattr(row, name) for name in row.__slots__}
        names = {"symbol": "SIM", "version_id": version, "model_sha256": f"sha256:{seed:064d}", "role": role}
        bodies.append({**names, "bar": rfc3339(bar_time(bar.t)), "open": bar.open, "price": bar.close, **told})
    return bodies


def journal_of(folder: Path, *told: list[dict[str, Any]]) -> Path:
    """Write a journal as a trader does."""
    at = datetime(2026, 1, 5, tzinfo=UTC)
    with Journal.open(folder, Stamp("acct", "paper-local", "run-1")) as journal:
        journal.append(Draft(JournalEvent.SHADOW_DECIDED, at, body) for bodies in told for body in bodies)
    return folder


@pytest.fixture(scope="module")
def journal(slot_of_two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trader's journal in which the challenger sees more than the champion."""
    view = slot_view(slot_of_two, KEY)
    (young,) = set(view.versions) - {view.champion}
    held = shadow_bodies(view.champion or "", "champion", 1, 0.0)
    return journal_of(tmp_path_factory.mktemp("state"), held, shadow_bodies(young, "challenger", 2, 0.5))


def told_by(captured: str) -> dict[str, list[dict[str, Any]]]:
    """Return JSON lines by event."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in captured.splitlines():
        fact = json.loads(line)
        found.setdefault(fact["event"], []).append(fact)
    return found


def test_play_of_a_journal_is_the_ledger_that_the_trader_makes_of_it(tmp_path: Path) -> None:
    """Both halves read the same entries alike."""
    bodies = shadow_bodies("v", "challenger", 5, 0.1)
    (play,) = shadowed([journal_of(tmp_path, bodies)]).plays
    ledger = shadow_ledger(bodies)
    for name in ("start_at", "weight", "market_return", "cost"):
        assert np.array_equal(getattr(play, name), getattr(ledger, name)), name


def test_board_of_journals_recommends_and_promotes_only_when_asked_to(
    slot_of_two: Path, journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The better shadow is eligible; by default a person gets the command, and --auto 1 moves the pointer."""
    archive = tmp_path / "archive"
    shutil.copytree(slot_of_two, archive)
    before = slot_view(archive, KEY)
    (young,) = set(before.versions) - {before.champion}
    command = ["zoo", "board", "--symbol", "SIM", "--timeframe", "1Min", "--archive", str(archive)]
    command += ["--journal", str(journal), "--out", str(tmp_path / "zoo")]
    assert run_app([*command, "--report", str(tmp_path / "board.html")]) == 0
    said = capsys.readouterr().out
    assert f"{young}: eligible: may be promoted" in said
    assert f"trader archive promote SIM {young} --timeframe 1Min" in said
    assert slot_view(archive, KEY).champion == before.champion
    page = (tmp_path / "board.html").read_text("utf-8")
    assert young in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert (tmp_path / "board.png").read_bytes().startswith(b"\x89PNG")
    assert run_app([*command, "--auto", "1", "--json", "1"]) == 0
    told = told_by(capsys.readouterr().out)
    assert told["zoo_promoted"][0]["version"] == young
    assert told["zoo_candidate"][0]["reason"] == "eligible"
    assert told["zoo_board"][0]["champion"] == before.champion
    assert slot_view(archive, KEY).champion == young


def test_board_of_eighty_columns_cuts_no_figure_and_no_name() -> None:
    """Every figure stands whole on its line, and what is said of a version below its name."""
    columns = ("version", "net", "net 2x", "net 3x", "sharpe", "drawdown", "trades", "deflated", "verdict")
    figures = ["+113.47%", "+112.71%", "+111.95%", "83.71", "10.22%", "12345", "insufficient"]
    page = io.StringIO()
    Console(file=page, width=80).print(standings_of([("residual-20261121-e658cc1d", *figures, "too_short")], columns))
    lines = page.getvalue().splitlines()
    row = next(place for place, line in enumerate(lines) if "+113.47%" in line)
    assert lines[row].split()[1:] == figures
    width = lines[row].index(figures[0])
    named = "".join(line[:width].strip() for line in lines[row:])
    assert named.startswith("residual-20261121-e658cc1dtoo_short")


def test_second_of_two_promoters_is_refused_and_changes_nothing(slot_of_two: Path, tmp_path: Path) -> None:
    """Both saw the same champion; the first one moved it."""
    archive = tmp_path / "archive"
    shutil.copytree(slot_of_two, archive)
    seen = slot_view(archive, KEY)
    (young,) = set(seen.versions) - {seen.champion}
    promote(archive, "SIM", "1Min", young, expected=seen.champion)
    with pytest.raises(LifecycleError, match="champion changed meanwhile") as refused:
        promote_best(str(archive), seen, Candidate(young, PromotionReason.ELIGIBLE))
    assert refused.value.code == "E701"
    assert [held.version_id for held in slot_view(archive, KEY).history] == [seen.champion, young]


def test_board_of_past_bars_uses_only_those_after_every_versions_data(
    slot_of_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the end of what they were trained and judged on; earlier bars are refused, or looked at on request."""
    command = ["zoo", "board", "--symbol", "SIM", "--timeframe", "1Min", "--archive", str(slot_of_two)]
    command += ["--out", str(tmp_path / "zoo"), "--json", "1"]
    assert run_app([*command, "--data", "planted:bars=4300"]) == 0
    told = told_by(capsys.readouterr().out)
    assert len(told["zoo_row"]) == 2
    unseen = len(load_bars("planted:bars=4300", "SIM", "1Min")) - 3500
    assert {row["n_bars"] for row in told["zoo_row"]} == {unseen}
    assert run_app([*command, "--data", "planted:bars=3500"]) == 5
    assert "E705" in capsys.readouterr().err
    assert run_app([*command, "--data", "planted:bars=3500", "--in-sample", "1", "--auto", "1"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "--journal FOLDER or --data SOURCE"),
        (["--data", "planted:bars=4300", "--since", "soon"], 2, "not a date"),
        (["--journal", "nowhere"], 8, "no journal here"),
        (["--data", "planted:bars=4300", "--symbol", "NOBODY"], 5, "nobody to compare"),
    ],
)
def test_board_refuses_what_it_cannot_compare_in_one_line(
    arguments: list[str], code: int, told: str, slot_of_two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to compare on, no journal, an empty slot."""
    command = ["zoo", "board", "--symbol", "SIM", "--timeframe", "1Min", "--archive", str(slot_of_two)]
    assert run_app(command + arguments) == code
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1


def test_journal_that_was_edited_is_refused_at_the_entry(tmp_path: Path) -> None:
    """The reader checks the chain as it goes."""
    import sqlite3

    folder = journal_of(tmp_path, shadow_bodies("v", "champion", 1, 0.0)[:5])
    assert len(list(read_journal(folder))) == 5
    with sqlite3.connect(folder / "journal.db") as connection:
        connection.execute("UPDATE events SET body = replace(body, '\"cost\":0', '\"cost\":1') WHERE seq = 3")
    with pytest.raises(StorageError, match="event 3"):
        list(read_journal(folder))
