"""Variants on past bars: each trades every symbol on a sleeve of its own, symbols side by side, memory bounded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.walk import Prices, Track, walk_tracks
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
from training.zoo.plays import Paired, Play, Series, series_of


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


def score(variant: Variant, stages: Sequence[Stage]) -> list[Play]:
    """Let one variant trade every stage; symbols of one length and one cost model go side by side."""
    policy, spec = policy_of(variant.checkpoint)
    plays: list[Play] = []
    for group in _alike(stages):
        tracks = [stage.track() for stage in group]
        walks = walk_tracks(policy, spec, tracks, costs=group[0].costs)
        plays += [Play.of(variant.name, stage.symbol, walk.ledger) for stage, walk in zip(group, walks, strict=True)]
    return plays


def score_all(variants: Sequence[Variant], stages: Sequence[Stage], *, at_once: int = 1) -> Paired:
    """Return every variant's series on the same bars.

    One variant's plays are held at a time and process, its series afterwards: memory grows with the bars, not with
    bars times symbols times variants.

    Args:
        variants: Who is scored.
        stages: On what.
        at_once: Processes; they share the pages of the features.
    """
    if at_once == 1:
        series = [_scored(variant, stages) for variant in variants]
    else:
        with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
            series = list(pool.map(_scored, variants, [stages] * len(variants)))
    return Paired({each.name: each for each in series}, (), tuple(stage.symbol for stage in stages))


def _scored(variant: Variant, stages: Sequence[Stage]) -> Series:
    return series_of(variant.name, score(variant, stages))


def policy_of(path: Path) -> tuple[DensePolicy, ModelSpec]:
    """Return the policy of a checkpoint as the engine runs it, and its contract row."""
    raw = read_checkpoint(path)
    detection = detect_version_from_checkpoint(raw.fields)
    layers = policy_layers(raw.tensors, detection.architecture)
    return DensePolicy(layers, detection.activation or "tanh", window=detection.spec.window), detection.spec


def _alike(stages: Sequence[Stage]) -> list[list[Stage]]:
    groups: dict[tuple[int, str], list[Stage]] = {}
    for stage in stages:
        groups.setdefault((len(stage.prices.t) - stage.first, stage.costs.id), []).append(stage)
    return list(groups.values())
