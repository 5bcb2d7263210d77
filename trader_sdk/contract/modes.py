"""Whose money a session trades, and where."""

from __future__ import annotations

from enum import StrEnum


class TradingMode(StrEnum):
    """Whose money, and where."""

    PAPER_LOCAL = "PAPER-LOCAL"
    PAPER_ALPACA = "PAPER-ALPACA"
    LIVE = "LIVE"
