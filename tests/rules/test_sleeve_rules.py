"""Sleeves in Decimal against the contract's array of sleeves."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.sleeve import SleeveArray
from trader_sdk.portfolio import Sleeve, SleeveFill, fold_fills

FREE = CostModel("free@1", Decimal(0), Decimal(0), Decimal(0), Decimal(0))
PRICES = st.decimals("1", "900", places=2)
MOVES = st.lists(st.tuples(st.sampled_from(("buy", "part", "all")), st.integers(1, 40), PRICES), max_size=12)


@given(MOVES, PRICES)
def test_sleeve_gives_the_contracts_account_columns_after_any_trades(
    moves: list[tuple[str, int, Decimal]], last: Decimal
) -> None:
    """The account columns of a Decimal sleeve are those of the contract's SleeveArray, to float32."""
    sleeve, array = Sleeve.start(Decimal(10_000)), SleeveArray.start(np.array([10_000.0]))
    for kind, size, price in moves:
        qty = Decimal(size) if kind == "buy" else -min(sleeve.qty, Decimal(size) if kind == "part" else sleeve.qty)
        if qty == 0:
            continue
        sleeve = sleeve.fill(SleeveFill(qty, price)).mark(price)
        array.fill(np.array([float(qty)]), np.array([float(price)]), FREE)
        array.mark(np.array([float(price)]))
    expected = array.columns(np.array([float(last)]), 6)[0]
    np.testing.assert_allclose(sleeve.columns(last, 6), expected, rtol=1e-6, atol=1e-6)
    assert sleeve.columns(last, 3).tolist() == sleeve.columns(last, 6)[:3].tolist()


def test_sleeve_counts_a_trade_when_it_is_flat_again() -> None:
    """A trade runs from flat to flat and wins only if it made money after fees."""
    bought, sold = SleeveFill(Decimal(2), Decimal(10)), SleeveFill(Decimal(-2), Decimal(11), Decimal(3))
    sleeve = fold_fills(Sleeve.start(Decimal(100)), [bought, sold])
    assert (sleeve.wins, sleeve.closed, sleeve.cash) == (0, 1, Decimal(99))
    assert sleeve.worst_trade == Decimal(-1)


def test_sleeve_splits_a_fill_when_it_goes_through_zero() -> None:
    """A fill through zero closes one trade and opens the next with the rest of its fee."""
    sleeve = fold_fills(
        Sleeve.start(Decimal(100)),
        [SleeveFill(Decimal(2), Decimal(10)), SleeveFill(Decimal(-4), Decimal(12), Decimal(2))],
    )
    assert (sleeve.qty, sleeve.closed, sleeve.wins) == (Decimal(-2), 1, 1)
    assert sleeve.best_trade == Decimal(3)
    assert sleeve.equity(Decimal(12)) == Decimal(102)


@given(PRICES, st.integers(-50, 50))
def test_sleeve_keeps_its_equity_when_a_drift_moves_it(price: Decimal, qty: int) -> None:
    """A change that happened outside is booked at the price it is seen at, so it is no profit and no loss."""
    sleeve = Sleeve.start(Decimal(1000)).fill(SleeveFill(Decimal(7), Decimal(20)))
    assert sleeve.moved_to(Decimal(qty), price).equity(price) == sleeve.equity(price)
    assert sleeve.moved_to(Decimal(qty), price).qty == qty


def test_sleeve_peak_never_falls_when_prices_do() -> None:
    """Marking at a lower close leaves the peak where it was."""
    sleeve = Sleeve.start(Decimal(100)).fill(SleeveFill(Decimal(5), Decimal(10)))
    assert sleeve.mark(Decimal(12)).peak == Decimal(110)
    assert sleeve.mark(Decimal(12)).mark(Decimal(8)).peak == Decimal(110)
