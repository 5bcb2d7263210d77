"""What training a spec on Ray costs beside training it in a process of this machine.

    python scripts/ray_overhead.py                       # 3 specs, 3 rounds
    python scripts/ray_overhead.py --specs 6 --rounds 5

The same small specs are trained by both, one at a time, in turns, and must come to the same weights. Compared is what
passes between the end of one spec and the end of the next, less what the training itself took: starting the worker,
handing the job over and fetching the result. Each spec on Ray is paired with the same spec in a process; the median of
the differences is told. What Ray adds once for a whole zoo, starting an embedded cluster and ending it, is told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
    """Notes when each spec ended, and how long it trained."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.trained: list[float] = []

    def ended(self, result: SpecResult) -> None:
        """Note an end."""
        self.moments.append(time.perf_counter())
        self.trained.append(result.seconds)

    @property
    def around(self) -> list[float]:
        """Return the seconds between ends less those of the training; the first spec waits for the runner itself."""
        between = [after - before for before, after in pairwise(self.moments)]
        return [seconds - trained for seconds, trained in zip(between, self.trained[1:], strict=True)]


@dataclass(frozen=True, slots=True)
class Turn:
    """One zoo trained by one runner."""

    around: Sequence[float]
    trained: Sequence[float]
    seconds: float
    policies: Sequence[str]


def main() -> int:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", type=int, default=3, help="specs a round; the first is not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json-file", type=Path)
    arguments = parser.parse_args()
    specs = [ZooSpec(id=f"s{seed}", overrides=Overrides(seed=seed)) for seed in range(arguments.specs)]
    pairs: list[tuple[Turn, Turn]] = []
    for _ in range(arguments.rounds):
        process, ray = timed(specs, Processes(1)), timed(specs, RayCluster("local", num_cpus=1))
        if process.policies != ray.policies or not all(process.policies):
            raise SystemExit("Ray trained other weights than a process did")
        pairs.append((process, ray))
    facts = figures(pairs)
    print(line_of(facts))
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return 0


def figures(pairs: Sequence[tuple[Turn, Turn]]) -> dict:
    """Return medians in seconds: around a spec in both, what Ray adds to it with quartiles, and what it adds once."""
    added = [there - here for process, ray in pairs for here, there in zip(process.around, ray.around, strict=True)]
    once = [ray.seconds - process.seconds - sum(ray.trained) + sum(process.trained) for process, ray in pairs]
    low, overhead, high = statistics.quantiles(added, n=4)
    return {
        "specs_measured": len(added),
        "process_seconds": statistics.median(seconds for process, _ in pairs for seconds in process.around),
        "ray_seconds": statistics.median(seconds for _, ray in pairs for seconds in ray.around),
        "overhead_seconds": overhead,
        "overhead_quartiles": (low, high),
        "cluster_seconds": statistics.median(once) - overhead * len(pairs[0][0].trained),
    }


def line_of(facts: dict) -> str:
    """Return the figures as lines."""
    low, high = facts["overhead_quartiles"]
    around = (
        f"around a spec's training: {facts['process_seconds']:.1f} s in a process, {facts['ray_seconds']:.1f} s on Ray"
    )
    added = f"Ray adds {facts['overhead_seconds']:.1f} s a spec (quartiles {low:.1f}..{high:.1f})"
    return f"{around}; {added}, and {facts['cluster_seconds']:.1f} s to a zoo for an embedded cluster"


def timed(specs: Sequence[ZooSpec], runner: Runner) -> Turn:
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
        seconds = time.perf_counter() - began
    return Turn(watch.around, watch.trained, seconds, [result.policy_sha256 for result in results])


if __name__ == "__main__":
    raise SystemExit(main())
