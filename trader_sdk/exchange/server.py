"""The thin shell: one ASGI application over a venue, served by uvicorn in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import uvicorn
from filelock import FileLock, Timeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from trader_sdk.contract.errors import ConfigError, StorageError
from trader_sdk.exchange.account_api import account_routes
from trader_sdk.exchange.config import LOCK_FILE, LOG_FILE, MARKET_FILE, ExchangeSetup
from trader_sdk.exchange.connections import TrackedProtocol
from trader_sdk.exchange.control_api import announce, control_routes
from trader_sdk.exchange.data_api import data_routes
from trader_sdk.exchange.fault_plan import load_plan
from trader_sdk.exchange.faults import Faults, NoFaults
from trader_sdk.exchange.gatekeeper import Gatekeeper, Keys, RateLimit
from trader_sdk.exchange.hub import Hub
from trader_sdk.exchange.log import EventLog
from trader_sdk.exchange.market import Market
from trader_sdk.exchange.planned_faults import PlannedFaults
from trader_sdk.exchange.streams import MarketData, TradeUpdates
from trader_sdk.exchange.trading_api import trading_routes
from trader_sdk.exchange.venue import Venue

_LOCK_SECONDS: Final = 10.0
_STORAGE_EXIT: Final = 8


def build_app(hub: Hub, *, stop: Callable[[], None], on_start: Callable[[], None]) -> ASGIApp:
    """Return the ASGI application over a venue.

    Args:
        hub: The venue.
        stop: Ends the process in good order.
        on_start: Called once when the application is ready to serve.
    """
    setup = hub.venue.setup
    keys = Keys(setup.key.get_secret_value(), setup.secret.get_secret_value())
    # One service each, because the limit of connections is each service's own.
    trades, shares, coins = TradeUpdates(hub, keys), MarketData(hub, keys), MarketData(hub, keys)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        pacer = asyncio.create_task(_keep_pace(hub))
        on_start()
        yield
        pacer.cancel()

    app = Starlette(
        routes=[
            *account_routes(hub),
            *trading_routes(hub),
            *data_routes(hub),
            *control_routes(hub, stop),
            WebSocketRoute("/stream", trades.__call__),
            WebSocketRoute("/v2/{feed}", shares.__call__),
            WebSocketRoute("/v1beta3/crypto/us", coins.__call__),
        ],
        exception_handlers={HTTPException: _unknown_endpoint},
        lifespan=lifespan,
    )
    return Gatekeeper(app, keys=keys, limit=_rate_limit(hub), hub=hub)


def _rate_limit(hub: Hub) -> RateLimit:
    setup = hub.venue.setup
    clock = (lambda: hub.state.now / 1e9) if setup.rate_clock == "venue" else time.time
    return RateLimit(setup.requests_per_minute, clock)


async def _unknown_endpoint(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"code": 40410000, "message": "endpoint not found."}, status)


async def _keep_pace(hub: Hub) -> None:
    """Move the venue by the wall clock while a speed is set; instants between two bars share the time of one bar."""
    while True:
        speed = hub.speed_seconds
        if speed is None or hub.venue.is_finished:
            async with hub.moved:
                await hub.moved.wait()
            continue
        await asyncio.sleep(speed / hub.venue.instants_per_bar)
        if hub.speed_seconds is not None:
            hub.advance()
            await announce(hub)


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    watch_stdin: bool = False,
    fault_plan: Path | None = None,
    on_ready: Callable[[str, int], None],
) -> int:
    """Serve the exchange of a state folder until it is told to stop.

    Args:
        folder: Holds setup, market and, from an earlier process, the log that the venue rebuilds from.
        host: Address to bind; the keys of the setup guard every surface.
        port: 0 takes a free one.
        watch_stdin: End when standard input does, so that the exchange does not outlive its parent.
        fault_plan: What goes wrong between venue and clients; nothing when omitted.
        on_ready: Told address and port once the venue serves.

    Returns:
        Exit code: 0, or 8 when the log could not be written.

    Raises:
        ConfigError: The folder holds no setup, or the address cannot be bound.
        StorageError: Another process serves this folder, or its log is damaged.
    """
    faults = NoFaults() if fault_plan is None else PlannedFaults(load_plan(fault_plan))
    with _locked(folder):
        setup, market = ExchangeSetup.load(folder), Market.load(folder / MARKET_FILE)
        venue = Venue(setup, market, EventLog(folder / LOG_FILE))
        listener = _bind(host, port)
        try:
            return _run(venue, listener, faults, watch_stdin=watch_stdin, on_ready=on_ready)
        finally:
            venue.close()
            listener.close()


def _run(
    venue: Venue,
    listener: socket.socket,
    faults: Faults,
    *,
    watch_stdin: bool,
    on_ready: Callable[[str, int], None],
) -> int:
    failed: list[int] = []

    def stop() -> None:
        server.should_exit = True

    def fail() -> None:
        failed.append(_STORAGE_EXIT)
        server.should_exit = True

    host, port = listener.getsockname()[:2]
    hub = Hub(venue, faults=faults, on_fatal=fail)
    config = uvicorn.Config(
        build_app(hub, stop=stop, on_start=lambda: on_ready(host, port)),
        http=TrackedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # venue time is another than the wall's; a client would take it for clock skew
        ws_max_size=1 << 20,
        ws_ping_interval=None,
        timeout_graceful_shutdown=1,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    if watch_stdin:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()
    server.run(sockets=[listener])
    return failed[0] if failed else 0


def _wait_for_end_of_input(stop: Callable[[], None]) -> None:
    """Block until the parent's end of the pipe closes, however the parent ended."""
    while sys.stdin.buffer.read(4096):
        continue
    logging.getLogger(__name__).info("parent_ended")
    stop()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's algorithm off only where it is; left on, every reply would
    # wait 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError("CONFIG", "the address cannot be bound", where=f"{host}:{port}", found=error) from error
    listener.listen(256)
    return listener


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK_FILE, timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise StorageError("LOCKED", "another process serves this exchange", where=str(folder)) from error
    try:
        yield
    finally:
        lock.release()
