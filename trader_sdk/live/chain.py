"""Why a symbol was or was not traded on a bar: the chain from the bar to the fill, each break with its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.reasons import REASON_REMEDIES, Reason
from trader_sdk.live.events import JournalEntry, plain, report_of, rfc3339
from trader_sdk.orders import OrderState, OrderStatus, Side, merge

_ZERO = Decimal(0)

ORDER_REMEDIES: Final[Mapping[OrderStatus, str]] = MappingProxyType(
    {
        OrderStatus.INTENT: "It waits for its moment at the venue; see its send time.",
        OrderStatus.SENDING: "It was being sent when the journal ends; the next start looks it up at the venue.",
        OrderStatus.UNKNOWN: REASON_REMEDIES[Reason.UNKNOWN_ORDER],
        OrderStatus.ACKED: "The venue has it and it has not traded yet.",
        OrderStatus.LIVE: "It works at the venue; it is cancelled when its bar is no longer fresh.",
        OrderStatus.PARTIAL: "A part has traded; the rest works until its bar is no longer fresh.",
        OrderStatus.REFUSED: "The venue refused it for the reason it gives; a refusal is final for its bar.",
        OrderStatus.ABANDONED: "It never reached the venue and was buried, so nothing can trade late; the next bar "
        "decides anew. If this repeats, look at the clock and the connection.",
        OrderStatus.EXPIRED: "The venue ended it before it traded, as a limit away from the market or a missed "
        "auction does.",
        OrderStatus.CANCELED: "It was cancelled before it traded, because its bar was no longer fresh or somebody "
        "asked for it.",
        OrderStatus.REPLACED: "The venue replaced it; look for the order that took its place.",
    }
)
"""What to do about an order that did not fill whole."""


class Link(NamedTuple):
    """One step of the chain: its name, and what is known of it as text."""

    step: str
    text: str


@dataclass(slots=True)
class Chain:
    """Everything that the journal holds of one bar of one symbol.

    Attributes:
        bar: Body of ``bar_closed``, None if the bar was never recorded.
        decision: Body of ``decision_made``, None if the bar was passed by.
        model: Body of ``model_loaded`` in force, None if none was.
        orders: Entries of each order that followed, by client order id.
        state: Why the account was held back when it was decided, empty if it was not.
    """

    symbol: str
    at: str
    bar: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    decided_at: str = ""
    model: Mapping[str, Any] | None = None
    state: str = ""
    orders: dict[str, list[JournalEntry]] = field(default_factory=dict)

    @property
    def reason(self) -> Reason | None:
        """Return why the decision was not traded, or was traded smaller; None if neither."""
        name = self.decision["reason"] if self.decision is not None else None
        return Reason(name) if name is not None else None

    @property
    def became(self) -> str:
        """Return what came of the bar in a few words."""
        if not self.orders:
            return ""
        return ", ".join(f"{_asked(entries)} {_folded(entries).status}" for entries in self.orders.values())

    @property
    def remedies(self) -> tuple[str, ...]:
        """Return what to do about each break of the chain; empty where all was traded as decided."""
        found = []
        if self.decision is None:
            found.append("No decision was recorded for this bar: the trader was down, or it only warmed up on it.")
        if self.reason is not None:
            found.append(f"{self.reason}: {REASON_REMEDIES[self.reason]}")
        for entries in self.orders.values():
            status = _folded(entries).status
            if status is not OrderStatus.FILLED:
                found.append(f"order {status}: {ORDER_REMEDIES[status]}")
        return tuple(found)

    @property
    def links(self) -> tuple[Link, ...]:
        """Return the chain, in order, as far as it goes."""
        steps = (self._bar(), self._features(), self._decision(), self._plan(), self._risk(), *self._orders())
        return tuple(Link(name, text) for name, text in steps if text)

    def _bar(self) -> tuple[str, str]:
        if self.bar is None:
            return "bar", f"{self.at} was not recorded"
        prices = " ".join(f"{name[0]} {self.bar[name]}" for name in ("open", "high", "low", "close", "volume"))
        return "bar", f"{self.bar['bar']}  {prices}"

    def _features(self) -> tuple[str, str]:
        digest = self.decision["observation_sha256"] if self.decision is not None else None
        schema = f", schema {_short(self.model['features'])}" if self.model is not None else ""
        return "features", f"observation {_short(digest)}{schema}" if digest else ""

    def _decision(self) -> tuple[str, str]:
        if self.decision is None:
            return "decision", "none recorded"
        model = f"model {_short(self.decision['model_sha256'])}"
        logits = self.decision["logits"]
        if logits is None:
            return "decision", f"the model was not asked: {self.decision['reason']}; {model}"
        shown = " ".join(f"{value:.4f}" for value in logits)
        return "decision", f"{self.decision['action']} at {self.decided_at}; {model}; logits {shown}"

    def _plan(self) -> tuple[str, str]:
        decision = self.decision
        if decision is None or decision["target"] is None:
            return "plan", ""
        held, target, price = (Decimal(decision[name]) for name in ("position", "target", "price"))
        wanted = (target - held) / price if price else _ZERO
        return "plan", f"holds {held:.2f}, target {target:.2f}, so {wanted:+.4f} at {plain(price)}"

    def _risk(self) -> tuple[str, str]:
        if self.decision is None or self.decision["target"] is None:
            return "risk", ""
        held_back = f"; account {self.state}" if self.state else ""
        if self.reason is None:
            return "risk", f"passed{held_back}"
        passed = "passed smaller" if self.orders else "nothing to send"
        return "risk", f"{passed}: {self.reason}{held_back}"

    def _orders(self) -> Iterable[tuple[str, str]]:
        for key, entries in self.orders.items():
            yield "order", f"{_asked(entries)}, {_terms(entries[0].body)}  {key}"
            trail = [_step(entry) for entry in entries if entry.event is not JournalEvent.FILL_RECORDED]
            yield "", " -> ".join(dict.fromkeys(trail))
            detail = _folded(entries).detail
            if detail:
                yield "", f"the venue or the trader says: {detail}"
            for entry in entries:
                if entry.event is JournalEvent.FILL_RECORDED:
                    yield "fill", _fill(entry)

    def fields(self) -> dict[str, Any]:
        """Return the chain as plain data."""
        return {
            "symbol": self.symbol,
            "bar": self.at,
            "closed": dict(self.bar) if self.bar is not None else None,
            "decision": dict(self.decision) if self.decision is not None else None,
            "orders": [
                {
                    "client_order_id": key,
                    "status": _folded(entries).status.value,
                    "detail": _folded(entries).detail,
                    "intent": dict(entries[0].body),
                    "fills": [dict(e.body) for e in entries if e.event is JournalEvent.FILL_RECORDED],
                }
                for key, entries in self.orders.items()
            ],
            "account_state": self.state or "ACTIVE",
            "remedies": list(self.remedies),
        }


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest.removeprefix("sha256:")[:8]


def _asked(entries: Sequence[JournalEntry]) -> str:
    return f"{entries[0].body['side']} {entries[0].body['qty']}"


def _terms(intent: Mapping[str, Any]) -> str:
    limit = f" {intent['limit_price']}" if intent["limit_price"] is not None else ""
    return f"{intent['order_type']}{limit} {intent['time_in_force']}, not before {intent['send_at']}"


def _folded(entries: Sequence[JournalEntry]) -> OrderState:
    state = OrderState()
    for entry in entries:
        if entry.event is not JournalEvent.FILL_RECORDED:
            state = merge(state, report_of(entry.body))
    return state


def _step(entry: JournalEntry) -> str:
    return f"{entry.body['report']} {rfc3339(entry.at)[11:19]}"


def _fill(entry: JournalEntry) -> str:
    body = entry.body
    price, decided = Decimal(body["price"]), Decimal(body["decision_price"])
    slip = Side(body["side"]).sign * (price / decided - 1) * 10_000 if decided else _ZERO
    return (
        f"{rfc3339(entry.at)[:19]}Z {body['side']} {body['qty']} at {body['price']}, fee {body['fee']}, "
        f"{slip:+.1f} bps against the decision, execution {body['execution_id'] or 'not told'}"
    )


def chains_of(entries: Iterable[JournalEntry], symbol: str) -> list[Chain]:
    """Return a chain for each bar of ``symbol``, oldest first.

    Args:
        entries: The whole journal, in order.
        symbol: Whose bars.
    """
    chains: dict[str, Chain] = {}
    model: Mapping[str, Any] | None = None
    owner: dict[str, str] = {}
    state = ""
    for entry in entries:
        body = entry.body
        if entry.event is JournalEvent.STATE_CHANGED:
            state = "" if body["state"] == "ACTIVE" else f"{body['state']} {body['cause']}"
        if body.get("symbol") != symbol:
            continue
        match entry.event:
            case JournalEvent.MODEL_LOADED:
                model = body
            case JournalEvent.BAR_CLOSED:
                chains.setdefault(body["bar"], Chain(symbol, body["bar"])).bar = body
            case JournalEvent.DECISION_MADE:
                chain = chains.setdefault(body["bar"], Chain(symbol, body["bar"]))
                chain.decision, chain.decided_at, chain.model, chain.state = body, rfc3339(entry.at), model, state
            case JournalEvent.INTENT_RECORDED:
                owner[body["client_order_id"]] = body["bar"]
                chain = chains.setdefault(body["bar"], Chain(symbol, body["bar"]))
                chain.orders[body["client_order_id"]] = [entry]
            case _ if body.get("client_order_id") in owner:
                key = body["client_order_id"]
                chains[owner[key]].orders[key].append(entry)
            case _:
                pass
    return list(chains.values())


def refusals_of(entries: Iterable[JournalEntry], symbol: str) -> list[Mapping[str, Any]]:
    """Return the bodies of ``model_refused`` of a symbol, oldest first."""
    return [e.body for e in entries if e.event is JournalEvent.MODEL_REFUSED and e.body["symbol"] == symbol]
