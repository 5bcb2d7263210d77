"""Reconciliation as a pure function: what it asks for, and that applying it leaves nothing to ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.orders import (
    OrderEvent,
    OrderIntent,
    OrderReport,
    OrderState,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
    fill_between,
    merge,
)
from trader_sdk.portfolio import Sleeve, SleeveFill
from trader_sdk.reconcile import (
    IMPORTED_LEG,
    Abandon,
    Action,
    Books,
    CancelOrder,
    ClearDrift,
    ImportOrder,
    LookUp,
    MergeOrder,
    MoveSleeve,
    Resend,
    SplitSleeve,
    VenueOrder,
    VenueSnapshot,
    abandoned,
    reconcile,
)

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
LOOKED = (NOW, NOW + timedelta(seconds=6))


def intent(key: str = "lt1-main-1-AAPL-1-e0-00000000", side: Side = Side.BUY, qty: int = 10) -> OrderIntent:
    """Return an order of AAPL that was due a minute ago and is fresh for another."""
    return OrderIntent(
        *(key, "AAPL", 0, "e", 0, side, Decimal(qty), OrderType.MARKET, TimeInForce.DAY, None, Decimal(100)),
        *(NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)),
    )


def at_venue(
    order: OrderIntent, event: OrderEvent, filled: int = 0, *, is_open: bool = False, **more: str
) -> VenueOrder:
    """Return ``order`` as the venue lists it."""
    report = OrderReport(event, Decimal(filled), Decimal(100) if filled else None, f"b-{order.client_order_id}")
    broker_order_id = more.pop("broker_order_id", f"b-{order.client_order_id}")
    return VenueOrder(
        broker_order_id, order.client_order_id, order.symbol, order.side, order.qty, report, is_open, **more
    )


def books(*orders: tuple[OrderIntent, OrderState], held: int = 0, **more: object) -> Books:
    """Return books of one sleeve of AAPL."""
    sleeve = Sleeve.start(Decimal(10_000))
    sleeve = sleeve.fill(SleeveFill(Decimal(held), Decimal(100))) if held else sleeve
    given_orders = {order.client_order_id: (order, state) for order, state in orders}
    return replace(Books("main", given_orders, {"AAPL": sleeve}), **more)


def snapshot(held: int = 0, *orders: VenueOrder, **more: object) -> VenueSnapshot:
    """Return a round of reads."""
    return replace(VenueSnapshot(NOW, {"AAPL": Decimal(held)} if held else {}, orders=orders), **more)


SENT = OrderState(OrderStatus.SENDING)


def test_reconcile_asks_for_nothing_when_books_and_venue_agree() -> None:
    """A filled order, its sleeve and its position leave nothing to do."""
    done = OrderState(OrderStatus.FILLED, Decimal(10), Decimal(100), f"b-{intent().client_order_id}")
    assert (
        reconcile(snapshot(10, at_venue(intent(), OrderEvent.FILLED_ALL, 10)), books((intent(), done), held=10)) == ()
    )


def test_reconcile_adopts_fills_that_the_books_missed() -> None:
    """An order that filled while we were away is merged, and its position is then as expected."""
    listed = at_venue(intent(), OrderEvent.FILLED_ALL, 10)
    assert reconcile(snapshot(10, listed), books((intent(), SENT))) == (
        MergeOrder(intent().client_order_id, listed.report),
    )


@pytest.mark.parametrize(
    ("looked", "at", "expected"),
    [
        ((), NOW, LookUp),
        ((NOW,), NOW, LookUp),
        ((NOW, NOW + timedelta(seconds=1)), NOW, LookUp),
        (LOOKED, NOW, Resend),
        (LOOKED, NOW + timedelta(minutes=2), Abandon),
    ],
)
@pytest.mark.parametrize("status", [OrderStatus.INTENT, OrderStatus.SENDING, OrderStatus.UNKNOWN])
def test_reconcile_resolves_doubt_only_after_two_look_ups_in_vain(
    status: OrderStatus, looked: tuple[datetime, ...], at: datetime, expected: type
) -> None:
    """An order whose fate is unknown is looked up twice, five seconds apart, then sent again if fresh, else buried."""
    doubtful = (intent(), OrderState(status))
    venue = snapshot(at=at, not_found={intent().client_order_id: looked} if looked else {})
    assert reconcile(venue, books(doubtful)) == (expected(intent().client_order_id),)


def test_reconcile_leaves_orders_alone_when_they_are_not_due() -> None:
    """A durable order for tomorrow's auction was never sent, so there is nothing to look for."""
    later = replace(intent(), send_at=NOW + timedelta(hours=1), fresh_until=NOW + timedelta(hours=2))
    assert reconcile(snapshot(), books((later, OrderState(OrderStatus.INTENT)))) == ()


