"""Policies of one shape on the same bars: their first layers joined into one, the later ones as stacked products.

A lane is one policy on one market. What one decision takes is small; done lane by lane, most of the time would go into
calls. The lanes of one policy lie behind one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.tail import MANY_IN_PLACE


def joined(policies: Sequence[DensePolicy]) -> DensePolicy:
    """Return one layer that gives every policy's first-layer sums, one policy's behind another's.

    Args:
        policies: Of one :attr:`DensePolicy.packed_shapes`, window and activation. One alone is returned as it is.
    """
    first, *others = policies
    if not others:
        return first
    weight, bias = (np.concatenate([policy.layers[0][part] for policy in policies]) for part in (0, 1))
    return DensePolicy([(weight, bias)], first.activation, window=first.window)


class LaneTail:
    """What is left of each decision when the sums are made. Not safe to share between threads.

    Args:
        policies: Of one :attr:`DensePolicy.packed_shapes` and activation.
        count: Most rows of each policy at once: markets, or bars.
    """

    def __init__(self, policies: Sequence[DensePolicy], count: int) -> None:
        packed, n_policies = [policy.packed for policy in policies], len(policies)
        # The account's weights and the bias, whose input is 1.
        self._first = np.stack([np.concatenate([each.first[MARKET_FEATURES:], each.bias[None]]) for each in packed])
        layers = [np.stack(parts) for parts in zip(*(each.rest for each in packed), strict=True)]
        # Contiguous values, and the bias added by itself: activations of rows with gaps between them take longer.
        self._rest = [(np.ascontiguousarray(each[:, :-1]), each[:, -1:]) for each in layers]
        self._account = np.ones((n_policies, count, self._first.shape[1]), dtype=np.float32)
        widths = [self._first.shape[2], *(weight.shape[2] for weight, _ in self._rest)]
        self._values = [np.empty((n_policies, count, width), dtype=np.float32) for width in widths]
        self._activate = MANY_IN_PLACE[policies[0].activation]

    def logits(self, sums: Floats, account: Floats) -> Floats:
        """Return :meth:`DensePolicy.logits_from_sums` of every lane; reused by the next call.

        Args:
            sums: float32 (n, policies * hidden0) of n rows, as :func:`joined` gives them.
            account: float32 (policies * n, n_account), the lanes' account columns.

        Returns:
            float32 (policies * n, n_actions).
        """
        n_policies, n = len(self._first), len(sums)
        inputs = self._account[:, :n]
        inputs[:, :, :-1] = account.reshape(n_policies, n, -1)
        values = np.matmul(inputs, self._first, out=self._values[0][:, :n])
        values += sums.reshape(n, n_policies, -1).transpose(1, 0, 2)
        with np.errstate(over="ignore"):
            for (weight, bias), buffer in zip(self._rest, self._values[1:], strict=True):
                self._activate(values, values)
                values = np.matmul(values, weight, out=buffer[:, :n])
                values += bias
        return values.reshape(n_policies * n, -1)
