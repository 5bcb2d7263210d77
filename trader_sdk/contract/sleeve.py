"""Sleeves: the virtual sub-ledgers that account columns and sizing read, many at once in float64.

Training, backtest and shadows use :class:`SleeveArray`; the live trader folds real fills in Decimal
(``trader_sdk.portfolio``) and takes its account columns from the same :func:`account_columns`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.costs import CostModel

Floats = NDArray[np.float64]

ACCOUNT_COLUMNS: Final = (
    "total_pnl_pct",
    "win_rate",
    "drawdown",
    "position_pct",
    "available_pct",
    "account_change",
)
_CAP: Final = 0.20
_BUFFER: Final = 0.30
_EQUITY_FLOOR: Final = 0.01
_FLAT: Final = 1e-9  # what rounding leaves of a position that was closed, as a fraction of it


def account_columns(
    *,
    initial: Floats,
    equity: Floats,
    peak: Floats,
    wins: NDArray[np.int64],
    closed: NDArray[np.int64],
    position_value: Floats,
    cash: Floats,
) -> NDArray[np.float32]:
    """Return the six account columns of N sleeves.

    Args:
        initial: (N,) equity when the sleeve was armed, account currency, positive.
        equity: (N,) cash plus market value now.
        peak: (N,) highest equity so far.
        wins: (N,) closed trades with a net result above zero.
        closed: (N,) closed trades.
        position_value: (N,) signed market value.
        cash: (N,) account currency.

    Returns:
        float32 (N, 6) in the order of :data:`ACCOUNT_COLUMNS`; 2.4.0 reads the first three, 2.7.0 all.

    Example:
        >>> one, zero = np.ones(1), np.zeros(1, dtype=np.int64)
        >>> at_rest = account_columns(initial=one, equity=one, peak=one, wins=zero, closed=zero,
        ...                           position_value=np.zeros(1), cash=one)
        >>> at_rest.round(2).tolist()
        [[0.0, 0.5, 0.0, 0.0, 0.699999988079071, 0.0]]
    """
    floored = np.maximum(equity, _EQUITY_FLOOR * initial)
    columns = np.empty((len(equity), len(ACCOUNT_COLUMNS)), dtype=np.float32)
    columns[:, 0] = np.tanh(10.0 * (equity - initial) / initial)
    columns[:, 1] = np.where(closed > 0, wins / np.maximum(closed, 1), 0.5)
    columns[:, 2] = _within((peak - equity) / peak, 0.0, 1.0)
    columns[:, 3] = _within(position_value / floored / _CAP, -1.0, 1.0)
    columns[:, 4] = _within(cash / floored - _BUFFER, 0.0, 1.0 - _BUFFER)
    columns[:, 5] = np.log10(floored / initial)
    return columns


def _within(values: Floats, low: float, high: float) -> Floats:
    # numpy's clip, in two thirds of its time for a few hundred numbers.
    clipped: Floats = np.minimum(np.maximum(values, low), high)
    return clipped


class Fills(NamedTuple):
    """What a round of fills cost and closed.

    ``cost`` is (N,) half spread, slippage and commission in account currency; ``closed_trade_net`` is (N,) the net
    result of the trade that became flat, NaN where none did.
    """

    cost: Floats
    closed_trade_net: Floats


@dataclass(slots=True)
class SleeveArray:
    """N sleeves; every array is float64 (N,) unless said.

    Attributes:
        initial: Equity at the start.
        cash: Account currency.
        shares: Signed units held.
        peak: Highest equity at a mark.
        wins, closed: int64, winning and all closed trades; a trade runs from flat to flat, net of costs.
        trade_cash: Cash flow of the open trade.
    """

    initial: Floats
    cash: Floats
    shares: Floats
    peak: Floats
    wins: NDArray[np.int64]
    closed: NDArray[np.int64]
    trade_cash: Floats

    @classmethod
    def start(cls, initial: Floats) -> Self:
        """Return flat sleeves holding ``initial`` in cash."""
        count = len(initial)
        return cls(
            initial=initial.copy(),
            cash=initial.copy(),
            shares=np.zeros(count),
            peak=initial.copy(),
            wins=np.zeros(count, dtype=np.int64),
            closed=np.zeros(count, dtype=np.int64),
            trade_cash=np.zeros(count),
        )

    def position_value(self, price: Floats) -> Floats:
        """Return the signed market value at ``price`` (N,)."""
        return self.shares * price

    def equity(self, price: Floats) -> Floats:
        """Return cash plus market value at ``price`` (N,)."""
        return self.cash + self.shares * price

    def mark(self, price: Floats) -> None:
        """Raise the peak to the equity at a bar's close."""
        np.maximum(self.peak, self.equity(price), out=self.peak)

    def columns(self, price: Floats, n_account: int) -> NDArray[np.float32]:
        """Return float32 (N, n_account) account columns at ``price``; ``n_account`` is 0, 3 or 6."""
        return account_columns(
            initial=self.initial,
            equity=self.equity(price),
            peak=self.peak,
            wins=self.wins,
            closed=self.closed,
            position_value=self.position_value(price),
            cash=self.cash,
        )[:, :n_account]

    def fill(self, delta_shares: Floats, price: Floats, cost: CostModel) -> Fills:
        """Trade ``delta_shares`` (N,), signed, around ``price`` (N,); the fill is worse by spread and slippage."""
        traded = np.abs(delta_shares) * price
        price_cost = traded * float(cost.price_fraction)
        commission = (traded + np.sign(delta_shares) * price_cost) * float(cost.commission_fraction)
        flow = -delta_shares * price - price_cost - commission
        before = self.shares
        after = before + delta_shares
        after = np.where(np.abs(after) <= _FLAT * np.abs(before), 0.0, after)
        self.cash = self.cash + flow
        self.trade_cash = self.trade_cash + flow
        self.shares = after
        ended = (before != 0.0) & (after == 0.0)
        net = np.where(ended, self.trade_cash, np.nan)
        self.closed = self.closed + ended
        self.wins = self.wins + (ended & (self.trade_cash > 0.0))
        self.trade_cash = np.where(ended, 0.0, self.trade_cash)
        return Fills(price_cost + commission, net)

    def pay_borrow(self, price: Floats, cost: CostModel, years: Floats | float) -> Floats:
        """Charge the borrow fee of short positions held for ``years``, (N,) or one for all; return it, (N,)."""
        fee = np.maximum(-self.shares * price, 0.0) * (float(cost.borrow_bps_per_year) / 10_000.0) * years
        self.cash = self.cash - fee
        self.trade_cash = self.trade_cash - fee
        return fee

    def only(self, where: NDArray[np.bool_]) -> Self:
        """Return the sleeves of ``where`` (N,)."""
        return type(self)(**{each.name: getattr(self, each.name)[where] for each in fields(self)})

    def reset(self, where: NDArray[np.bool_], initial: Floats) -> None:
        """Start the sleeves of ``where`` (N,) again with ``initial`` (N,)."""
        fresh = SleeveArray.start(initial)
        for name in ("initial", "cash", "shares", "peak", "wins", "closed", "trade_cash"):
            setattr(self, name, np.where(where, getattr(fresh, name), getattr(self, name)))
