"""Does sharing bars cost learning? The same budget with 1, 4, 8 and all 64 environments on each bar, side by side.

    nice python scripts/shared_bars.py --to docs/reference/shared-bars

Each seed is a simulated market with the whole edge and a run of its own; the curve is the net return of the argmax
policy on SELECT, which nobody trained on, at every validation. Nothing else differs between the columns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Final

from honesty_runs import Scale, prepared

from training.config import preset
from training.resume import StateKeeper
from training.run_log import MetricsLog, Silent
from training.setup import trainer_of

SCALE: Final = Scale((50_000, 4_000, 4_000), 58_700, 262_144)
SHARED: Final = (1, 4, 8, 64)
SEEDS: Final = 5
HIDDEN: Final = (128, 64)
LATE: Final = 3
"""Validations at the end whose mean is a run's result."""


def main() -> int:
    """Train every run, print the page, and write it and its figures where that is asked for."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, default=SCALE.total_steps, help="environment steps of a run")
    parser.add_argument("--to", type=Path, help="write the figures to this name with .json, and their page with .md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(1, arguments.seeds + 1):
        for envs_per_bar in SHARED:
            rows.append(curve(seed, envs_per_bar, arguments.steps))
            row = rows[-1]
            print(
                f"seed {seed}, {envs_per_bar:2} a bar: late {late(row):+.2%}, {row['cpu_seconds']} s of CPU", flush=True
            )
    figures = {"blocks": SCALE.blocks, "total_steps": arguments.steps, "hidden_dims": HIDDEN, "rows": rows}
    print(page(figures))
    if arguments.to is not None:
        arguments.to.with_suffix(".json").write_text(json.dumps(figures) + "\n", "utf-8")
        arguments.to.with_suffix(".md").write_text(page(figures), "utf-8")
    return 0


def curve(seed: int, envs_per_bar: int, total_steps: int) -> dict[str, Any]:
    """Train one policy; return its net return on SELECT at each validation."""
    began = time.process_time()
    config = preset(
        "laptop",
        hidden_dims=HIDDEN,
        learning_rate=1e-3,
        total_steps=total_steps,
        blocks=SCALE.blocks,
        envs_per_bar=envs_per_bar,
        seed=seed,
        validation_interval=4,
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        (out / "ckpt").mkdir()
        with MetricsLog(out) as log:
            trainer = trainer_of(prepared(1.0, seed, SCALE), config, out, StateKeeper(out), log, Silent())
            trainer.run()
    returns = [round(each.metrics.net_return, 5) for each in trainer.validations]
    spent = round(time.process_time() - began, 1)
    return {"seed": seed, "envs_per_bar": envs_per_bar, "net_returns": returns, "cpu_seconds": spent}


def late(row: dict[str, Any]) -> float:
    """Return the mean net return of a run's last validations."""
    return fmean(row["net_returns"][-LATE:])


def ends(figures: dict[str, Any]) -> dict[int, list[float]]:
    """Return where the runs of each sharing ended, one number a seed."""
    return {shared: [late(row) for row in figures["rows"] if row["envs_per_bar"] == shared] for shared in SHARED}


def page(figures: dict[str, Any]) -> str:
    """Return the figures as a page of the docs."""
    by_share = {shared: [row for row in figures["rows"] if row["envs_per_bar"] == shared] for shared in SHARED}
    seeds = len(by_share[SHARED[0]])
    interval = figures["total_steps"] // len(figures["rows"][0]["net_returns"])
    lines = [f"| steps | {' | '.join(f'{shared} a bar' for shared in SHARED)} |", f"|{' --- |' * (len(SHARED) + 1)}"]
    for index in range(len(figures["rows"][0]["net_returns"])):
        means = [fmean(row["net_returns"][index] for row in rows) for rows in by_share.values()]
        lines.append(f"| {(index + 1) * interval:,} | {' | '.join(f'{mean:+.2%}' for mean in means)} |")
    lines.append(f"| last {LATE}, +- deviation | {' | '.join(_spread(each) for each in ends(figures).values())} |")
    lines.append(f"| processor time of a run | {' | '.join(_seconds(rows) for rows in by_share.values())} |")
    four, eight, all_of_them = (_of_unshared(figures, shared) for shared in SHARED[1:])
    text = f"""\
# Does sharing bars cost learning?

Made by `python scripts/shared_bars.py --to docs/reference/shared-bars` ([figures](shared-bars.json)).

Environments that stand on the same bar share the market part of the first layer, nearly all of the work. The same 64
environments, budget, network {tuple(figures["hidden_dims"])}, minibatches and seeds with 1, 4, 8 and all 64 of them on
each bar: the mean over {seeds} simulated markets with the whole edge of the net return on SELECT, which nobody trained
on.

**Four a bar end at {four} of what one a bar ends at, eight at {eight}, all 64 at {all_of_them}.** The
preset `laptop` puts four on a bar, the larger ones eight.

"""
    return text + "\n".join(lines) + "\n"


def _of_unshared(figures: dict[str, Any], shared: int) -> str:
    by_share = ends(figures)
    return f"{fmean(by_share[shared]) / fmean(by_share[1]):.0%}"


def _spread(values: list[float]) -> str:
    return f"{fmean(values):+.2%}" + (f" +- {stdev(values):.2%}" if len(values) > 1 else "")


def _seconds(rows: list[dict[str, Any]]) -> str:
    return f"{median(row['cpu_seconds'] for row in rows):.0f} s"


if __name__ == "__main__":
    raise SystemExit(main())
