"""How often the zoo promotes a model that knows nothing, and how often it finds the one that knows something.

    python scripts/zoo_worlds.py --json-file docs/reference/zoo-power.json --page docs/reference/zoo-power.md

A world is one market, a champion without skill and 50 challengers; in some worlds one of them has an edge. Ledgers are
simulated (nothing is trained), and judged by the zoo's own leaderboard and rules. `--worlds 20` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.costs import cost_model
from training.zoo.leaderboard import leaderboard
from training.zoo.plays import Play
from training.zoo.promotion import Pedigree, best_of, candidates

Floats = NDArray[np.float64]

SEED = 20261121
CHALLENGERS = 50
CHAMPION = "champion"
GIFTED = "challenger-00"
BARS_A_YEAR = 252
VOLATILITY = 0.20 / math.sqrt(BARS_A_YEAR)
WEIGHT = 0.20
SIDE = float(cost_model("us_equity@1").side_fraction)
HOLDING_BARS = (2.0, 5.0, 20.0)
ALIKE = 0.3
"""Chance that a challenger does on a bar what most others do: variants of one idea are no 50 independent trials."""
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True)
class World:
    """What is simulated: bars, the t of the gifted challenger after costs (0: no edge), the drift of the market."""

    bars: int
    true_t: float
    drift_a_year: float = 0.0


WORLDS = (
    World(500, 0.0),
    World(2100, 0.0),
    World(2100, 0.0, drift_a_year=0.15),
    World(2100, 4.0),
    World(2100, 5.0),
    World(2100, 6.0),
)


@dataclass(frozen=True)
class Cell:
    """One kind of world: how many were simulated, promoted any challenger, and promoted the gifted one."""

    world: World
    worlds: int
    promoted: int
    found: int


def main() -> int:
    """Simulate, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=400, help="worlds of each kind")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json-file", type=Path, help="write the figures to this file")
    parser.add_argument("--page", type=Path, help="write them as a page of the docs")
    parser.add_argument("--render", type=Path, help="simulate nothing: make --page from this JSON file")
    arguments = parser.parse_args()
    if arguments.render is not None:
        arguments.page.write_text(page(json.loads(arguments.render.read_text("utf-8"))), "utf-8")
        return 0
    started = time.process_time()
    cells = []
    for kind in WORLDS:
        cells.append(simulate(kind, arguments.worlds, arguments.seed))
        print(line_of(asdict(cells[-1])), flush=True)
    seconds = round(time.process_time() - started)
    figures = {"seed": arguments.seed, "cpu_seconds": seconds, "cells": [asdict(cell) for cell in cells]}
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if arguments.page is not None:
        arguments.page.write_text(page(figures), "utf-8")
    return 0


def simulate(kind: World, worlds: int, seed: int) -> Cell:
    """Return what the default rules promoted in so many worlds of one kind."""
    promoted = found = 0
    for number in range(worlds):
        rng = np.random.default_rng([seed, kind.bars, round(10 * kind.true_t), round(100 * kind.drift_a_year), number])
        name = promotion_in(plays_of(kind, rng))
        promoted += name is not None
        found += name == GIFTED
    return Cell(kind, worlds, promoted, found)


def promotion_in(plays: list[Play]) -> str | None:
    """Return whom the default rules would promote."""
    board = leaderboard(plays, baseline=CHAMPION, n_trials=CHALLENGERS, bars_per_year=BARS_A_YEAR, test=untested)
    best = best_of(candidates(board, {play.name: Pedigree() for play in plays}))
    return best.name if best is not None else None


def untested(*_: object, seed: int = 0) -> None:
    """Leave out the test of the whole set, which is shown on a board and decides nothing; ``seed`` would be its own."""


def plays_of(kind: World, rng: np.random.Generator) -> list[Play]:
    """Return one world: the champion, then 50 challengers, on one market."""
    held = positions(rng, CHALLENGERS + 1, kind.bars)
    if kind.drift_a_year:
        held = np.abs(held)
    market = rng.standard_t(5, size=kind.bars) * (VOLATILITY / math.sqrt(5.0 / 3.0)) + kind.drift_a_year / BARS_A_YEAR
    gifted = held[1]
    market += edge_of(kind, gifted) * (gifted - gifted.mean())
    starts = np.arange(kind.bars, dtype=np.int64) * _DAY_NS
    names = [CHAMPION, *(f"challenger-{place:02d}" for place in range(CHALLENGERS))]
    return [
        Play(name, "SIM", starts, WEIGHT * each, market, WEIGHT * SIDE * np.abs(np.diff(each, prepend=0.0)))
        for name, each in zip(names, held, strict=True)
    ]


def edge_of(kind: World, held: Floats) -> float:
    """Return by how much the market leans the way of a position, so that its t after costs is the wanted one."""
    if kind.true_t == 0.0:
        return 0.0
    deviation = WEIGHT * VOLATILITY * math.sqrt(float(np.mean(held**2)))
    costs = WEIGHT * SIDE * float(np.abs(np.diff(held, prepend=0.0)).mean())
    wanted = kind.true_t / math.sqrt(kind.bars) * deviation + costs
    return wanted / (WEIGHT * float(np.mean(held * (held - held.mean()))))


