"""Formulas that several columns share. All are scale-free: prices or volumes times a constant change nothing."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.features.arithmetic import Value
from trader_sdk.features.lookback import Lookback
from trader_sdk.features.regimes import momentum, volatility

Floats = NDArray[np.float64]

_TINY: Final = 1e-300
_PRICE_FLOOR: Final = 1e-9
"""Smallest denominator in price units, as a share of the close: constant prices give 0, not 0/0."""
_LOG_FLOOR: Final = 1e-9
WILDER_MEMORY: Final = 140
EMA_MEMORY: Final = 200


def exponential_weights(alpha: float, length: int) -> Floats:
    """Return ``alpha * (1 - alpha)**k`` for k = 0..length - 1, scaled to sum to 1: a truncated exponential average."""
    weights = alpha * (1.0 - alpha) ** np.arange(length, dtype=np.float64)
    scaled: Floats = weights / weights.sum()
    return scaled


def _macd_weights() -> Floats:
    return exponential_weights(2.0 / 13.0, EMA_MEMORY) - exponential_weights(2.0 / 27.0, EMA_MEMORY)


def _histogram_weights() -> Floats:
    """Return the weights of MACD less its own nine-bar average, as one filter."""
    macd = _macd_weights()
    signal = np.convolve(macd, exponential_weights(2.0 / 10.0, 51))
    signal[:EMA_MEMORY] -= macd
    return -signal


_WILDER: Final = exponential_weights(1.0 / 14.0, WILDER_MEMORY)
_MACD: Final = _macd_weights()
_HISTOGRAM: Final = _histogram_weights()


def of_price(back: Lookback, amount: Value, scale: Value) -> Value:
    """Return an amount in price units over a scale in price units, 0 where both vanish."""
    return amount / back.larger(scale, _PRICE_FLOOR * back.now("close"))


def balance(back: Lookback, first: Value, second: Value) -> Value:
    """Return (first - second) / (first + second) of two amounts that are not negative, 0 where both are 0."""
    return (first - second) / back.larger(first + second, _TINY)


def log_return(back: Lookback, n: int) -> Value:
    """Return the log return over n bars in units of the 50-bar volatility times sqrt(n)."""
    return momentum(back, n, 50)


def gap(back: Lookback) -> Value:
    """Return the open against the previous close, in units of volatility."""
    return back.now("gap") / volatility(back, 50)


def body(back: Lookback) -> Value:
    """Return open to close as a share of the bar's range."""
    return (back.now("log_close") - back.now("log_open")) / back.larger(back.now("log_range"), _LOG_FLOOR)


def close_location(back: Lookback) -> Value:
    """Return where in its bar the close lies."""
    twice = 2.0 * back.now("log_close") - back.now("log_high") - back.now("log_low")
    return twice / back.larger(back.now("log_range"), _LOG_FLOOR)


def relative_range(back: Lookback) -> Value:
    """Return the log of the bar's range against the mean of 50 bars."""
    return back.log((back.now("log_range") + _LOG_FLOOR) / (back.total("log_range", 50) / 50.0 + _LOG_FLOOR))


def session_return(back: Lookback) -> Value:
    """Return the move since the session's open, in units of volatility times the root of the bars since."""
    moved = back.now("log_close") - back.session_first("log_open")
    return moved / (volatility(back, 50) * back.root(back.now("session_age") + 1.0))


def session_location(back: Lookback) -> Value:
    """Return where the close lies in the session's range so far."""
    high, low = back.session_highest("log_high"), back.session_lowest("log_low")
    return (2.0 * back.now("log_close") - high - low) / back.larger(high - low, _LOG_FLOOR)


def vwap_distance(back: Lookback) -> Value:
    """Return the close against the session's volume-weighted price, in units of volatility times sqrt(20)."""
    volume = back.session_total("volume")
    # Without volume there is no such price: the typical price of the bar stands in.
    price = back.where(volume > 0.0, back.session_total("traded") / back.larger(volume, _TINY), back.now("typical"))
    return back.log(back.now("close") / price) / (volatility(back, 50) * math.sqrt(20.0))


def session_volume_ratio(back: Lookback) -> Value:
    """Return the log of the bar's volume against the session's mean so far."""
    return volume_against(back, back.now("volume"), back.session_total("volume") / (back.now("session_age") + 1.0))


