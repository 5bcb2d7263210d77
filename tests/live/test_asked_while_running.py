"""What a person asks of a trader while it trades: done between two bars, told, and kept in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trader_sdk.faults.campaign import Archives
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.scenario import Scenario
from trader_sdk.faults.session import play


def asked(folder: Path, moves: str, *asks: dict[str, Any], **fields: Any) -> Evidence:
    """Play a session in which somebody asks for ``asks``."""
    scenario = Scenario(id="ASKED", title="t", right="r", moves={"SIM": moves}, asks=asks, **fields)
    return play(scenario, folder / "session", Archives(folder / "archives").of(scenario))


def answers(evidence: Evidence) -> list[tuple[bool, str]]:
    """Return whether each was done, and the first words of what was said."""
    return [(one["ok"], one["text"].split(";")[0]) for name, one in evidence.told if name == "answered"]


def test_running_trader_disables_halts_resumes_and_flattens(tmp_path: Path) -> None:
    """Each takes effect with the next bar: a disabled or halted symbol opens nothing, a flattened one is closed."""
    evidence = asked(
        tmp_path,
        "..D.D..D.D...",
        {"after": 2, "command": "disable", "sha256": "SIM", "why": "it looks wrong"},
        {"after": 4, "command": "enable", "sha256": "SIM"},
        {"after": 6, "command": "halt", "symbol": "APPL"},
        {"after": 6, "command": "halt", "symbol": "SIM", "why": "earnings"},
        {"after": 9, "command": "resume", "symbol": "SIM", "why": "over"},
        {"after": 11, "command": "flatten", "symbol": "SIM"},
    )
    done = [ok for ok, _ in answers(evidence)]
    decided = [entry.body for entry in evidence.entries if entry.event == "decision_made"]
    reasons = [body["reason"] for body in decided if body["action"] != "HOLD"]
    sides = [record.intent.side.value for record in evidence.ledger.orders.values()]
    assert done == [True, True, False, True, True, True]
    assert reasons == ["EXITS_ONLY", None, "EXITS_ONLY", None]
    assert sides == ["buy", "buy", "sell"]
    assert (evidence.ledger.sleeves["SIM"].qty, evidence.ledger.state_of("SIM").value) == (0, "REDUCING")


def test_resume_says_what_only_a_comparison_lifts(tmp_path: Path) -> None:
    """A drifted symbol only reduces, no hold says so, and a person who asks is not told that all is well."""
    by_hand = {"act": "order", "symbol": "SIM", "side": "sell", "amount": "20"}
    evidence = asked(
        tmp_path,
        "..D......",
        {"after": 5, "command": "resume", "symbol": "SIM"},
        {"after": 8, "command": "resume", "symbol": "SIM"},
        faults=({"kind": "venue", "bar": 4, "acts": [by_hand]},),
        config={"reconcile_seconds": 90.0},
    )
    assert answers(evidence) == [(False, "SIM only reduces"), (False, "nothing holds SIM back")]
    assert evidence.ledger.exits_only == frozenset()


def test_resume_after_refusals_says_that_the_next_start_lifts_it(tmp_path: Path) -> None:
    """Three refused orders trip a symbol for the rest of the run; a resume tells so and changes nothing."""
    refuse = {"kind": "http", "method": "POST", "path": "/v2/orders", "effect": "status", "times": 0, "stage": "before"}
    evidence = asked(
        tmp_path,
        "..D.D.D..D.",
        {"after": 9, "command": "resume", "symbol": "SIM"},
        faults=({**refuse, "status": 422, "body": {"code": 42210000, "message": "invalid order"}},),
    )
    (told,) = answers(evidence)
    assert told == (False, "SIM only reduces")
    assert evidence.ledger.exits_only == {"SIM"}


@pytest.mark.parametrize(
    ("breakers", "cause", "done"),
    [
        ({"halt_drawdown": "0.0001"}, "DRAWDOWN", [False, True]),
        ({"day_loss_fraction": "0.0001"}, "DAY_LOSS", [False, False]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_resume_looks_at_a_loss_first(breakers: dict[str, str], cause: str, done: list[bool], tmp_path: Path) -> None:
    """Asked without words and then with them: a drawdown needs words, a day's loss another day."""
    evidence = asked(
        tmp_path,
        "..DDDDDDU....",
        {"after": 10, "command": "resume"},
        {"after": 11, "command": "resume", "why": "I have seen it"},
        config={"breakers": breakers},
    )
    kept = [hold.cause for hold in evidence.ledger.holds]
    assert [ok for ok, _ in answers(evidence)] == done
    assert (cause in kept) is not any(done)
    assert evidence.exit_code == 0
