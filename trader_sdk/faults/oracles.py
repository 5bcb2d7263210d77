"""The seven oracles: what must hold after any fault, as pure functions of what the session left behind."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from trader_sdk.faults.evidence import BookedOrder, Evidence, Submitted
from trader_sdk.live.events import bar_ns
from trader_sdk.orders import OrderIntent, OrderStatus
from trader_sdk.risk import DEFAULT_RISK_LIMITS, TradingState

_ZERO = Decimal(0)
_SECOND_NS: Final = 1_000_000_000
_DAY_SECONDS: Final = 86_400
_DAILY_FRESH_NS: Final = 15 * 60 * _SECOND_NS
_MINUTE_FRESH_NS: Final = 90 * _SECOND_NS
_TOLERANCE: Final = Decimal("1.005")
"""The limit is checked on the prices that the journal knows; the account's own marks may lie a spread beside them."""
_AT_VENUE: Final = frozenset(
    {
        OrderStatus.ACKED,
        OrderStatus.LIVE,
        OrderStatus.PARTIAL,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
        OrderStatus.REPLACED,
    }
)

Oracle = Callable[[Evidence], str | None]
"""Returns what is wrong, None where nothing is."""


def positions_agree(evidence: Evidence) -> str | None:
    """I1: the venue's position is the journal's, for every symbol that we own."""
    ledger, venue = evidence.ledger, evidence.venue.positions
    for symbol, sleeve in ledger.sleeves.items():
        expected, found = sleeve.qty + ledger.external.get(symbol, _ZERO), venue.get(symbol, _ZERO)
        if expected != found:
            return f"{symbol}: the journal has {expected}, the venue {found}"
    return None


def orders_are_single(evidence: Evidence) -> str | None:
    """I2: at most one live or filled order a client order id, and a (symbol, bar, leg)."""
    counts: Counter[tuple[str, ...]] = Counter()
    for order in _ours(evidence):
        if order.is_open or order.filled_qty > 0:
            intent = evidence.ledger.orders[order.client_order_id].intent
            counts[(order.client_order_id,)] += 1
            if intent.leg != "i":
                counts[(intent.symbol, str(intent.bar_at), intent.leg)] += 1
    doubled = [key for key, count in counts.items() if count > 1]
    return f"more than one order for {doubled[0]}" if doubled else None


def exposure_is_bounded(evidence: Evidence) -> str | None:
    """I3: no order that the venue booked raises the worst case above the limit, at the price of its risk decision."""
    orders = evidence.venue.orders
    prices = _PricesInTime(evidence)
    for at_booking in sorted(evidence.venue.submissions, key=lambda submission: submission.at):
        order = orders[at_booking.order_id]
        record = evidence.ledger.orders.get(order.client_order_id)
        if record is None or not order.by_client:
            continue
        excess = _excess(at_booking, order, record.intent, prices.until(at_booking.at))
        if excess is not None:
            return f"{order.client_order_id}: {excess}"
    return None


def _excess(at: Submitted, order: BookedOrder, intent: OrderIntent, prices: Mapping[str, Decimal]) -> str | None:
    sign = 1 if order.side == "buy" else -1
    if at.position * sign < 0 and order.qty <= abs(at.position):
        return None  # it only reduces
    price = intent.worst_price
    towards = sum((left for left in at.working.values() if left * sign > 0), _ZERO)
    worst = abs(at.position + towards + sign * order.qty) * price
    held = {**at.positions}
    equity = at.cash + sum((qty * prices.get(symbol, price) for symbol, qty in held.items()), _ZERO)
    limit = DEFAULT_RISK_LIMITS.symbol_fraction * equity
    return f"worst case {worst:.2f} above {limit:.2f}" if worst > limit * _TOLERANCE else None


class _PricesInTime:
    """The last close of each symbol at moments that only grow, so that a day of hundreds of symbols is read once."""

    def __init__(self, evidence: Evidence) -> None:
        closes = [(bar_ns(entry.at), entry.body) for entry in evidence.entries if entry.event == "bar_closed"]
        self._left = deque(sorted(closes, key=lambda close: close[0]))
        self._prices: dict[str, Decimal] = {}

    def until(self, at: int) -> Mapping[str, Decimal]:
        """Return the prices at ``at``, nanoseconds UTC."""
        while self._left and self._left[0][0] <= at:
            body = self._left.popleft()[1]
            self._prices[body["symbol"]] = Decimal(body["close"])
        return self._prices


