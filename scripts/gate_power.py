"""What the gate lets through: how often it approves policies without skill, and how often those with an edge.

    python scripts/gate_power.py --json-file docs/reference/gate-power.json --page docs/reference/gate-power.md

Simulated by the archive's own metric functions and its own judge (seeds are named in the output). A run whose t lies
below what the four bars can be met with is counted as not approved without the rest of the metrics; a test shows that
this changes no result. `--runs 2000` takes seconds, the published figures minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
from gate_populations import BARS_A_YEAR, N_WINDOWS, SKILL_LESS, Runs, usable_bars, with_edge

from trader_sdk.archive.evidence import Circumstances, judge
from trader_sdk.archive.gate import METRICS, GateClass, classify
from trader_sdk.archive.metrics import HouseMetrics, gate_final, house_metrics, required_t
from trader_sdk.archive.policy import HOUSE_POLICY
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.summary import GateBlock

SEED = 20261121
LENGTHS = (250, 500, 1000, 2100)
TRUE_T = (0.0, 1.0, 2.0, 3.0, 3.5, 4.0, 4.3, 5.0, 6.0)
EDGES = ((2100, 40), (2100, 84), (2100, 200), (1000, 84))
"""Bars, and about how many trades."""
CHUNK_RUNS = 1000
LOWEST_T = HOUSE_POLICY.approved_min_fitness * math.sqrt(N_WINDOWS) - 1e-9
"""Fitness is at most t over the root of the windows: below this no run meets the four bars."""


@dataclass(frozen=True)
class Cell:
    """One population at one length.

    Attributes:
        population: Which policies.
        n_bars: Bars of the GATE block, as given; windows are equal parts of it.
        true_t: t that the edge was made for; None for policies without skill.
        runs: Simulated runs.
        bars_alone: Share that the four bars alone would approve.
        approved: Share that the archive approves, its floors of evidence included.
        upper: Upper end of the 95 % interval of ``approved``.
        mean_t: Mean of the measured t.
        trades: About how often an edge trades; None for policies without skill.
    """

    population: str
    n_bars: int
    true_t: float | None
    runs: int
    bars_alone: float
    approved: float
    upper: float
    mean_t: float
    trades: int | None = None


def main() -> int:
    """Simulate, print the tables, write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40_000, help="simulated runs of each population and length")
    parser.add_argument("--power-runs", type=int, help="runs of each true t; a tenth of --runs when omitted")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json-file", type=Path, help="write the figures to this file")
    parser.add_argument("--page", type=Path, help="write them as a page of the docs")
    parser.add_argument("--render", type=Path, help="simulate nothing: make --page from this JSON file")
    arguments = parser.parse_args()
    if arguments.render is not None:
        arguments.page.write_text(page(json.loads(arguments.render.read_text("utf-8"))), "utf-8")
        return 0
    started = time.process_time()
    power_runs = arguments.power_runs or max(200, arguments.runs // 10)
    cells = [*false_approvals(arguments.runs, arguments.seed), *power(power_runs, arguments.seed)]
    figures = {
        "seed": arguments.seed,
        "policy": HOUSE_POLICY.policy_hash,
        "numpy": np.__version__,
        "cpu_seconds": round(time.process_time() - started),
        "cells": [asdict(cell) for cell in cells],
    }
    print(_text(figures))
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if arguments.page is not None:
        arguments.page.write_text(page(figures), "utf-8")
    return 0


def false_approvals(runs: int, seed: int) -> Iterator[Cell]:
    """Yield how often policies without skill are approved."""
    for number, (name, draw) in enumerate(SKILL_LESS.items()):
        for n_bars in LENGTHS:
            yield cell(name, n_bars, runs, np.random.default_rng([seed, number, n_bars]), draw)


def power(runs: int, seed: int) -> Iterator[Cell]:
    """Yield how often policies with an edge are approved."""
    for true_t in TRUE_T:
        for n_bars, n_trades in EDGES:
            rng = np.random.default_rng([seed, 1000 + round(10 * true_t), n_bars, n_trades])

            def draw(rng: np.random.Generator, n: int, bars: int, t: float = true_t, trades: int = n_trades) -> Runs:
                return with_edge(rng, n, bars, t, trades)

            yield replace(cell("edge", n_bars, runs, rng, draw), true_t=true_t, trades=n_trades)


def cell(
    name: str,
    n_bars: int,
    runs: int,
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator, int, int], Runs],
    lowest_t: float = LOWEST_T,
) -> Cell:
    """Return one population at one length."""
    met = approved = 0
    total_t = 0.0
    for first in range(0, runs, CHUNK_RUNS):
        count = min(CHUNK_RUNS, runs - first)
        drawn = draw(rng, count, usable_bars(n_bars))
        t = drawn.t()
        total_t += float(t[np.isfinite(t)].sum())
        for run in np.flatnonzero(t >= lowest_t):
            classes = judged(drawn, int(run))
            met += classes[0] is GateClass.APPROVED
            approved += classes[1] is GateClass.APPROVED
    return Cell(name, n_bars, None, runs, met / runs, approved / runs, upper_bound(approved, runs), total_t / runs)


