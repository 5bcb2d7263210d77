"""Reconciliation: what must change in our books so that they agree with the venue, as values.

The venue is right about what it holds, and a failed read says nothing: the caller builds a :class:`VenueSnapshot` only
from a round in which every read succeeded. Applying the actions and asking again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from trader_sdk.orders import (
    IN_DOUBT,
    OrderEvent,
    OrderIntent,
    OrderReport,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    fill_between,
    is_ours,
    merge,
)
from trader_sdk.portfolio import Sleeve, SleeveFill

_ZERO = Decimal(0)
GRACE: Final = timedelta(seconds=5)
"""How far apart two fruitless look-ups must lie before an order counts as never received."""
IMPORTED_LEG: Final = "i"
"""Leg of an order of ours that only the venue knew."""
MOST_SENDS: Final = 2
"""How often one order is sent at most: a venue that loses it twice does not get it a third time."""
_SPLITS: Final = tuple(Decimal(ratio) for ratio in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50))
_SPLIT_PRICE_TOLERANCE: Final = Decimal("0.25")


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue lists it."""

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    qty: Decimal
    report: OrderReport
    is_open: bool
    limit_price: Decimal | None = None
    replaced_by: str | None = None
    submitted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VenueSnapshot:
    """One complete round of reads.

    Attributes:
        at: Venue time of the round, aware UTC.
        positions: Signed units by symbol; a symbol that is absent is flat.
        prices: Last price by symbol.
        orders: Open and recent orders, everybody's.
        not_found: For each order of ours that was looked up by id in vain, when (monotonic order, any clock).
    """

    at: datetime
    positions: Mapping[str, Decimal]
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    orders: tuple[VenueOrder, ...] = ()
    not_found: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Books:
    """What the journal says.

    Attributes:
        strategy: Whose orders are ours.
        orders: Intent and state by client order id.
        sleeves: By symbol.
        external: Units at the venue that no sleeve owns, by symbol, as of the last round.
        drifted_at: Symbols that are exits-only since a drift, and the round that found it.
        prices: Last close by symbol.
        sends: How often each order was sent, by client order id.
        unsent: Durable orders that this process knows it has not sent, so that nothing about them is in doubt.
    """

    strategy: str
    orders: Mapping[str, tuple[OrderIntent, OrderState]]
    sleeves: Mapping[str, Sleeve]
    external: Mapping[str, Decimal] = field(default_factory=dict)
    drifted_at: Mapping[str, datetime] = field(default_factory=dict)
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    sends: Mapping[str, int] = field(default_factory=dict)
    unsent: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MergeOrder:
    """Merge the venue's word into one of our orders."""

    client_order_id: str
    report: OrderReport


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """Take in an order that carries our prefix and that our journal does not know."""

    intent: OrderIntent
    report: OrderReport


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask the venue for one order by our id, then reconcile again."""

    client_order_id: str


@dataclass(frozen=True, slots=True)
class Resend:
    """Send an order again under the same id: the venue never received it, and it is still fresh."""

    client_order_id: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Bury an order that the venue never received and that is no longer fresh."""

    client_order_id: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel an order that lives at the venue although our books ended it."""

    client_order_id: str
    broker_order_id: str


@dataclass(frozen=True, slots=True)
class SplitSleeve:
    """Multiply units, the sleeve's and what is external: the company split its shares."""

    symbol: str
    ratio: Decimal
    external_qty: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class MoveSleeve:
    """Take the venue's position as it is: the sleeve shrinks to it, what is beyond the sleeve is external."""

    symbol: str
    expected: Decimal
    found: Decimal
    sleeve_qty: Decimal
    external_qty: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class ClearDrift:
    """Let a symbol trade again: a later round found it as expected."""

    symbol: str


Action: TypeAlias = (
    MergeOrder | ImportOrder | LookUp | Resend | Abandon | CancelOrder | SplitSleeve | MoveSleeve | ClearDrift
)


def reconcile(venue: VenueSnapshot, books: Books, *, grace: timedelta = GRACE) -> tuple[Action, ...]:
    """Return what must change in our books, and be asked or sent, so that they agree with the venue.

    Args:
        venue: A complete round of reads.
        books: What the journal says.
        grace: How far apart two look-ups in vain must lie.

    Returns:
        Actions in the order in which they are to be applied. Positions are judged only when no order is in doubt:
        until then nobody can say what was expected.
    """
    merges = tuple(_order_actions(venue, books))
    doubts = tuple(_doubt_actions(venue, books, grace))
    if doubts:
        return merges + doubts
    return merges + tuple(_position_actions(venue, books, _sleeves_after(books, merges)))


def _order_actions(venue: VenueSnapshot, books: Books) -> Iterator[Action]:
    by_broker_id = {order.broker_order_id: order for order in venue.orders}
    imported = Counter(intent.symbol for intent, _ in books.orders.values() if intent.leg == IMPORTED_LEG)
    for order in venue.orders:
        known = books.orders.get(order.client_order_id)
        if known is None:
            if is_ours(order.client_order_id, books.strategy):
                intent = _imported_intent(order, venue.at, attempt=imported[order.symbol])
                imported[order.symbol] += 1
                yield ImportOrder(intent, _chain_report(order, by_broker_id))
            continue
        report = _chain_report(order, by_broker_id)
        merged = merge(known[1], report)
        if merged != known[1]:
            yield MergeOrder(order.client_order_id, report)
        if merged.is_terminal and order.is_open:
            yield CancelOrder(order.client_order_id, order.broker_order_id)


