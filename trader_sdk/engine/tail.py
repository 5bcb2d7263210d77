"""The small layers, one decision at a time, without an allocation: what a sequence of decisions spends its time in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import ACTIVATION_FUNCTIONS, DensePolicy, Floats


def _tanh(values: Floats) -> None:
    np.tanh(values, values)


def _assigning(function: Callable[[Floats], Floats]) -> Callable[[Floats], None]:
    def activate(values: Floats) -> None:
        values[...] = function(values)

    return activate


IN_PLACE: Final[Mapping[str, Callable[[Floats], None]]] = MappingProxyType(
    {**{name: _assigning(function) for name, function in ACTIVATION_FUNCTIONS.items()}, "tanh": _tanh}
)
"""The activations, written over their input."""


class SmallLayers:
    """The layers after the first, with the arrays between them. Not safe to share between threads.

    Args:
        policy: Whose layers; its packed weights are shared, not copied.

    Attributes:
        sums: float32 (hidden0,) to be filled with the first layer's sums, bias included; :meth:`run` writes over it.
        logits: float32 (n_actions,), what :meth:`run` gave; reused. Without hidden layers it is ``sums`` itself.
    """

    def __init__(self, policy: DensePolicy) -> None:
        weights = policy.packed.rest
        # Each layer reads (values, 1): the last input is the bias row's, so that no addition is left to do.
        inputs = [np.ones(len(weight), dtype=np.float32) for weight in weights]
        values = [each[:-1] for each in inputs]
        self.logits = np.empty(policy.n_actions, dtype=np.float32)
        self.sums = values[0] if values else self.logits
        self._steps = list(zip(values, inputs, weights, [*values[1:], self.logits], strict=False))
        self._activate = IN_PLACE[policy.activation]

    def run(self) -> Floats:
        """Return the logits of :attr:`sums`."""
        activate = self._activate
        for values, inputs, weight, out in self._steps:
            activate(values)
            inputs.dot(weight, out)
        return self.logits


class Tail:
    """Decides one window after the other from sums that were made for a whole history.

    Args:
        policy: Decides.

    Attributes:
        account: float32 (n_account,), to be filled with the account columns of each decision.
    """

    def __init__(self, policy: DensePolicy) -> None:
        self.account = np.zeros(policy.n_account, dtype=np.float32)
        self._weight = policy.packed.first[MARKET_FEATURES:]
        self._layers = SmallLayers(policy)

    def action(self, sums: Floats) -> int:
        """Return the best action of a window's sums (hidden0,), bias included, and of :attr:`account`."""
        values = self._layers.sums
        self.account.dot(self._weight, values)
        values += sums
        return int(self._layers.run().argmax())
