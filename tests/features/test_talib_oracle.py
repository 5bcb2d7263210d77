"""The classic indicators against TA-Lib, after its own recursive forms have forgotten their start."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import talib

from trader_sdk.contract.bars import Bars
from trader_sdk.data import load_bars
from trader_sdk.features import MARKET_COLUMNS, MEMORY, build_schema, market_features

NAMES = [column.name for column in MARKET_COLUMNS]
WARM = 300
SOURCES = [("vendored", "MSFT", "1Day"), ("planted:bars=6000", "SIM", "1Min")]


def macd_over_range(b: Bars, signal: int) -> np.ndarray:
    """Return TA-Lib's MACD line (0) or histogram (2) in average true ranges."""
    return talib.MACD(b.close, 12, 26, 9)[signal] / talib.ATR(b.high, b.low, b.close, 14)


def directional(b: Bars) -> np.ndarray:
    """Return the balance of TA-Lib's directional indicators."""
    plus, minus = (f(b.high, b.low, b.close, 14) for f in (talib.PLUS_DI, talib.MINUS_DI))
    return (plus - minus) / (plus + minus)


def range_ratio(b: Bars) -> np.ndarray:
    """Return Wilder's average true range against the plain mean of 100."""
    true_range = talib.TRANGE(b.high, b.low, b.close)
    true_range[0] = true_range[1]
    return np.log(talib.ATR(b.high, b.low, b.close, 14) / talib.SMA(true_range, 100))


def z_score(b: Bars, n: int) -> np.ndarray:
    """Return the log price in TA-Lib's Bollinger bands."""
    price = np.log(b.close)
    return np.clip((price - talib.SMA(price, n)) / talib.STDDEV(price - price.mean(), n), -5, 5)


ORACLES: dict[str, tuple[Callable[[Bars], np.ndarray], float]] = {
    "rsi_14": (lambda b: talib.RSI(b.close, 14) / 50 - 1, 2e-4),
    "true_range_ratio": (range_ratio, 2e-4),
    "macd": (lambda b: macd_over_range(b, 0), 2e-4),
    "macd_histogram": (lambda b: macd_over_range(b, 2), 2e-4),
    "adx_14": (lambda b: talib.ADX(b.high, b.low, b.close, 14) / 100, 2e-4),
    "directional_balance_14": (directional, 3e-4),
    "stochastic_14": (lambda b: talib.STOCHF(b.high, b.low, b.close, 14, 1, 0)[0] / 50 - 1, 1e-5),
    "commodity_channel_20": (lambda b: np.clip(talib.CCI(b.high, b.low, b.close, 20) / 100, -4, 4), 1e-4),
    "money_flow_14": (lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14) / 50 - 1, 1e-5),
    "aroon_25": (lambda b: talib.AROONOSC(b.high, b.low, 25) / 100, 1e-6),
    "z_score_20": (lambda b: z_score(b, 20), 1e-3),
    "z_score_50": (lambda b: z_score(b, 50), 1e-3),
    "return_20": (
        lambda b: (
            np.log(talib.ROCR(b.close, 20))
            / np.sqrt(20 * talib.SMA(np.square(np.diff(np.log(b.close), prepend=np.log(b.close[0]))), 50))
        ),
        1e-4,
    ),
}


def without_ties(b: Bars) -> Bars:
    """Return the bars with every price moved a little: in whole cents, rounding decides ties in TA-Lib."""
    chance = np.random.default_rng(3)
    nudge = 1 + 1e-5 * chance.random((4, len(b)))
    open_, close = b.open * nudge[0], b.close * nudge[1]
    high, low = b.high * (1 + 1e-5) * nudge[2], b.low * (1 - 1e-5) / nudge[3]
    return replace(b, open=open_, high=high, low=low, close=close)


@cache
def bars_and_rows(source: str, symbol: str, timeframe: str) -> tuple[Bars, np.ndarray]:
    """Return bars and their market columns."""
    bars = without_ties(load_bars(source, symbol, timeframe))
    schema = build_schema("2.3.0", timeframe, calendar="XNYS", feed=bars.feed, adjustment=bars.adjustment)
    return bars, market_features(bars, schema)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source[2])
@pytest.mark.parametrize("name", list(ORACLES))
def test_classic_indicators_agree_with_talib(name: str, source: tuple[str, str, str]) -> None:
    """Truncated averages differ from TA-Lib's endless ones by less than the stated tolerance."""
    bars, rows = bars_and_rows(*source)
    oracle, tolerance = ORACLES[name]
    expected = oracle(bars)[MEMORY + WARM :]
    found = rows[WARM:, NAMES.index(name)]
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, atol=tolerance)
