"""The one table of feature columns: code, documentation, schema and tests all read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Final

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.features import formulas as f
from trader_sdk.features.arithmetic import Value
from trader_sdk.features.lookback import Lookback
from trader_sdk.features.regimes import FILTER_BARS, OBSERVATION_MEMORY, STATES

LONGEST_SESSION: Final = 390
"""Bars of a session that session columns look back on; the minutes of a regular New York session."""
_WILDER: Final = f.WILDER_MEMORY
_REGIME_MEMORY: Final = OBSERVATION_MEMORY + FILTER_BARS - 1
_SESSION_MEMORY: Final = LONGEST_SESSION - 1
_WILDER_BOOK: Final = "Wilder (1978), New Concepts in Technical Trading Systems"


class Group(StrEnum):
    """Column groups, in the order of the observation."""

    PRICE_ACTION = "price action"
    INTRADAY = "intraday"
    CALENDAR = "calendar"
    REGIME = "Markov regime"
    TECHNICAL = "extended technicals"
    MULTI_WINDOW = "multi-window"
    ACCOUNT = "account"
    SIZING = "sizing"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the observation.

    Attributes:
        name: Stable id, unique.
        group: Its group.
        formula: The definition, in words and symbols; C, H, L, O, V are a bar's values, t the newest bar.
        unit: What one unit means.
        low, high: Values are clipped to this range.
        memory: Bars before the newest one that can change the value.
        source: Where the definition comes from.
        compute: The formula in code; None for account columns, which are not per bar.
        version: Grows when the formula changes; part of the schema and so of every model's feature hash.
    """

    name: str
    group: Group
    formula: str
    unit: str
    low: float
    high: float
    memory: int
    source: str
    compute: Callable[[Lookback], Value] | None
    version: int = 1


def _price_action() -> list[Column]:
    group, vol = Group.PRICE_ACTION, "volatilities"
    own = "own: standardised return"
    return [
        Column("return_1", group, "ln(C[t]/C[t-1]) / vol50", vol, -5, 5, 50, own, partial(f.log_return, n=1)),
        Column("return_5", group, "ln(C[t]/C[t-5]) / (vol50 √5)", vol, -5, 5, 50, own, partial(f.log_return, n=5)),
        Column("return_20", group, "ln(C[t]/C[t-20]) / (vol50 √20)", vol, -5, 5, 50, own, partial(f.log_return, n=20)),
        Column("gap", group, "ln(O[t]/C[t-1]) / vol50", vol, -5, 5, 50, own, f.gap),
        Column("body", group, "ln(C/O) / ln(H/L)", "share of range", -1, 1, 0, "candlestick body", f.body),
        Column(
            "close_location", group, "(2 ln C - ln H - ln L) / ln(H/L)", "share of range", -1, 1, 0,
            "Chaikin's close location value, in logs", f.close_location,
        ),
        Column(
            "relative_range", group, "ln( ln(H/L) / mean50 ln(H/L) )", "log ratio", -3, 3, 49,
            "Parkinson (1980), range as volatility", f.relative_range,
        ),
    ]  # fmt: skip


def _intraday() -> list[Column]:
    group, memory = Group.INTRADAY, _SESSION_MEMORY
    return [
        Column(
            "session_return", group, "ln(C / session open) / (vol50 √(bars in session))", "volatilities", -5, 5,
            memory, "own: standardised return", f.session_return,
        ),
        Column(
            "session_location", group, "(2 ln C - ln SH - ln SL) / ln(SH/SL), SH and SL the session's extremes so far",
            "share of range", -1, 1, memory, "own: close location of the session", f.session_location,
        ),
        Column(
            "vwap_distance", group, "ln(C / session VWAP) / (vol50 √20), VWAP of (H+L+C)/3", "volatilities", -5, 5,
            memory, "Berkowitz, Logue, Noser (1988), volume-weighted average price", f.vwap_distance,
        ),
        Column(
            "session_volume_ratio", group, "ln((V + 0.01 m) / 1.01 m), m the session's mean volume so far",
            "log ratio", -5, 5, memory, "own: relative volume", f.session_volume_ratio,
        ),
    ]  # fmt: skip


