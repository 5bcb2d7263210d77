"""What a shadow's decisions would have earned: a paper sleeve, bar by bar, as training and backtest trade; pure.

A decision on the close of one bar is filled at the open of the next, at the cost model's price: the same for every
model of a slot, its champion included, so that their ledgers can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.archive.lone_sleeve import LoneSleeve, columns_buffer
from trader_sdk.archive.tracks import NANOSECONDS_PER_YEAR
from trader_sdk.contract.bars import Bar
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.execution import ActionLike, ExecutionLimits
from trader_sdk.live.events import bar_ns, parse_time

FILL_MODEL: Final = "next_open@1"
_STATE: Final = ("cash", "shares", "peak", "wins", "closed", "trade_cash")


@dataclass(frozen=True, slots=True)
class BarRow:
    """One bar of a shadow's ledger, complete once the bar has closed.

    Attributes:
        weight_before: Position over equity at the open, before the fill.
        weight: The same after it: what was held over the bar.
        cost: Of the fill and of borrowing, over equity.
        trade: Net result, over equity, of the trade that the fill closed; None where it closed none.
        market_return: Of the bar before, from its open to this one's; None for the first.
        equity: At the close, account currency.
    """

    weight_before: float
    weight: float
    cost: float
    trade: float | None
    market_return: float | None
    equity: float


class ShadowAccount:
    """The paper sleeve of one model and symbol.

    Args:
        initial: Equity at the start, account currency.
        costs: What a fill costs.
        limits: Sizing constants.
    """

    def __init__(self, initial: float, costs: CostModel, limits: ExecutionLimits) -> None:
        self._initial = initial
        self._sleeve = LoneSleeve(initial, costs, limits)
        self._ordered = 0.0
        self._open: float | None = None
        self._last_t: int | None = None

    @classmethod
    def restored(cls, state: Mapping[str, Any], costs: CostModel, limits: ExecutionLimits) -> ShadowAccount:
        """Return the account that :meth:`state` kept; one kept before 0.2 does not know when its last bar was."""
        account = cls(state["initial"], costs, limits)
        for name in _STATE:
            setattr(account._sleeve, name, state[name])
        account._ordered, account._open, account._last_t = state["ordered"], state["open"], state.get("last_t")
        return account

    def state(self) -> dict[str, Any]:
        """Return everything that a restart needs, as plain data."""
        kept = {name: getattr(self._sleeve, name) for name in _STATE}
        last = {"open": self._open, "last_t": self._last_t}
        return {**kept, "initial": self._initial, "ordered": self._ordered, **last}

    def take(self, bar: Bar, *, follows: bool = True) -> BarRow:
        """Fill what was decided on the bar before at this one's open, and mark at its close.

        Args:
            bar: A closed bar.
            follows: Whether no bar is missing before it; after a gap the old decision is dropped.
        """
        sleeve, opened = self._sleeve, bar.open
        before = sleeve.cash + sleeve.shares * opened
        weight_before, cost, trade = sleeve.shares * opened / before, 0.0, None
        held_ns = 0 if self._last_t is None else bar.t - self._last_t
        borrow = sleeve.pay_borrow(opened, held_ns / NANOSECONDS_PER_YEAR)
        if self._ordered and follows:
            cost, net = sleeve.fill(self._ordered, opened)
            trade = None if net is None else net / before
        cost += borrow
        weight = sleeve.shares * opened / before
        market_return = None if self._open is None else opened / self._open - 1.0
        self._ordered, self._open, self._last_t = 0.0, opened, bar.t
        equity = sleeve.cash + sleeve.shares * bar.close
        sleeve.peak = max(sleeve.peak, equity)
        return BarRow(weight_before, weight, cost / before, trade, market_return, equity)

    def columns(self, close: float, n_account: int) -> NDArray[np.float32]:
        """Return the account columns at ``close``, float32 (n_account,)."""
        columns = np.zeros(n_account, np.float32)
        if n_account:
            self._sleeve.write_columns(close, columns_buffer(columns), n_account)
        return columns

    def order(self, decision: ActionLike, close: float) -> None:
        """Keep what a decision on ``close`` asks for until the next open."""
        position = self._sleeve.shares * close
        equity = self._sleeve.cash + position
        if decision.direction:
            target = self._sleeve.target(decision.direction, float(decision.size), equity, position)
            self._ordered = (target - position) / close


def shadow_ledger(bodies: Sequence[Mapping[str, Any]]) -> Ledger:
    """Return the ledger of one shadow from its ``shadow_decided`` entries, oldest first.

    The last bar is marked at its close and not closed out.

    Args:
        bodies: Of one symbol and one model digest, at least one.
    """
    opens = [float(body["open"]) for body in bodies]
    last = float(bodies[-1]["price"]) / opens[-1] - 1.0
    returns = [float(body["market_return"]) for body in bodies[1:]]
    return Ledger(
        weight=np.array([float(body["weight"]) for body in bodies]),
        market_return=np.array([*returns, last]),
        cost=np.array([float(body["cost"]) for body in bodies]),
        trades=np.array([float(body["trade"]) for body in bodies if body["trade"] is not None]),
        start_at=np.array([bar_ns(parse_time(body["bar"])) for body in bodies], dtype=np.int64),
    )
