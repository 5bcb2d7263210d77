"""Measuring side by side: peers and ours take turns in one run, and a row keeps medians, ratio and spread."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

OURS = "ours"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        row: What was measured.
        peer: Against whom.
        peer_value, ours: Medians, in ``unit``.
        unit: Of both values; less is better.
        ratio: ``peer_value / ours``: how many times faster ours is.
        goal: Smallest ratio that is wanted; None where a peer is shown without one.
        ok: Whether the goal is reached; None without a goal.
        spread: Lower and upper quartile of the ratio over the rounds.
    """

    row: str
    peer: str
    peer_value: float
    ours: float
    unit: str
    ratio: float
    goal: float | None
    ok: bool | None
    spread: tuple[float, float]


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def repeated(work: Callable[[], object], count: int) -> Callable[[], float]:
    """Return what measures the mean time of ``count`` calls in a row: hot caches."""

    def measure() -> float:
        started = time.perf_counter()
        for _ in range(count):
            work()
        return (time.perf_counter() - started) / count

    return measure


def interleaved(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every case once a round, each round beginning with another, after one round that is thrown away."""
    names = list(cases)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds + 1):
        shift = index % len(names)
        for name in names[shift:] + names[:shift]:
            value = cases[name]()
            if index:
                taken[name].append(value)
    return taken


def compare(
    row: str, taken: Mapping[str, list[float]], goals: Mapping[str, float | None], *, unit: str = "ms"
) -> Iterator[Row]:
    """Yield one row a peer from interleaved measurements in seconds."""
    scale = {"s": 1.0, "ms": 1e3, "us": 1e6}[unit]
    ours = statistics.median(taken[OURS])
    for peer, goal in goals.items():
        if peer in taken:
            theirs = statistics.median(taken[peer])
            ratio = theirs / ours
            each = [their / our for their, our in zip(taken[peer], taken[OURS], strict=True)]
            low, _, high = statistics.quantiles(each, n=4)
            reached = None if goal is None else ratio >= goal
            yield Row(row, peer, theirs * scale, ours * scale, unit, ratio, goal, reached, (low, high))


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    lines = [f"{'row':44} {'peer':22} {'peer':>10} {'ours':>10}      {'ratio':>7} {'quartiles':>15}  goal"]
    for each in rows:
        goal = "" if each.goal is None else f">= {each.goal:g}x {'reached' if each.ok else 'MISSED'}"
        quartiles = f"{each.spread[0]:.2f}..{each.spread[1]:.2f}"
        values = f"{each.peer_value:10.3f} {each.ours:10.3f} {each.unit:4}"
        lines.append(f"{each.row:44} {each.peer:22} {values} {each.ratio:6.2f}x {quartiles:>15}  {goal}")
    return "\n".join(lines)


def main(measure: Callable[[bool], Iterator[Row]]) -> int:
    """Run one script's rows, print their table, and write them as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--only", default="", help="keep the rows whose name contains this")
    parser.add_argument("--json-file", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    rows = [each for each in measure(arguments.quick) if arguments.only in each.row]
    print(table(rows))
    write(rows, arguments.json_file)
    return 0


def write(rows: list[Row], file: Path | None) -> None:
    """Write rows as a JSON list."""
    if file is not None:
        file.write_text(json.dumps([asdict(each) for each in rows], indent=1) + "\n", "utf-8")
