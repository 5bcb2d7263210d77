"""Bars and schemas that the feature tests share."""

from collections.abc import Callable

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars
from trader_sdk.data import load_bars
from trader_sdk.features import FeatureSchema, build_schema

EARLY_CLOSE = 1_637_949_600 * 10**9


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
