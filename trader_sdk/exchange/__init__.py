"""The embedded paper exchange: Alpaca's protocol on loopback, over replayed bars.

``LocalExchange`` runs it in a process of its own. The parts stand alone: ``engine`` matches orders without clock,
network or disk, ``replay`` makes time of bars, ``venue`` joins both with the event log, ``server`` speaks the protocol.
"""

from trader_sdk.exchange.config import AssetSetup, ExchangeSetup
from trader_sdk.exchange.local import LocalExchange

__all__ = ["AssetSetup", "ExchangeSetup", "LocalExchange"]