def _calendar() -> list[Column]:
    group, source = Group.CALENDAR, "cyclical encoding of time"

    def sine(name: str, formula: str, turn: Callable[[Lookback], Value]) -> Column:
        return Column(name, group, formula, "none", -1, 1, 0, source, lambda back: back.sine(math.pi * turn(back)))

    def cosine(name: str, formula: str, turn: Callable[[Lookback], Value]) -> Column:
        return Column(name, group, formula, "none", -1, 1, 0, source, lambda back: back.cosine(math.pi * turn(back)))

    def progress(back: Lookback) -> Value:
        return back.now("progress")

    def week(back: Lookback) -> Value:
        return 2.0 * back.now("weekday") / 7.0

    def year(back: Lookback) -> Value:
        return 2.0 * back.now("year_progress")

    return [
        sine("session_sin", "sin(π p), p the share of the regular session (24/7: of the UTC day) passed at the bar's "
             "start; 0 for daily bars", progress),
        cosine("session_cos", "cos(π p)", progress),
        sine("weekday_sin", "sin(2π d/7), d = 0 on Monday", week),
        cosine("weekday_cos", "cos(2π d/7)", week),
        sine("year_sin", "sin(2π y), y the share of the year passed", year),
        cosine("year_cos", "cos(2π y)", year),
        Column(
            "month_progress", group, "share of the month passed", "share", 0, 1, 0,
            "turn of the month: Ariel (1987), A monthly effect in stock returns",
            lambda back: back.now("month_progress"),
        ),
    ]  # fmt: skip


_OBSERVED: Final = MappingProxyType(
    {
        "volatility": "2.5 ln(vol10/vol100)",
        "trend": "ln(C[t]/C[t-50]) / (vol50 √50)",
        "momentum": "ln(C[t]/C[t-10]) / (vol50 √10)",
        "macro": "ln(C[t]/C[t-200]) / (vol200 √200)",
    }
)


def _regimes() -> list[Column]:
    def column(chain: str, state: str) -> Column:
        series = f"{chain}_{state}"
        return Column(
            f"regime_{series}",
            Group.REGIME,
            f"P({state} | last 60 observations of {_OBSERVED[chain]}), filter of three states, centres -1.25, 0, "
            "1.25, unit deviation, stay 0.94",
            "probability",
            0,
            1,
            _REGIME_MEMORY,
            "Hamilton (1989), Econometrica 57(2)",
            lambda back: back.now(series),
        )

    return [column(chain, state) for chain, states in STATES.items() for state in states]


def _technicals() -> list[Column]:
    group = Group.TECHNICAL
    return [
        Column("rsi_14", group, "(RSI14 - 50) / 50, Wilder's average over 140 bars", "share", -1, 1, _WILDER,
               _WILDER_BOOK, f.rsi),
        Column("true_range_ratio", group, "ln(ATR14 / mean100 of the true range)", "log ratio", -3, 3, _WILDER,
               _WILDER_BOOK, f.true_range_ratio),
        Column("macd", group, "(EMA12 - EMA26 of C) / ATR14, averages over 200 bars", "true ranges", -5, 5,
               f.EMA_MEMORY - 1, "Appel (1979), MACD", f.macd),
        Column("macd_histogram", group, "(MACD - EMA9 of MACD) / ATR14", "true ranges", -3, 3, f.EMA_MEMORY + 49,
               "Appel (1979); Aspray (1986)", f.macd_histogram),
        Column("adx_14", group, "ADX14 / 100, both averages over 140 bars", "share", 0, 1, 2 * _WILDER - 1,
               _WILDER_BOOK, f.average_directional_index),
        Column("directional_balance_14", group, "(+DI14 - -DI14) / (+DI14 + -DI14)", "share", -1, 1, _WILDER,
               _WILDER_BOOK, f.directional_balance),
        Column("stochastic_14", group, "2 (C - LL14) / (HH14 - LL14) - 1", "share", -1, 1, 13,
               "Lane (1984), fast %K", partial(f.stochastic, n=14)),
        Column("commodity_channel_20", group, "CCI20 / 100", "100 CCI points", -4, 4, 19,
               "Lambert (1980), Commodity channel index", partial(f.commodity_channel, n=20)),
        Column("money_flow_14", group, "(MFI14 - 50) / 50; typical prices within 1e-9 of the close count as equal",
               "share", -1, 1, 14,
               "Quong, Soudack (1989), Money flow index", partial(f.money_flow, n=14)),
        Column("chaikin_20", group, "sum20 of ((C-L) - (H-C)) / (H-L) V, over sum20 of V", "share", -1, 1, 19,
               "Chaikin, money flow", partial(f.chaikin, n=20)),
        Column("aroon_25", group, "Aroon oscillator 25 / 100", "share", -1, 1, 25,
               "Chande (1995), Aroon", partial(f.aroon, n=25)),
        Column("volume_ratio_20", group, "ln((V + 0.01 m) / 1.01 m), m = mean20 of V", "log ratio", -5, 5, 19,
               "own: relative volume", partial(f.volume_ratio, n=20)),
        Column("deviation_10", group, "(ln C - mean10 ln C) / (vol200 √(10/3))", "volatilities", -5, 5, 200,
               "own: distance from the mean", partial(f.deviation, n=10)),
        Column("deviation_100", group, "(ln C - mean100 ln C) / (vol200 √(100/3))", "volatilities", -5, 5, 200,
               "own: distance from the mean", partial(f.deviation, n=100)),
    ]  # fmt: skip


