"""Legal timeframes, and how minutes become longer bars."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from trader_sdk.contract.errors import UsageError

NANOSECONDS_PER_SECOND: Final = 1_000_000_000


class Timeframe(StrEnum):
    """One of the timeframes that models are trained on and traded at."""

    MIN_1 = "1Min"
    MIN_5 = "5Min"
    MIN_15 = "15Min"
    MIN_30 = "30Min"
    HOUR_1 = "1Hour"
    HOUR_4 = "4Hour"
    DAY_1 = "1Day"

    @property
    def seconds(self) -> int:
        """Return the nominal length of a bar in seconds (a day is 86,400)."""
        return _SECONDS[self]

    @property
    def is_intraday(self) -> bool:
        """Return whether bars are shorter than a session."""
        return self is not Timeframe.DAY_1


_SECONDS: Final[Mapping[Timeframe, int]] = {
    Timeframe.MIN_1: 60,
    Timeframe.MIN_5: 300,
    Timeframe.MIN_15: 900,
    Timeframe.MIN_30: 1_800,
    Timeframe.HOUR_1: 3_600,
    Timeframe.HOUR_4: 14_400,
    Timeframe.DAY_1: 86_400,
}


def parse_timeframe(text: str) -> Timeframe:
    """Return the timeframe that ``text`` names.

    Raises:
        UsageError: The text is not one of the legal timeframes.
    """
    try:
        return Timeframe(text)
    except ValueError:
        legal = ", ".join(Timeframe)
        raise UsageError("USAGE", "unknown timeframe", where="timeframe", expected=legal, found=text) from None
