"""When two best logits are so close that rounding decides: then whole observations do, the same way everywhere.

Float32 sums of 5,900 products differ in their last digits with the order of summation, and every engine has its own.
Where that could change an action, the engines leave the decision to :meth:`DensePolicy.logits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import DensePolicy, Floats

NEAR_TIE: Final = 4e-6
"""Two best logits closer than this, relative to the largest, count as tied; twice what is promised."""
EPSILON: Final = float(np.finfo(np.float32).eps)


def rounding(policy: DensePolicy, energy: Any) -> Any:
    """Return the bound, by norms, of the rounding of a window's sums; what was seen in logits is below it.

    Args:
        policy: Whose sums.
        energy: Sum of the squares of the window's inputs, a number or an array.
    """
    return EPSILON * policy.first_norm * np.sqrt(energy)


def window_energy(market: Floats, window: int) -> NDArray[np.float64]:
    """Return the sum of squares of every full window of (T, 53), float64 (T - window + 1,)."""
    total = np.concatenate([[0.0], np.square(market, dtype=np.float64).sum(axis=1).cumsum()])
    energy: NDArray[np.float64] = np.maximum(total[window:] - total[:-window], 0.0)
    return energy


def near_ties(logits: Floats, tie: Any = NEAR_TIE) -> NDArray[np.bool_]:
    """Return whether the two best of each row (n, n_actions) are nearly tied, bool (n,); NaN counts as tied.

    Args:
        logits: float32 (n, n_actions).
        tie: Distance relative to max(1, max|logit|), a number or (n,).
    """
    ordered = np.sort(logits, axis=1).T
    largest = np.maximum(np.maximum(ordered[-1], -ordered[0]), np.float32(1.0))
    apart: NDArray[np.bool_] = ordered[-1] - ordered[-2] >= tie * largest
    return ~apart


def is_near_tie(logits: Sequence[float], tie: float) -> bool:
    """Return :func:`near_ties` of one row, in a microsecond.

    Example:
        >>> is_near_tie([0.5, 0.500001, -3.0], NEAR_TIE), is_near_tie([0.5, 0.6, -3.0], NEAR_TIE)
        (True, False)
    """
    ordered = sorted(logits)
    return not ordered[-1] - ordered[-2] >= tie * max(1.0, ordered[-1], -ordered[0])


def dense_logits(policy: DensePolicy, windows: Floats, account: Floats) -> Floats:
    """Return the logits (n, n_actions) of whole observations: windows (n, window, 53) beside account (n, n_account)."""
    obs = np.empty((len(windows), policy.window, MARKET_FEATURES + policy.n_account), dtype=np.float32)
    obs[:, :, :MARKET_FEATURES], obs[:, :, MARKET_FEATURES:] = windows, account[:, None]
    return policy.logits(obs.reshape(len(obs), -1))
