"""Sleeves in money: the sub-ledger of one model and symbol, folded from real fills in Decimal.

The account columns come from the contract's own :func:`account_columns`, so that a live model sees what it saw in
training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.sleeve import account_columns

_ZERO = Decimal(0)


class SleeveFill(NamedTuple):
    """One fill as a sleeve sees it: signed units, price a unit, fee in account currency."""

    qty: Decimal
    price: Decimal
    fee: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Sleeve:
    """The virtual sub-ledger of one (model, symbol).

    Attributes:
        initial: Equity when the sleeve was armed, account currency, positive.
        cash: Account currency.
        qty: Signed units held.
        peak: Highest equity at a bar's close.
        wins: Closed trades with a net result above zero.
        closed: Closed trades; a trade runs from flat to flat, net of costs.
        trade_cash: Cash flow of the open trade.
        best_trade, worst_trade: Net results of the best and the worst closed trade, None before the first.
    """

    initial: Decimal
    cash: Decimal
    qty: Decimal
    peak: Decimal
    wins: int = 0
    closed: int = 0
    trade_cash: Decimal = _ZERO
    best_trade: Decimal | None = None
    worst_trade: Decimal | None = None

    @classmethod
    def start(cls, initial: Decimal) -> Self:
        """Return a flat sleeve holding ``initial`` in cash.

        Example:
            >>> Sleeve.start(Decimal(1000)).equity(Decimal(50))
            Decimal('1000')
        """
        return cls(initial=initial, cash=initial, qty=_ZERO, peak=initial)

    def position_value(self, price: Decimal) -> Decimal:
        """Return the signed market value at ``price``."""
        return self.qty * price

    def equity(self, price: Decimal) -> Decimal:
        """Return cash plus market value at ``price``."""
        return self.cash + self.qty * price

    def mark(self, price: Decimal) -> Sleeve:
        """Return the sleeve after a bar closed at ``price``: the peak rises to the equity, never falls."""
        equity = self.equity(price)
        return replace(self, peak=equity) if equity > self.peak else self

    def fill(self, fill: SleeveFill) -> Sleeve:
        """Return the sleeve after one fill; a fill through zero closes one trade and opens the next."""
        if self.qty * fill.qty < 0 and abs(fill.qty) > abs(self.qty):
            share = abs(self.qty) / abs(fill.qty)
            closing = SleeveFill(-self.qty, fill.price, fill.fee * share)
            opening = SleeveFill(fill.qty + self.qty, fill.price, fill.fee - closing.fee)
            return self.fill(closing).fill(opening)
        flow = -fill.qty * fill.price - fill.fee
        moved = replace(self, cash=self.cash + flow, qty=self.qty + fill.qty, trade_cash=self.trade_cash + flow)
        return moved._trade_closed() if self.qty != 0 and moved.qty == 0 else moved

    def _trade_closed(self) -> Sleeve:
        net = self.trade_cash
        return replace(
            self,
            wins=self.wins + (net > 0),
            closed=self.closed + 1,
            trade_cash=_ZERO,
            best_trade=net if self.best_trade is None else max(self.best_trade, net),
            worst_trade=net if self.worst_trade is None else min(self.worst_trade, net),
        )

    def moved_to(self, qty: Decimal, price: Decimal) -> Sleeve:
        """Return the sleeve holding ``qty`` after a change outside of it, booked at ``price`` so equity is kept."""
        return self if qty == self.qty else self.fill(SleeveFill(qty - self.qty, price))

    def split(self, ratio: Decimal) -> Sleeve:
        """Return the sleeve after a split of ``ratio`` new units for one; money is untouched."""
        return replace(self, qty=self.qty * ratio)

    def columns(self, price: Decimal, n_account: int) -> NDArray[np.float32]:
        """Return the account columns at ``price``, float32 (n_account,).

        Args:
            price: Close of the bar, account currency.
            n_account: 0, 3 or 6, from the model's spec.
        """
        return columns_of([self], [price])[0, :n_account]


def columns_of(sleeves: Sequence[Sleeve], prices: Sequence[Decimal]) -> NDArray[np.float32]:
    """Return the account columns of many sleeves, each at its price, float32 (n, 6)."""
    pairs = zip(sleeves, prices, strict=True)
    return columns_from(np.array([money_of(sleeve, price) for sleeve, price in pairs]).reshape(-1, len(Money._fields)))


class Money(NamedTuple):
    """What account columns are made of, as float64."""

    initial: float
    equity: float
    peak: float
    wins: float
    closed: float
    position_value: float
    cash: float


def money_of(sleeve: Sleeve, price: Decimal) -> Money:
    """Return a sleeve at a price, rounded once each from Decimal; of one that holds nothing, whatever the price."""
    value = sleeve.position_value(price)
    return Money(
        float(sleeve.initial),
        float(sleeve.cash + value),
        float(sleeve.peak),
        sleeve.wins,
        sleeve.closed,
        float(value),
        float(sleeve.cash),
    )


def columns_from(money: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the account columns, float32 (n, 6), of rows of :class:`Money`, float64 (n, 7)."""
    initial, equity, peak, wins, closed, position_value, cash = np.ascontiguousarray(money.T)
    return account_columns(
        initial=initial,
        equity=equity,
        peak=peak,
        wins=wins.astype(np.int64),
        closed=closed.astype(np.int64),
        position_value=position_value,
        cash=cash,
    )


def fold_fills(sleeve: Sleeve, fills: Iterable[SleeveFill]) -> Sleeve:
    """Return ``sleeve`` after ``fills``, oldest first.

    Example:
        >>> bought, sold = SleeveFill(Decimal(2), Decimal(10)), SleeveFill(Decimal(-2), Decimal(11))
        >>> after = fold_fills(Sleeve.start(Decimal(100)), [bought, sold])
        >>> after.cash, after.wins, after.closed
        (Decimal('102'), 1, 1)
    """
    for fill in fills:
        sleeve = sleeve.fill(fill)
    return sleeve
