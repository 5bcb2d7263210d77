"""What training a spec on Ray costs beside training it in a process of this machine.

    python scripts/ray_overhead.py                       # 3 specs, 3 rounds
    python scripts/ray_overhead.py --specs 6 --rounds 5

The same small specs are trained by both, one at a time, in turns, and must come to the same weights. What Ray adds once
for a whole zoo, starting an embedded cluster and ending it, is told apart from what it adds to each spec.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from training.config import preset
from training.zoo import SpecResult, ZooSpec, train_all_active
from training.zoo.knobs import Overrides
from training.zoo.processes import Processes, Runner
from training.zoo.ray_cluster import RayCluster
from training.zoo.training import Nobody, ZooSettings

SMALL = {"num_envs": 8, "num_steps": 32, "hidden_dims": (6,), "total_steps": 512, "episode_bars": 64}


class Stopwatch(Nobody):
    """Notes when each spec ended."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def ended(self, result: SpecResult) -> None:
        """Note an end."""
        self.moments.append(time.perf_counter())
        super().ended(result)

    @property
    def later(self) -> list[float]:
        """Return the seconds between ends: the first spec, which waits for the runner itself, is left out."""
        return [after - before for before, after in pairwise(self.moments)]


def main() -> int:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", type=int, default=3, help="specs a round; the first is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json-file", type=Path)
    arguments = parser.parse_args()
    specs = [ZooSpec(id=f"s{seed}", overrides=Overrides(seed=seed)) for seed in range(arguments.specs)]
    each: dict[str, list[float]] = {"process": [], "ray": []}
    whole: dict[str, list[float]] = {"process": [], "ray": []}
    for _ in range(arguments.rounds):
        policies = []
        for name, runner in (("process", Processes(1)), ("ray", RayCluster("local", num_cpus=1))):
            watch, seconds, results = timed(specs, runner)
            each[name] += watch.later
            whole[name].append(seconds)
            policies.append([result.policy_sha256 for result in results])
        if policies[0] != policies[1] or not all(policies[0]):
            raise SystemExit("Ray trained other weights than a process did")
    facts = figures(each, whole)
    low, high = facts["ray_quartiles"]
    on_ray = f"on Ray {facts['ray_seconds']:.1f} s (quartiles {low:.1f}..{high:.1f})"
    print(f"a spec in a process {facts['process_seconds']:.1f} s, {on_ray}: {facts['overhead_seconds']:+.1f} s a spec")
    print(f"the embedded cluster adds {facts['cluster_seconds']:.1f} s to a zoo")
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return 0


def figures(each: dict[str, list[float]], whole: dict[str, list[float]]) -> dict:
    """Return medians: of a spec in both, of what Ray adds to it, and of what it adds once."""
    process, ray = (statistics.median(each[name]) for name in ("process", "ray"))
    once = statistics.median(whole["ray"]) - statistics.median(whole["process"])
    low, _, high = statistics.quantiles(each["ray"], n=4)
    return {
        "specs_measured": len(each["ray"]),
        "process_seconds": process,
        "ray_seconds": ray,
        "ray_quartiles": (low, high),
        "overhead_seconds": ray - process,
        "cluster_seconds": once - (ray - process) * len(each["ray"]) / len(whole["ray"]),
    }


def timed(specs: Sequence[ZooSpec], runner: Runner) -> tuple[Stopwatch, float, list[SpecResult]]:
    """Train specs into an empty folder."""
    with tempfile.TemporaryDirectory(prefix="ray-overhead-") as folder:
        settings = ZooSettings(
            source="planted:bars=3500",
            symbol="SIM",
            timeframe="1Min",
            archive=str(Path(folder) / "archive"),
            out=Path(folder) / "zoo",
            base=preset("laptop", **SMALL),
        )
        watch, began = Stopwatch(), time.perf_counter()
        results = train_all_active(specs, settings, runner=runner, watcher=watch, beside=False)
        return watch, time.perf_counter() - began, results


if __name__ == "__main__":
    raise SystemExit(main())
