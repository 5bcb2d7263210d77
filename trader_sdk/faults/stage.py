"""Where a session is played: an exchange with a plan, and a clock that moves when the trader sleeps."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

import requests
from pydantic import BaseModel, ConfigDict

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.alpaca_http import ReadRetry
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import Timeouts, local_endpoint
from trader_sdk.broker.local_control import LocalControl, VenueState
from trader_sdk.broker.request_budget import RequestBudget
from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import BrokerError
from trader_sdk.exchange import AssetSetup, ExchangeSetup, LocalExchange
from trader_sdk.exchange.config import LOG_FILE
from trader_sdk.exchange.server import serve
from trader_sdk.faults.forking import fork_server
from trader_sdk.faults.scenario import Scenario
from trader_sdk.live.clock import WallClock
from trader_sdk.live.schedule import Schedule

PLAN_FILE: Final = "fault-plan.json"
BOUNDS: Final = Timeouts(connect_seconds=1.0, read_seconds=0.4, total_seconds=0.8)
"""The trader's bounds of a request, scaled down so that a hanging reply costs a campaign no time."""
_RETRY: Final = ReadRetry(attempts=3, wait_seconds=0.01)
_LONGEST_NAP_SECONDS: Final = 7_200.0
_SHORTEST_WAIT_SECONDS: Final = 0.001
_PACED_SECONDS: Final = 60.0
_START_SECONDS: Final = 20.0


class ThreadExchange(LocalExchange):
    """The exchange in a thread of this process: the same server on the same loopback, without a process to start."""

    def start(self) -> Self:
        """Start the thread and wait until it serves."""
        ready = threading.Event()

        def on_ready(_host: str, port: int) -> None:
            self._port = port
            ready.set()

        def run() -> None:
            serve(self.state_dir, fault_plan=self.state_dir / PLAN_FILE, on_ready=on_ready)

        self._thread = threading.Thread(target=run, name="exchange", daemon=True)
        self._thread.start()
        if not ready.wait(_START_SECONDS):
            raise BrokerError("E802", "the exchange's thread did not start", where=str(self.state_dir))
        return self

    def stop(self) -> int:
        """Tell the server to end; its log is complete, and nobody waits for it to say goodbye to its connections."""
        with LocalControl(self.control_url, Credentials.of(self.key, self.secret)) as control:
            control.stop()
        return 0


class ForkedExchange(LocalExchange):
    """The exchange in a process of its own that costs little to start."""

    def start(self) -> Self:
        """Start the process and wait until it serves."""
        hears, says = fork_server().Pipe(duplex=False)
        self._forked = fork_server().Process(target=_serve, args=(self.state_dir, says), daemon=True)
        self._forked.start()
        says.close()
        with hears:
            if not hears.poll(_START_SECONDS):
                raise BrokerError("E802", "the exchange's process did not start", where=str(self.state_dir))
            self._port = int(hears.recv())
        return self

    def stop(self) -> int:
        """End the server."""
        with LocalControl(self.control_url, Credentials.of(self.key, self.secret)) as control:
            control.stop()
        self._forked.join(_START_SECONDS)
        return self._forked.exitcode or 0


def _serve(folder: Path, says: Connection) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)  # what is done to it on purpose
    serve(folder, fault_plan=folder / PLAN_FILE, on_ready=lambda _host, port: says.send(port))


class PlayedBroker(AlpacaBroker):
    """The exchange under the name of Alpaca's paper house: everything that depends on the mode takes Alpaca's way."""

    @property
    def name(self) -> str:
        """Return Alpaca's paper house."""
        return "alpaca-paper"


