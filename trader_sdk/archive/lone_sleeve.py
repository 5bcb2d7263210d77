"""One sleeve in Python's own numbers.

The arithmetic is that of :class:`~trader_sdk.contract.sleeve.SleeveArray` and ``target_notional_array``, number by
number in Python: for a single sleeve, numpy's calls on arrays of length one would take ten times as long as the policy.
A property test holds both to each other.
"""

from __future__ import annotations

import math
from struct import pack_into
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.execution import ExecutionLimits

_CAP: Final = 0.20
_BUFFER: Final = 0.30
_EQUITY_FLOOR: Final = 0.01
_FLAT: Final = 1e-9


class LoneSleeve:
    """One sleeve; see :class:`~trader_sdk.contract.sleeve.SleeveArray` for what its attributes mean.

    Args:
        initial: Equity at the start.
        costs: What a fill costs.
        limits: Sizing constants.
    """

    __slots__ = (
        "_base",
        "_borrow",
        "_cap",
        "_commission",
        "_initial",
        "_price_cost",
        "_short",
        "cash",
        "closed",
        "peak",
        "shares",
        "trade_cash",
        "wins",
    )

    def __init__(self, initial: float, costs: CostModel, limits: ExecutionLimits) -> None:
        self._initial = self.cash = self.peak = initial
        self.shares = self.trade_cash = 0.0
        self.wins = self.closed = 0
        self._base = float((1 - limits.buffer_fraction) * limits.base_fraction)
        self._cap, self._short = float(limits.cap_fraction), limits.allow_short
        self._price_cost, self._commission = float(costs.price_fraction), float(costs.commission_fraction)
        self._borrow = float(costs.borrow_bps_per_year) / 10_000.0

    def write_columns(self, price: float, out: memoryview, n_account: int) -> None:
        """Write the first ``n_account`` account columns at ``price`` as float32."""
        initial, position = self._initial, self.shares * price
        equity = self.cash + position
        pnl = math.tanh(10.0 * (equity - initial) / initial)
        win_rate = self.wins / self.closed if self.closed else 0.5
        drawdown = min(max((self.peak - equity) / self.peak, 0.0), 1.0)
        if n_account == 3:
            pack_into("3f", out, 0, pnl, win_rate, drawdown)
            return
        floored = max(equity, _EQUITY_FLOOR * initial)
        held = min(max(position / floored / _CAP, -1.0), 1.0)
        free = min(max(self.cash / floored - _BUFFER, 0.0), 1.0 - _BUFFER)
        pack_into("6f", out, 0, pnl, win_rate, drawdown, held, free, math.log10(floored / initial))

    def target(self, direction: int, size: float, equity: float, position: float) -> float:
        """Return the signed value of the position after an action."""
        notional = equity * self._base * size
        cap = self._cap * equity
        if direction > 0:
            if position < 0.0:
                return min(position + notional, 0.0)
            return max(position, min(position + notional, cap))
        if position > 0.0:
            return max(position - notional, 0.0)
        return min(position, max(position - notional, -cap)) if self._short else position

    def fill(self, delta: float, price: float) -> tuple[float, float | None]:
        """Trade ``delta`` shares around ``price``; return its cost, and the net result of a trade that became flat."""
        traded = abs(delta) * price
        price_cost = traded * self._price_cost
        commission = (traded + math.copysign(price_cost, delta)) * self._commission
        flow = -delta * price - price_cost - commission
        before, after = self.shares, self.shares + delta
        if abs(after) <= _FLAT * abs(before):
            after = 0.0
        self.cash += flow
        self.trade_cash += flow
        self.shares = after
        if after != 0.0 or before == 0.0:
            return price_cost + commission, None
        net, self.trade_cash = self.trade_cash, 0.0
        self.closed += 1
        self.wins += net > 0.0
        return price_cost + commission, net

    def pay_borrow(self, price: float, years: float) -> float:
        """Charge the borrow fee of a short position held for ``years``; return it."""
        if self.shares >= 0.0:
            return 0.0
        fee = -self.shares * price * self._borrow * years
        self.cash -= fee
        self.trade_cash -= fee
        return fee


def columns_buffer(account: NDArray[np.float32]) -> memoryview:
    """Return the memory of an account row (n_account,), for :meth:`LoneSleeve.write_columns`."""
    return account.data.cast("B")
