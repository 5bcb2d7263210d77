"""Variants on past bars: each trades every symbol on a sleeve of its own, symbols side by side, memory bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.walk import Prices, Track, walk_policies
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.checkpoint.policy import policy_layers
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.detect import detect_version_from_checkpoint
from trader_sdk.contract.spec import MODEL_SPECS, ModelSpec
from trader_sdk.data import complete_windows
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.features import Ohlcv53Provider, build_schema
from training.zoo.leaderboard import costs_of
from training.zoo.plays import Paired, Series, SeriesSums, Times
from training.zoo.series_notes import SeriesNotes

THREAD_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_UNITS_AT_ONCE: Final = 1_280
"""Units of the first layers that are joined: their spectrum takes 140 MB."""
_STAGES_AT_ONCE: Final = 24
"""Symbols at once: with so many units their sums take 65 MB, and as much again to work in."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A policy that is scored: its name, and the checkpoint that holds it."""

    name: str
    checkpoint: Path


@dataclass(frozen=True, slots=True)
class Stage:
    """One symbol's bars as they are traded; the features lie in a file that processes share.

    Attributes:
        symbol: What is traded.
        features: ``.npy`` with float32 (T, 53).
        prices: Of the same T bars.
        first: Row of the first bar that is scored; those before it only fill windows.
        costs: Of its asset class.
    """

    symbol: str
    features: Path
    prices: Prices
    first: int
    costs: CostModel

    @property
    def start_at(self) -> Times:
        """Return the starts of the bars that are scored, ns UTC."""
        return self.prices.t[self.first :]

    def track(self) -> Track:
        """Return the symbol as a track; its features are mapped, not read."""
        market: NDArray[np.float32] = np.load(self.features, mmap_mode="r")
        return Track(market, self.prices, range(self.first, len(market)))


def stage_of(
    bars: Bars, folder: Path, *, model_version: str, since_ns: int = 0, costs: CostModel | None = None
) -> Stage:
    """Compute a symbol's features once, into a file.

    Args:
        bars: The symbol's bars.
        folder: Where the file goes.
        model_version: Contract row of the variants; all of them see the same market columns.
        since_ns: Start of the first bar that is scored, ns UTC.
        costs: Instead of the asset class's own.
    """
    spec = MODEL_SPECS[model_version]
    schema = build_schema(
        spec.version, bars.timeframe, calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment
    )
    features = np.ascontiguousarray(Ohlcv53Provider(schema).history(bars))
    warm_up = len(bars) - len(features)
    path = folder / f"{bars.digest.removeprefix('sha256:')[:16]}.npy"
    np.save(path, features)
    prices = Prices.of(bars, warm_up, complete_windows(bars))
    first = max(spec.window - 1, int(np.searchsorted(prices.t, since_ns)))
    return Stage(bars.symbol, path, prices, first, costs or costs_of(bars.symbol))


def score_all(variants: Sequence[Variant], stages: Sequence[Stage], *, at_once: int = 1) -> Paired:
    """Return every variant's series on the same bars.

    Variants of one shape trade all symbols at once, some variants at a time. Memory: what they need for a few hundred
    bars, and their series; it grows with bars times variants, not with symbols.

    Args:
        variants: Who is scored, each by a name of its own.
        stages: On what.
        at_once: Processes; they share the pages of the features.
    """
    groups = _groups(variants, at_once)
    if at_once == 1:
        found = [scored(group, stages) for group in groups]
    else:
        with one_thread_each(), ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(scored, groups, [stages] * len(groups)))
    by_name = {series.name: series for some in found for series in some}
    symbols = tuple(stage.symbol for stage in stages)
    return Paired({each.name: by_name[each.name] for each in variants}, (), symbols)


def scored(variants: Sequence[Variant], stages: Sequence[Stage]) -> list[Series]:
    """Let variants of one shape trade every stage, and return a series each."""
    loaded = [policy_of(variant.checkpoint) for variant in variants]
    policies, spec = [policy for policy, _ in loaded], loaded[0][1]
    grid = reduce(np.union1d, (stage.start_at for stage in stages))
    sums = SeriesSums(grid, len(variants))
    for group in _side_by_side(stages):
        tracks = [stage.track() for stage in group]
        walk_policies(policies, spec, tracks, SeriesNotes(sums, tracks, len(policies)), costs=group[0].costs)
    return sums.series([variant.name for variant in variants])


def _side_by_side(stages: Sequence[Stage]) -> Iterator[Sequence[Stage]]:
    """Yield stages of one cost model, the longest first, as many as are traded at once."""
    by_costs: dict[CostModel, list[Stage]] = {}
    for stage in sorted(stages, key=lambda stage: -len(stage.start_at)):
        by_costs.setdefault(stage.costs, []).append(stage)
    for group in by_costs.values():
        for first in range(0, len(group), _STAGES_AT_ONCE):
            yield group[first : first + _STAGES_AT_ONCE]


def _groups(variants: Sequence[Variant], at_once: int) -> list[Sequence[Variant]]:
    """Return variants of one shape together: few enough for the memory, and equally many for each process."""
    by_shape: dict[Shape, list[Variant]] = {}
    for variant in variants:
        by_shape.setdefault(shape_of(variant.checkpoint), []).append(variant)
    groups: list[Sequence[Variant]] = []
    for shape, alike in by_shape.items():
        rounds = -(-len(alike) * shape.first_units // (_UNITS_AT_ONCE * at_once))
        size = -(-len(alike) // min(len(alike), rounds * at_once))
        groups += [alike[first : first + size] for first in range(0, len(alike), size)]
    return groups


class Shape(NamedTuple):
    """What policies must have in common to be walked at once."""

    version: str
    widths: tuple[int, ...]
    activation: str

    @property
    def first_units(self) -> int:
        """Return the width of the first layer."""
        return self.widths[0]


def shape_of(path: Path) -> Shape:
    """Return the shape of a checkpoint's policy."""
    policy, spec = policy_of(path)
    return Shape(spec.version, tuple(len(bias) for _, bias in policy.layers), policy.activation)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that are started here take one thread for their products: together they fill the machine."""
    before = {name: os.environ.get(name) for name in THREAD_LIMITS}
    os.environ.update({name: "1" for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name in (name for name, value in before.items() if value is None):
            del os.environ[name]


def policy_of(path: Path) -> tuple[DensePolicy, ModelSpec]:
    """Return the policy of a checkpoint as the engine runs it, and its contract row."""
    raw = read_checkpoint(path)
    detection = detect_version_from_checkpoint(raw.fields)
    layers = policy_layers(raw.tensors, detection.architecture)
    return DensePolicy(layers, detection.activation or "tanh", window=detection.spec.window), detection.spec
