"""One session: the real trader on a played venue, from its first start to its last end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from trader_sdk.exchange.fault_plan import KillFault
from trader_sdk.faults.actor import JOURNAL_FOLDER, Ended, Part, Told, run_apart, run_here
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.stage import opened, read_log, struck_at
from trader_sdk.live.events import bar_time
from trader_sdk.live.journal import read_events

_AFTER_LAST_BAR: Final = timedelta(seconds=30)


def play(scenario: Scenario, folder: Path, archive: Path, *, own_process: bool = False) -> Evidence:
    """Play a scenario and return what it left behind.

    A plan with a kill runs the trader in a process of its own, once for each kill and once to the end.

    Args:
        scenario: Market, plan and settings.
        folder: Made; keeps the exchange's log, the journal and what the plan did.
        archive: Holds a model of every symbol.
        own_process: Whether the exchange runs in a process of its own.
    """
    told: list[tuple[str, Mapping[str, Any]]] = []
    n_told, ended = 0, Ended()
    with opened(folder / "exchange", scenario, own_process=own_process) as address:
        for until in _ends(scenario):
            n_told = len(told)
            part = Part(scenario=scenario, address=address, folder=folder, archive=archive, until=until)
            ended = _run(part, lambda name, fields: told.append((name, fields)))
            if ended.exit_code != 0:
                break
        struck = struck_at(address)
    (folder / "struck.json").write_text(json.dumps(struck, indent=1), "utf-8")
    journals = list((folder / JOURNAL_FOLDER).glob("*/journal.db"))
    return Evidence(
        records=read_log(folder / "exchange"),
        entries=read_events(journals[0].parent) if journals else [],
        exit_code=ended.exit_code,
        told=tuple(told),
        struck=struck,
        timeframe_seconds=scenario.timeframe.seconds,
        sessions=scenario.market.sessions(),
        crashes=[] if ended.crash is None else [ended.crash],
        opened=any(name == "run_started" for name, _ in told[n_told:]),
    )


def _ends(scenario: Scenario) -> list[datetime]:
    """Return when the trader is stopped, each time but the last to be started again."""
    market = scenario.market
    starts = market.starts()[market.history :]
    return [bar_time(starts[bar - 1]) + market.length + _AFTER_LAST_BAR for bar in (*scenario.stops, market.n_bars)]


def _run(part: Part, told: Told) -> Ended:
    kills = [fault for fault in part.scenario.plan.faults if isinstance(fault, KillFault)]
    if not kills:
        return run_here(part, told)
    for kill in kills:
        ended = run_apart(part.model_copy(update={"kill": kill}), told)
        if ended.exit_code is not None:
            return ended  # the step was not reached as often as the plan counts
    return run_apart(part, told)
