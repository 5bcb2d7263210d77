"""An exchange in a process of its own on loopback, as a context manager."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import ERROR_TABLE, ConfigError, error_for
from trader_sdk.exchange.config import MARKET_FILE, OUTPUT_FILE, PORT_FILE, SETUP_FILE, ExchangeSetup
from trader_sdk.exchange.market import Market, sessions_of
from trader_sdk.exchange.sessions import nanoseconds, utc

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 5.0


class LocalExchange:
    """The embedded paper exchange, running.

    Args:
        state_dir: Holds everything of one run: setup, market, event log, output. A folder that holds a run is resumed:
            the exchange rebuilds to what it had acknowledged, whatever ended the last process.
        setup: What the run is. None resumes.
        bars: What is replayed, by symbol, all of one timeframe. None resumes.
        sessions: (open, close) of the equity calendar, nanoseconds UTC; asked from ``trader_sdk.data`` when omitted.
        fault_plan: File that says what goes wrong between venue and clients.

    Raises:
        ConfigError: Nothing to resume, or the folder holds another run.
        SdkError: The process ended before it served; the error says why.

    Example:
        >>> with LocalExchange(folder, setup, {"AAPL": bars}) as exchange:  # doctest: +SKIP
        ...     client = TradingClient(exchange.key, exchange.secret, url_override=exchange.rest_url)
    """

    def __init__(
        self,
        state_dir: Path,
        setup: ExchangeSetup | None = None,
        bars: Mapping[str, Bars] | None = None,
        *,
        sessions: list[tuple[int, int]] | None = None,
        fault_plan: Path | None = None,
    ) -> None:
        self.state_dir = state_dir
        self._fault_plan = fault_plan
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        if setup is None or bars is None:
            self.setup = ExchangeSetup.load(state_dir)
        else:
            self.setup = prepare(state_dir, setup, bars, sessions)

    @classmethod
    def running_in(cls, state_dir: Path) -> Self:
        """Return the exchange that another process started here, to ask it; it is not ended with the context.

        Raises:
            ConfigError: None was started here, or it has ended.
        """
        exchange = cls(state_dir)
        try:
            exchange._port = int((state_dir / PORT_FILE).read_text("ascii"))
        except (OSError, ValueError) as error:
            raise ConfigError("CONFIG", "no exchange is running here", where=str(state_dir)) from error
        return exchange

    @staticmethod
    def is_in(state_dir: Path) -> bool:
        """Return whether a folder holds a run that can be resumed."""
        return (state_dir / SETUP_FILE).exists() and (state_dir / MARKET_FILE).exists()

    @property
    def rest_url(self) -> str:
        """Return the base address of the trading API (alpaca-py's ``url_override``)."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def data_url(self) -> str:
        """Return the base address of the market-data API."""
        return self.rest_url

    @property
    def control_url(self) -> str:
        """Return the base address of the control channel."""
        return f"{self.rest_url}/_control"

    @property
    def trading_stream_url(self) -> str:
        """Return the address of the order events' websocket."""
        return f"ws://127.0.0.1:{self._port}/stream"

    @property
    def data_stream_url(self) -> str:
        """Return the address of the market data's websocket."""
        return f"ws://127.0.0.1:{self._port}/v2/iex"

    @property
    def crypto_stream_url(self) -> str:
        """Return the address of the crypto data's websocket."""
        return f"ws://127.0.0.1:{self._port}/v1beta3/crypto/us"

    @property
    def key(self) -> str:
        """Return the API key."""
        return self.setup.key.get_secret_value()

    @property
    def secret(self) -> str:
        """Return the API secret."""
        return self.setup.secret.get_secret_value()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return 0 if self._process is None else self._process.pid

    @property
    def output_path(self) -> Path:
        """Return the file that holds what the process wrote."""
        return self.state_dir / OUTPUT_FILE

    def start(self) -> Self:
        """Start the process and wait until it serves."""
        faults = [] if self._fault_plan is None else ["--fault-plan", str(self._fault_plan)]
        with self.output_path.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "trader_sdk.exchange", str(self.state_dir), "--watch-stdin", *faults],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        self._port = self._read_port()
        (self.state_dir / PORT_FILE).write_text(str(self._port), "ascii")
        return self

    def stop(self) -> int:
        """End the process and return its exit code; it is killed if it does not go by itself."""
        process = self._process
        if process is None:
            return 0
        self._process = None
        (self.state_dir / PORT_FILE).unlink(missing_ok=True)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
            self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read_port(self) -> int:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        deadline = time.monotonic() + _READY_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(process.stdout.fileno(), 4096) if readable else b""
            if not chunk:
                raise self._failure()
            line += chunk
        return int(json.loads(line)["port"])

    def _failure(self) -> Exception:
        code = self.stop()
        output = self.output_path.read_text("utf-8", errors="replace").strip().splitlines()
        last = output[-1] if output else "no output"
        name = last.split(" ", 1)[0]
        return error_for(
            name if name in ERROR_TABLE else "CONFIG",
            "the embedded exchange did not start",
            where=str(self.state_dir),
            expected="a ready line",
            found=f"exit code {code}: {last}",
            remedy=f"Read {self.output_path}.",
        )


def prepare(
    folder: Path,
    setup: ExchangeSetup,
    bars: Mapping[str, Bars],
    sessions: list[tuple[int, int]] | None = None,
) -> ExchangeSetup:
    """Write a new run into its folder; a folder that holds one already must hold this one.

    Args:
        folder: Made if missing.
        setup: What the run is.
        bars: What is replayed, by symbol.
        sessions: (open, close) of the equity calendar, nanoseconds UTC; asked from ``trader_sdk.data`` when omitted.

    Returns:
        The setup that the folder holds now: the given one, or the older one of the same run, whose keys stay.

    Raises:
        ConfigError: The folder holds another run.
    """
    if LocalExchange.is_in(folder):
        existing = ExchangeSetup.load(folder)
        if existing.run_id != setup.run_id or existing.start_ns != setup.start_ns:
            raise ConfigError(
                "CONFIG",
                "the folder holds another run",
                where=str(folder),
                expected=setup.run_id,
                found=existing.run_id,
                remedy="Resume it without a setup, or choose another folder.",
            )
        return existing
    missing = sorted(set(bars) ^ {asset.symbol for asset in setup.assets})
    if missing:
        raise ConfigError("CONFIG", "assets and bars differ", where="exchange setup", found=", ".join(missing))
    folder.mkdir(parents=True, exist_ok=True)
    market = Market(bars, sessions_of(bars, _calendar(bars) if sessions is None else sessions))
    market.save(folder / MARKET_FILE)
    setup.save(folder)
    return setup


def _calendar(bars: Mapping[str, Bars]) -> list[tuple[int, int]]:
    """Return New York's sessions around the bars, from the year before to the year after."""
    from trader_sdk.data.calendar import XNYS, get_calendar  # imports pandas: not in the exchange's own process

    first = utc(min(int(series.t[0]) for series in bars.values())).date() - timedelta(days=366)
    last = utc(max(int(series.t[-1]) for series in bars.values())).date() + timedelta(days=366)
    table = get_calendar(XNYS).sessions(first, last)
    return [(nanoseconds(session.open), nanoseconds(session.close)) for session in table]
