"""A real exchange process on loopback over a small market that is known to the cent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.trading.client import TradingClient

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import local_endpoint
from trader_sdk.broker.local_control import Advance, LocalControl
from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.exchange import AssetSetup, ExchangeSetup, LocalExchange

NEW_YORK = ZoneInfo("America/New_York")
MINUTE_NS = 60_000_000_000
REPLAYED_DAY = dt.date(2024, 3, 8)
REPLAYED_MINUTES = 60
DAYS = [day for day in (dt.date(2024, 1, 31) + dt.timedelta(n) for n in range(45)) if day.weekday() < 5]
"""Sessions from 2024-01-31; New York's clocks change on 2024-03-10."""


def nanoseconds(day: dt.date, clock: dt.time) -> int:
    """Return a moment of New York in nanoseconds UTC."""
    return int(dt.datetime.combine(day, clock, NEW_YORK).timestamp()) * 1_000_000_000


SESSIONS = [(nanoseconds(day, dt.time(9, 30)), nanoseconds(day, dt.time(16))) for day in DAYS]
START_NS = nanoseconds(REPLAYED_DAY, dt.time(9, 30))


def flat_bars(symbol: str, price: float, volume: float, days: list[dt.date]) -> Bars:
    """Return minutes of full sessions, and of the start of the replayed day, around one price."""
    opens = [nanoseconds(day, dt.time(9, 30)) for day in days]
    minutes = [at + n * MINUTE_NS for at in opens for n in range(390)]
    minutes += [START_NS + n * MINUTE_NS for n in range(REPLAYED_MINUTES)]
    flat = np.full(len(minutes), price)
    return Bars(
        symbol=symbol,
        timeframe=Timeframe.MIN_1,
        t=np.array(minutes, dtype=np.int64),
        open=flat,
        high=flat * 1.01,
        low=flat * 0.99,
        close=flat.copy(),
        volume=np.full(len(minutes), volume),
        kind=DataKind.SIMULATED,
        feed="simulated",
        adjustment="split",
        calendar="24/7" if "/" in symbol else "XNYS",
    )


def market() -> dict[str, Bars]:
    """Return a liquid share with 10,530 minutes of history, a thin one, a penny stock, a coin, and three oddities."""
    past = [day for day in DAYS if day < REPLAYED_DAY]
    last = past[-1:]
    series = [
        flat_bars("AAPL", 100.0, 1_000_000, past),
        flat_bars("THIN", 50.0, 1_000, last),
        flat_bars("PNNY", 0.5, 1_000_000, last),
        flat_bars("HARD", 20.0, 1_000_000, last),
        flat_bars("DEAD", 20.0, 1_000_000, last),
        flat_bars("BTC/USD", 40_000.0, 1_000, last),
    ]
    return {bars.symbol: bars for bars in series}


def setup_of(bars: dict[str, Bars], **changes: object) -> ExchangeSetup:
    """Return the setup of a run over ``bars``."""
    odd = {"HARD": {"easy_to_borrow": False, "fractionable": False}, "DEAD": {"tradable": False}}
    assets = tuple(AssetSetup.of(series).model_copy(update=odd.get(symbol, {})) for symbol, series in bars.items())
    return ExchangeSetup(**({"run_id": "conformance", "assets": assets, "start_ns": START_NS} | changes))


@dataclass
class Venue:
    """A running exchange with everything that speaks to it.

    ``move`` lets the market move once; the clients are alpaca-py's own, in parsed mode.
    """

    exchange: LocalExchange
    broker: AlpacaBroker
    control: LocalControl
    trading: TradingClient
    stocks: StockHistoricalDataClient
    coins: CryptoHistoricalDataClient
    credentials: Credentials
    used_ids: int = 0

    def move(self, until: str = "instant") -> Advance:
        """Let the market move to its next instant, or to the next bar."""
        return self.control.ready(self.control.state().instant, until=until)

    def new_id(self) -> str:
        """Return a client_order_id that was not used before."""
        self.used_ids += 1
        return f"lt1-test-{self.used_ids}"

    def clear(self) -> None:
        """Cancel every order and close every position."""
        self.trading.cancel_orders()
        self.trading.close_all_positions(cancel_orders=True)
        for _ in range(3):
            if not self.broker.positions() and not self.broker.open_orders():
                return
            self.move("bar")
        raise AssertionError("the account is not flat")


@pytest.fixture(scope="session")
def start_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Venue]]:
    """Start exchanges in processes of their own; all are stopped at the end."""
    bars, venues = market(), []

    def start(**changes: object) -> Venue:
        folder: Path = tmp_path_factory.mktemp("exchange")
        exchange = LocalExchange(folder, setup_of(bars, **changes), bars, sessions=SESSIONS).start()
        keys = Credentials.of(exchange.key, exchange.secret)
        endpoint = local_endpoint(exchange, feed_label="simulated", data_kind=DataKind.SIMULATED)
        pair = (exchange.key, exchange.secret)
        venues.append(
            Venue(
                exchange,
                AlpacaBroker(endpoint, keys),
                LocalControl(exchange.control_url, keys),
                TradingClient(*pair, url_override=exchange.rest_url),
                StockHistoricalDataClient(*pair, url_override=exchange.data_url),
                CryptoHistoricalDataClient(*pair, url_override=exchange.data_url),
                keys,
            )
        )
        return venues[-1]

    yield start
    for venue in venues:
        venue.control.close()
        venue.broker.close()
        venue.exchange.stop()


@pytest.fixture(scope="module")
def open_venue(start_venue: Callable[..., Venue]) -> Venue:
    """Return a venue whose session has just opened, with the first bar running."""
    venue = start_venue()
    while not venue.control.state().is_open:
        venue.move()
    return venue