def bars_were_fresh(evidence: Evidence) -> str | None:
    """I4: no order of a bar that was older than its freshness bound when the venue booked it."""
    for order in _ours(evidence):
        intent = evidence.ledger.orders[order.client_order_id].intent
        if intent.leg == "i":
            continue  # imported: the bar is not known
        bound = fresh_bound(intent.bar_at, evidence)
        if order.created_at > bound:
            return f"{order.client_order_id} was booked {(order.created_at - bound) / _SECOND_NS:.0f} s too late"
    return None


def fresh_bound(bar_at: int, evidence: Evidence) -> int:
    """Return until when an order of a bar may be booked, nanoseconds UTC; written apart from the trader's own rule."""
    seconds = evidence.timeframe_seconds
    if seconds < _DAY_SECONDS:
        fresh = _MINUTE_FRESH_NS if seconds == 60 else seconds * _SECOND_NS // 2
        return bar_at + seconds * _SECOND_NS + fresh
    closed = next(closes for opens, closes in evidence.sessions if opens >= bar_at)
    return next(opens for opens, _ in evidence.sessions if opens > closed) + _DAILY_FRESH_NS


def books_agree(evidence: Evidence) -> str | None:
    """I5: every order of ours at the venue is in the journal with the same fills, and the other way round."""
    at_venue = {order.client_order_id: order for order in evidence.venue.orders.values() if order.by_client}
    for key in at_venue:
        if key.startswith("lt1-") and key not in evidence.ledger.orders:
            return f"{key} is at the venue and not in the journal"
    for key, record in evidence.ledger.orders.items():
        found = at_venue.get(key)
        if found is None:
            if record.state.status in _AT_VENUE:
                return f"{key} is {record.state.status} in the journal and not at the venue"
        elif (filled := evidence.venue.filled(found.order_id)) != record.state.filled_qty:
            return f"{key}: {record.state.filled_qty} filled in the journal, {filled} at the venue"
    return None


def end_is_named(evidence: Evidence) -> str | None:
    """I6: the process ended in a named state with the exit code that it wrote down."""
    if evidence.crashes:
        return f"an error that nobody foresaw: {evidence.crashes[0]}"
    if not evidence.opened:
        return None if evidence.exit_code else "no session was opened, and the exit code says that all was well"
    ledger = evidence.ledger
    if evidence.last_words is not None:
        written = evidence.last_words["exit_code"]
        return None if written == evidence.exit_code else f"the last words say exit code {written}"
    if not evidence.entries or not ledger.is_finished:
        return "the journal does not say how the run ended"
    if ledger.exit_code != evidence.exit_code:
        return f"the journal says exit code {ledger.exit_code}, the process {evidence.exit_code}"
    return None if ledger.state in set(TradingState) else f"state {ledger.state}"


def decisions_repeat(evidence: Evidence, again: Evidence | None) -> str | None:
    """I7: the same seed gives the same decisions; nothing to compare with holds.

    A fault that counts requests may strike elsewhere the second time, because a bar that came over the stream just in
    time once is asked for over REST the next time. Then what was decided in both plays must be the same.
    """
    if again is None:
        return None
    here, there = _decided(evidence), _decided(again)
    bars = here.keys() & there.keys() if _strikes(evidence) != _strikes(again) else here.keys() | there.keys()
    differing = sorted(bar for bar in bars if here.get(bar) != there.get(bar))
    return f"decisions differ between two plays: {differing[:2]}" if differing else None


def _decided(evidence: Evidence) -> dict[tuple[str, str], tuple[str, str]]:
    return {(bar, symbol): (action, price) for bar, symbol, action, price in evidence.decision_log if action != "NONE"}


def _strikes(evidence: Evidence) -> list[tuple[object, ...]]:
    return [(fired["fault"], fired["bar"]) for fired in evidence.struck.get("fired", ())]


ORACLES: Final[Mapping[str, Oracle]] = {
    "I1": positions_agree,
    "I2": orders_are_single,
    "I3": exposure_is_bounded,
    "I4": bars_were_fresh,
    "I5": books_agree,
    "I6": end_is_named,
}


def judge(evidence: Evidence, again: Evidence | None = None) -> dict[str, str | None]:
    """Return what each oracle has to say, None where nothing is wrong.

    Args:
        evidence: Of one session.
        again: Of the same session played a second time; None leaves I7 unasked, which counts as kept.
    """
    return {**{name: oracle(evidence) for name, oracle in ORACLES.items()}, "I7": decisions_repeat(evidence, again)}


def _ours(evidence: Evidence) -> list[BookedOrder]:
    known = evidence.ledger.orders
    return [o for o in evidence.venue.orders.values() if o.by_client and o.client_order_id in known]
