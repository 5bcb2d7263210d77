"""Small markets with features of no meaning, for tests that are about money and tensors."""

from collections.abc import Callable, Collection

import numpy as np
import pytest

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.spec import MODEL_SPECS
from trader_sdk.contract.timeframe import Timeframe
from training.env import TradingEnvs
from training.market import Market

MINUTE_NS = 60 * 10**9


def bars_of(close: np.ndarray, open_: np.ndarray | None = None, missing: Collection[int] = ()) -> Bars:
    """Return simulated minute bars with these closes but for the ``missing``; opens are the closes before."""
    if open_ is None:
        open_ = np.concatenate([close[:1], close[:-1]])
    there = np.setdiff1d(np.arange(len(close), dtype=np.int64), list(missing))
    close, open_ = close[there], open_[there]
    return Bars(
        symbol="SIM",
        timeframe=Timeframe.MIN_1,
        t=there * MINUTE_NS,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        volume=np.ones(len(close)),
        kind=DataKind.SIMULATED,
        feed="simulated",
        adjustment="raw",
        calendar="24/7",
    )


def random_prices(length: int = 800, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return closes of a random walk with one percent a bar, and opens that differ from the closes before."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, length)))
    return close, close * np.exp(rng.normal(0, 0.005, length))


MarketMaker = Callable[..., Market]


@pytest.fixture(scope="session")
def make_market() -> MarketMaker:
    """Return a maker of markets with random features: from closes and opens, or a random walk without."""

    def make(
        close: np.ndarray | None = None,
        open_: np.ndarray | None = None,
        seed: int = 0,
        missing: Collection[int] = (),
    ) -> Market:
        if close is None:
            close, open_ = random_prices(seed=seed)
        bars = bars_of(close, open_, missing)
        features = np.random.default_rng(seed).normal(size=(len(bars), 53)).astype(np.float32)
        return Market(bars, features, warm_up=0)

    return make


EnvMaker = Callable[..., TradingEnvs]


@pytest.fixture(scope="session")
def make_envs(make_market: MarketMaker) -> EnvMaker:
    """Return a maker of eight environments on two bars, 2.7.0, with any setting replaced."""

    def make(market: Market | None = None, **changes: object) -> TradingEnvs:
        settings: dict[str, object] = {
            "num_envs": 8,
            "envs_per_bar": 4,
            "episode_bars": 64,
            "costs": cost_model("us_equity@1"),
            "rng": np.random.default_rng(5),
            "block": range(99, 700),
            "spec": MODEL_SPECS["2.7.0"],
            **changes,
        }
        return TradingEnvs(market or make_market(), **settings)

    return make
