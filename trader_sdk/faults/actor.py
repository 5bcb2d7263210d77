"""One run of the trader on a played venue: in this process, or in one of its own that a plan may kill.

A process of its own is forked from a server that has imported everything once, so that a campaign can afford hundreds
of them; what the trader tells comes back over a pipe, and a process that was killed says nothing of its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.contract.errors import SdkError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.exchange.fault_plan import KillFault, KillPoint, Stage
from trader_sdk.faults.archive_acts import Meddler
from trader_sdk.faults.asks import Asker
from trader_sdk.faults.forking import fork_server
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.stage import Address, PlayedVenue
from trader_sdk.faults.strikes import arm_strikes
from trader_sdk.live import swaps
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.journal import Journal
from trader_sdk.live.trader import LiveTrader
from trader_sdk.signals import keep_kill_signal, signals_handled

JOURNAL_FOLDER: Final = "journal"
_SCALED: Final[Mapping[str, Any]] = {"unknown_grace_seconds": 0.05, "stream_barrier_seconds": 0.4}
"""Waits on the wall clock, scaled down like the bounds of requests."""
_PART_SECONDS: Final = 300.0
KILLED_AT: Final[Mapping[KillPoint, tuple[object, str, JournalEvent | None]]] = {
    KillPoint.SUBMIT: (AlpacaBroker, "submit", None),
    KillPoint.COMMIT: (Journal, "append", None),
    KillPoint.READ: (AlpacaBroker, "orders_since", None),
    KillPoint.ADVANCE: (PlayedVenue, "_move", None),
    KillPoint.INTENT: (Journal, "append", JournalEvent.INTENT_RECORDED),
    KillPoint.FILL: (Journal, "append", JournalEvent.FILL_RECORDED),
    KillPoint.ROUND: (Journal, "append", JournalEvent.RECONCILE_FINISHED),
    KillPoint.WRITE: (Journal, "_insert", None),
    KillPoint.CHECKPOINT: (Journal, "close", None),
    KillPoint.CANDIDATE: (swaps, "play_candidate", None),
    KillPoint.SWAP: (Journal, "append", JournalEvent.MODEL_SWAPPED),
}
"""Which call a kill waits for; a commit may have to hold a certain event."""
Told = Callable[[str, Mapping[str, Any]], None]


class Part(BaseModel):
    """One run: from a start of the trader to its end.

    Attributes:
        scenario: Market and settings.
        address: Of the running exchange.
        folder: Holds the journal.
        archive: Holds the models.
        until: Venue time at which the trader is stopped.
        kill: Where its process is killed, None where it is not.
        start: Which start of the trader it is, for the scenario's strikes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: Scenario
    address: Address
    folder: Path
    archive: Path
    until: datetime
    kill: KillFault | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended; ``exit_code`` is None where the process was killed."""

    exit_code: int | None = None
    crash: str | None = None


def run_here(part: Part, told: Told) -> Ended:
    """Run the trader in this process."""
    scenario = part.scenario
    meddler = Meddler(scenario.archive, part.archive, part.folder, scenario.timeframe) if scenario.archive else None
    archive = part.archive if meddler is None else meddler.archive
    fields = {"archive": str(archive), "symbols": tuple(scenario.moves), "timeframe": scenario.timeframe}
    config = LiveConfig.of(**{**fields, "state_dir": part.folder / JOURNAL_FOLDER, **_SCALED, **scenario.config})
    venue = PlayedVenue(part.address, scenario)
    trader = LiveTrader(config, archive=archive, broker=venue.broker, clock=venue.clock)
    trader.observe(told)
    if meddler is not None:
        trader.observe(meddler.told)
    trader.observe(Asker(scenario.asks, trader, told).told)

    async def run() -> int:
        with signals_handled(trader) if scenario.strikes else nullcontext():
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
    process, hears = start_apart(part)
    ended = Ended()
    for said in heard(hears):
        if "told" in said:
            told(*said["told"])
        else:
            ended = Ended(said["exit_code"], said["crash"])
    process.join(_PART_SECONDS)
    if process.exitcode == -signal.SIGKILL:
        return Ended()
    return ended if ended.exit_code is not None else Ended(1, f"the process ended with {process.exitcode}")


def start_apart(part: Part, *, from_nothing: bool = False) -> tuple[BaseProcess, Connection]:
    """Start the trader in a process of its own and return it with the end of the pipe that hears it.

    Args:
        part: What it plays.
        from_nothing: Start a new interpreter that has imported nothing, as a supervisor does.
    """
    context = multiprocessing.get_context("spawn") if from_nothing else fork_server()
    hears, says = context.Pipe(duplex=False)
    process = context.Process(target=_play, args=(part.model_dump_json(), says), daemon=True)
    process.start()
    says.close()
    return process, hears


def heard(hears: Connection) -> Iterator[Mapping[str, Any]]:
    """Yield what a process says until it ends, however it ends."""
    with hears:
        while True:
            try:
                line = hears.recv_bytes()
            except (EOFError, OSError):
                return
            yield json.loads(line)


def arm(kill: KillFault) -> None:
    """Have this process killed at the n-th call of one step."""
    owner, name, event = KILLED_AT[kill.point]
    original, calls = getattr(owner, name), 0

    def wrapped(*given: Any, **named: Any) -> Any:
        nonlocal calls
        if name == "append":
            given = (given[0], tuple(given[1]))
        is_meant = event is None or any(draft.event is event for draft in given[1])
        calls += is_meant
        strikes = is_meant and calls == kill.nth
        if strikes and kill.stage is Stage.BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*given, **named)
        if strikes:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


def _play(text: str, says: Connection) -> None:
    """Play a part and say what happens, line by line."""
    part = Part.model_validate_json(text)
    keep_kill_signal()
    arm_strikes(part.scenario.strikes, part.start)
    if part.kill is not None:
        arm(part.kill)

    def write(line: Mapping[str, Any]) -> None:
        says.send_bytes(json.dumps(line, default=str).encode())

    ended = run_here(part, lambda name, fields: write({"told": [name, dict(fields)]}))
    write({"exit_code": ended.exit_code, "crash": ended.crash})
