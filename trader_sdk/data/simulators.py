"""The `planted` market: a mean-reverting edge of known size in fat-tailed noise, always labelled simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import NANOSECONDS_PER_SECOND, Timeframe
from trader_sdk.data.calendar import REGULAR_SESSION_SECONDS, XNYS, get_calendar
from trader_sdk.data.draws import normals, student_t5, uniforms

Floats = NDArray[np.float64]

SIMULATED_SYMBOL: Final = "SIM"
PLANTED_BARS: Final = 62_000
# The year has no early close before late November: every one of the default sessions has 390 minutes.
_FIRST_SESSION: Final = datetime(2021, 1, 4, tzinfo=UTC)
_PRICE_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class PlantedMarket:
    """Constants of the generator.

    Attributes:
        seed: Same seed, same bars; a longer series begins with the shorter one.
        edge: 0 to 1, scales the mean-reverting share of the variance; 0 is noise with the same volatility.
        n_bars: Minutes to make.
        half_life_bars: Time for a deviation to halve.
        random_walk_share: Share of a return's variance that never reverts, at edge 1.
        bar_volatility: Standard deviation of a bar's log return.
        garch_alpha, garch_beta: Weights of the last squared shock and of the last variance.
        start_price: Close before the first bar.

    Example:
        >>> round(PlantedMarket().r_squared, 3), PlantedMarket(edge=0).r_squared
        (0.064, 0.0)
    """

    seed: int = 7
    edge: float = 1.0
    n_bars: int = PLANTED_BARS
    half_life_bars: float = 5.0
    random_walk_share: float = 0.011
    bar_volatility: float = 0.002
    garch_alpha: float = 0.08
    garch_beta: float = 0.90
    start_price: float = 100.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.edge <= 1.0 or self.n_bars < 1 or self.seed < 0:
            raise DataError(
                "BARS",
                "the simulated market cannot be made",
                where="planted",
                expected="0 <= edge <= 1, bars >= 1, seed >= 0",
                found=f"edge={self.edge}, bars={self.n_bars}, seed={self.seed}",
                remedy="Correct the source, for example planted:seed=7,edge=1,bars=62000.",
            )

    @property
    def rho(self) -> float:
        """Return the share of a deviation that is left after one bar."""
        return float(0.5 ** (1.0 / self.half_life_bars))

    @property
    def reverting_share(self) -> float:
        """Return the share of a return's variance that comes from the mean-reverting part."""
        return self.edge * (1.0 - self.random_walk_share)

    @property
    def r_squared(self) -> float:
        """Return the share of the next return's variance that a perfect linear forecast explains."""
        return self.reverting_share * (1.0 - self.rho) / 2.0


def planted_bars(market: PlantedMarket | None = None, symbol: str = SIMULATED_SYMBOL) -> Bars:
    """Simulate minutes whose log price reverts to a slowly moving mean.

    Log price = Ornstein-Uhlenbeck process + small random walk; both shocks are Student t with 5 degrees of freedom
    and share one GARCH(1, 1) variance. Each bar opens at the previous close. High, low and volume carry no hint of
    later bars.

    Args:
        market: Constants; the defaults are the demo's.
        symbol: ``SIM``, or a name that starts with it.

    Returns:
        1Min bars on New York sessions from 2021-01-04 on.

    Raises:
        DataError: The symbol is not a simulated one, or the constants are out of range.
        ConfigError: New York's sessions are not known (exchange-calendars is not installed).
    """
    market = market or PlantedMarket()
    if not symbol.startswith(SIMULATED_SYMBOL):
        raise DataError(
            "BARS",
            "a simulated market has a simulated symbol",
            where="planted",
            expected=f"{SIMULATED_SYMBOL}, or a name that starts with it",
            found=symbol,
            remedy=f"Use --symbol {SIMULATED_SYMBOL}, or real bars for this symbol.",
        )
    chance = uniforms(market.seed, 0, market.n_bars, 14)
    hidden = _hidden_state(market, chance)
    close = np.round(market.start_price * np.exp(hidden.reverted + hidden.walked), _PRICE_DECIMALS)
    open_ = np.concatenate([[market.start_price], close[:-1]])
    reach = market.bar_volatility * hidden.deviation
    high = np.maximum(open_, close) * np.exp(0.5 * reach * np.abs(normals(chance[:, 8], chance[:, 9])))
    low = np.minimum(open_, close) * np.exp(-0.5 * reach * np.abs(normals(chance[:, 10], chance[:, 11])))
    starts = _session_minutes(market.n_bars)
    return Bars(
        symbol=symbol,
        timeframe=Timeframe.MIN_1,
        t=starts,
        open=open_,
        high=np.maximum(np.round(high, _PRICE_DECIMALS), np.maximum(open_, close)),
        low=np.minimum(np.round(low, _PRICE_DECIMALS), np.minimum(open_, close)),
        close=close,
        volume=_volume(starts, hidden.deviation, normals(chance[:, 12], chance[:, 13])),
        kind=DataKind.SIMULATED,
        feed="simulated",
        adjustment="split",
        calendar=XNYS,
    )


