"""How long a zoo of any size takes to be scored over history, and in how much memory.

    python scripts/zoo_scale.py                                        # 4 variants x 4 symbols x 5,000 bars
    python scripts/zoo_scale.py --variants 50 --symbols 20 --bars 100000 --jobs 2 --hidden 128,64

Untrained policies trade simulated minutes with account columns, fills and costs, bar after bar as a backtest does.
`scripts/bench/zoo.py` measures the same side by side with walking one lane at a time.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from trader_sdk.data import load_bars
from training.sample import write_sample
from training.zoo.history import Stage, Variant, score_all, stage_of
from training.zoo.leaderboard import ranked


def main() -> int:
    """Score, rank, print a line and a JSON file where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=4)
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--bars", type=int, default=5_000, help="bars that are traded, of each symbol")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--hidden", default="128,64", help="widths of the policies' trunk")
    parser.add_argument("--json-file", type=Path)
    arguments = parser.parse_args()
    hidden = tuple(int(width) for width in arguments.hidden.split(","))
    with tempfile.TemporaryDirectory(prefix="zoo-scale-") as folder:
        facts = measure(arguments.variants, arguments.symbols, arguments.bars, arguments.jobs, hidden, Path(folder))
    print(line_of(facts))
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return 0


def line_of(facts: dict) -> str:
    """Return the figures as a line."""
    net = ",".join(map(str, facts["hidden"]))
    size = f"{facts['variants']} variants x {facts['symbols']} symbols x {facts['bars']:,} bars, net {net}"
    spent = f"scored {facts['score_seconds']:.1f} s ({facts['score_processor_seconds']:.1f} s of processor time)"
    times = f"features {facts['feature_seconds']:.1f} s, {spent}, ranked in {facts['rank_seconds']:.1f} s"
    rate = f"{facts['decisions_per_second']:,.0f} decisions/s; most memory of a process {facts['peak_mb']:.0f} MB"
    return f"{size}, {facts['jobs']} at once: {times}; {rate}"


def measure(variants: int, symbols: int, bars: int, jobs: int, hidden: tuple[int, ...], folder: Path) -> dict:
    """Return the figures of one size."""
    began = time.perf_counter()
    stages, zoo = stages_in(folder, symbols, bars), variants_in(folder, variants, hidden)
    prepared, spent = time.perf_counter(), processor_seconds()
    pairs = score_all(zoo, stages, at_once=jobs)
    scored, spent = time.perf_counter(), processor_seconds() - spent
    ranked(pairs, baseline="v00", n_trials=variants, bars_per_year=98_280)
    done = time.perf_counter()
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "variants": variants,
        "symbols": symbols,
        "bars": bars,
        "jobs": jobs,
        "hidden": hidden,
        "feature_seconds": prepared - began,
        "score_seconds": scored - prepared,
        "score_processor_seconds": spent,
        "rank_seconds": done - scored,
        "decisions_per_second": variants * symbols * bars / (scored - prepared),
        "peak_mb": max(own, children) / 1024,
    }


def processor_seconds() -> float:
    """Return what this process and its ended children have spent."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def variants_in(folder: Path, count: int, hidden: tuple[int, ...]) -> list[Variant]:
    """Write untrained checkpoints, each of its own seed."""
    zoo = [Variant(f"v{seed:02d}", folder / f"v{seed:02d}.pt") for seed in range(count)]
    for seed, variant in enumerate(zoo):
        write_sample(variant.checkpoint, hidden_dims=hidden, seed=seed)
    return zoo


def stages_in(folder: Path, symbols: int, bars: int) -> list[Stage]:
    """Simulate markets of which the last ``bars`` are traded.

    Four are made and each stands for several symbols: features cost what they cost, trading is not less.
    """
    made = [
        stage_of(load_bars(f"planted:seed={seed},bars={bars + 600}", "SIM", "1Min"), folder, model_version="2.7.0")
        for seed in range(min(symbols, 4))
    ]
    return [
        replace(made[place % len(made)], symbol=f"SIM{place:02d}", first=len(made[0].prices.t) - bars)
        for place in range(symbols)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