def test_reconcile_judges_no_position_while_an_order_is_in_doubt() -> None:
    """A position that does not fit may be the doubtful order's: only the look-up is asked for."""
    assert reconcile(snapshot(10), books((intent(), SENT))) == (LookUp(intent().client_order_id),)


@pytest.mark.parametrize(
    ("held", "found", "kept", "external"),
    [(10, 4, 4, 0), (10, 0, 0, 0), (10, 13, 10, 3), (0, 5, 0, 5), (10, -2, 0, -2)],
)
def test_reconcile_shrinks_to_the_venue_and_never_buys_back(held: int, found: int, kept: int, external: int) -> None:
    """The sleeve is at most what it was; what is beyond it belongs to somebody else."""
    (action,) = reconcile(snapshot(found), books(held=held))
    assert isinstance(action, MoveSleeve)
    assert (action.sleeve_qty, action.external_qty) == (kept, external)


def test_reconcile_sees_a_split_when_units_and_price_moved_against_each_other() -> None:
    """Four times the units at a quarter of the price is a split, not a drift."""
    venue = snapshot(40, prices={"AAPL": Decimal(26)})
    assert reconcile(venue, books(held=10, prices={"AAPL": Decimal(100)})) == (SplitSleeve("AAPL", Decimal(4)),)
    unmoved = snapshot(40, prices={"AAPL": Decimal(100)})
    assert isinstance(reconcile(unmoved, books(held=10, prices={"AAPL": Decimal(100)}))[0], MoveSleeve)


def test_reconcile_clears_a_drift_in_a_later_round_only() -> None:
    """The round that found a drift cannot clear it; the next clean one does."""
    drifted = books(held=10, drifted_at={"AAPL": NOW})
    assert reconcile(snapshot(10), drifted) == ()
    assert reconcile(snapshot(10, at=NOW + timedelta(minutes=1)), drifted) == (ClearDrift("AAPL"),)


def test_reconcile_cancels_an_order_that_outlived_its_tombstone() -> None:
    """A buried order that shows up alive at the venue is cancelled."""
    listed = at_venue(intent(), OrderEvent.WORKING, is_open=True)
    actions = reconcile(snapshot(0, listed), books((intent(), OrderState(OrderStatus.ABANDONED))))
    assert CancelOrder(intent().client_order_id, listed.broker_order_id) in actions


def test_reconcile_imports_what_carries_our_prefix_and_leaves_the_rest() -> None:
    """An order of ours that the journal lost is taken in; a stranger's is not."""
    ours, foreign = (
        at_venue(intent(), OrderEvent.FILLED_ALL, 10),
        at_venue(intent("manual-1"), OrderEvent.FILLED_ALL, 3),
    )
    actions = reconcile(snapshot(10, ours, foreign), books())
    assert [type(action) for action in actions] == [ImportOrder]


def test_reconcile_numbers_what_it_imports() -> None:
    """Two orders of a symbol that the journal lost are two entries of it, and so is one that comes later."""
    first, second, later = (
        at_venue(intent(f"lt1-main-1-AAPL-{n}-e0-0000000{n}"), OrderEvent.FILLED_ALL, 5) for n in "123"
    )
    found = [a for a in reconcile(snapshot(10, first, second), books()) if isinstance(a, ImportOrder)]
    known = books(*((action.intent, SENT) for action in found))
    found += [a for a in reconcile(snapshot(15, first, second, later), known) if isinstance(a, ImportOrder)]
    keys = [(a.intent.symbol, a.intent.bar_at, a.intent.leg, a.intent.attempt) for a in found]
    assert keys == [("AAPL", 0, IMPORTED_LEG, n) for n in range(3)]


def test_reconcile_counts_a_replace_chain_as_one_order() -> None:
    """Fills of an order and of the one that replaced it belong to the same intent."""
    first = at_venue(intent(), OrderEvent.REPLACEMENT, 4, replaced_by="b-2")
    second = at_venue(intent("replacement"), OrderEvent.FILLED_ALL, 6, broker_order_id="b-2")
    (merged, *_) = reconcile(snapshot(10, first, second), books((intent(), SENT)))
    assert isinstance(merged, MergeOrder)
    assert (merged.report.event, merged.report.filled_qty) == (OrderEvent.FILLED_ALL, 10)