def volume_against(back: Lookback, volume: Value, mean: Value) -> Value:
    """Return ln((volume + 1 % of mean) / (101 % of mean)): ln 0.0099 for no volume, 0 where all volume is 0."""
    return back.log((volume + 0.01 * mean + _TINY) / (1.01 * mean + _TINY))


def rsi(back: Lookback) -> Value:
    """Return Wilder's relative strength of 14 bars, 50 taken to 0."""
    gain, loss = back.weighted("gain", _WILDER), back.weighted("loss", _WILDER)
    return of_price(back, gain - loss, gain + loss)


def average_true_range(back: Lookback) -> Value:
    """Return Wilder's average true range of 14 bars, in price units."""
    return back.weighted("true_range", _WILDER)


def true_range_ratio(back: Lookback) -> Value:
    """Return the log of the average true range of 14 bars against the plain mean of 100."""
    floor = _PRICE_FLOOR * back.now("close")
    return back.log((average_true_range(back) + floor) / (back.total("true_range", 100) / 100.0 + floor))


def macd(back: Lookback) -> Value:
    """Return the 12-bar less the 26-bar exponential average of the close, in average true ranges."""
    return of_price(back, back.weighted("close", _MACD), average_true_range(back))


def macd_histogram(back: Lookback) -> Value:
    """Return MACD less its nine-bar exponential average, in average true ranges."""
    return of_price(back, back.weighted("close", _HISTOGRAM), average_true_range(back))


def directional_balance(back: Lookback) -> Value:
    """Return (+DI - -DI) / (+DI + -DI) of 14 bars."""
    plus, minus = back.weighted("plus_movement", _WILDER), back.weighted("minus_movement", _WILDER)
    return of_price(back, plus - minus, plus + minus)


def directional_index(back: Lookback) -> Value:
    """Return Wilder's DX / 100: the size of the directional balance."""
    return abs(directional_balance(back))


def average_directional_index(back: Lookback) -> Value:
    """Return Wilder's ADX / 100 of 14 bars."""
    return back.weighted("directional_index", _WILDER)


def stochastic(back: Lookback, n: int) -> Value:
    """Return where the close lies between the lowest low and the highest high of n bars."""
    high, low = back.highest("high", n), back.lowest("low", n)
    return of_price(back, (back.now("close") - low) - (high - back.now("close")), high - low)


def commodity_channel(back: Lookback, n: int) -> Value:
    """Return Lambert's commodity channel index / 100."""
    mean, deviation = back.absolute_deviation("typical", n)
    return of_price(back, (back.now("typical") - mean) / 1.5, deviation)


def money_flow(back: Lookback, n: int) -> Value:
    """Return the money flow index, 50 taken to 0."""
    return balance(back, back.total("inflow", n), back.total("outflow", n))


def chaikin(back: Lookback, n: int) -> Value:
    """Return Chaikin's money flow."""
    return back.total("accumulation", n) / back.larger(back.total("volume", n), _TINY)


def aroon(back: Lookback, n: int) -> Value:
    """Return the Aroon oscillator / 100."""
    return (back.since_lowest("low", n + 1) - back.since_highest("high", n + 1)) / float(n)


def volume_ratio(back: Lookback, n: int) -> Value:
    """Return the log of the bar's volume against the mean of n bars."""
    return volume_against(back, back.now("volume"), back.total("volume", n) / n)


def deviation(back: Lookback, n: int) -> Value:
    """Return the log price against its n-bar mean, in units of what a random walk would stray."""
    mean_distance, _ = back.spread("log_close", n)
    return -mean_distance / (volatility(back, 200) * math.sqrt(n / 3.0))


def z_score(back: Lookback, n: int) -> Value:
    """Return the log price against its n-bar mean, in standard deviations of those bars."""
    mean_distance, mean_square = back.spread("log_close", n)
    variance = back.larger(mean_square - mean_distance * mean_distance, 0.0)
    return -mean_distance / back.larger(back.root(variance), _LOG_FLOOR)


def volatility_ratio(back: Lookback, n: int) -> Value:
    """Return the log of the n-bar volatility against the 200-bar one."""
    return back.log(volatility(back, n) / volatility(back, 200))


def autocorrelation(back: Lookback, n: int) -> Value:
    """Return the lag-one autocorrelation of n returns around zero."""
    return back.total("return_product", n) / back.larger(back.total("return_squared", n), _TINY)