@dataclass(frozen=True, slots=True)
class HiddenState:
    """What an oracle knows of a planted market and its bars do not show; float64 (T,) each.

    Attributes:
        reverted: Log distance of each close from where it reverts to.
        walked: Log of where it reverts to, relative to the start.
        deviation: Volatility of the bar relative to its mean.
    """

    reverted: Floats
    walked: Floats
    deviation: Floats


def hidden_state(market: PlantedMarket) -> HiddenState:
    """Return what a planted market's prices were made of."""
    return _hidden_state(market, uniforms(market.seed, 0, market.n_bars, 14))


def _hidden_state(market: PlantedMarket, chance: Floats) -> HiddenState:
    reverting, walking = student_t5(chance[:, 0:4]), student_t5(chance[:, 4:8])
    share, rho = market.reverting_share, market.rho
    # An OU process with stationary variance V has increments of variance 2 V (1 - rho) and shocks of V (1 - rho^2).
    ou_scale = market.bar_volatility * math.sqrt(share * (1.0 + rho) / 2.0)
    walk_scale = market.bar_volatility * math.sqrt(1.0 - share)
    combined = math.sqrt(share) * reverting + math.sqrt(1.0 - share) * walking
    deviation = _garch_deviation(market, combined)
    reverted = np.empty(len(combined))
    level = 0.0
    for index, shock in enumerate((ou_scale * deviation * reverting).tolist()):
        level = rho * level + shock
        reverted[index] = level
    return HiddenState(reverted, np.cumsum(walk_scale * deviation * walking), deviation)


def _garch_deviation(market: PlantedMarket, shocks: Floats) -> Floats:
    """Return the conditional standard deviation of each bar, mean square 1.

    Source:
        Bollerslev (1986), Generalized autoregressive conditional heteroskedasticity.
    """
    omega = 1.0 - market.garch_alpha - market.garch_beta
    variance = 1.0
    variances = np.empty(len(shocks))
    for index, shock in enumerate(shocks.tolist()):
        variances[index] = variance
        variance = omega + (market.garch_alpha * shock * shock + market.garch_beta) * variance
    return np.sqrt(variances)


def _volume(starts: NDArray[np.int64], deviation: Floats, noise: Floats) -> Floats:
    """Return whole shares: busy at open and close, busier when volatile."""
    progress = session_progress(starts)
    u_shape = 0.6 + 1.8 * (2.0 * progress - 1.0) ** 2
    return np.maximum(1.0, np.rint(5_000.0 * u_shape * np.sqrt(deviation) * np.exp(0.4 * noise)))


def session_progress(starts: NDArray[np.int64]) -> Floats:
    """Return where in its regular session each minute lies, 0 at the open to 1 at the close."""
    opens, _ = get_calendar(XNYS).session_bounds(starts)
    progress: Floats = (starts - opens) / (REGULAR_SESSION_SECONDS * NANOSECONDS_PER_SECOND)
    return progress


def _session_minutes(count: int) -> NDArray[np.int64]:
    days = count // 200 + 10  # an early close leaves 210 minutes, a week has five sessions
    end = _FIRST_SESSION + timedelta(days=2 * days)
    starts = get_calendar(XNYS).bars_between(_FIRST_SESSION, end, Timeframe.MIN_1)
    return starts[:count]
