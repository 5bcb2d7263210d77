"""The one door to a broker: a port of plain values, and the adapters that speak to Alpaca or to its local twin.

Importing this package or :mod:`trader_sdk.broker.port` loads neither alpaca-py nor pandas.
"""
