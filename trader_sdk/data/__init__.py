"""Bars: files, the vendored real ones, simulators, calendars, gaps and aggregation. Imports the contract only."""

from trader_sdk.data.aggregate import aggregate
from trader_sdk.data.calendar import Calendar, Session, bars_per_year, get_calendar
from trader_sdk.data.files import read_bars, write_bars
from trader_sdk.data.gaps import Gaps, complete_windows, find_gaps, has_window_gap, whole_windows
from trader_sdk.data.simulators import PlantedMarket, planted_bars
from trader_sdk.data.sources import describe, load_bars
from trader_sdk.data.vendored import VENDORED_SYMBOLS, vendored_bars

__all__ = [
    "VENDORED_SYMBOLS",
    "Calendar",
    "Gaps",
    "PlantedMarket",
    "Session",
    "aggregate",
    "bars_per_year",
    "complete_windows",
    "describe",
    "find_gaps",
    "get_calendar",
    "has_window_gap",
    "load_bars",
    "planted_bars",
    "read_bars",
    "vendored_bars",
    "whole_windows",
    "write_bars",
]
