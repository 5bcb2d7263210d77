"""What a person asks of the trader, done by the loop: halt, resume, flatten, disable and enable models."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.control import Answer, Command, Request
from trader_sdk.live.events import Draft, bar_ns
from trader_sdk.live.holds import Cause, StateKeeper
from trader_sdk.live.ledger import Ledger
from trader_sdk.live.watchdog import Reply
from trader_sdk.orders import OrderIntent, OrderKey, OrderType, Side, TimeInForce, client_order_id
from trader_sdk.plan import AssetRules, Book
from trader_sdk.risk import TradingState

FLATTEN_LEG: Final = "x"
"""Leg of an order that closes a position because a person said so."""
_NEEDS_WHY: Final = (Cause.DRAWDOWN,)
"""Causes that do not cure themselves while nothing is opened: somebody has to say in words that they are accepted."""
_FRESH: Final = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request on its way to the loop."""

    request: Request
    cause: Cause
    reply: Reply


class Inbox:
    """Requests from other threads, in the order in which they came."""

    def __init__(self) -> None:
        self._queue: deque[Asked] = deque()

    def put(self, request: Request, cause: Cause, reply: Reply) -> None:
        """Queue a request; callable from any thread."""
        self._queue.append(Asked(request, cause, reply))

    def drain(self) -> Iterator[Asked]:
        """Yield what waits, each taken out when it is its turn."""
        while self._queue:
            yield self._queue.popleft()

    def is_halting(self, symbol: str) -> bool:
        """Return whether a halt of the account or of ``symbol`` waits; callable from any thread."""
        waiting = (asked.request for asked in tuple(self._queue))
        return any(r.command is Command.HALT and r.symbol in (None, symbol) for r in waiting)


def carry_out(asked: Asked, states: StateKeeper, ledger: Ledger, at: datetime) -> tuple[Answer, list[Draft]]:
    """Do what is asked as far as the books are concerned.

    Args:
        asked: The request.
        states: Holds trading back.
        ledger: The books.
        at: Venue time.

    Returns:
        What to say, and entries that are still to be committed.
    """
    request = asked.request
    match request.command:
        case Command.HALT | Command.FLATTEN:
            return _held(asked, states, ledger, at), []
        case Command.RESUME:
            return _resumed(request, states, ledger, at), []
        case Command.DISABLE | Command.ENABLE:
            return _switched(request, ledger, at)


def _held(asked: Asked, states: StateKeeper, ledger: Ledger, at: datetime) -> Answer:
    request = asked.request
    if request.symbol is not None and request.symbol not in ledger.sleeves:
        known = ", ".join(sorted(ledger.sleeves)) or "none"
        return Answer(False, f"{request.symbol} is not traded here; traded: {known}")
    is_halt = request.command is Command.HALT
    changed = states.hold(
        asked.cause,
        request.why or request.command.value,
        at,
        symbol=request.symbol,
        state=TradingState.HALTED if is_halt else TradingState.REDUCING,
        who=request.who,
        flatten=request.flatten or not is_halt,
    )
    scope = request.symbol or "the account"
    state = ledger.state_of(request.symbol) if request.symbol else ledger.state
    closing = "; positions are being closed" if request.flatten or not is_halt else ""
    return Answer(True, f"{scope} is {state}{'' if changed else ' already'}{closing}", state.value)


def _resumed(request: Request, states: StateKeeper, ledger: Ledger, at: datetime) -> Answer:
    held = [hold for hold in ledger.holds if request.symbol is None or hold.symbol == request.symbol]
    if not held:
        return _nothing_to_resume(request.symbol, ledger)
    unread = [hold for hold in held if hold.cause in _NEEDS_WHY and not request.why]
    if unread:
        told = "; ".join(hold.text for hold in unread)
        return Answer(False, f"{told}: what was lost no longer counts after a resume; say --why", is_held=True)
    still = states.resume(at, symbol=request.symbol, who=request.who, why=request.why or "resumed")
    if still:
        reasons = "; ".join(f"{hold.cause}: {reason}" for hold, reason in still.items())
        return Answer(False, f"the cause still holds: {reasons}", ledger.state.value, is_held=True)
    lifted = ", ".join(hold.text for hold in held)
    return Answer(True, f"resumed; lifted {lifted}; now {ledger.state}", ledger.state.value)


