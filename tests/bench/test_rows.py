"""The benches' arithmetic: what a row says of the measurements, and how it is shown."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
KEYS = {"row", "peer", "peer_value", "ours", "unit", "ratio", "goal", "ok", "spread"}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return scripts/bench/rows.py."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("rows")


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return scripts/bench/all.py."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("all")


def test_row_compares_medians_and_shows_the_quartiles_of_the_rounds(rows: Any) -> None:
    """One slow round moves the spread and not the ratio."""
    taken = {"ours": [0.001, 0.001, 0.001, 0.009], "peer": [0.004, 0.004, 0.004, 0.004]}
    (row,) = rows.compare("work", taken, {"peer": 3.0, "absent": 2.0})
    assert (row.peer_value, row.ours, row.ratio, row.ok) == (4.0, 1.0, 4.0, True)
    assert row.spread[0] < 4.0 <= row.spread[1]


@pytest.mark.parametrize(("goal", "reached"), [(4.0, True), (4.1, False), (None, None)])
def test_goal_is_reached_from_its_own_value_on(rows: Any, goal: float | None, reached: bool | None) -> None:
    """A goal is a smallest ratio; a peer without one is shown and judged by nobody."""
    (row,) = rows.compare("work", {"ours": [1.0, 1.0], "peer": [4.0, 4.0]}, {"peer": goal}, unit="s")
    assert row.ok is reached


def test_growth_names_its_exponent_and_the_cost_of_one(rows: Any) -> None:
    """Exponent 1 where each costs what one costs, 2 where the time grows with the square."""
    linear, square = ([*rows.growth("load", {n: [0.01 * n**power] * 3 for n in (1, 10, 100)})] for power in (1, 2))
    assert [row.row for row in linear] == ["load: 10", "load: 100"]
    assert [round(row.ours, 6) for row in linear] == [10.0, 10.0]
    assert [row.note[-4:] for row in (*linear, *square)] == ["1.00", "1.00", "2.00", "2.00"]
    assert all(row.ok is None for row in (*linear, *square))


def test_amount_beyond_its_limit_is_missed(rows: Any) -> None:
    """A limit is a goal of one times what is allowed."""
    assert rows.limit("memory", "limit", 60, 30, "MB").ok
    assert not rows.limit("memory", "limit", 60, 61, "MB").ok


def test_cases_take_turns_and_the_first_round_is_thrown_away(rows: Any) -> None:
    """No case always runs first, and none is measured before its caches are warm."""
    order: list[str] = []

    def case(name: str) -> Any:
        def run() -> float:
            order.append(name)
            return float(len(order))

        return run

    taken = rows.interleaved({"a": case("a"), "b": case("b")}, 2)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in taken.items()} == {"a": 2, "b": 2}


def test_table_and_page_say_what_was_missed(rows: Any, every: Any, tmp_path: Path) -> None:
    """Both show the goal and whether it was reached; the page keeps everything outside its marks."""
    (row,) = rows.compare("work", {"ours": [1.0, 1.0], "peer": [2.0, 2.0]}, {"peer": 3.0}, unit="s", note="of two")
    assert ">= 3x MISSED  of two" in rows.table([row])
    page, published = tmp_path / "page.md", tmp_path / "rows.json"
    page.write_text(f"before\n{every.BEGIN}\nold\n{every.END}\nafter\n", "utf-8")
    every.publish({"load": [row]}, ["--quick"], published, page)
    text = page.read_text("utf-8")
    assert "| work | peer | 2 s | 1 s | 2.00x (2.00..2.00) | >= 3x **missed** of two |" in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text


def test_published_rows_of_other_scripts_stay(rows: Any, every: Any, tmp_path: Path) -> None:
    """A run of one bench takes the place of its own rows alone, each with the command that gave it."""
    page, published = tmp_path / "page.md", tmp_path / "rows.json"
    page.write_text(f"{every.BEGIN}\n{every.END}\n", "utf-8")
    (old,), (other,), (new,) = (
        [*rows.compare(name, {"ours": [1.0, 1.0], "peer": [2.0, 2.0]}, {"peer": None})]
        for name in ("old row", "other row", "new row")
    )
    every.publish({"load": [old], "start": [other]}, [], published, page)
    every.publish({"load": [new]}, ["--cpu"], published, page)
    text = page.read_text("utf-8")
    assert [name in text for name in ("old row", "other row", "new row")] == [False, True, True]
    assert "all.py --only load --cpu`" in text
    assert "all.py --only start`" in text
    assert [row["row"] for row in json.loads(published.read_text("utf-8"))["load"]["rows"]] == ["new row"]


def test_unknown_row_is_an_error(tmp_path: Path) -> None:
    """Nothing measured is no success, and runs no bench."""
    command = [sys.executable, str(BENCH / "all.py"), "--only", "no such row", "--json-file", str(tmp_path / "f")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 3
    assert not (tmp_path / "f").exists()


def test_one_row_is_measured_by_its_name(tmp_path: Path) -> None:
    """`--only ROW --quick` runs the real peers on the real files and writes rows that a reader knows."""
    file = tmp_path / "rows.json"
    command = [sys.executable, str(BENCH / "all.py"), "--quick", "--only", "policy artefact, mapped"]
    subprocess.run([*command, "--json-file", str(file)], check=True, capture_output=True, timeout=300)
    written = json.loads(file.read_text("utf-8"))
    assert {row["peer"] for row in written} == {"torch", "torch.load alone"}
    assert all(set(row) >= KEYS and row["row"].startswith("policy artefact, mapped") for row in written)
