"""The small layers without an allocation, for one decision or for many at once: what remains when sums are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.dense import ACTIVATION_FUNCTIONS, DensePolicy, Floats

InPlace = Callable[[Floats, Floats], object]


def _assigning(function: Callable[[Floats], Floats]) -> InPlace:
    def activate(values: Floats, out: Floats) -> None:
        out[...] = function(values)

    return activate


IN_PLACE: Final[Mapping[str, InPlace]] = MappingProxyType(
    {**{name: _assigning(function) for name, function in ACTIVATION_FUNCTIONS.items()}, "tanh": np.tanh}
)
"""The activations with the array that they write to, which may be their input."""


_EXPONENTIALS_PAY: Final = 1 << 13


def _many_tanh(values: Floats, out: Floats) -> None:
    # numpy's exponential is vectorised where its tanh is not: a third faster, and within 2e-7 of it, a fifth of what
    # the sums' own rounding brings. For a few hundred numbers the five calls cost more than they save.
    if values.size < _EXPONENTIALS_PAY:
        np.tanh(values, out)
        return
    np.multiply(values, np.float32(2), out)
    _tanh_of_half(out)


def _tanh_of_half(values: Floats) -> None:
    if values.size < _EXPONENTIALS_PAY:
        np.multiply(values, np.float32(0.5), values)
        np.tanh(values, values)
        return
    np.exp(values, values)
    np.add(values, np.float32(1), values)
    np.divide(np.float32(2), values, values)
    np.subtract(np.float32(1), values, values)


MANY_IN_PLACE: Final[Mapping[str, InPlace]] = MappingProxyType({**IN_PLACE, "tanh": _many_tanh})
"""The same for contiguous arrays of many decisions; NaN stays, and what overflows becomes 1 as it should."""


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
            activate(values, values)
            inputs.dot(weight, out)
        return self.logits


class BatchLayers:
    """The layers after the first for many decisions at once. Not safe to share between threads.

    Args:
        policy: Whose layers; its packed weights are shared where :attr:`scale` is 1, and copied where it is 2.
        count: Most decisions at once.

    Attributes:
        scale: What sums are to be multiplied with. 2 for tanh, which is made of exponentials of twice its argument:
            twice a weight is exact, and saves a pass over every value.
        sums: float32 (count, hidden0) to be filled with scaled sums, bias included; :meth:`run` writes over them.
    """

    def __init__(self, policy: DensePolicy, count: int) -> None:
        is_tanh = policy.activation == "tanh" and bool(policy.packed.rest)
        self.scale = np.float32(2 if is_tanh else 1)
        hidden, last = policy.packed.rest[:-1], policy.packed.rest[-1:]
        # Contiguous values, and the bias added by itself: activations of rows with gaps between them take longer.
        weights = [*(each * self.scale if is_tanh else each for each in hidden), *last]
        self._layers = [(weight[:-1], weight[-1]) for weight in weights]
        widths = [len(policy.packed.bias), *(len(bias) for _, bias in self._layers)]
        self._values = [np.empty((count, width), dtype=np.float32) for width in widths]
        self.sums = self._values[0]
        self._activate = _tanh_of_half if is_tanh else partial(_both, IN_PLACE[policy.activation])

    def run(self, count: int) -> Floats:
        """Return the logits (count, n_actions) of the first ``count`` sums; reused by the next call."""
        values = self.sums[:count]
        with np.errstate(over="ignore"):
            for (weight, bias), buffer in zip(self._layers, self._values[1:], strict=True):
                self._activate(values)
                values = np.matmul(values, weight, out=buffer[:count])
                values += bias
        return values


def _both(activate: InPlace, values: Floats) -> None:
    activate(values, values)


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

    def logits(self, sums: Floats) -> list[float]:
        """Return the logits of a window's sums (hidden0,), bias included, and of :attr:`account`."""
        values = self._layers.sums
        self.account.dot(self._weight, values)
        values += sums
        logits: list[float] = self._layers.run().tolist()
        return logits
