"""From decisions on a close to fills at the next open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trader_sdk.archive.tracks import Floats, Ints, Turn
from trader_sdk.contract.costs import CostModel
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits, target_notional_array
from trader_sdk.contract.sleeve import Fills, SleeveArray
from trader_sdk.contract.spec import ModelSpec


class ActionTable(NamedTuple):
    """A contract row's actions as arrays: direction int8 (A,) and size float64 (A,), by action index."""

    direction: NDArray[np.int8]
    size: Floats

    @classmethod
    def of(cls, spec: ModelSpec) -> ActionTable:
        """Return the table of ``spec``."""
        directions = np.array([action.direction for action in spec.actions], dtype=np.int8)
        return cls(directions, np.array([action.size for action in spec.actions]))


def fill_decisions(
    sleeves: SleeveArray,
    actions: Ints,
    table: ActionTable,
    turn: Turn,
    costs: CostModel,
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> Fills:
    """Turn decisions on a close into fills at the next open; shorts pay there for the time since the open before.

    Args:
        sleeves: N sleeves, changed in place.
        actions: (N,) action indices; ignored where nobody was asked.
        table: What they mean.
        turn: Prices and time between decisions and fills.
        costs: Spread, slippage, commission and borrow.
        limits: Sizing constants.

    Returns:
        What was closed, and what all of it cost, borrow included.
    """
    direction = table.direction[actions]
    if turn.asked is not None:
        direction = np.where(turn.asked, direction, 0)
    position = sleeves.position_value(turn.close)
    target = target_notional_array(direction, table.size[actions], sleeves.equity(turn.close), position, limits)
    borrow = sleeves.pay_borrow(turn.next_open, costs, turn.years)
    fills = sleeves.fill((target - position) / turn.close, turn.next_open, costs)
    return Fills(fills.cost + borrow, fills.closed_trade_net)
