"""A bot around the live trader, in an event loop of its own: it brings the bars, caps each order, and can halt."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

from trader_sdk.broker.port import BrokerPort
from trader_sdk.contract.bars import Bar
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.live.clock import WallClock
from trader_sdk.live.opening import ClockMaker
from trader_sdk.live.report import Status
from trader_sdk.orders import OrderIntent

MOST_SHARES = Decimal(25)


def capped(order: OrderIntent) -> OrderIntent | None:
    """Let no order through that is larger than the bot likes; None would deny it."""
    return replace(order, qty=min(order.qty, MOST_SHARES))


async def trade(
    config: LiveConfig, broker: BrokerPort, bars: AsyncIterator[list[Bar]], clock: ClockMaker = WallClock
) -> Status:
    """Trade on bars that somebody else brings, now and then none; return where the run stands in the end."""
    trader = LiveTrader(config, archive=str(config.archive), broker=broker, clock=clock)
    trader.pre_trade = capped
    trader.on("decision", lambda event: print(event["symbol"], event["action"], event["reason"] or ""))
    trader.on("fill", lambda event: print(event["side"], event["qty"], "at", event["price"]))
    trader.on("halt", lambda event: print("halted:", event["cause"]))
    async with trader:
        async for closed in bars:
            await trader.step(closed)
            if trader.status().equity < Decimal(90_000):
                trader.halt()  # from any thread; exits stay allowed
            await asyncio.sleep(0)  # whatever else this loop does
    return trader.status()
