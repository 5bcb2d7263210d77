"""The campaign: every scenario played, compared with its expectation, and judged by the oracles."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.model import write_archive
from trader_sdk.faults.oracles import judge
from trader_sdk.faults.outcome import facts_of, text_of
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import play

_UNASKED: Final = "the oracles hold"
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - folders in it are made by tempfile, for their owner alone
"""Where Linux keeps files in memory: a session's journal is synced after each of its hundreds of commits."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one fault.

    Attributes:
        fault: Its id.
        title: What went wrong.
        outcome, expected: Facts as one line each.
        findings: By oracle, what is wrong; None where nothing is.
        seconds: Wall time.
    """

    fault: str
    title: str
    outcome: str
    expected: str
    findings: Mapping[str, str | None]
    seconds: float

    @property
    def ok(self) -> bool:
        """Return whether the outcome is the right one and every oracle holds."""
        return self.outcome == self.expected and not any(self.findings.values())

    def document(self) -> dict[str, Any]:
        """Return the result as plain data, as ``--json-file`` has it."""
        return {
            "fault": self.fault,
            "outcome": self.outcome,
            "expected": self.expected,
            "oracles": {name: finding is None for name, finding in self.findings.items()},
            "findings": {name: finding for name, finding in self.findings.items() if finding is not None},
            "seconds": round(self.seconds, 2),
            "ok": self.ok,
        }


class Archives:
    """The archives that a campaign's traders read, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, ...], Path] = {}

    def of(self, scenario: Scenario) -> Path:
        """Return an archive with a model of each of the scenario's symbols."""
        key = (scenario.timeframe.value, *sorted(scenario.moves), *(f"not {symbol}" for symbol in scenario.unusable))
        if key not in self._made:
            folder = self._folder / "-".join(key).replace("/", "")
            symbols = sorted(scenario.moves)
            self._made[key] = write_archive(folder, symbols, scenario.timeframe, unusable=scenario.unusable)
        return self._made[key]


def run_scenario(
    scenario: Scenario, folder: Path, archives: Archives, *, own_process: bool = False, twice: bool = False
) -> Result:
    """Play one scenario and judge it.

    Args:
        scenario: The fault.
        folder: Keeps what it leaves behind.
        archives: Where the models are.
        own_process: Whether the exchange runs in a process of its own.
        twice: Whether it is played a second time for I7.
    """
    began = time.monotonic()
    archive = archives.of(scenario)
    evidence = play(scenario, folder, archive, own_process=own_process)
    again = play(scenario, folder / "again", archive, own_process=own_process) if twice else None
    return judged(scenario, evidence, again, time.monotonic() - began)


def judged(scenario: Scenario, evidence: Evidence, again: Evidence | None, seconds: float) -> Result:
    """Return the result of a session that was played."""
    expected = text_of(scenario.expect) or _UNASKED
    outcome = text_of(facts_of(evidence, scenario.expect)) or _UNASKED
    return Result(scenario.id, scenario.title, outcome, expected, judge(evidence, again), seconds)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for sessions that nobody keeps, in memory where that is possible, and remove it."""
    home = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="faults-", dir=home) as scratch:
        yield Path(scratch)


def run_campaign(
    scenarios: Iterable[Scenario],
    *,
    keep: Path | None = None,
    own_process: bool = True,
    twice: bool = True,
    told: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Play scenarios one after another.

    Args:
        scenarios: The faults.
        keep: Folder that keeps logs and journals, one folder a fault; nothing is kept when omitted.
        own_process: Whether each exchange runs in a process of its own.
        twice: Whether each is played a second time for I7.
        told: Called with each result.
    """
    results = []
    with scratch_folder() as scratch:
        root, archives = keep or scratch / "kept", Archives(scratch / "archives")
        for scenario in scenarios:
            result = run_scenario(scenario, root / scenario.id, archives, own_process=own_process, twice=twice)
            told(result)
            results.append(result)
    return results