def _chain_report(order: VenueOrder, by_broker_id: Mapping[str, VenueOrder]) -> OrderReport:
    """Return the report of an order with the fills of its replacements added: a chain is one intent."""
    tail, qty, paid = order, _ZERO, _ZERO
    seen = {order.broker_order_id}
    while True:
        qty += tail.report.filled_qty
        paid += tail.report.filled_qty * (tail.report.filled_avg_price or _ZERO)
        following = by_broker_id.get(tail.replaced_by or "")
        if following is None or following.broker_order_id in seen:
            break
        seen.add(following.broker_order_id)
        tail = following
    if tail is order:
        return order.report
    return replace(order.report, event=tail.report.event, filled_qty=qty, filled_avg_price=paid / qty if qty else None)


def _imported_intent(order: VenueOrder, at: datetime, *, attempt: int) -> OrderIntent:
    """Return an intent that nobody remembers; numbering them keeps several of a symbol apart in the journal."""
    price = order.limit_price or order.report.filled_avg_price or _ZERO
    submitted = order.submitted_at or at
    return OrderIntent(
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        bar_at=0,
        leg=IMPORTED_LEG,
        attempt=attempt,
        side=order.side,
        qty=order.qty,
        order_type=OrderType.MARKET if order.limit_price is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        limit_price=order.limit_price,
        decision_price=price,
        send_at=submitted,
        fresh_until=submitted,
    )


def _doubt_actions(venue: VenueSnapshot, books: Books, grace: timedelta) -> Iterator[Action]:
    listed = {order.client_order_id for order in venue.orders}
    for client_order_id, (intent, state) in books.orders.items():
        if client_order_id in listed or state.status not in IN_DOUBT:
            continue
        if state.status is OrderStatus.INTENT and intent.send_at > venue.at:
            continue  # not due yet, so it was never sent
        if client_order_id in books.unsent:
            continue
        yield _resolve(intent, venue, grace, sends=books.sends.get(client_order_id, 0))


def _resolve(intent: OrderIntent, venue: VenueSnapshot, grace: timedelta, *, sends: int) -> LookUp | Resend | Abandon:
    times: Sequence[datetime] = venue.not_found.get(intent.client_order_id, ())
    if len(times) < 2 or max(times) - min(times) < grace:
        return LookUp(intent.client_order_id)
    if venue.at < intent.fresh_until and sends < MOST_SENDS:
        return Resend(intent.client_order_id)
    return Abandon(intent.client_order_id)


def _sleeves_after(books: Books, merges: Sequence[Action]) -> Mapping[str, Sleeve]:
    """Return the sleeves once the fills of ``merges`` are booked."""
    sleeves = dict(books.sleeves)
    for action in merges:
        match action:
            case MergeOrder(client_order_id, report):
                intent, before = books.orders[client_order_id]
            case ImportOrder(intent, report):
                before = OrderState()
            case _:
                continue
        delta = fill_between(before, merge(before, report))
        if delta is not None and intent.symbol in sleeves:
            signed = delta.qty * intent.side.sign
            sleeves[intent.symbol] = sleeves[intent.symbol].fill(SleeveFill(signed, delta.price))
    return sleeves


def _position_actions(venue: VenueSnapshot, books: Books, sleeves: Mapping[str, Sleeve]) -> Iterator[Action]:
    for symbol in sorted(sleeves):
        held = sleeves[symbol].qty
        external = books.external.get(symbol, _ZERO)
        found = venue.positions.get(symbol, _ZERO)
        if found == held + external:
            if symbol in books.drifted_at and books.drifted_at[symbol] < venue.at:
                yield ClearDrift(symbol)
            continue
        price = venue.prices.get(symbol) or books.prices.get(symbol) or _ZERO
        ratio = _split_ratio(held + external, found, books.prices.get(symbol), venue.prices.get(symbol))
        if ratio is not None:
            yield SplitSleeve(symbol, ratio, external * ratio)
            continue
        kept = _shrunk(held, found)
        yield MoveSleeve(symbol, held + external, found, kept, found - kept, price)


def _shrunk(held: Decimal, found: Decimal) -> Decimal:
    """Return what of ``held`` the venue still has: never more than before, never on the other side."""
    if held >= 0:
        return min(held, max(found, _ZERO))
    return max(held, min(found, _ZERO))


def _split_ratio(
    expected: Decimal, found: Decimal, price_before: Decimal | None, price_now: Decimal | None
) -> Decimal | None:
    """Return the ratio of a split if units moved by one and the price moved the other way, else None."""
    if expected == 0 or found == 0 or not price_before or not price_now:
        return None
    ratio = found / expected
    if ratio not in _SPLITS and 1 / ratio not in _SPLITS:
        return None
    return ratio if abs(price_now * ratio / price_before - 1) <= _SPLIT_PRICE_TOLERANCE else None


def abandoned() -> OrderReport:
    """Return the report that buries an order: it was looked for and is not there."""
    return OrderReport(OrderEvent.NOT_FOUND)
