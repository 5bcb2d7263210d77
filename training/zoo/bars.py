"""The zoo's bars: one vintage for every variant."""

from __future__ import annotations

from datetime import UTC, datetime

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import UsageError
from trader_sdk.data import load_bars


def load_until(source: str, symbol: str, timeframe: str, until: str | None) -> Bars:
    """Return a symbol's bars, those before a date only where one is given.

    Raises:
        DataError: As :func:`~trader_sdk.data.load_bars`.
        UsageError: ``until`` is no date.
    """
    bars = load_bars(source, symbol, timeframe)
    if until is None:
        return bars
    try:
        at = datetime.fromisoformat(until)
    except ValueError as error:
        raise UsageError("USAGE", "not a date", where="--until", expected="2011-12-31", found=until) from error
    end_ns = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 10**9
    return bars.slice(0, int(bars.t.searchsorted(end_ns)))
