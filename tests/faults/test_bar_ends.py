"""What follows a bar's orders happens also where the venue stopped answering meanwhile."""

from __future__ import annotations

from pathlib import Path

from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import play


def test_bar_is_finished_when_its_order_and_the_comparison_fail(folder: Path, archives: Archives) -> None:
    """An order in doubt that could not be looked up: shadows, losses and the person still get that bar."""
    lost = {"kind": "http", "method": "POST", "path": "/v2/orders", "effect": "status", "status": 504, "nth": 1}
    silent = {"kind": "http", "method": "GET", "path": "/v2/account", "effect": "status", "status": 502}
    scenario = Scenario(
        id="BAREND",
        title="an order's reply and what would tell of it are lost",
        right="every bar is finished",
        moves={"SIM": "..D.."},
        config={"reconcile_seconds": 3600.0},
        faults=({**lost, "stage": "after"}, {**silent, "stage": "before", "nth": 4, "times": 4}),
    )
    evidence = play(scenario, folder, archives.of(scenario))
    closed = [entry for entry in evidence.entries if entry.event == "bar_closed"]
    told = [name for name, _ in evidence.told if name in ("bar_finished", "broker_trouble")]
    assert (told.count("bar_finished"), told.count("broker_trouble")) == (len(closed), 1)