def judged(runs: Runs, run: int) -> tuple[GateClass, GateClass]:
    """Return what the four bars alone say of a run, and what the archive says."""
    windows = runs.ledgers(run)
    metrics = _metrics(windows) if len(windows[0]) >= 50 else None
    if metrics is None:
        return _too_short(windows)
    block = GateBlock.model_validate(gate_final(metrics))
    values = {name: getattr(block, name) for name in METRICS}
    circumstances = Circumstances("house@1", "equity", 0.001, 1, DataKind.REAL)
    alone = classify(values, HOUSE_POLICY, n_trades=block.n_trades).gate_class
    return alone, judge(values, block, circumstances, HOUSE_POLICY).gate_class


def _metrics(windows: list) -> HouseMetrics:
    return house_metrics(windows, n_trials=1, bars_per_year=BARS_A_YEAR)


def _too_short(windows: list) -> tuple[GateClass, GateClass]:
    # The metric set refuses windows under 50 bars, and so does the judge: whatever the numbers, REVIEW at best. What
    # the four bars would say of them is shown by the same functions on the same bars, window after window.
    from trader_sdk.archive import metrics as m

    net = np.concatenate([window.net_return for window in windows])
    mean = float(np.mean(np.concatenate([window.market_return for window in windows])))
    excess = np.concatenate([window.excess_return(mean) for window in windows])
    figures = []
    for returns in (net, excess):
        fall = m.clamped_drawdown(returns)
        figures.append((m.fitness(float(returns.mean() / returns.std(ddof=1)), len(windows[0]), fall), fall))
    totals = [(w.net_return.sum(), w.excess_return(mean).sum()) for w in windows if w.has_exposure]
    trades = np.concatenate([window.trades for window in windows])
    values = {
        "fitness_score": min(figure[0] for figure in figures),
        "profit_factor": m.profit_factor(trades),
        "consistency": sum(min(total) > 0 for total in totals) / max(1, len(totals)),
        "max_drawdown": max(figure[1] for figure in figures),
    }
    return classify(values, HOUSE_POLICY, n_trades=len(trades)).gate_class, GateClass.REVIEW


def upper_bound(hits: int, runs: int) -> float:
    """Return the upper end of Wilson's 95 % interval."""
    z = NormalDist().inv_cdf(0.975)
    share, weight = hits / runs, z * z / runs
    middle = share + weight / 2
    return (middle + z * math.sqrt(share * (1 - share) / runs + weight / (4 * runs))) / (1 + weight)


