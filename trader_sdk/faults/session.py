"""One session: the real trader on a played venue, from its first start to its last end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from trader_sdk.contract.errors import ERROR_TABLE
from trader_sdk.exchange.fault_plan import KillFault
from trader_sdk.faults.actor import JOURNAL_FOLDER, Ended, Part, run_apart, run_here
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.stage import Address, let_pass, opened, read_log, struck_at
from trader_sdk.faults.strikes import held_by_other, strike_files
from trader_sdk.live.events import bar_time
from trader_sdk.live.journal import read_events
from trader_sdk.live.recovery import read_last_words

Words = list[tuple[str, Mapping[str, Any]]]
"""Names and fields of what was told, in order."""
_AFTER_LAST_BAR: Final = timedelta(seconds=30)
_STARTS_AFTER_KILLS: Final = 3
_VENUE_FAILED: Final = ERROR_TABLE["E802"].exit_code
_RESTARTED_AFTER: Final = timedelta(seconds=20)


def play(scenario: Scenario, folder: Path, archive: Path, *, own_process: bool = False) -> Evidence:
    """Play a scenario and return what it left behind.

    A plan with a kill runs the trader in a process of its own, once for each kill and once to the end.

    Args:
        scenario: Market, plan and settings.
        folder: Made; keeps the exchange's log, the journal and what the plan did.
        archive: Holds a model of every symbol.
        own_process: Whether the exchange runs in a process of its own.
    """
    told: Words = []
    n_told, ended = 0, Ended()
    with opened(folder / "exchange", scenario, own_process=own_process) as address:
        root = folder / JOURNAL_FOLDER
        for start, until in enumerate(ends_of(scenario)):
            strike_files(scenario.strikes, start, root)
            part = Part(scenario=scenario, address=address, folder=folder, archive=archive, until=until, start=start)
            with held_by_other(scenario.strikes, start, root):
                ended, n_told = _run(part, told)
            for _ in range(scenario.revived):
                if ended.exit_code != _VENUE_FAILED:
                    break
                let_pass(address, _RESTARTED_AFTER)
                ended, n_told = _run(part, told)
            if ended.exit_code != 0 and not scenario.strikes:
                break
        return evidence_of(scenario, folder, address, ended, told, n_before=n_told)


def evidence_of(
    scenario: Scenario,
    folder: Path,
    address: Address,
    ended: Ended,
    told: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    n_before: int = 0,
) -> Evidence:
    """Return what a session left behind, while its exchange still runs.

    Args:
        scenario: What was played.
        folder: Holds the exchange's folder and the journal; gets what the plan did.
        address: Of the exchange.
        ended: How the last run ended.
        told: Everything that was told.
        n_before: How much of it was told before the last run.
    """
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
        opened=any(name == "run_started" for name, _ in told[n_before:]),
        last_words=next(filter(None, map(read_last_words, (folder / JOURNAL_FOLDER).glob("*"))), None),
    )


def ends_of(scenario: Scenario) -> list[datetime]:
    """Return when the trader is stopped, each time but the last to be started again."""
    market = scenario.market
    starts = market.starts()[market.history :]
    return [bar_time(starts[bar - 1]) + market.length + _AFTER_LAST_BAR for bar in (*scenario.stops, market.n_bars)]


def _run(part: Part, told: Words) -> tuple[Ended, int]:
    """Run the trader as a supervisor would; return how its last run ended, and how much was told before that."""

    def tell(name: str, fields: Mapping[str, Any]) -> None:
        told.append((name, fields))

    kills = [fault for fault in part.scenario.plan.faults if isinstance(fault, KillFault)]
    if not kills and not part.scenario.strikes:
        n_told = len(told)
        return run_here(part, tell), n_told
    for kill in kills:
        n_told = len(told)
        ended = run_apart(part.model_copy(update={"kill": kill}), tell)
        if ended.exit_code is not None:
            return ended, n_told  # the step was not reached as often as the plan counts
    for _ in range(_STARTS_AFTER_KILLS if kills else 1):
        n_told = len(told)
        ended = run_apart(part, tell)
        if any(name == "run_started" for name, _ in told[n_told:]):
            break
        let_pass(part.address, _RESTARTED_AFTER)  # a start that is refused is tried again
    return ended, n_told