def _nothing_to_resume(symbol: str | None, ledger: Ledger) -> Answer:
    """Say that nothing is to be resumed, or what still makes a symbol only reduce that no person may lift."""
    reasons = {
        "its position drifted: a comparison with the venue that finds no other lifts it": ledger.drifted_at,
        "its orders were refused too often: the trader's next start lifts it": ledger.tripped_at,
    }
    found = [reason for reason, symbols in reasons.items() if symbol in symbols]
    if found:
        return Answer(False, f"{symbol} only reduces; {'; '.join(found)}", ledger.state.value, is_held=True)
    return Answer(False, f"nothing holds {symbol or 'the account'} back", ledger.state.value)


def _switched(request: Request, ledger: Ledger, at: datetime) -> tuple[Answer, list[Draft]]:
    digests = {f"{model['sha256']}": symbol for symbol, model in ledger.models.items()}
    wanted = (request.sha256 or "").removeprefix("sha256:")
    found = sorted(d for d in {*digests, *ledger.disabled_models} if d.removeprefix("sha256:").startswith(wanted))
    if len(found) != 1:
        what = f"{len(found)} models of this run begin" if found else "no model of this run begins"
        return Answer(False, f"{what} with {wanted}"), []
    digest = found[0]
    disables = request.command is Command.DISABLE
    if (digest in ledger.disabled_models) is disables:
        return Answer(True, f"{digest[:19]} is {'disabled' if disables else 'enabled'} already"), []
    body = {
        "limit": "model_disabled" if disables else "model_enabled",
        "symbol": digests.get(digest, ""),
        "sha256": digest,
        "cause": request.why or f"{request.command.value}d by {request.who}",
        "who": request.who,
    }
    told = "exits only from now on" if disables else "trades again"
    return Answer(True, f"{digest[:19]} {told}"), [Draft(JournalEvent.LIMIT_CHANGED, at, body)]


def to_flatten(ledger: Ledger) -> list[str]:
    """Return the symbols whose position a person wants closed and that still hold one."""
    scopes = {hold.symbol for hold in ledger.holds if hold.flatten}
    return [s for s, sleeve in sorted(ledger.sleeves.items()) if sleeve.qty and (None in scopes or s in scopes)]


def closing_intents(
    ledger: Ledger, symbols: Iterable[str], rules: dict[str, AssetRules], book: Book, now: datetime
) -> list[OrderIntent]:
    """Return market orders that close what the sleeves of ``symbols`` hold, at most one a symbol and minute."""
    minute = bar_ns(now.replace(second=0, microsecond=0))
    made = {(r.intent.symbol, r.intent.bar_at) for r in ledger.orders.values() if r.intent.leg == FLATTEN_LEG}
    working = {record.intent.symbol for record in ledger.working}
    ready = [s for s in symbols if (s, minute) not in made and s not in working]
    return [_closing(symbol, ledger, rules[symbol], book, now, minute) for symbol in ready]


def _closing(symbol: str, ledger: Ledger, rules: AssetRules, book: Book, now: datetime, minute: int) -> OrderIntent:
    held = ledger.sleeves[symbol].qty
    key = OrderKey(book.account, book.mode, book.strategy, book.epoch, symbol, minute, FLATTEN_LEG)
    return OrderIntent(
        client_order_id=client_order_id(key),
        symbol=symbol,
        bar_at=minute,
        leg=FLATTEN_LEG,
        attempt=0,
        side=Side.SELL if held > 0 else Side.BUY,
        qty=abs(held),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.GTC if rules.is_crypto else TimeInForce.DAY,
        limit_price=None,
        decision_price=ledger.prices.get(symbol, Decimal(1)),
        send_at=now,
        fresh_until=now + _FRESH,
    )
