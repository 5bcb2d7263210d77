"""Let a policy trade past bars on sleeves: the one simulation that validation, the gate and the backtest share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.ledger import Ledger
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.errors import DataError
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits, target_notional_array
from trader_sdk.contract.sleeve import Fills, SleeveArray
from trader_sdk.contract.spec import ModelSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NO_DECISION: Final = -1
"""Stands in :attr:`Walk.actions` at a window's last bar, where the position is closed instead."""
_INITIAL_EQUITY: Final = 10_000.0
_SECONDS_PER_YEAR: Final = 365 * 86_400


class SplitPolicy(Protocol):
    """A policy whose first layer is evaluated for a whole history at once, apart from the account columns."""

    def market_sums(self, market: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (T - window + 1, hidden), the market part of the first layer for each full window of (T, 53)."""

    def logits_from_sums(self, sums: NDArray[np.float32], account: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits (n, n_actions) from market parts (n, hidden) and account columns (n, k)."""


class ActionTable(NamedTuple):
    """A contract row's actions as arrays: direction int8 (A,) and size float64 (A,), by action index."""

    direction: NDArray[np.int8]
    size: Floats

    @classmethod
    def of(cls, spec: ModelSpec) -> ActionTable:
        """Return the table of ``spec``."""
        directions = np.array([action.direction for action in spec.actions], dtype=np.int8)
        return cls(directions, np.array([action.size for action in spec.actions]))


class Prices(NamedTuple):
    """Bars as the simulation needs them: starts (ns, UTC), opens, closes, each (T,), and the length of a bar."""

    t: Ints
    open: Floats
    close: Floats
    seconds: int


@dataclass(frozen=True, slots=True)
class Walk:
    """What a policy did in one window of n bars, flat at its start and closed at its last bar.

    Attributes:
        ledger: Bar returns and trades, the input of the metric set.
        actions: int64 (n,) action decided on each close; ``NO_DECISION`` at the last.
        equity: float64 (n,) sleeve equity at each close, the forced close's costs included.
        position_weight: float64 (n,) position value as a fraction of equity at each close.
    """

    ledger: Ledger
    actions: Ints
    equity: Floats
    position_weight: Floats


def fill_decisions(
    sleeves: SleeveArray,
    actions: Ints,
    table: ActionTable,
    *,
    close: Floats,
    next_open: Floats,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> Fills:
    """Turn decisions on a close into fills at the next open.

    Args:
        sleeves: N sleeves, changed in place.
        actions: (N,) action indices.
        table: What they mean.
        close: (N,) price that decisions and sizes are computed on.
        next_open: (N,) price that orders are filled around.
        costs: Spread, slippage and commission.
        limits: Sizing constants.
    """
    position = sleeves.position_value(close)
    target = target_notional_array(
        table.direction[actions], table.size[actions], sleeves.equity(close), position, limits
    )
    return sleeves.fill((target - position) / close, next_open, costs)


def walk_windows(
    policy: SplitPolicy,
    spec: ModelSpec,
    market: NDArray[np.float32],
    prices: Prices,
    windows: Sequence[range],
    *,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> list[Walk]:
    """Let the argmax policy trade windows of equal length, side by side, a sleeve each.

    Args:
        policy: Decides.
        spec: What its actions and account columns mean.
        market: float32 (T, 53) feature rows.
        prices: (T,) each, aligned with ``market``.
        windows: Row ranges of one length; before each start there are ``spec.window - 1`` rows.
        costs: Cost model.
        limits: Sizing constants.

    Returns:
        One walk a window. The first decision is taken on the close of a window's first bar.

    Raises:
        DataError: A window is out of range or of another length than the first, or shorter than two bars.
    """
    length = _common_length(windows, first=spec.window - 1, rows=len(market))
    starts = np.array([window.start for window in windows])
    first = int(starts.min()) - spec.window + 1
    sums = policy.market_sums(market[first : int(starts.max()) + length])
    table, recorder = ActionTable.of(spec), _Recorder.empty(length, len(windows))
    sleeves = SleeveArray.start(np.full(len(windows), _INITIAL_EQUITY))
    for bar in range(length - 1):
        rows = starts + bar
        close, next_open = prices.close[rows], prices.open[rows + 1]
        account = sleeves.columns(close, spec.n_account)
        actions = policy.logits_from_sums(sums[rows - first - spec.window + 1], account).argmax(axis=1)
        before = sleeves.equity(next_open)
        fills = fill_decisions(sleeves, actions, table, close=close, next_open=next_open, costs=costs, limits=limits)
        recorder.actions[bar] = actions
        recorder.fill(bar + 1, fills, before, sleeves.position_value(next_open))
        borrow = sleeves.pay_borrow(prices.close[rows + 1], costs, prices.seconds / _SECONDS_PER_YEAR)
        recorder.cost[bar + 1] += borrow / before
        sleeves.mark(prices.close[rows + 1])
        recorder.mark(bar + 1, sleeves, prices.close[rows + 1])
    last = starts + length - 1
    closing = sleeves.fill(-sleeves.shares, prices.close[last], costs)
    recorder.close_out(closing, sleeves.cash)
    return [recorder.walk(column, prices, window) for column, window in enumerate(windows)]


def _common_length(windows: Sequence[range], *, first: int, rows: int) -> int:
    lengths = {len(window) for window in windows}
    if len(lengths) != 1 or min(lengths) < 2:
        raise DataError("BARS", "windows must share one length of at least 2 bars", found=sorted(lengths))
    if min(window.start for window in windows) < first or max(window.stop for window in windows) > rows:
        raise DataError("BARS", "a window is out of range", expected=f"{first}..{rows}", found=list(windows))
    return lengths.pop()


@dataclass(frozen=True, slots=True)
class _Recorder:
    actions: Ints
    weight: Floats
    cost: Floats
    equity: Floats
    position_weight: Floats
    equity_at_open: Floats
    trades: list[list[float]]

    @classmethod
    def empty(cls, length: int, count: int) -> _Recorder:
        shape = (length, count)
        return cls(
            actions=np.full(shape, NO_DECISION, dtype=np.int64),
            weight=np.zeros(shape),
            cost=np.zeros(shape),
            equity=np.full(shape, _INITIAL_EQUITY),
            position_weight=np.zeros(shape),
            equity_at_open=np.full(shape, _INITIAL_EQUITY),
            trades=[[] for _ in range(count)],
        )

    def fill(self, bar: int, fills: Fills, before: Floats, position: Floats) -> None:
        self.equity_at_open[bar] = before
        self.weight[bar] = position / before
        self.cost[bar] = fills.cost / before
        self._close_trades(fills, before)

    def mark(self, bar: int, sleeves: SleeveArray, close: Floats) -> None:
        self.equity[bar] = sleeves.equity(close)
        self.position_weight[bar] = sleeves.position_value(close) / self.equity[bar]

    def close_out(self, fills: Fills, cash: Floats) -> None:
        before = self.equity_at_open[-1]
        self.cost[-1] += fills.cost / before
        self.equity[-1] = cash
        self.position_weight[-1] = 0.0
        self._close_trades(fills, before)

    def _close_trades(self, fills: Fills, equity: Floats) -> None:
        for column in np.flatnonzero(~np.isnan(fills.closed_trade_net)):
            self.trades[column].append(float(fills.closed_trade_net[column] / equity[column]))

    def walk(self, column: int, prices: Prices, window: range) -> Walk:
        rows = slice(window.start, window.stop)
        exits = np.append(prices.open[window.start + 1 : window.stop], prices.close[window.stop - 1])
        ledger = Ledger(
            weight=self.weight[:, column],
            market_return=exits / prices.open[rows] - 1.0,
            cost=self.cost[:, column],
            trades=np.array(self.trades[column]),
            start_at=prices.t[rows],
        )
        return Walk(ledger, self.actions[:, column], self.equity[:, column], self.position_weight[:, column])
