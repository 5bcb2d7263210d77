"""Kill -9 at random instants: one trader after another on one account, each ended like by a power cut.

A session is an exchange, a journal and a dozen bars. A trader is started, hears a random part of its life go by, and is
killed; some seconds of venue time later the next one takes over, as a supervisor would have it. The last one is left
alone. Then the seven oracles judge the whole session as if nothing had happened, because nothing may have.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from trader_sdk.faults.actor import Part, heard, run_apart, start_apart
from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.oracles import judge
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import ends_of, evidence_of
from trader_sdk.faults.stage import let_pass, opened

KILLS_A_SESSION: Final = 10
_RESTARTED_AFTER: Final = timedelta(seconds=20)
"""Venue time between a kill and the next start; faster ones would be a crash loop, and are held off as such."""
_LONGEST_LIFE: Final = 40
"""Messages of a trader's life after which it is killed at the latest."""
_LONGEST_DELAY_SECONDS: Final = 0.03
"""Of the kill after that message, so that it falls anywhere between two of them."""
_LETTERS: Final = "DDUU."
_VOLUMES: Final = (200.0, 400.0, 1e6)
_NOTHING: Final = "nothing yet"


@dataclass(slots=True)
class Tally:
    """What came of many kills.

    Attributes:
        kills: How many traders were killed.
        sessions: How many accounts they traded.
        after: How often each message was the last that was heard of one.
        violations: What the oracles found, by session.
        orders, fills: Of all sessions together.
        ready_seconds: From a kill to the next trader's word that it is ready, for those that started from nothing.
        left_to_time: How many more are to be timed.
    """

    kills: int = 0
    sessions: int = 0
    after: Counter[str] = field(default_factory=Counter)
    violations: dict[str, dict[str, str]] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    ready_seconds: list[float] = field(default_factory=list)
    left_to_time: int = 0

    def document(self) -> dict[str, Any]:
        """Return the tally as plain data."""
        ready = sorted(self.ready_seconds)
        return {
            "kills": self.kills,
            "sessions": self.sessions,
            "after": dict(sorted(self.after.items(), key=lambda item: (-item[1], item[0]))),
            "violations": self.violations,
            "orders": self.orders,
            "fills": self.fills,
            "ready": None
            if not ready
            else {"n": len(ready), "median": round(ready[len(ready) // 2], 2), "most": round(ready[-1], 2)},
            "machine": machine(),
        }


def machine() -> str:
    """Return what the campaign ran on, as far as times depend on it."""
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"


Told = Callable[[str, Mapping[str, Any]], None]


def run_kills(
    kills: int,
    folder: Path,
    archives: Archives,
    *,
    seed: int = 0,
    own_process: bool = False,
    timed: int = 0,
    told: Callable[[str, Mapping[str, str | None], int], None] = lambda _name, _findings, _kills: None,
) -> Tally:
    """Kill so many traders, and judge every session.

    Args:
        kills: How many.
        folder: Keeps logs and journals, a folder a session.
        archives: Where the models are.
        seed: Of bars, volumes and instants; the instants depend on the machine too.
        own_process: Whether each exchange runs in a process of its own.
        timed: After so many of the kills the next trader starts from nothing, and is timed until it is ready.
        told: Called with each session's name, findings and kills.
    """
    tally, rng = Tally(left_to_time=timed), random.Random(seed)  # noqa: S311 - a campaign, no secret
    while tally.kills < kills:
        name = f"K{seed}-{tally.sessions + 1}"
        scenario, before = _scenario(name, rng), tally.kills
        evidence = _session(scenario, folder / name, archives, rng, tally, kills, own_process=own_process)
        findings = judge(evidence)
        tally.sessions += 1
        tally.orders += len(evidence.ledger.orders)
        tally.fills += evidence.ledger.totals.fills
        wrong = {oracle: finding for oracle, finding in findings.items() if finding is not None}
        if wrong:
            tally.violations[name] = wrong
        told(name, findings, tally.kills - before)
    return tally


def _scenario(name: str, rng: random.Random) -> Scenario:
    moves = ".D" + "".join(rng.choice(_LETTERS) for _ in range(10))
    return Scenario(
        id=name, title="kill -9", right="as if nothing had happened", moves={"SIM": moves}, volume=rng.choice(_VOLUMES)
    )


def _session(
    scenario: Scenario,
    folder: Path,
    archives: Archives,
    rng: random.Random,
    tally: Tally,
    most: int,
    *,
    own_process: bool,
) -> Evidence:
    (until,) = ends_of(scenario)
    lives: list[tuple[str, Mapping[str, Any]]] = []
    with opened(folder / "exchange", scenario, own_process=own_process) as address:
        part = Part(scenario=scenario, address=address, folder=folder, archive=archives.of(scenario), until=until)
        for _ in range(min(KILLS_A_SESSION, most - tally.kills)):
            last = _killed(part, rng.randint(0, _LONGEST_LIFE), rng.uniform(0, _LONGEST_DELAY_SECONDS))
            if last is None:
                break  # it came to the end of the session
            tally.kills += 1
            tally.after[last] += 1
            if tally.left_to_time and last not in (_NOTHING, "gate_row"):
                _time_next(part, tally)
            let_pass(address, _RESTARTED_AFTER)
        ended = run_apart(part, lambda name, fields: lives.append((name, fields)))
        return evidence_of(scenario, folder, address, ended, lives)


def _time_next(part: Part, tally: Tally) -> None:
    """Time how long a trader takes from nothing to ready, and kill that one too.

    Venue time passes first, as before any start: two bad ends each time would be a crash loop after three of them.
    """
    let_pass(part.address, _RESTARTED_AFTER)
    began = time.monotonic()
    process, hears = start_apart(part, from_nothing=True)
    for said in heard(hears):
        if "told" in said and said["told"][0] == "ready":
            tally.ready_seconds.append(time.monotonic() - began)
            tally.left_to_time -= 1
            break
    process.kill()
    process.join()
    tally.kills += 1
    tally.after["ready"] += 1


def _killed(part: Part, messages: int, delay_seconds: float) -> str | None:
    """Start a trader, kill it, and return the last that was heard of it; None if it ended before."""
    process, hears = start_apart(part)
    last, voice = _NOTHING, heard(hears)
    for count, said in enumerate(voice):
        if "told" not in said:
            process.join()
            return None
        last = str(said["told"][0])
        if count >= messages:
            break
    time.sleep(delay_seconds)
    process.kill()
    process.join()
    del voice  # only now: a trader that is not listened to any more would notice
    return last
