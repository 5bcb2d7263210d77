"""Measuring side by side: peers and ours take turns in one run, and a row keeps medians, ratio and spread."""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

OURS = "ours"
CPU_HELP = "processor time instead of wall time, where the machine is not ours alone; for work of one thread"
THREADS_HELP = "as many threads as the libraries take by themselves instead of one"


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
        note: What else the row says, as the exponent of a growth.
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
    note: str = ""


def now() -> float:
    """Return seconds of the clock that was asked for: the wall's, or this process's and its children's processor."""
    if not _asked.processor_time:
        return time.perf_counter()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def seconds(work: Callable[[], object]) -> float:
    """Return the time of one call."""
    started = now()
    work()
    return now() - started


def repeated(work: Callable[[], object], count: int) -> Callable[[], float]:
    """Return what measures the mean time of ``count`` calls in a row: hot caches."""

    def measure() -> float:
        started = now()
        for _ in range(count):
            work()
        return (now() - started) / count

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
    row: str, taken: Mapping[str, list[float]], goals: Mapping[str, float | None], *, unit: str = "ms", note: str = ""
) -> Iterator[Row]:
    """Yield one row a peer from interleaved measurements in seconds; peers without measurements have no row."""
    scale = _SCALES[unit]
    for peer, goal in goals.items():
        if peer in taken:
            theirs, ours = ([value * scale for value in taken[name]] for name in (peer, OURS))
            yield _row(row, peer, theirs, ours, unit, goal, note)


def growth(row: str, taken: Mapping[int, list[float]], *, unit: str = "ms") -> Iterator[Row]:
    """Yield one row for each multiple of the smallest amount, from interleaved measurements in seconds.

    Args:
        row: What grows; its name gets the amount.
        taken: Amount to the time that all of it takes.
        unit: Of the values, which are for one of the amount: a cost that grows with it stays the same.
    """
    scale, (first, *more) = _SCALES[unit], sorted(taken)
    ones = [value * scale / first for value in taken[first]]
    for amount in more:
        each = [value * scale / amount for value in taken[amount]]
        times = statistics.median(taken[amount]) / statistics.median(taken[first])
        note = f"time grows with exponent {math.log(times) / math.log(amount / first):.2f}"
        yield _row(f"{row}: {amount}", f"one of {first}", ones, each, unit, None, note)


_SCALES = {"s": 1.0, "ms": 1e3, "us": 1e6}


def _row(row: str, peer: str, theirs: list[float], ours: list[float], unit: str, goal: float | None, note: str) -> Row:
    value, own = statistics.median(theirs), statistics.median(ours)
    low, _, high = statistics.quantiles([their / our for their, our in zip(theirs, ours, strict=True)], n=4)
    return Row(row, peer, value, own, unit, value / own, goal, _reached(value / own, goal), (low, high), note)


def limit(row: str, peer: str, allowed: float, ours: float, unit: str, *, note: str = "") -> Row:
    """Return the row of one measured amount that must not be above ``allowed``."""
    ratio = allowed / ours
    return Row(row, peer, allowed, ours, unit, ratio, 1.0, _reached(ratio, 1.0), (ratio, ratio), note)


def _reached(ratio: float, goal: float | None) -> bool | None:
    return None if goal is None else ratio >= goal


def wanted(row: str) -> bool:
    """Return whether rows of this name are asked for, so that a script may leave out work that is not shown."""
    return _asked.only in row


class _Asked:
    """What the arguments of this process say."""

    only = ""
    processor_time = False


_asked = _Asked()


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    lines = [f"{'row':44} {'peer':22} {'peer':>10} {'ours':>10}      {'ratio':>7} {'quartiles':>15}  goal"]
    for each in rows:
        goal = "" if each.goal is None else f">= {each.goal:g}x {'reached' if each.ok else 'MISSED'}"
        quartiles = f"{each.spread[0]:.2f}..{each.spread[1]:.2f}"
        values = f"{each.peer_value:10.3f} {each.ours:10.3f} {each.unit:4}"
        end = "  ".join(filter(None, (goal, each.note)))
        lines.append(f"{each.row:44} {each.peer:22} {values} {each.ratio:6.2f}x {quartiles:>15}  {end}".rstrip())
    return "\n".join(lines)


def markdown(rows: list[Row]) -> str:
    """Return the rows as a table of a page."""
    lines = ["| work | peer | peer's | ours | ratio (quartiles) | goal |", "|---|---|---|---|---|---|"]
    for each in rows:
        goal = "" if each.goal is None else f">= {each.goal:g}x {'reached' if each.ok else '**missed**'}"
        values = f"{each.peer_value:.4g} {each.unit} | {each.ours:.4g} {each.unit}"
        ratio = f"{each.ratio:.2f}x ({each.spread[0]:.2f}..{each.spread[1]:.2f})"
        lines.append(f"| {each.row} | {each.peer} | {values} | {ratio} | {' '.join(filter(None, (goal, each.note)))} |")
    return "\n".join(lines)


THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(measure: Callable[[bool], Iterator[Row]]) -> int:
    """Run one script's rows, print their table, and write them as JSON where that is asked for.

    Every library gets one thread, unless ``--default-threads`` or OMP_NUM_THREADS says otherwise. Libraries read that
    when they are imported, which the script has done by now, so it starts once more with it said.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--only", default="", help="keep the rows whose name contains this")
    parser.add_argument("--json-file", type=Path, help="also write the rows to this file")
    parser.add_argument("--cpu", action="store_true", help=CPU_HELP)
    parser.add_argument("--default-threads", action="store_true", help=THREADS_HELP)
    arguments = parser.parse_args()
    if not arguments.default_threads and "OMP_NUM_THREADS" not in os.environ:
        # S606: the command is this process's own.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(THREAD_LIMITS, "1"))  # noqa: S606
    _asked.only, _asked.processor_time = arguments.only, arguments.cpu
    rows = [each for each in measure(arguments.quick) if arguments.only in each.row]
    print(table(rows))
    write(rows, arguments.json_file)
    return 0


def write(rows: list[Row], file: Path | None) -> None:
    """Write rows as a JSON list."""
    if file is not None:
        file.write_text(json.dumps([asdict(each) for each in rows], indent=1) + "\n", "utf-8")