def _multi_window(n: int) -> list[Column]:
    group = Group.MULTI_WINDOW
    return [
        Column(f"z_score_{n}", group, f"(ln C - mean{n} ln C) / deviation{n} of ln C", "deviations", -5, 5, n - 1,
               "Bollinger (2001), Bollinger on Bollinger Bands, in logs", partial(f.z_score, n=n)),
        Column(f"volatility_ratio_{n}", group, f"ln(vol{n} / vol200)", "log ratio", -3, 3, 200,
               "own: volatility cone", partial(f.volatility_ratio, n=n)),
        Column(f"autocorrelation_{n}", group, f"sum{n} of r[t] r[t-1], over sum{n} of r²; r = ln(C[t]/C[t-1])",
               "correlation", -1, 1, n + 1, "Lo, MacKinlay (1988), first variance-ratio term",
               partial(f.autocorrelation, n=n)),
    ]  # fmt: skip


MARKET_COLUMNS: Final[tuple[Column, ...]] = (
    *_price_action(),
    *_intraday(),
    *_calendar(),
    *_regimes(),
    *_technicals(),
    *(column for n in (20, 50, 100) for column in _multi_window(n)),
)
"""Columns 0 to 52, in order."""

_LEDGER: Final = "the sleeve's ledger (docs/reference/features.md)"
ACCOUNT_COLUMNS: Final[tuple[Column, ...]] = (
    Column("total_pnl_pct", Group.ACCOUNT, "tanh(10 (equity - initial) / initial)", "none", -1, 1, 0, _LEDGER, None),
    Column("win_rate", Group.ACCOUNT, "trades that won / closed trades, 0.5 before the first", "share", 0, 1, 0,
           _LEDGER, None),
    Column("drawdown", Group.ACCOUNT, "(peak - equity) / peak", "share", 0, 1, 0, _LEDGER, None),
)  # fmt: skip
SIZING_COLUMNS: Final[tuple[Column, ...]] = (
    Column("position_pct", Group.SIZING, "position value / equity / 0.20", "share of the cap", -1, 1, 0, _LEDGER, None),
    Column("available_pct", Group.SIZING, "cash / equity - 0.30", "share of equity", 0, 0.7, 0, _LEDGER, None),
    Column("account_change", Group.SIZING, "log10(equity / initial), equity at least 1 % of initial", "decades",
           -2, 3, 0, _LEDGER, None),
)  # fmt: skip

FEATURE_SETS: Final[Mapping[str, tuple[Column, ...]]] = MappingProxyType(
    {"ohlcv53@1": MARKET_COLUMNS, "account3@1": ACCOUNT_COLUMNS, "sizing3@1": SIZING_COLUMNS}
)
MEMORY: Final = max(column.memory for column in MARKET_COLUMNS)
"""L: bars before a row's own that can change it."""

if len(MARKET_COLUMNS) != MARKET_FEATURES:
    raise AssertionError(f"the table holds {len(MARKET_COLUMNS)} market columns, the registry {MARKET_FEATURES}")
