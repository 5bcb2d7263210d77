"""Small markets from a few letters: the model of the campaign buys what fell and sells what rose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.live.events import bar_ns

HISTORY_BARS: Final = 520
"""Bars before the replay: what one observation needs, and some."""
FIRST_DAY: Final = date(2024, 1, 8)
_NEW_YORK: Final = ZoneInfo("America/New_York")
_OPEN, _CLOSE, _EARLY_CLOSE, _MIDNIGHT = time(9, 30), time(16), time(13), time(0)
_MOVES: Final[Mapping[str, float]] = {"D": -0.002, "U": 0.002, ".": 0.0, "x": 0.0, "!": 2.0, "/": -0.75}
_FEWEST_MINUTES: Final = 210
_DAYS_AFTER: Final = 15
_TAIL_BARS: Final = 2
"""Bars after the last that is decided on, so that venue time can pass it."""
_SEED: Final = 5


class MarketSpec(BaseModel):
    """What the exchange replays.

    Attributes:
        moves: By symbol, a letter a bar: ``D`` falls 0.2 %, ``U`` rises 0.2 %, ``.`` stays, ``x`` has no bar, ``!``
            trebles, ``/`` falls to a quarter.
        timeframe: ``1Min`` or ``1Day``.
        volume: Of each bar, units; a tenth of it may trade.
        price: First close.
        history: Bars before the first that is decided on.
        first_day: Of the history.
        closed_days: Weekdays without a session.
        early_closes: Days whose session ends at 13:00.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moves: dict[str, str] = Field(default_factory=lambda: {"SIM": "..D....."})
    timeframe: Timeframe = Timeframe.MIN_1
    volume: float = Field(default=1e6, gt=0)
    price: float = Field(default=100.0, gt=0)
    history: int = Field(default=HISTORY_BARS, ge=HISTORY_BARS)
    first_day: date = FIRST_DAY
    closed_days: tuple[date, ...] = ()
    early_closes: tuple[date, ...] = ()

    @property
    def n_bars(self) -> int:
        """Return how many bars are decided on."""
        return max(len(moves) for moves in self.moves.values())

    @property
    def _n_replayed(self) -> int:
        return self.n_bars + _TAIL_BARS

    @property
    def length(self) -> timedelta:
        """Return the length of one bar."""
        return timedelta(seconds=self.timeframe.seconds)

    def starts(self) -> list[int]:
        """Return the start of every bar of history and replay, nanoseconds UTC."""
        count = self.history + self._n_replayed
        if self.timeframe is Timeframe.DAY_1:
            return [_ns(day, _MIDNIGHT) for day in self._days(count)]
        minute = 60_000_000_000
        starts = (start for opens, closes in self.sessions() for start in range(opens, closes, minute))
        return list(islice(starts, count))

    def sessions(self) -> list[tuple[int, int]]:
        """Return (open, close) of every session from the first bar to some days after the last."""
        bars_a_day = 1 if self.timeframe is Timeframe.DAY_1 else _FEWEST_MINUTES
        days = self._days(-(-(self.history + self._n_replayed) // bars_a_day) + _DAYS_AFTER)
        return [(_ns(day, _OPEN), _ns(day, _EARLY_CLOSE if day in self.early_closes else _CLOSE)) for day in days]

    def _days(self, count: int) -> list[date]:
        closed = set(self.closed_days)
        return [day for day in weekdays(count + len(closed), self.first_day) if day not in closed][:count]

    def bars(self) -> dict[str, Bars]:
        """Return the bars of every symbol."""
        starts = self.starts()
        return {symbol: self._series(symbol, moves, starts) for symbol, moves in self.moves.items()}

    def replay_start(self) -> int:
        """Return the start of the first replayed bar, nanoseconds UTC."""
        return self.starts()[self.history]

    def _series(self, symbol: str, moves: str, starts: Sequence[int]) -> Bars:
        noise = np.random.default_rng(_SEED).normal(0, 0.001, self.history)
        noise[-1] = 0.0  # the bar before the replay asks for nothing
        returns = np.concatenate([noise, [_MOVES[letter] for letter in moves.ljust(self._n_replayed, ".")]])
        close = np.round(self.price * np.cumprod(1 + returns), 4)
        open_ = np.concatenate([[self.price], close[:-1]])
        has_bar = np.array([True] * self.history + [letter != "x" for letter in moves.ljust(self._n_replayed, ".")])
        columns = (open_, np.maximum(open_, close) * 1.0001, np.minimum(open_, close) * 0.9999, close)
        kept = [column[has_bar] for column in columns]
        return Bars(
            symbol=symbol,
            timeframe=self.timeframe,
            t=np.array(starts, dtype=np.int64)[has_bar],
            open=kept[0],
            high=kept[1],
            low=kept[2],
            close=kept[3],
            volume=np.full(int(has_bar.sum()), self.volume),
            kind=DataKind.SIMULATED,
            feed="simulated",
            adjustment="split",
            calendar="XNYS",
        )


def weekdays(count: int, first: date = FIRST_DAY) -> list[date]:
    """Return ``count`` weekdays from ``first`` on; this market has no holidays."""
    days = (first + timedelta(days=offset) for offset in range(2 * count + 7))
    return [day for day in days if day.weekday() < 5][:count]


def _ns(day: date, clock: time) -> int:
    return bar_ns(datetime.combine(day, clock, _NEW_YORK).astimezone(UTC))