class Address(BaseModel):
    """Where a running exchange is, as plain data that another process can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rest_url: str
    data_url: str
    trading_stream_url: str
    data_stream_url: str
    crypto_stream_url: str
    control_url: str
    key: str
    secret: str

    @classmethod
    def of(cls, exchange: LocalExchange) -> Self:
        """Return where ``exchange`` is."""
        return cls(**{name: getattr(exchange, name) for name in cls.model_fields})

    @property
    def headers(self) -> dict[str, str]:
        """Return the keys as requests carry them."""
        return {"APCA-API-KEY-ID": self.key, "APCA-API-SECRET-KEY": self.secret}


class PlayedVenue:
    """A running venue whose time passes only while the trader sleeps.

    Args:
        address: Of a running exchange.
        scenario: How its clocks go wrong, how fast a bar passes, and how much may be asked.

    Attributes:
        broker: The port to it.
    """

    def __init__(self, address: Address, scenario: Scenario) -> None:
        self._jumps, self._pace_seconds = scenario.jumps, scenario.pace_seconds
        self._naps = list(scenario.naps)
        self._slept_seconds = 0.0
        credentials = Credentials.of(address.key, address.secret)
        endpoint = local_endpoint(address, feed_label="simulated", data_kind=DataKind.SIMULATED)
        self._control = LocalControl(address.control_url, credentials)
        self._state = self._control.state()
        self._moving: asyncio.Future[VenueState] | None = None
        budget = RequestBudget(scenario.requests_per_minute, monotonic=self.monotonic, sleep=self._wait)
        wall: Callable[[], float] = lambda: self.now().timestamp()  # noqa: E731 - an argument that needs its type
        self.broker = PlayedBroker(endpoint, credentials, timeouts=BOUNDS, retry=_RETRY, budget=budget, wall=wall)

    def now(self) -> datetime:
        """Return venue time as the trader's own clock has it."""
        return self._state.at + timedelta(seconds=self._wrong_by_seconds())

    def _wrong_by_seconds(self) -> float:
        return sum(seconds for bar, seconds in self._jumps if self._state.bars_released >= bar)

    def monotonic(self) -> float:
        """Return seconds that follow venue time and that nobody sets; they stand still while the machine sleeps."""
        return self._state.at.timestamp() - self._slept_seconds

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at the venue, instant by instant; a sleep that is cut short leaves time consistent."""
        until = self._state.at + timedelta(seconds=seconds)
        while self._state.at < until and not self._state.is_finished:
            if self._moving is None or self._moving.done():
                self._moving = asyncio.ensure_future(asyncio.to_thread(self._move, until))
                self._moving.add_done_callback(self._arrive)
            await asyncio.shield(self._moving)
        await asyncio.sleep(min(self._pace_seconds, self._pace_seconds * seconds / _PACED_SECONDS))

    def _move(self, until: datetime) -> VenueState:
        return self._control.ready(self._state.instant, wake_at=until).state

    def _arrive(self, moving: asyncio.Future[VenueState]) -> None:
        """Let the trader see the time that has come; a machine that sleeps then sees and hears nothing before."""
        if moving.cancelled() or moving.exception() is not None:
            return
        self._state = moving.result()
        for nap in [nap for nap in self._naps if nap[0] <= self._state.bars_released]:
            self._naps.remove(nap)
            self._slept_seconds += nap[1]
            self._wait(nap[1])

    def _wait(self, seconds: float) -> None:
        """Let time pass while nothing of the trader runs."""
        until = self._state.at + timedelta(seconds=max(seconds, _SHORTEST_WAIT_SECONDS))
        while self._state.at < until and not self._state.is_finished:
            self._state = self._control.ready(self._state.instant, wake_at=until).state

    def clock(self, schedule: Schedule) -> WallClock:
        """Return the clock that the trader uses for Alpaca, on this time."""
        return WallClock(
            schedule,
            wall=self.now,
            sleep=self.sleep,
            monotonic=self.monotonic,
            longest_nap_seconds=_LONGEST_NAP_SECONDS,
        )

    @property
    def state(self) -> VenueState:
        """Return where the replay stands."""
        return self._state

    def close(self) -> None:
        """Close the connections."""
        self._control.close()
        self.broker.close()


@contextmanager
def opened(folder: Path, scenario: Scenario, *, own_process: bool) -> Iterator[Address]:
    """Yield the address of a venue that replays a scenario's market and misbehaves by its plan.

    Args:
        folder: Keeps the exchange's log.
        scenario: Market, plan and clocks.
        own_process: Whether the exchange is a process, or a thread of this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan_file = folder / PLAN_FILE
    plan_file.write_text(json.dumps(scenario.plan.dump(), indent=1), "utf-8")
    market = scenario.market
    bars = market.bars()
    assets = tuple(AssetSetup.of(series) for series in bars.values())
    setup = ExchangeSetup(
        run_id="faults",
        assets=assets,
        start_ns=market.replay_start(),
        requests_per_minute=scenario.requests_per_minute,
        rate_clock="venue",
    )
    kind = ForkedExchange if own_process else ThreadExchange
    with kind(folder, setup, bars, sessions=market.sessions(), fault_plan=plan_file) as exchange:
        yield Address.of(exchange)


def let_pass(address: Address, span: timedelta) -> None:
    """Let venue time pass while nobody trades."""
    with LocalControl(address.control_url, Credentials.of(address.key, address.secret)) as control:
        state = control.state()
        until = state.at + span
        while state.at < until and not state.is_finished:
            state = control.ready(state.instant, wake_at=until).state


def struck_at(address: Address) -> dict[str, Any]:
    """Return what the plan did: strikes, writes, counts of requests."""
    return dict(requests.get(f"{address.rest_url}/_fault", headers=address.headers, timeout=10).json())


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of an exchange's log, the first line excepted."""
    lines = (folder / LOG_FILE).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]