def applied(actions: Sequence[Action], state: Books, venue: VenueSnapshot) -> tuple[Books, VenueSnapshot]:
    """Return books and venue once ``actions`` are carried out: what the shell does, in the small."""
    for action in actions:
        orders, sleeves = dict(state.orders), dict(state.sleeves)
        match action:
            case MergeOrder(key, report):
                state = booked(state, key, report)
            case ImportOrder(order, report):
                state = booked(
                    replace(state, orders={**orders, order.client_order_id: (order, OrderState())}),
                    order.client_order_id,
                    report,
                )
            case LookUp(key) if key not in {order.client_order_id for order in venue.orders}:
                venue = replace(venue, not_found={**venue.not_found, key: LOOKED})
            case Resend(key):
                accepted = at_venue(orders[key][0], OrderEvent.ACKNOWLEDGED, is_open=True)
                venue = replace(venue, orders=(*venue.orders, accepted))
            case Abandon(key):
                state = booked(state, key, abandoned())
            case CancelOrder(key, _):
                kept = tuple(replace(o, is_open=False) if o.client_order_id == key else o for o in venue.orders)
                venue = replace(venue, orders=kept)
            case MoveSleeve():
                sleeves[action.symbol] = sleeves[action.symbol].moved_to(action.sleeve_qty, action.price)
                external = {**state.external, action.symbol: action.external_qty}
                drifted = {**state.drifted_at, action.symbol: venue.at}
                state = replace(state, sleeves=sleeves, external=external, drifted_at=drifted)
            case SplitSleeve(symbol, ratio):
                sleeves[symbol] = sleeves[symbol].split(ratio)
                state = replace(state, sleeves=sleeves)
            case ClearDrift(symbol):
                state = replace(state, drifted_at={s: at for s, at in state.drifted_at.items() if s != symbol})
    return state, venue


def booked(state: Books, key: str, report: OrderReport) -> Books:
    """Return ``state`` with one report merged and its fill in the sleeve."""
    order, before = state.orders[key]
    after = merge(before, report)
    delta = fill_between(before, after)
    sleeves = dict(state.sleeves)
    if delta is not None:
        sleeves["AAPL"] = sleeves["AAPL"].fill(SleeveFill(delta.qty * order.side.sign, delta.price))
    return replace(state, orders={**state.orders, key: (order, after)}, sleeves=sleeves)


STATES = st.sampled_from([OrderState(status) for status in OrderStatus])
LISTED = st.tuples(st.sampled_from(OrderEvent), st.integers(0, 10), st.booleans())


@given(
    st.lists(st.tuples(st.sampled_from(Side), STATES, st.none() | LISTED), max_size=4),
    st.integers(0, 20),
    st.integers(-5, 25),
    st.booleans(),
)
def test_reconcile_comes_to_rest_whatever_books_and_venue_say(
    orders: list[tuple[Side, OrderState, tuple[OrderEvent, int, bool] | None]], held: int, found: int, fresh: bool
) -> None:
    """From any disagreement a few rounds lead to one that changes nothing, and positions then agree."""
    intents = [(intent(f"lt1-main-1-AAPL-{n}-e0-0", side), state) for n, (side, state, _) in enumerate(orders)]
    listed = [
        at_venue(order, row[0], row[1], is_open=row[2])
        for (order, _), (_, _, row) in zip(intents, orders, strict=True)
        if row is not None
    ]
    venue = snapshot(found, *listed, at=NOW if fresh else NOW + timedelta(minutes=2))
    state = books(*intents, held=held)
    for _ in range(6):
        actions = reconcile(venue, state)
        if not actions:
            break
        state, venue = applied(actions, state, venue)
    assert reconcile(venue, state) == ()
    assert state.sleeves["AAPL"].qty + state.external.get("AAPL", Decimal(0)) == found


@pytest.mark.parametrize(("sends", "action"), [(0, Resend), (1, Resend), (2, Abandon), (3, Abandon)])
def test_order_is_sent_twice_at_most_when_the_venue_loses_it(sends: int, action: type[Action]) -> None:
    """A venue that lost an order twice does not get it a third time, however fresh it is."""
    order = intent()
    known = books((order, OrderState(OrderStatus.UNKNOWN)), sends={order.client_order_id: sends})
    found = reconcile(snapshot(not_found={order.client_order_id: LOOKED}), known)
    assert found == (action(order.client_order_id),)


def test_order_that_was_certainly_not_sent_is_in_no_doubt() -> None:
    """An order that waits for the venue's own pause is neither looked up nor sent by reconciliation."""
    order = intent()
    waiting = books((order, OrderState(OrderStatus.INTENT)), unsent=frozenset({order.client_order_id}))
    assert reconcile(snapshot(), waiting) == ()
    assert reconcile(snapshot(), replace(waiting, unsent=frozenset())) == (LookUp(order.client_order_id),)