def positions(rng: np.random.Generator, count: int, bars: int) -> Floats:
    """Return (count, bars) of -1, 0 and 1: held for random times; a part of the variants go with a common idea."""
    common = _walk(rng, 1, bars)
    own = _walk(rng, count, bars)
    follows = rng.random((count, 1)) < 0.5
    with_it = follows & (np.repeat(rng.random((count, -(-bars // 20))), 20, axis=1)[:, :bars] < 2 * ALIKE)
    with_it[1] = False  # the gifted one has an idea of its own
    return np.where(with_it, common, own)


def _walk(rng: np.random.Generator, count: int, bars: int) -> Floats:
    leaves = 1.0 / rng.choice(HOLDING_BARS, size=(count, 1))
    changes = rng.random((count, bars)) < leaves
    changes[:, 0] = True
    drawn = rng.choice((-1.0, 0.0, 1.0), size=(count, bars), p=(0.25, 0.5, 0.25))
    last = np.maximum.accumulate(np.where(changes, np.arange(bars), 0), axis=1)
    return np.take_along_axis(drawn, last, axis=1)


def upper(hits: int, worlds: int) -> float:
    """Return the upper end of Wilson's 95 % interval."""
    z = NormalDist().inv_cdf(0.975)
    share, weight = hits / worlds, z * z / worlds
    spread = z * math.sqrt(share * (1 - share) / worlds + weight / (4 * worlds))
    return (share + weight / 2 + spread) / (1 + weight)


def line_of(cell: dict) -> str:
    """Return one kind of world as a line."""
    world, count = cell["world"], cell["worlds"]
    kind = f"t {world['true_t']:.1f}" if world["true_t"] else f"no edge, drift {world['drift_a_year']:.0%}"
    shares = f"promoted {cell['promoted'] / count:6.2%}, the gifted one {cell['found'] / count:6.2%}"
    return f"{world['bars']:5} bars, {kind:20} {count} worlds: {shares}"


def page(figures: dict) -> str:
    """Return the figures as a page of the docs."""
    lines = [*_INTRODUCTION.splitlines(), "", "| bars | market | worlds | promoted one | 95 % interval up to |"]
    lines.append("|---|---|---|---|---|")
    for cell in (cell for cell in figures["cells"] if not cell["world"]["true_t"]):
        world, count, hits = cell["world"], cell["worlds"], cell["promoted"]
        drift = f"rises {world['drift_a_year']:.0%} a year, all long" if world["drift_a_year"] else "goes nowhere"
        lines.append(f"| {world['bars']:,} | {drift} | {count} | **{hits / count:.2%}** | {upper(hits, count):.2%} |")
    lines += ["", *_POWER.splitlines(), "", "| bars | true t | annual Sharpe | worlds | found | another one promoted |"]
    lines.append("|---|---|---|---|---|---|")
    for cell in (cell for cell in figures["cells"] if cell["world"]["true_t"]):
        world, count = cell["world"], cell["worlds"]
        sharpe = world["true_t"] * math.sqrt(BARS_A_YEAR / world["bars"])
        wrong = (cell["promoted"] - cell["found"]) / count
        found = f"**{cell['found'] / count:.1%}**"
        lines.append(f"| {world['bars']:,} | {world['true_t']:.1f} | {sharpe:.2f} | {count} | {found} | {wrong:.2%} |")
    return "\n".join([*lines, "", *_HOW.format(**figures).splitlines(), ""])


_INTRODUCTION = f"""\
# How often the zoo is wrong

Two ways to be wrong: to promote a challenger that knows nothing, and to leave one that knows something where it is.
Both are simulated with {CHALLENGERS} challengers beside a champion, on ledgers that the zoo's own leaderboard and
[default rules](../guide/zoo.md) judge.

## Worlds without any edge

Champion and challengers enter and leave at random; half of them follow one common idea part of the time. Share of the
worlds in which any challenger would be promoted:"""

_POWER = """\
## Worlds with one edge

One challenger has an edge worth a t statistic after costs; the other 49 and the champion have none. Share of the worlds
in which it is the one that is promoted:"""

_HOW = """\
An edge worth a t of 5 on 2,100 daily bars is an annual Sharpe ratio of 1.7: less than that takes longer to prove than
most desks wait, and the price of waiting is the first table.

## How it was made

`python scripts/zoo_worlds.py --json-file docs/reference/zoo-power.json --page docs/reference/zoo-power.md`, seed
{seed}, {cpu_seconds} seconds of processor time. Bars are days with 20 % volatility a year and Student t5 tails,
positions 20 % of equity, costs those of `us_equity@1`; positions are held for 2, 5 or 20 bars on average. The figures
beside each other: [zoo-power.json](zoo-power.json)."""


if __name__ == "__main__":
    raise SystemExit(main())
