"""A zoo scored over history: variants on many symbols, each pair with a sleeve of its own. One thread.

Values are microseconds a decision, fills, costs, sleeves and the series of the leaderboard included. The peers walk the
same policies on the same bars, one lane at a time as a backtest of one symbol does, or only decide, on whole
observations. `scripts/zoo_scale.py` scores a zoo of any size on any number of processes.
"""

from __future__ import annotations

import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from rows import OURS, Row, compare, growth, interleaved, limit, main, now, seconds, wanted

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from zoo_scale import stages_in, variants_in

from trader_sdk.archive.walk import walk_tracks
from trader_sdk.engine.ties import dense_logits
from training.zoo.history import Stage, Variant, policy_of, scored

ZOO = "a zoo scored over history, a decision"
WIDE = "a zoo of nets 512-256 scored over history, a decision"
BARS, VARIANTS, SYMBOLS = "a zoo scored, bars", "a zoo scored, variants", "a zoo scored, symbols"
MEMORY = "memory of scoring a zoo beside its series"
MEMORY_LIMIT_MB = 400
LANE, DENSE = "one lane at a time", "whole observations one by one"
LAPTOP, REFERENCE = (128, 64), (512, 256)
SAMPLE = 40


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows of the zoo."""
    rounds, variants, symbols, bars = (3, 2, 4, 600) if quick else (5, 10, 20, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        stages = stages_in(Path(folder), symbols, 5 * bars)
        some = [_of(stage, bars) for stage in stages]
        for row, hidden, amount in ((ZOO, LAPTOP, variants), (WIDE, REFERENCE, max(1, variants // 4))):
            if wanted(row):
                zoo = variants_in(Path(folder), amount, hidden)
                peers = {LANE: _alone(zoo, some), DENSE: _densely(zoo, some)}
                taken = interleaved({OURS: _together(zoo, some), **peers}, rounds)
                note = f"{amount} variants x {symbols} symbols x {bars} bars"
                yield from compare(row, taken, dict.fromkeys(peers), unit="us", note=note)
        zoo = variants_in(Path(folder), variants, LAPTOP)
        yield from _growths(zoo, stages, bars)


def _growths(zoo: Sequence[Variant], stages: Sequence[Stage], bars: int) -> Iterator[Row]:
    some = [_of(stage, bars) for stage in stages]
    grown = {
        BARS: {n: (zoo, [_of(stage, n) for stage in stages]) for n in (bars, 5 * bars)},
        VARIANTS: {n: (zoo[:n], some) for n in (max(1, len(zoo) // 5), len(zoo))},
        SYMBOLS: {n: (zoo, some[:n]) for n in (max(1, len(some) // 5), len(some))},
    }
    for row, sizes in grown.items():
        if wanted(row):
            yield from growth(row, interleaved({n: _whole(*size) for n, size in sizes.items()}, 3), unit="ms")
    if wanted(MEMORY):
        for n, (variants, longer) in grown[BARS].items():
            used = _peak(variants, longer)
            yield limit(f"{MEMORY}: {n} bars", f"limit of {MEMORY_LIMIT_MB} MB", MEMORY_LIMIT_MB, used, "MB")


def _of(stage: Stage, bars: int) -> Stage:
    return replace(stage, first=len(stage.prices.t) - bars)


def _whole(zoo: Sequence[Variant], stages: Sequence[Stage]) -> Callable[[], float]:
    return lambda: seconds(lambda: scored(zoo, stages))


def _together(zoo: Sequence[Variant], stages: Sequence[Stage]) -> Callable[[], float]:
    decisions = len(zoo) * sum(len(stage.start_at) for stage in stages)
    return lambda: seconds(lambda: scored(zoo, stages)) / decisions


def _alone(zoo: Sequence[Variant], stages: Sequence[Stage]) -> Callable[[], float]:
    loaded, places = [policy_of(variant.checkpoint) for variant in zoo], count()

    def measured() -> float:
        place = next(places)
        (policy, spec), stage = loaded[place % len(loaded)], stages[place % len(stages)]
        track = stage.track()
        return seconds(lambda: walk_tracks(policy, spec, [track], costs=stage.costs)) / len(track.window)

    return measured


def _densely(zoo: Sequence[Variant], stages: Sequence[Stage]) -> Callable[[], float]:
    import numpy as np

    (policy, spec), market, places = policy_of(zoo[0].checkpoint), stages[0].track().market, count()
    account = np.zeros((1, spec.n_account), dtype=np.float32)

    def measured() -> float:
        started = now()
        for _ in range(SAMPLE):
            first = next(places) % (len(market) - spec.window)
            dense_logits(policy, market[first : first + spec.window][None], account).argmax()
        return (now() - started) / SAMPLE

    return measured


def _peak(zoo: Sequence[Variant], stages: Sequence[Stage]) -> float:
    tracemalloc.start()
    series = scored(zoo, stages)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays = ("gross", "cost", "excess", "turnover", "exposed")
    return (peak - sum(getattr(each, name).nbytes for each in series for name in arrays)) / 1e6


if __name__ == "__main__":
    raise SystemExit(main(measure))
