"""One run of the trader on a played venue: in this process, or in one of its own that a plan may kill.

``python -m trader_sdk.faults.actor`` reads a :class:`Part` from standard input, plays it, and writes what the trader
told as JSON lines, the last of which says how it ended; a process that was killed writes no such line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.contract.errors import SdkError
from trader_sdk.exchange.fault_plan import KillFault, KillPoint, Stage
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.stage import Address, PlayedVenue
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.journal import Journal
from trader_sdk.live.trader import LiveTrader

JOURNAL_FOLDER: Final = "journal"
_SCALED: Final[Mapping[str, Any]] = {"unknown_grace_seconds": 0.05, "stream_barrier_seconds": 0.4}
"""Waits on the wall clock, scaled down like the bounds of requests."""
_PART_SECONDS: Final = 120.0
_KILLED_AT: Final[Mapping[KillPoint, tuple[type, str]]] = {
    KillPoint.SUBMIT: (AlpacaBroker, "submit"),
    KillPoint.COMMIT: (Journal, "append"),
    KillPoint.READ: (AlpacaBroker, "orders_since"),
    KillPoint.ADVANCE: (PlayedVenue, "_move"),
}
Told = Callable[[str, Mapping[str, Any]], None]


class Part(BaseModel):
    """One run: from a start of the trader to its end.

    Attributes:
        scenario: Market and settings.
        address: Of the running exchange.
        folder: Holds the journal.
        archive: Holds the models.
        until: Venue time at which the trader is stopped.
        kill: Where its process is killed, None for a run in this process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Scenario
    address: Address
    folder: Path
    archive: Path
    until: datetime
    kill: KillFault | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended; ``exit_code`` is None where the process was killed."""

    exit_code: int | None = None
    crash: str | None = None


def run_here(part: Part, told: Told) -> Ended:
    """Run the trader in this process."""
    scenario = part.scenario
    fields = {"archive": str(part.archive), "symbols": tuple(scenario.moves), "timeframe": scenario.timeframe}
    config = LiveConfig.of(**{**fields, "state_dir": part.folder / JOURNAL_FOLDER, **_SCALED, **scenario.config})
    venue = PlayedVenue(part.address, monotonic_rate=scenario.monotonic_rate, pace_seconds=scenario.pace_seconds)
    trader = LiveTrader(config, archive=part.archive, broker=venue.broker, clock=venue.clock)
    trader.observe(told)

    async def run() -> int:
        async with trader:
            return (await trader.run(part.until)).exit_code

    # The library says on its logger what the trader says by its own events.
    logging.getLogger("alpaca").setLevel(logging.CRITICAL)
    try:
        return Ended(asyncio.run(run()))
    except SdkError as error:
        return Ended(error.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this campaign's finding, and I6 reports it
        return Ended(1, f"{type(error).__name__}: {error}")
    finally:
        venue.close()


def run_apart(part: Part, told: Told) -> Ended:
    """Run the trader in a process of its own, which is killed where the part says."""
    argv = [sys.executable, "-m", "trader_sdk.faults.actor"]
    done = subprocess.run(  # noqa: S603 - our own module, no shell
        argv, input=part.model_dump_json(), capture_output=True, text=True, timeout=_PART_SECONDS, check=False
    )
    ended = Ended(None if done.returncode == -signal.SIGKILL else 1, None)
    for line in done.stdout.splitlines():
        said = json.loads(line)
        if "told" in said:
            told(*said["told"])
        else:
            ended = Ended(said["exit_code"], said["crash"])
    if ended == Ended(1, None):
        return Ended(1, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the process said nothing")
    return ended


def arm(kill: KillFault) -> None:
    """Have this process killed at the n-th call of one step."""
    owner, name = _KILLED_AT[kill.point]
    original, calls = getattr(owner, name), 0

    def wrapped(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        strikes = calls == kill.nth
        if strikes and kill.stage is Stage.BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*given, **named)
        if strikes:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


def main() -> int:
    """Play the part on standard input and return the trader's exit code."""
    part = Part.model_validate_json(sys.stdin.read())
    if part.kill is not None:
        arm(part.kill)

    def write(line: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(line, default=str) + "\n")
        sys.stdout.flush()

    ended = run_here(part, lambda name, fields: write({"told": [name, dict(fields)]}))
    write({"exit_code": ended.exit_code, "crash": ended.crash})
    return ended.exit_code or 0


if __name__ == "__main__":
    sys.exit(main())
