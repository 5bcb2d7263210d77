"""What came of a session, as the few facts that expectations are written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from trader_sdk.exchange.interventions import BY_HAND
from trader_sdk.faults.evidence import Evidence
from trader_sdk.faults.scenario import Fact
from trader_sdk.live.ledger import OrderRecord

_ORDERS: Final = "/v2/orders"


def _intents(evidence: Evidence) -> list[OrderRecord]:
    return list(evidence.ledger.orders.values())


def _first(evidence: Evidence) -> str:
    return next((record.state.status.value for record in _intents(evidence)), "none")


def _statuses(evidence: Evidence) -> str:
    return ",".join(record.state.status.value for record in _intents(evidence)) or "none"


def _posts(evidence: Evidence) -> list[str]:
    writes = evidence.struck.get("writes", ())
    return [str(w.get("client_order_id")) for w in writes if w["method"] == "POST" and w["path"] == _ORDERS]


def _first_posts(evidence: Evidence) -> int:
    first = next(iter(evidence.ledger.orders), None)
    return _posts(evidence).count(str(first))


def _cancels(evidence: Evidence) -> int:
    return sum(1 for write in evidence.struck.get("writes", ()) if write["method"] == "DELETE")


def _at_venue(evidence: Evidence) -> int:
    orders = evidence.venue.orders.values()
    return sum(1 for order in orders if not order.client_order_id.startswith(BY_HAND))


def _held(evidence: Evidence) -> str:
    held = {symbol: qty for symbol, qty in evidence.venue.positions.items() if qty}
    return ",".join(f"{symbol} {'long' if qty > 0 else 'short'}" for symbol, qty in sorted(held.items())) or "flat"


def _told(evidence: Evidence) -> list[str]:
    return sorted({name for name, _ in evidence.told})


def _reasons(evidence: Evidence) -> list[str]:
    bodies = (entry.body for entry in evidence.entries if entry.event == "decision_made")
    return sorted({str(body["reason"]) for body in bodies if body["reason"] is not None})


def _limits(evidence: Evidence) -> list[str]:
    bodies = (entry.body for entry in evidence.entries if entry.event == "limit_changed")
    return sorted({str(body["limit"]) for body in bodies})


def _models(evidence: Evidence) -> int:
    """Return how many models decided."""
    bodies = (entry.body for entry in evidence.entries if entry.event == "decision_made")
    return len({body["model_sha256"] for body in bodies if body["logits"] is not None})


def _shadows(evidence: Evidence) -> list[str]:
    bodies = (entry.body for entry in evidence.entries if entry.event == "shadow_decided")
    return sorted({str(body["role"]) for body in bodies})


def _undecided(evidence: Evidence) -> str:
    """Return the symbols whose model gave no decision on a bar that was asked about."""
    failed = ("MODEL_FAILED", "MODEL_QUARANTINED")
    bodies = (entry.body for entry in evidence.entries if entry.event == "decision_made")
    return ",".join(sorted({body["symbol"] for body in bodies if body["reason"] in failed})) or "none"


def _drifts(evidence: Evidence) -> int:
    return sum(1 for entry in evidence.entries if entry.event == "drift_found")


def _external(evidence: Evidence) -> str:
    found = {symbol: qty for symbol, qty in evidence.ledger.external.items() if qty != Decimal(0)}
    return ",".join(f"{symbol} {qty.normalize():f}" for symbol, qty in sorted(found.items())) or "none"


def _splits(evidence: Evidence) -> int:
    bodies = (entry.body for entry in evidence.entries if entry.event == "sleeve_changed")
    return sum(1 for body in bodies if str(body["cause"]).startswith("split"))


def _cause(evidence: Evidence) -> str:
    return str(evidence.last_words["cause"]) if evidence.last_words else evidence.ledger.state_cause


def _answers(evidence: Evidence) -> str:
    """Return what came of each thing that a person asked for: ok, held (the cause still holds), or no."""
    given = [fields for name, fields in evidence.told if name == "answered"]
    return ",".join("ok" if one["ok"] else "held" if one["is_held"] else "no" for one in given) or "none"


def _struck(evidence: Evidence) -> int:
    return len(evidence.struck.get("fired", ()))


_FACTS: Final[Mapping[str, Callable[[Evidence], Fact]]] = {
    "exit": lambda e: -1 if e.exit_code is None else e.exit_code,
    "state": lambda e: str(e.last_words["state"]) if e.last_words else e.ledger.state.value,
    "cause": lambda e: _cause(e).partition(":")[0],
    "first": _first,
    "orders": _statuses,
    "n_orders": lambda e: len(e.ledger.orders),
    "posts": lambda e: len(_posts(e)),
    "first_posts": _first_posts,
    "anonymous_posts": lambda e: _posts(e).count("None"),
    "cancels": _cancels,
    "venue_orders": _at_venue,
    "refusals": lambda e: len(e.venue.refusals),
    "fills": lambda e: e.ledger.totals.fills,
    "bars": lambda e: e.ledger.totals.bars,
    "decisions": lambda e: e.ledger.totals.decisions,
    "held": _held,
    "told": _told,
    "reasons": _reasons,
    "limits": _limits,
    "drifts": _drifts,
    "models": _models,
    "swaps": lambda e: sum(1 for entry in e.entries if entry.event == "model_swapped"),
    "shadows": _shadows,
    "undecided": _undecided,
    "external": _external,
    "splits": _splits,
    "struck": _struck,
    "answers": _answers,
    "throttled": lambda e: int(e.struck.get("throttled", 0)),
    "quarantined": lambda e: sum(1 for name, _ in e.told if name == "frame_quarantined"),
    "exits_only": lambda e: ",".join(sorted(e.ledger.drifted_at)) or "none",
}
"""Name to fact. A new expectation needs a line here, and nothing else."""

FACTS: Final = tuple(_FACTS)


def facts_of(evidence: Evidence, names: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the facts that an expectation names; of a list only what was expected and is there."""
    found: dict[str, Fact] = {}
    for name, expected in names.items():
        fact = _FACTS[name](evidence)
        if isinstance(expected, list) and isinstance(fact, list):
            fact = [item for item in expected if item in fact]
        found[name] = fact
    return found


def text_of(facts: Mapping[str, Fact]) -> str:
    """Return facts as one line.

    Example:
        >>> text_of({"first": "FILLED", "posts": 1, "told": ["order_unknown"]})
        'first=FILLED posts=1 told=order_unknown'
    """
    shown = {name: "+".join(fact) or "-" if isinstance(fact, list) else fact for name, fact in facts.items()}
    return " ".join(f"{name}={fact}" for name, fact in shown.items())
