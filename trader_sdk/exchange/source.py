"""Which bars a venue replays, by one word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import UsageError
from trader_sdk.contract.timeframe import Timeframe

REAL_DAILY: Final = "real-daily"
SIMULATED_MINUTES: Final = "simulated-1min"
_DEFAULT_SYMBOLS: Final[Mapping[str, tuple[str, ...]]] = {
    REAL_DAILY: ("AAPL", "IBM", "MSFT"),
    SIMULATED_MINUTES: ("SIM",),
}
_SOURCES: Final[Mapping[str, tuple[str, Timeframe]]] = {
    REAL_DAILY: ("vendored", Timeframe.DAY_1),
    SIMULATED_MINUTES: ("planted", Timeframe.MIN_1),
}


def load_market(market: str, symbols: Sequence[str] = (), *, timeframe: Timeframe | None = None) -> dict[str, Bars]:
    """Load the bars of a market, by symbol.

    Args:
        market: ``real-daily``, ``simulated-1min``, or a source that ``load_bars`` reads, such as a file.
        symbols: None asked for: all of the packaged market; a file needs them named.
        timeframe: Of another source; daily when omitted.

    Raises:
        UsageError: A file without symbols.
        DataError: The bars cannot be read.
    """
    from trader_sdk.data import load_bars

    source, length = _SOURCES.get(market, (market, timeframe or Timeframe.DAY_1))
    wanted = tuple(symbols) or _DEFAULT_SYMBOLS.get(market, ())
    if not wanted:
        raise UsageError("USAGE", "which symbols of this market", where="--symbols", found=market)
    return {symbol: load_bars(source, symbol, length) for symbol in wanted}
