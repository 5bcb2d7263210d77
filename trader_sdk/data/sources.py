"""Where bars come from, by one word: a file, ``vendored``, or a simulator with its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.data import fetched
from trader_sdk.data.aggregate import aggregate
from trader_sdk.data.anchored import ANCHORED_DAYS, anchored_bars
from trader_sdk.data.calendar import get_calendar
from trader_sdk.data.files import is_bar_file, read_bars
from trader_sdk.data.gaps import find_gaps
from trader_sdk.data.simulators import PLANTED_BARS, PlantedMarket, planted_bars
from trader_sdk.data.vendored import vendored_bars

SOURCES: Final = (
    "FILE.csv|.csv.gz|.parquet, vendored, planted[:seed=7,edge=1,bars=62000], noise[:seed=7,bars=62000], "
    "anchored[:seed=7,days=160], alpaca:start=DAY,end=DAY[,feed=iex][,adjustment=split]"
)


def load_bars(
    source: str,
    symbol: str,
    timeframe: Timeframe | str,
    *,
    calendar: str | None = None,
    allow_gaps: bool = False,
) -> Bars:
    """Load one symbol's bars.

    Args:
        source: A path ending in ``.csv``, ``.csv.gz`` or ``.parquet``; ``vendored`` (real daily bars);
            ``planted[:seed=7,edge=1,bars=62000]``, ``noise[:seed=7,bars=62000]`` (symbol SIM) or
            ``anchored[:seed=7,days=160]`` (minutes inside real days), all three labelled simulated; or
            ``alpaca:start=2024-01-02,end=2024-06-28``, which ``trader data fetch`` has fetched before.
        symbol: As the venue writes it in orders.
        timeframe: Length of the bars; simulated minutes are aggregated to 5Min..4Hour.
        calendar: Of a file's market, ``XNYS`` or ``24/7``; None: the file's own, or ``24/7`` for symbols with a slash.
        allow_gaps: Accept a file in which bars are missing; they stay missing.

    Returns:
        Valid bars, oldest first.

    Raises:
        DataError: Unknown source or setting, no bars of this symbol, invalid rows, or gaps in a file.
        ConfigError: The calendar or parquet needs a package that is not installed.
        UsageError: Unknown timeframe.

    Example:
        >>> load_bars("vendored", "MSFT", "1Day").adjustment
        'split'
    """
    frame = _timeframe(timeframe)
    if is_bar_file(source):
        bars = read_bars(Path(source), symbol, frame, calendar=calendar)
        if not allow_gaps:
            _refuse_gaps(bars, source)
        return bars
    name, _, text = source.partition(":")
    if name == fetched.SOURCE:
        bars = fetched.read_fetched(asked_of(source, symbol, frame))
        if not allow_gaps:
            _refuse_gaps(bars, source)
        return bars
    maker = _MAKERS.get(name)
    if maker is None:
        raise DataError(
            "BARS", "unknown source of bars", where="source", expected=SOURCES, found=source, remedy="Choose a source."
        )
    return maker(_settings(source, text), symbol, frame)


def asked_of(source: str, symbol: str, timeframe: Timeframe | str) -> fetched.Asked:
    """Return what a source that begins with ``alpaca:`` asks for.

    Raises:
        DataError: It is another source, or its settings cannot be read.
        UsageError: Unknown timeframe.
    """
    name, _, text = source.partition(":")
    if name != fetched.SOURCE:
        raise DataError("BARS", "only Alpaca's bars are fetched", where="source", expected=fetched.FORM, found=source)
    return fetched.Asked.of(_settings(source, text), symbol, _timeframe(timeframe))


def _timeframe(timeframe: Timeframe | str) -> Timeframe:
    from trader_sdk.contract.timeframe import parse_timeframe

    return parse_timeframe(timeframe)


def _refuse_gaps(bars: Bars, source: str) -> None:
    gaps = find_gaps(bars.t, bars.timeframe, get_calendar(bars.calendar))
    if gaps:
        raise DataError(
            "BARS",
            f"the bars have gaps: {gaps.summary()}",
            where=source,
            expected=f"every {bars.timeframe} bar of the calendar {bars.calendar}",
            remedy="Fetch the missing bars, name the right calendar, or say --allow-gaps 1 where the command takes it, "
            "as training does and a zoo does not: a window that misses a bar is not traded on.",
        )


def _settings(source: str, text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",")] if text else []
    settings = {key.strip(): value.strip() for key, _, value in pairs}
    if len(settings) != len(pairs) or not all(key and value for key, value in settings.items()):
        raise DataError("BARS", "unreadable settings", where="source", expected=SOURCES, found=source)
    return settings


def _planted(settings: dict[str, str], symbol: str, timeframe: Timeframe) -> Bars:
    known = _read(settings, {"seed": int, "edge": float, "bars": int}, "planted")
    market = PlantedMarket(
        seed=int(known.get("seed", 7)), edge=known.get("edge", 1.0), n_bars=int(known.get("bars", PLANTED_BARS))
    )
    return _at_timeframe(planted_bars(market, symbol), timeframe)


def _noise(settings: dict[str, str], symbol: str, timeframe: Timeframe) -> Bars:
    known = _read(settings, {"seed": int, "bars": int}, "noise")
    market = PlantedMarket(seed=int(known.get("seed", 7)), edge=0.0, n_bars=int(known.get("bars", PLANTED_BARS)))
    return _at_timeframe(planted_bars(market, symbol), timeframe)


def _anchored(settings: dict[str, str], symbol: str, timeframe: Timeframe) -> Bars:
    known = _read(settings, {"seed": int, "days": int}, "anchored")
    seed, days = int(known.get("seed", 7)), int(known.get("days", ANCHORED_DAYS))
    return _at_timeframe(anchored_bars(vendored_bars(symbol), seed=seed, n_days=days), timeframe)


def _vendored(settings: dict[str, str], symbol: str, timeframe: Timeframe) -> Bars:
    _read(settings, {}, "vendored")
    bars = vendored_bars(symbol)
    if timeframe is not bars.timeframe:
        raise DataError(
            "BARS",
            "the vendored bars are daily",
            where="vendored",
            expected=bars.timeframe,
            found=timeframe,
            remedy="Ask for 1Day, or for simulated minutes inside these days with the source `anchored`.",
        )
    return bars


_MAKERS: Final[Mapping[str, Callable[[dict[str, str], str, Timeframe], Bars]]] = {
    "vendored": _vendored,
    "planted": _planted,
    "noise": _noise,
    "anchored": _anchored,
}


def _read(settings: dict[str, str], kinds: Mapping[str, type[int] | type[float]], name: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for key, text in settings.items():
        try:
            values[key] = kinds[key](text)
        except (KeyError, ValueError) as error:
            raise DataError(
                "BARS",
                f"{name} has no such setting",
                where="source",
                expected=", ".join(f"{known}={kind.__name__}" for known, kind in kinds.items()) or "no settings",
                found=f"{key}={text}",
                remedy="Correct the source.",
            ) from error
    return values


def _at_timeframe(minutes: Bars, timeframe: Timeframe) -> Bars:
    if timeframe is Timeframe.MIN_1:
        return minutes
    if timeframe is Timeframe.DAY_1:
        raise DataError(
            "BARS",
            "simulated bars are intraday",
            where=minutes.kind,
            expected="1Min to 4Hour",
            found=timeframe,
            remedy="Choose an intraday timeframe, or real daily bars.",
        )
    return aggregate(minutes, timeframe)


def describe(bars: Bars) -> str:
    """Return one line that says what bars these are; simulated ones say so first."""
    label = "SIMULATED " if bars.kind is DataKind.SIMULATED else ""
    return f"{label}{bars.symbol} {bars.timeframe}, {len(bars)} bars, feed {bars.feed}, adjusted: {bars.adjustment}"
