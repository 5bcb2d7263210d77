"""Seeded random sessions: random bars, random faults, the oracles, and a minimal plan where one does not hold."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trader_sdk.faults.campaign import Archives, Result, judged
from trader_sdk.faults.outcome import facts_of, text_of
from trader_sdk.faults.scenario import Fact, Scenario
from trader_sdk.faults.session import play

_LETTERS: Final = "DDDUUU.."
_GAPS_IN: Final = 0.1
"""Share of the sessions in which a bar is missing; after one, a window holds no decision for long."""
_CLOCKS_IN: Final = 0.1
"""Share of the sessions in which our clock is set wrong, and in which the machine sleeps."""
_STARTS_AFTER_REFUSALS: Final = 3
_COMPARED: Final = (60.0, 300.0, 300.0)
"""Seconds between comparisons with the venue."""
_VOLUMES: Final = (200.0, 400.0, 2_000.0, 1e6)
_POST, _ORDERS = "POST", "/v2/orders"
_MOST_FAULTS: Final = 4
_SHOWN: Final[dict[str, Fact]] = {"exit": 0, "state": "", "n_orders": 0, "fills": 0, "struck": 0}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dice:
    """What a family of faults draws from."""

    rng: random.Random
    n_bars: int


def _order_reply(dice: Dice) -> Json:
    effect = dice.rng.choice(["status", "reset", "cut", "truncate", "empty", "hang", "status", "reset"])
    needs_reply = effect in ("truncate", "empty")
    stage = "after" if needs_reply else dice.rng.choice(["before", "after"])
    status = dice.rng.choice([500, 502, 503, 504, 302])
    fault = {"kind": "http", "method": _POST, "path": _ORDERS, "effect": effect, "stage": stage, "status": status}
    return {**fault, "nth": dice.rng.randint(1, 3), "times": dice.rng.randint(1, 2)}


def _refusal(dice: Dice) -> Json:
    status, body = dice.rng.choice(
        [
            (429, {"message": "too many requests."}),
            (403, {"code": 40310000, "message": "insufficient buying power", "buying_power": "1500"}),
            (403, {"code": 40310000, "message": "insufficient qty available for order", "available": "3"}),
            (403, {"code": 40310000, "message": "potential wash trade detected. use complex orders"}),
            (422, {"code": 42210000, "message": "invalid order"}),
        ]
    )
    fault = {"kind": "http", "method": _POST, "path": _ORDERS, "effect": "status", "stage": "before", "status": status}
    return {
        **fault,
        "body": body,
        "headers": {"Retry-After": str(dice.rng.choice([5, 20, 60]))},
        "nth": dice.rng.randint(1, 3),
    }


def _read(dice: Dice) -> Json:
    path = dice.rng.choice(["/v2/orders*", "/v2/positions", "/v2/account*", "/v2/stocks/bars", "/v2/clock"])
    effect = dice.rng.choice(["status", "truncate", "reset", "empty"])
    fault = {
        "kind": "http",
        "method": "GET",
        "path": path,
        "effect": effect,
        "status": dice.rng.choice([500, 502, 429]),
    }
    return {**fault, "nth": dice.rng.randint(3, 20), "times": dice.rng.randint(1, 5), "headers": {"Retry-After": "10"}}


def _late_reply(dice: Dice) -> Json:
    fault = {"kind": "http", "method": _POST, "path": _ORDERS, "effect": "delay", "seconds": 0.2}
    return {**fault, "nth": dice.rng.randint(1, 3)}


def _cancel_reply(dice: Dice) -> Json:
    effect, stage = dice.rng.choice(
        [("status", "before"), ("status", "after"), ("reset", "before"), ("reset", "after")]
    )
    return {"kind": "http", "method": "DELETE", "effect": effect, "stage": stage, "times": dice.rng.randint(1, 2)}


def _order_event(dice: Dice) -> Json:
    effect = dice.rng.choice(["drop", "duplicate", "reorder", "garbage", "mute"])
    event = dice.rng.choice(["*", "new", "fill", "partial_fill", "canceled"])
    fault = {"kind": "stream", "stream": "trade_updates", "event": event, "effect": effect}
    return {**fault, "nth": dice.rng.randint(1, 4), "times": dice.rng.randint(0, 3)}


def _data(dice: Dice) -> Json:
    effect = dice.rng.choice(["drop", "duplicate", "reorder", "garbage"])
    fault = {"kind": "stream", "stream": "market_data", "event": "b", "effect": effect}
    return {**fault, "nth": dice.rng.randint(1, dice.n_bars), "times": dice.rng.randint(1, 2)}


def _hand(dice: Dice) -> Json:
    side = dice.rng.choice(["buy", "sell"])
    act = {"act": "order", "symbol": "SIM", "side": side, "amount": str(dice.rng.randint(1, 9))}
    return {"kind": "venue", "bar": dice.rng.randint(1, dice.n_bars), "acts": [act]}


def _bad_bar(dice: Dice) -> Json:
    patch = dice.rng.choice([{"l": 0.0}, {"h": 1.0}, {"v": 0}, {"o": 150.0, "h": 150.0, "c": 150.0}, {"c": None}])
    fault = {"kind": "stream", "stream": "market_data", "event": "b", "effect": "edit", "patch": patch}
    return {**fault, "nth": dice.rng.randint(1, dice.n_bars), "times": dice.rng.randint(1, 2)}


def _bad_history(dice: Dice) -> Json:
    patch = {"bars": {"SIM": dice.rng.choice([{"h": 1.0}, {"v": -1}, []])}}
    fault = {"kind": "http", "method": "GET", "path": "/v2/stocks/bars", "effect": "edit", "patch": patch}
    return {**fault, "nth": dice.rng.randint(4, 8), "times": dice.rng.randint(1, 3)}


def _clock(dice: Dice) -> Json:
    fault = {"kind": "http", "method": "GET", "path": "/v2/clock", "effect": "skew"}
    seconds = dice.rng.choice([-45.0, -5.0, 5.0, 45.0])
    return {**fault, "seconds": seconds, "nth": dice.rng.randint(2, 6), "times": dice.rng.randint(1, 3)}


def _account(dice: Dice) -> Json:
    acts = [
        {"act": "cash", "amount": "20000"},
        {"act": "cash", "amount": "-60000"},
        {"act": "block"},
        {"act": "unblock"},
    ]
    act = dice.rng.choice([*acts, {"act": "delist", "symbol": "SIM"}])
    return {"kind": "venue", "bar": dice.rng.randint(1, dice.n_bars), "acts": [act]}


def _kill(dice: Dice) -> Json:
    point = dice.rng.choice(["submit", "commit", "intent", "fill", "read", "round", "write", "advance", "checkpoint"])
    stage = dice.rng.choice(["before", "after"])
    return {"kind": "kill", "point": point, "nth": dice.rng.randint(1, 4), "stage": stage}


def _venue_act(dice: Dice) -> Json:
    act = {"act": dice.rng.choice(["cancel", "reject", "replace", "fill"]), "symbol": "SIM"}
    return {"kind": "venue", "bar": dice.rng.randint(1, dice.n_bars), "acts": [act]}


def _halted_order(dice: Dice) -> Json:
    after = (
        []
        if dice.rng.random() < 0.5
        else [{"act": dice.rng.choice(["reject", "resume", "fill", "cancel"]), "symbol": "SIM"}]
    )
    fault = {"kind": "http", "method": _POST, "path": _ORDERS, "effect": "pass", "nth": dice.rng.randint(1, 3)}
    return {**fault, "before": [{"act": "halt", "symbol": "SIM"}], "after": after}


def _resume(dice: Dice) -> Json:
    acts = [{"act": "resume", "symbol": "SIM"}]
    return {"kind": "venue", "bar": dice.rng.randint(2, dice.n_bars), "acts": acts}


_MAKERS: Final[tuple[Callable[[Dice], Json], ...]] = (
    *(_order_reply, _order_reply, _refusal, _read, _late_reply, _cancel_reply),
    *(_order_event, _order_event, _data, _hand, _venue_act, _halted_order, _resume),
    *(_bad_bar, _bad_history, _clock, _account, _kill),
)
"""One line a family of faults; a new family is a function and a line here."""


def random_scenario(seed: int) -> Scenario:
    """Return the session of a seed; the same seed always gives the same one."""
    rng = random.Random(seed)  # noqa: S311 - a campaign that can be repeated, no secret
    n_bars = rng.randint(4, 6)
    moves = ".D" + "".join(rng.choice(_LETTERS) for _ in range(n_bars - 2))
    if rng.random() < _GAPS_IN:
        moves = moves[:-1] + "x"
    faults = tuple(rng.choice(_MAKERS)(Dice(rng, n_bars)) for _ in range(rng.randint(1, _MOST_FAULTS)))
    stops = (rng.randint(2, n_bars - 1),) if rng.random() < 0.2 else ()
    jumps = ((rng.randint(0, n_bars), rng.choice([-20.0, -4.0, 4.0, 20.0])),) if rng.random() < _CLOCKS_IN else ()
    naps = ((rng.randint(1, n_bars), rng.choice([30.0, 100.0, 200.0])),) if rng.random() < _CLOCKS_IN else ()
    return Scenario(
        id=f"S{seed}",
        title=f"random session {seed}",
        right="the oracles hold",
        moves={"SIM": moves},
        volume=rng.choice(_VOLUMES),
        faults=faults,
        stops=stops,
        revived=_STARTS_AFTER_REFUSALS,
        jumps=jumps,
        naps=naps,
        config={"reconcile_seconds": rng.choice(_COMPARED)},
    )


def run_random(
    seeds: Iterable[int],
    folder: Path,
    archives: Archives,
    *,
    twice_every: int = 10,
    told: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Play the sessions of some seeds; a failing one leaves its minimal plan in ``folder``.

    Args:
        seeds: One a session.
        folder: Keeps the evidence of failures.
        archives: Where the models are.
        twice_every: Every so many sessions one is played a second time for I7.
        told: Called with each result.
    """
    results = []
    for number, seed in enumerate(seeds):
        scenario = random_scenario(seed)
        result = _played(scenario, folder / scenario.id, archives, twice=number % twice_every == 0)
        if not result.ok:
            smallest = minimal(scenario, folder / f"{scenario.id}-minimal", archives)
            (folder / f"{scenario.id}.json").write_text(json.dumps(document_of(smallest), indent=1), "utf-8")
        told(result)
        results.append(result)
    return results


