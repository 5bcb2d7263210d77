"""Bars and schemas that the feature tests share."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.data import load_bars
from trader_sdk.features import FeatureSchema, build_schema

EARLY_CLOSE = 1_637_949_600 * 10**9
COLUMNS = ("t", "open", "high", "low", "close", "volume")


@pytest.fixture(scope="session")
def schema_of() -> Callable[[Bars], FeatureSchema]:
    """Return the package's schema of some bars."""

    def build(bars: Bars, model_version: str = "2.7.0") -> FeatureSchema:
        return build_schema(
            model_version, bars.timeframe, calendar=bars.calendar, feed=bars.feed, adjustment=bars.adjustment
        )

    return build


@pytest.fixture(scope="session")
def daily() -> Bars:
    """Return real days with a split and a crash among them."""
    return load_bars("vendored", "AAPL", "1Day").slice(0, 1600)


@pytest.fixture(scope="session")
def minutes() -> Bars:
    """Return simulated minutes up to the early close of 2021-11-26."""
    bars = load_bars("planted:bars=90000", "SIM", "1Min")
    return bars.slice(0, int(np.searchsorted(bars.t, EARLY_CLOSE)))


@pytest.fixture(scope="session")
def befallen() -> Callable[..., Bars]:
    """Return a stretch of bars and what befell it."""
    return with_mishaps


def with_mishaps(
    bars: Bars,
    first: int,
    length: int,
    *,
    missing: float = 0.0,
    silent: float = 0.0,
    flat: int = 0,
    split: float = 1.0,
    seed: int = 0,
) -> Bars:
    """Return a stretch of bars and what befell it.

    Args:
        bars: Where it is taken from.
        first, length: Which stretch.
        missing: Share of bars that are not there; with any, a halt takes 15 more in a row.
        silent: Share of bars without volume.
        flat: Bars before the middle whose price does not move.
        split: Factor of every price from the middle on, as of a split that was not adjusted for.
        seed: Of the chance that picks them.
    """
    chance = np.random.default_rng(seed)
    stretch = bars.slice(first, first + length)
    columns = {name: getattr(stretch, name).copy() for name in COLUMNS}
    half = len(stretch) // 2
    for name in ("open", "high", "low", "close"):
        columns[name][half - flat : half] = stretch.close[half - flat]
        columns[name][half:] *= split
    columns["volume"][chance.random(len(stretch)) < silent] = 0.0
    there = chance.random(len(stretch)) >= missing
    if missing:
        halt = int(chance.integers(0, len(stretch)))
        there[halt : halt + 15] = False
    there[[0, -1]] = True
    return replace(stretch, **{name: values[there] for name, values in columns.items()})
