"""How much of what can be earned does the trainer's policy earn? Its net return beside the oracle's on the same bars.

    nice python scripts/oracle_share.py --to docs/reference/oracle-share

Each seed is a simulated market of its own with the whole edge (generator `planted`, edge 1). The policy sees bars only
and is chosen on SELECT; the oracle knows the market's hidden state. Both trade the seven windows of GATE, which nobody
trained on, start flat, pay the same costs and close at each window's end.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from honesty_oracle import Oracle, Seen, tuned
from honesty_runs import SETTINGS, Scale, opening, prepared

from trader_sdk.archive.blocks import equal_windows
from trader_sdk.contract.costs import cost_model
from trader_sdk.data.simulators import PlantedMarket
from training.config import preset
from training.setup import PreparedRun

PUBLISHED = Scale((50_000, 4_000, 8_000), 62_700, 262_144)
SEEDS = 8


@dataclass(frozen=True)
class Share:
    """One market: net returns on GATE as fractions, and what part of the oracle's the policy's is."""

    seed: int
    policy: float
    oracle: float
    share: float
    t: float
    cpu_seconds: float


def main() -> int:
    """Measure every seed, print the page, and write it and its figures where that is asked for."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--to", type=Path, help="write the figures to this name with .json, and their page with .md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shares = []
    for seed in range(1, arguments.seeds + 1):
        shares.append(measured(seed, PUBLISHED))
        print(line(shares[-1]), flush=True)
    figures = {"blocks": PUBLISHED.blocks, "total_steps": PUBLISHED.total_steps, "rows": [asdict(s) for s in shares]}
    if arguments.to is not None:
        arguments.to.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        arguments.to.with_suffix(".md").write_text(page(figures), "utf-8")
    return 0


def measured(seed: int, scale: Scale) -> Share:
    """Train a policy on one market and compare it with the oracle there."""
    began = time.process_time()
    settings = {**SETTINGS, "total_steps": scale.total_steps, "blocks": scale.blocks, "seed": seed}
    run = prepared(1.0, seed, scale)
    with tempfile.TemporaryDirectory() as folder:
        opened = opening(run, preset("laptop", **settings), Path(folder))
    metrics = (opened.best or opened.final).metrics
    oracle = oracle_net(run, tuned(1.0, scale.bars), PlantedMarket(seed=seed, n_bars=scale.bars))
    share = metrics.net_return / oracle
    return Share(seed, metrics.net_return, oracle, share, metrics.t, round(time.process_time() - began, 1))


def oracle_net(run: PreparedRun, oracle: Oracle, market: PlantedMarket) -> float:
    """Return what the oracle earns on the windows of GATE, compounded, a fraction."""
    seen, side = Seen.of(market), float(cost_model("us_equity@1").side_fraction)
    equity = 1.0
    for window in equal_windows(run.blocks.gate):
        # Seen ends two bars before its market: the last decision is filled and earns until the open after it.
        first, stop = (run.market.warm_up + row for row in (window.start, window.stop - 1))
        part = slice(first, min(stop, len(seen.gained)))
        weight = oracle.weights(seen.forecast[part], seen.largest[part])
        turnover = np.abs(np.diff(weight, prepend=0.0, append=0.0))
        net = weight * seen.gained[part] - side * turnover[:-1]
        equity *= float(np.prod(1.0 + net)) * (1.0 - side * float(turnover[-1]))
    return equity - 1.0


def line(share: Share) -> str:
    """Return one market as text."""
    return (
        f"seed {share.seed}: policy {share.policy:+.2%}, oracle {share.oracle:+.2%}, "
        f"share {share.share:.0%}, t {share.t:.1f}, {share.cpu_seconds:.0f} s of CPU"
    )


def page(figures: dict[str, Any]) -> str:
    """Return the figures as a page of the docs."""
    rows: Sequence[dict[str, Any]] = figures["rows"]
    shares = [row["share"] for row in rows]
    train, select, gate = figures["blocks"]
    table = [
        f"| {row['seed']} | {row['policy']:+.2%} | {row['oracle']:+.2%} | {row['share']:.0%} | {row['t']:.1f} |"
        for row in rows
    ]
    text = f"""\
# How much of the edge is found?

Made by `python scripts/oracle_share.py --to docs/reference/oracle-share`
([figures](oracle-share.json)).

{len(rows)} simulated markets with the whole edge (generator `planted`), {train:,} bars to train on, {select:,} to
choose on and {gate:,} to judge on; {figures["total_steps"]:,} environment steps, the network and settings of
[the honesty table](honesty.md). The oracle knows how far the price is from where it reverts to, and the volatility of
the bar; it was tuned on a market of its own. The policy sees bars. Both trade the same seven windows of GATE, start
each flat, pay the same costs and hold at most a fifth of equity: a return here is that of a fifth of the money.

**The policy earns {median(shares):.0%} of the oracle's net return in the median market**, {min(shares):.0%} in the
worst and {max(shares):.0%} in the best.

| market (seed) | policy, net | oracle, net | share | t of the policy |
| --- | --- | --- | --- | --- |
"""
    return text + "\n".join(table) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