def _text(figures: dict) -> str:
    head = f"{'population':24} {'bars':>5} {'trades':>6} {'true t':>6} {'runs':>7}"
    lines = [f"{head} {'bars alone':>11} {'APPROVED':>10} {'95 % up to':>11}"]
    for each in figures["cells"]:
        true_t = "" if each["true_t"] is None else f"{each['true_t']:.1f}"
        shares = f"{100 * each['bars_alone']:10.3f}% {100 * each['approved']:9.3f}% {100 * each['upper']:10.3f}%"
        shape = f"{each['n_bars']:5} {each['trades'] or '':>6} {true_t:>6} {each['runs']:7}"
        lines.append(f"{each['population']:24} {shape} {shares}")
    return "\n".join([*lines, f"seed {figures['seed']}, {figures['cpu_seconds']} s of processor time"])


def page(figures: dict) -> str:
    """Return the figures as a page of the docs."""
    skill_less = [each for each in figures["cells"] if each["true_t"] is None]
    edges = [each for each in figures["cells"] if each["true_t"] is not None]
    lines = [*_INTRODUCTION.format(needed=required_t(1)).splitlines(), ""]
    lines += [
        "| policies | bars | runs | four bars alone | **APPROVED** | 95 % interval up to |",
        "|---|---|---|---|---|---|",
    ]
    for each in skill_less:
        lines.append(
            f"| {each['population']} | {each['n_bars']:,} | {each['runs']:,} | {_percent(each['bars_alone'])} | "
            f"**{_percent(each['approved'])}** | {_percent(each['upper'])} |"
        )
    lines += ["", *_POWER.splitlines(), ""]
    columns = " | ".join(f"{bars:,} bars, {trades} trades" for bars, trades in EDGES)
    lines += [f"| true t | {columns} |", f"|---|{'---|' * len(EDGES)}"]
    for true_t in dict.fromkeys(each["true_t"] for each in edges):
        row = [_percent(each["approved"], 1) for each in edges if each["true_t"] == true_t]
        lines.append(f"| {true_t:.1f} | {' | '.join(row)} |")
    runs = edges[0]["runs"]
    return "\n".join([*lines, "", *_HOW.format(runs=runs, **figures).splitlines(), ""])


def _percent(share: float, digits: int = 3) -> str:
    return f"{100 * share:.{digits}f} %"


_INTRODUCTION = """\
# How often the gate is wrong

Two ways to be wrong: to approve a policy that knows nothing, and to send away one that knows something. Both are
simulated here by the archive's own metric functions and judge, with the house's bars and costs.

## Policies without skill

Random entries and exits on a market that goes nowhere; the same, long only, while the market rises 15 % a year; and
policies that sell with a gain or not at all, which are forced to close at the end of each window. Beside what the
archive approves stands what the four bars alone would have let through: the floors of evidence (20 trades, t of at
least {needed:.1f}, seven windows of fifty bars) are what keeps luck out."""

_POWER = """\
Below 350 bars nothing is ever approved: seven windows of fifty bars do not fit.

## Policies with an edge

Share approved at the first look, by the t that the edge has after costs. The annual Sharpe of a true t on T daily bars
is `t * sqrt(252 / T)`: a t of 4.3 on 2,100 bars is a Sharpe of about 1.5. The same t spread over more trades is less a
trade, and a profit factor of 1.8 is a bar on what a trade earns; too few trades are no evidence."""

_HOW = """\
What follows for a desk: a model whose edge is worth a t of 3 is sent away more often than not, and that is the price of
the first table. More bars raise t with their root; looking again at the same bars raises what is asked.

## How it was made

`python scripts/gate_power.py --json-file docs/reference/gate-power.json --page docs/reference/gate-power.md`, seed
{seed}, numpy {numpy}, {runs:,} runs a true t, {cpu_seconds} seconds of processor time, gate policy `{policy}`. Bars are
days with 20 % volatility a year and Student t5 tails; positions are 20 % of equity; holding times average 2, 5 or 20
bars; costs are those of `us_equity@1`. The figures beside each other: [gate-power.json](gate-power.json)."""


if __name__ == "__main__":
    raise SystemExit(main())
