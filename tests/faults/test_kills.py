"""Kill -9 at random instants: whatever was cut off, the next trader makes good."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from trader_sdk.exchange.fault_plan import KillPoint
from trader_sdk.faults.actor import KILLED_AT
from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.kills import run_kills

KILLS = int(os.environ.get("FAULT_KILLS", "30"))
"""The nightly setting is 500."""


def test_oracles_hold_when_traders_are_killed_at_random_instants(tmp_path: Path, archives: Archives) -> None:
    """Every session of killed traders ends as if nothing had happened, and there was something to lose in them."""
    tally = run_kills(KILLS, tmp_path, archives, seed=11)
    assert tally.violations == {}
    assert tally.kills >= KILLS
    assert sum(tally.after.values()) == tally.kills
    assert tally.fills > 0
    document = json.loads(json.dumps(tally.document()))
    assert (document["kills"], "Python 3" in document["machine"]) == (tally.kills, True)


@pytest.mark.parametrize("point", KillPoint)
def test_every_kill_point_names_a_call_that_exists(point: KillPoint) -> None:
    """A kill that waits for a call of another name would end the session's process before it began."""
    owner, name, _ = KILLED_AT[point]
    assert callable(getattr(owner, name))