def _played(scenario: Scenario, folder: Path, archives: Archives, *, twice: bool) -> Result:
    began = time.monotonic()
    archive = archives.of(scenario)
    evidence = play(scenario, folder, archive)
    again = play(scenario, folder / "again", archive) if twice else None
    facts = text_of(facts_of(evidence, _SHOWN))
    result = judged(scenario, evidence, again, time.monotonic() - began)
    return Result(result.fault, result.title, facts, facts, result.findings, result.seconds)


def minimal(scenario: Scenario, folder: Path, archives: Archives) -> Scenario:
    """Return ``scenario`` with every fault left out that the failure does not need."""
    smallest = scenario
    for number, fault in enumerate(scenario.faults):
        fewer = smallest.model_copy(update={"faults": tuple(f for f in smallest.faults if f is not fault)})
        if not _played(fewer, folder / str(number), archives, twice=False).ok:
            smallest = fewer
    return smallest


def totals_of(results: Iterable[Result]) -> dict[str, int]:
    """Return how much happened in sessions, and how many of them are not as they must be."""
    played = list(results)
    facts = [dict(fact.split("=", 1) for fact in result.outcome.split()) for result in played]
    counted = {"orders": "n_orders", "fills": "fills", "strikes": "struck"}
    sums = {name: sum(int(each[fact]) for each in facts) for name, fact in counted.items()}
    return {"sessions": len(played), **sums, "violations": sum(not result.ok for result in played)}


def document_of(scenario: Scenario) -> Json:
    """Return a scenario as plain data that ``--plan`` reads."""
    return scenario.model_dump(mode="json", exclude_defaults=True)
