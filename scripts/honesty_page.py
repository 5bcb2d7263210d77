"""The honesty table from its lines: shares, intervals, and the page of the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from gate_power import upper_bound
from honesty_oracle import BARS_A_YEAR, oracle_sharpes
from honesty_runs import POPULATIONS, PUBLISHED, SETTINGS, Line

from trader_sdk.archive.policy import HOUSE_POLICY

CLASSES = ("APPROVED", "REVIEW", "DROP")
ORACLE_MARKETS = range(1, 21)


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """Return the figures of every population that has runs."""
    rows = [row(name, [line for line in lines if line.population == name]) for name in dict.fromkeys(names())]
    return {
        "blocks": list(PUBLISHED.blocks),
        "settings": dict(SETTINGS),
        "policy": HOUSE_POLICY.policy_hash,
        "numpy": np.__version__,
        "torch": torch.__version__,
        "cpu_seconds": round(sum(line.cpu_seconds for line in lines)),
        "oracle": [oracle_row(population.edge) for population in POPULATIONS if population.edge > 0],
        "rows": [each for each in rows if each["runs"]],
    }


def names() -> Iterator[str]:
    """Yield the name of each population, in the order of the table."""
    return (population.name for population in POPULATIONS)


def row(name: str, lines: Sequence[Line]) -> dict[str, Any]:
    """Return one row: how many runs ended in each class, and the typical t."""
    count = {each: sum(line.gate_class == each for line in lines) for each in CLASSES}
    figures: dict[str, Any] = {"population": name, "runs": len(lines), **count}
    if lines:
        figures["approved_upper"] = upper_bound(count["APPROVED"], len(lines))
        figures["median_t"] = median(line.t or 0.0 for line in lines)
        figures["median_in_sample_t"] = median(line.in_sample_t for line in lines)
    return figures


def oracle_row(edge: float) -> dict[str, float]:
    """Return what the oracle earns at an edge: annual Sharpe after costs, and its t on the bars of GATE."""
    sharpes = oracle_sharpes(edge, ORACLE_MARKETS, PUBLISHED.bars)
    mean = float(np.mean(sharpes))
    t = mean * (PUBLISHED.blocks[2] / BARS_A_YEAR) ** 0.5
    return {"edge": edge, "markets": len(sharpes), "sharpe": mean, "deviation": float(np.std(sharpes, ddof=1)), "t": t}


def page(figures: Mapping[str, Any]) -> str:
    """Return the figures as a page of the docs."""
    train, select, gate = (f"{bars:,}" for bars in figures["blocks"])
    lines = [*_INTRODUCTION.format(train=train, select=select, gate=gate).splitlines(), ""]
    lines += ["| trained on | judged on | runs | APPROVED | REVIEW | DROP | median t on GATE | median t on TRAIN |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    lines += [_row(each) for each in figures["rows"]]
    noise = next(each for each in figures["rows"] if each["population"] == "noise")
    lines += ["", *_READING.format(upper=100 * noise["approved_upper"], **noise).splitlines(), ""]
    lines += ["| edge | oracle's annual net Sharpe | its t on GATE |", "|---|---|---|"]
    lines += [f"| {each['edge']:g} | {each['sharpe']:.2f} | {each['t']:.1f} |" for each in figures["oracle"]]
    markets = figures["oracle"][0]["markets"]
    lines += [
        "",
        *_HOW.format(markets=markets, settings=_settings(figures["settings"]), **_plain(figures)).splitlines(),
    ]
    return "\n".join([*lines, ""])


def _row(each: Mapping[str, Any]) -> str:
    trained, judged = _WORDS.get(each["population"], (each["population"], "later bars"))
    shares = " | ".join(f"{each[name]} ({each[name] / each['runs']:.0%})" for name in CLASSES)
    return (
        f"| {trained} | {judged} | {each['runs']} | {shares} | {each['median_t']:.1f} | "
        f"{each['median_in_sample_t']:.1f} |"
    )


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}` {value}" for name, value in settings.items())


def _plain(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in ("policy", "numpy", "torch", "cpu_seconds")}


_WORDS = {"noise": ("noise (edge 0)", "later bars"), "control": ("noise, the bars of GATE", "the same bars")}

_INTRODUCTION = """\
# Is it honest?

A trainer that learns can also learn noise by heart. Whether the two halves together, training and gate, know the
difference is a question for an experiment: the same network, budget, settings and seeds on markets without anything to
learn, on markets with an edge of known size, and, so that the experiment can fail, on noise that is judged on the bars
it was trained on. Each run has a market of its own: {train} bars to train on, {select} to choose a checkpoint on,
{gate} that are opened once."""

_READING = """\
Of {runs} models of noise the gate approved {APPROVED}; the 95 % interval of that share ends at {upper:.1f} %. The
control says that this is the gate's merit and not the trainer's: the same noise is learned by heart, and a gate that
looked at the bars of training would approve it. Small edges are sent away: that is the price, and what follows for
them is more bars, not a lower bar.

## What could have been earned

An oracle that knows the hidden state of these markets sets the scale. The edge is the share of the variance of a
bar's return that reverts to the mean; t grows with the root of the bars."""

_HOW = """\
## How it was made

`python scripts/honesty.py run --lines honesty.jsonl` trains and judges, a line a run, and goes on where it was stopped;
`python scripts/honesty.py render` makes this page from the lines. {cpu_seconds} seconds of processor time on one
thread, numpy {numpy}, torch {torch}, gate policy `{policy}`. Settings of every run: {settings};
the rest is the preset `laptop`. They were chosen on markets of seeds from 90,001 on, which the table does not use;
the oracle's thresholds were chosen on the market of seed 90,001 and measured on {markets} others. Edge 0 and `noise`
are the same generator, to the last bar. Figures: [honesty.json](honesty.json)."""
