"""The live trader: session, journal, feed and order desk; the shells with clock and disk around the pure rules."""

from trader_sdk.live.config import LiveConfig
from trader_sdk.live.trader import LiveTrader

__all__ = ["LiveConfig", "LiveTrader"]
