"""What PPO is rewarded with: the log return of equity net of costs, or the weighted terms of ``composite_v25``.

No term enters a metric: validation, the gate and the trader know money only.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TAKEN_FRACTION: Final = 0.02
"""Gain or loss of the largest position, as a fraction of it, from which the stop/take-profit term is full."""
FREE_DRAWDOWN: Final = 0.15
DRAWDOWN_PENALTY: Final = 10.0
INCENTIVE: Final = Decimal("0.02")
_LARGE_MOVE: Final = 2.0  # deviations of a bar


class RewardKind(StrEnum):
    """The rewards by name."""

    NET_LOG_RETURN = "net_log_return"
    COMPOSITE_V25 = "composite_v25"


class Term(NamedTuple):
    """One term of a composite: weight, the range of its value, and its formula for a person."""

    weight: Decimal
    low: float
    high: float
    formula: str


COMPOSITE_V25: Final = {
    "direction": Term(Decimal("0.40"), -1.0, 1.0, "sign(w) sign(m)"),
    "magnitude": Term(Decimal("0.05"), -1.0, 1.0, "sign(w) sign(m) min(|w| / cap, 1) min(|m| / 2, 1)"),
    "pnl": Term(Decimal("0.25"), -1.0, 1.0, "tanh(net log return of equity / reward unit)"),
    "stop_take_profit": Term(Decimal("0.10"), -1.0, 1.0, "net result of the trade that ended / (2 % of cap), clipped"),
    "exploration": Term(Decimal("0.15"), 0.0, 1.0, "1 - share of this action among those of the episode"),
    "slippage": Term(Decimal("0.02"), -1.0, 0.0, "-costs of the step / costs of trading cap once, clipped"),
    "drawdown": Term(Decimal("0.03"), -1.0, 0.0, "-min(drawdown / 15 %, 1)"),
}
"""Terms whose weights sum to 1; ``w`` is the weight held after the fill, ``m`` the bar's move in its deviations."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step did to N sleeves; float64 (N,) unless said.

    Attributes:
        actions: int64, as chosen.
        weight: Position over equity after the fill.
        move: Log return of the market from the fill to the close, in deviations of a bar.
        growth: Log return of equity net of costs, in reward units.
        closed: Net result of the trade that ended, over equity; NaN where none did.
        cost: Of the step, over equity.
        traded: bool, whether anything was filled.
        drawdown: Fall of equity from its peak, a fraction.
    """

    actions: Ints
    weight: Floats
    move: Floats
    growth: Floats
    closed: Floats
    cost: Floats
    traded: Bools
    drawdown: Floats


class Composite:
    """Reward N sleeves with ``composite_v25``; it remembers what each chose in its episode.

    Args:
        num_envs, n_actions: Sleeves and actions.
        cap: Largest weight.
        side_cost: Cost of trading a position once, as a fraction of it.
    """

    def __init__(self, num_envs: int, n_actions: int, cap: float, side_cost: float) -> None:
        self.chosen = np.zeros((num_envs, n_actions), np.int64)
        self._cap, self._largest_cost = cap, max(cap * side_cost, 1e-12)

    def forget(self, where: Bools) -> None:
        """Begin the episodes of ``where`` (N,) anew."""
        self.chosen[where] = 0

    def terms(self, step: Outcome) -> dict[str, Floats]:
        """Return the value of each term, (N,), and count the actions."""
        everyone = np.arange(len(step.actions))
        self.chosen[everyone, step.actions] += 1
        side = np.sign(step.weight) * np.sign(step.move)
        size = np.minimum(np.abs(step.weight) / self._cap, 1.0)
        taken = np.nan_to_num(step.closed) / (TAKEN_FRACTION * self._cap)
        return {
            "direction": side,
            "magnitude": side * size * np.minimum(np.abs(step.move) / _LARGE_MOVE, 1.0),
            "pnl": np.tanh(step.growth),
            "stop_take_profit": np.clip(taken, -1.0, 1.0),
            "exploration": 1.0 - self.chosen[everyone, step.actions] / self.chosen.sum(axis=1),
            "slippage": -np.minimum(step.cost / self._largest_cost, 1.0),
            "drawdown": -np.minimum(step.drawdown / FREE_DRAWDOWN, 1.0),
        }

    def rewards(self, step: Outcome) -> Floats:
        """Return the weighted terms, the incentive of a fill, less ten times the square of drawdown beyond 15 %."""
        terms = self.terms(step)
        weighted = sum(float(COMPOSITE_V25[name].weight) * value for name, value in terms.items())
        beyond = np.maximum(step.drawdown - FREE_DRAWDOWN, 0.0)
        rewards: Floats = weighted + float(INCENTIVE) * step.traded - DRAWDOWN_PENALTY * beyond**2
        return rewards
