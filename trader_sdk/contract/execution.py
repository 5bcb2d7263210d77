"""What an action does to a position (capability ``execution/delta@1``), once for training, backtest and live."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.errors import ActionError


class ActionLike(Protocol):
    """Anything with an action's direction and size: a Decision or an ActionMeaning."""

    @property
    def direction(self) -> int:
        """Return -1, 0 or +1."""

    @property
    def size(self) -> float:
        """Return the fraction of the base allocation."""


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """Sizing constants, fractions of the sleeve's equity.

    Attributes:
        buffer_fraction: Never spent.
        base_fraction: Base allocation, a fraction of what is left after the buffer.
        cap_fraction: No action takes ``|position|`` above this.
        allow_short: Whether a SELL may open a short.
    """

    buffer_fraction: Decimal = Decimal("0.30")
    base_fraction: Decimal = Decimal("0.15")
    cap_fraction: Decimal = Decimal("0.20")
    allow_short: bool = False


DEFAULT_LIMITS: Final = ExecutionLimits()


def action_notional(size: float, equity: Decimal, limits: ExecutionLimits = DEFAULT_LIMITS) -> Decimal:
    """Return the unsigned notional of one action: ``equity * (1 - buffer) * base * size``."""
    return equity * (1 - limits.buffer_fraction) * limits.base_fraction * Decimal(str(size))


def target_notional(
    decision: ActionLike, *, equity: Decimal, position: Decimal, limits: ExecutionLimits = DEFAULT_LIMITS
) -> Decimal:
    """Return the signed value of the position after an action; the order is this minus ``position``.

    Args:
        decision: Direction (-1, 0, +1) and size (fraction of the base allocation).
        equity: Sleeve equity, account currency.
        position: Signed market value of the position now, account currency.
        limits: Sizing constants.

    Returns:
        Signed target value, account currency. One action never crosses zero, and a position that price drift took
        beyond the cap is left alone.

    Raises:
        ActionError: E403 if the direction is not -1, 0 or +1.

    Source:
        docs/reference/execution.md

    Example:
        >>> from trader_sdk.contract.spec import ActionMeaning
        >>> target_notional(ActionMeaning(1, 0.5, "BUY_50%"), equity=Decimal(1000), position=Decimal(0))
        Decimal('52.50000')
    """
    if type(decision.direction) is not int or decision.direction not in (-1, 0, 1):
        raise ActionError("E403", "a direction must be -1, 0 or +1", found=repr(decision.direction))
    if decision.direction == 0:
        return position
    notional = action_notional(decision.size, equity, limits)
    cap = limits.cap_fraction * equity
    zero = Decimal(0)
    if decision.direction > 0:
        if position < 0:
            return min(position + notional, zero)
        return max(position, min(position + notional, cap))
    if position > 0:
        return max(position - notional, zero)
    if not limits.allow_short:
        return position
    return min(position, max(position - notional, -cap))


def target_notional_array(
    direction: NDArray[np.int8],
    size: NDArray[np.float64],
    equity: NDArray[np.float64],
    position: NDArray[np.float64],
    limits: ExecutionLimits = DEFAULT_LIMITS,
) -> NDArray[np.float64]:
    """Return :func:`target_notional` for many sleeves at once, in float64.

    Args:
        direction: (N,) -1, 0 or +1.
        size: (N,) fraction of the base allocation.
        equity: (N,) sleeve equity.
        position: (N,) signed position value.
        limits: Sizing constants.

    Returns:
        (N,) signed target values, equal to the Decimal form within float64 rounding (a property test).
    """
    notional = equity * float((1 - limits.buffer_fraction) * limits.base_fraction) * size
    cap = float(limits.cap_fraction) * equity
    bought = np.where(
        position < 0,
        np.minimum(position + notional, 0.0),
        np.maximum(position, np.minimum(position + notional, cap)),
    )
    opened_short = np.minimum(position, np.maximum(position - notional, -cap)) if limits.allow_short else position
    sold = np.where(position > 0, np.maximum(position - notional, 0.0), opened_short)
    return np.where(direction > 0, bought, np.where(direction < 0, sold, position))
