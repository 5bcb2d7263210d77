"""One session: the real trader on a played venue, from its first start to its last end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from trader_sdk.contract.errors import SdkError
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.stage import PlayedVenue, opened, read_log
from trader_sdk.live.config import LiveConfig
from trader_sdk.live.events import bar_time
from trader_sdk.live.journal import read_events
from trader_sdk.live.trader import LiveTrader

_SCALED: Final[Mapping[str, Any]] = {"unknown_grace_seconds": 0.05, "stream_barrier_seconds": 0.4}
"""Waits on the wall clock, scaled down like the bounds of requests."""
_AFTER_LAST_BAR: Final = timedelta(seconds=30)
_JOURNAL: Final = "journal"


@dataclass(slots=True)
class _Ended:
    """How the trader's runs ended."""

    exit_code: int | None = None
    crash: str | None = None


def play(scenario: Scenario, folder: Path, archive: Path, *, own_process: bool = False) -> Evidence:
    """Play a scenario and return what it left behind.

    Args:
        scenario: Market, plan and settings.
        folder: Made; keeps the exchange's log, the journal and what the plan did.
        archive: Holds a model of every symbol.
        own_process: Whether the exchange runs in a process of its own.
    """
    market = scenario.market
    told: list[tuple[str, Mapping[str, Any]]] = []
    n_told = 0
    with opened(folder / "exchange", scenario, own_process=own_process) as venue:
        first = bar_time(market.replay_start())
        ends = [first + market.length * bar + _AFTER_LAST_BAR for bar in (*scenario.stops, market.n_bars)]
        ended = _Ended()
        for until in ends:
            n_told = len(told)
            ended = _run(scenario, folder, archive, venue, until, told)
            if ended.exit_code != 0:
                break
        struck = venue.struck()
    (folder / "struck.json").write_text(json.dumps(struck, indent=1), "utf-8")
    journals = list((folder / _JOURNAL).glob("*/journal.db"))
    return Evidence(
        records=read_log(folder / "exchange"),
        entries=read_events(journals[0].parent) if journals else [],
        exit_code=ended.exit_code,
        told=tuple(told),
        struck=struck,
        timeframe_seconds=market.timeframe.seconds,
        sessions=market.sessions(),
        crashes=[] if ended.crash is None else [ended.crash],
        opened=any(name == "run_started" for name, _ in told[n_told:]),
    )


def _run(
    scenario: Scenario,
    folder: Path,
    archive: Path,
    venue: PlayedVenue,
    until: datetime,
    told: list[tuple[str, Mapping[str, Any]]],
) -> _Ended:
    fields = {"archive": str(archive), "symbols": tuple(scenario.moves), "timeframe": scenario.timeframe}
    config = LiveConfig.of(**{**fields, "state_dir": folder / _JOURNAL, **_SCALED, **scenario.config})
    trader = LiveTrader(config, archive=archive, broker=venue.broker, clock=venue.clock)
    trader.observe(lambda name, said: told.append((name, said)))

    async def run() -> int:
        async with trader:
            return (await trader.run(until)).exit_code

    # The library says on its logger what the trader says by its own events.
    logging.getLogger("alpaca").setLevel(logging.CRITICAL)
    try:
        return _Ended(asyncio.run(run()))
    except SdkError as error:
        return _Ended(error.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this campaign's finding, and I6 reports it
        return _Ended(1, f"{type(error).__name__}: {error}")
