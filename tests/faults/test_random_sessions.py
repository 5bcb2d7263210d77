"""Random interleavings: any faults, any bars, and the oracles hold."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.faults import random_sessions
from trader_sdk.faults.campaign import Archives, judged, run_scenario
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.random_sessions import document_of, minimal, random_scenario, run_random
from trader_sdk.faults.scenario import Scenario, scenario_of_file

SESSIONS = int(os.environ.get("FAULT_SESSIONS", "100"))
"""The nightly setting is 2000."""
_PER_TEST = 10
FOUND_OUT = (
    {  # an order was sent at the very end of its time, and booked after it
        "moves": {"SIM": ".DUUDDD"},
        "volume": 2000.0,
        "faults": [{"kind": "http", "method": "GET", "path": "/v2/orders*", "effect": "empty", "nth": 14, "times": 4}],
    },
    {  # the second start was refused before there was a session
        "moves": {"SIM": ".DUD.UUD"},
        "faults": [
            {
                "kind": "http",
                "method": "GET",
                "path": "/v2/clock",
                "effect": "status",
                "status": 429,
                "nth": 10,
                "times": 5,
            }
        ],
        "stops": [5],
    },
    {  # the machine slept between a decision and its order
        "moves": {"SIM": ".DUU"},
        "volume": 400.0,
        "config": {"reconcile_seconds": 300.0},
        "naps": [[3, 200.0]],
    },
    {  # the start after a kill was refused, and nobody tried again
        "moves": {"SIM": ".DDUDD"},
        "volume": 200.0,
        "faults": [
            {"kind": "kill", "point": "read", "nth": 4},
            {"kind": "http", "method": "GET", "path": "/v2/account*", "effect": "empty", "nth": 6, "times": 2},
        ],
    },
    {  # the venue refused the last comparison, and a position was paid out meanwhile
        "moves": {"SIM": ".DUDD"},
        "volume": 400.0,
        "config": {"reconcile_seconds": 300.0},
        "faults": [
            {
                "kind": "http",
                "method": "GET",
                "path": "/v2/orders*",
                "effect": "empty",
                "status": 429,
                "nth": 16,
                "times": 5,
                "headers": {"Retry-After": "10"},
            },
            {"kind": "kill", "point": "read", "nth": 2, "stage": "before"},
            {"kind": "venue", "bar": 3, "acts": [{"act": "delist", "symbol": "SIM"}]},
        ],
        "revived": 3,
    },
)
"""What random sessions have found, as they left it."""


@pytest.mark.parametrize("first", range(0, SESSIONS, _PER_TEST))
def test_oracles_hold_over_random_sessions(first: int, tmp_path: Path, archives: Archives) -> None:
    """Ten sessions of ten seeds; a failure names the seed and leaves the smallest plan that still fails."""
    results = run_random(range(first, first + _PER_TEST), tmp_path, archives)
    bad = {result.fault: (tmp_path / f"{result.fault}.json").read_text() for result in results if not result.ok}
    assert bad == {}


@pytest.mark.parametrize("found", FOUND_OUT)
def test_oracles_hold_where_a_random_session_once_broke_one(
    found: dict[str, Any], tmp_path: Path, archives: Archives
) -> None:
    """What was found at random stays found."""
    scenario = Scenario(id="FOUND", title="found at random", right="the oracles hold", **found)
    assert {k: v for k, v in run_scenario(scenario, tmp_path, archives).findings.items() if v} == {}


def test_session_of_a_seed_is_always_the_same() -> None:
    """A seed is all that is needed to play a session again."""
    assert random_scenario(41) == random_scenario(41)
    assert len({random_scenario(seed).model_dump_json() for seed in range(50)}) == 50


def test_smallest_plan_keeps_the_fault_that_matters(
    tmp_path: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shrinking leaves out what the failure does not need, and the file it writes can be played again."""

    def breaks(scenario: Scenario, _folder: Path, _archives: Archives, *, twice: bool) -> object:
        hurts = any(fault.get("effect") == "reset" for fault in scenario.faults)
        evidence = Evidence([], [], 0, [], {}, 60, [], crashes=["broken"] if hurts else [])
        result = judged(scenario, evidence, None, 0.0)
        return result if hurts else _Fine()

    monkeypatch.setattr(random_sessions, "_played", breaks)
    http = {"kind": "http", "method": "POST"}
    faults = ({**http, "effect": "pass"}, {**http, "effect": "reset"}, {**http, "effect": "empty"})
    session = Scenario(id="S1", title="t", right="r", faults=faults)
    smallest = minimal(session, tmp_path, archives)
    assert [fault["effect"] for fault in smallest.faults] == ["reset"]
    path = tmp_path / "again.json"
    path.write_text(json.dumps(document_of(smallest)))
    assert scenario_of_file(path) == smallest


class _Fine:
    ok = True
