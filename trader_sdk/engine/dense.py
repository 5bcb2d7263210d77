"""The policy network in numpy: whole observations, and the first layer split into market and account parts.

An observation is ``market[window, 53]`` beside account columns that are the same in every row. So the first layer is
a filter over bars plus one small matrix for the account: the filter runs over a whole history at once, and the account
joins afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.contract.spec import MARKET_FEATURES
from trader_sdk.engine.packed import PackedPolicy, pack

Floats = NDArray[np.float32]
Layer = tuple[Floats, Floats]

_BLOCK: Final = 256
"""Windows multiplied at once: 6 MB of rows at 59 columns, which stays in a third-level cache's reach."""


def _relu(values: Floats) -> Floats:
    return np.maximum(values, np.float32(0))


def _elu(values: Floats) -> Floats:
    return np.where(values > 0, values, np.expm1(np.minimum(values, np.float32(0))))


def _leaky_relu(values: Floats) -> Floats:
    return np.where(values > 0, values, values * np.float32(0.01))


def _silu(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.divide(values, np.float32(1) + np.exp(-values), dtype=np.float32)


ACTIVATION_FUNCTIONS: Final[Mapping[str, Callable[[Floats], Floats]]] = MappingProxyType(
    {"tanh": np.tanh, "relu": _relu, "elu": _elu, "leaky_relu": _leaky_relu, "silu": _silu}
)


class DensePolicy:
    """A multilayer perceptron over the flattened window; immutable and safe to share between threads.

    Args:
        layers: Weight (out, in) and bias (out,) as float32: the trunk in order, then the policy head.
        activation: A name of ``trader_sdk.contract.metadata.ACTIVATIONS``, applied after each layer but the last.
        window: Bars in an observation.
    """

    def __init__(self, layers: Sequence[Layer], activation: str, *, window: int = 100) -> None:
        # Weights that lie askew in a mapped file would be copied by every product; aligned ones are taken as they are.
        self.layers = tuple((_aligned(weight), _aligned(bias)) for weight, bias in layers)
        self.activation = activation
        self.window = window
        self._activate = ACTIVATION_FUNCTIONS[activation]

    @property
    def obs_dim(self) -> int:
        """Return the width of a flattened observation."""
        return int(self.layers[0][0].shape[1])

    @property
    def n_actions(self) -> int:
        """Return the number of logits."""
        return int(self.layers[-1][0].shape[0])

    @property
    def n_account(self) -> int:
        """Return how many account columns end each row."""
        return self.obs_dim // self.window - MARKET_FEATURES

    def logits(self, obs: Floats) -> Floats:
        """Compute the logits of whole observations.

        Args:
            obs: float32 (n, obs_dim), row-major by time, oldest bar first.

        Returns:
            float32 (n, n_actions).
        """
        weight, bias = self.layers[0]
        return self._from_first(np.add(obs @ weight.T, bias))

    def market_sums(self, market: Floats) -> Floats:
        """Compute what the market columns add to the first layer, for every full window of a history.

        Args:
            market: float32 (T, 53), T >= window, oldest bar first.

        Returns:
            float32 (T - window + 1, hidden0) without bias; row i is the window that ends with bar ``i + window - 1``.
        """
        weight = self.layers[0][0].T
        windows = flat_windows(self.padded(market), self.window)
        sums = np.empty((len(windows), weight.shape[1]), dtype=np.float32)
        for start in range(0, len(windows), _BLOCK):
            block = np.ascontiguousarray(windows[start : start + _BLOCK])
            np.matmul(block, weight, out=sums[start : start + _BLOCK])
        return sums

    def padded(self, market: Floats) -> Floats:
        """Return market rows (T, 53) with columns of zeros where the account's would be, (T, n_features).

        Multiplying zeros costs a tenth more; a copy of the weights without the account's would cost their size.
        """
        rows = np.zeros((len(market), MARKET_FEATURES + self.n_account), dtype=np.float32)
        rows[:, :MARKET_FEATURES] = market
        return rows

    def logits_from_sums(self, sums: Floats, account: Floats) -> Floats:
        """Finish what :meth:`market_sums` began.

        Args:
            sums: float32 (n, hidden0).
            account: float32 (n, n_account), the account columns of each decision.

        Returns:
            float32 (n, n_actions), equal to :meth:`logits` within float32 rounding.
        """
        first = sums + self.layers[0][1]
        if self.n_account:
            first += account @ self.account_weight.T
        return self._from_first(first)

    @cached_property
    def account_weight(self) -> Floats:
        """Return the first layer's account part summed over the window, (hidden0, n_account)."""
        part: Floats = self.by_bar[:, :, MARKET_FEATURES:].sum(axis=1, dtype=np.float64).astype(np.float32)
        part.setflags(write=False)
        return part

    @property
    def by_bar(self) -> Floats:
        """Return the first layer's weights as (hidden0, window, n_features), oldest bar first; no copy."""
        return self.layers[0][0].reshape(-1, self.window, self.obs_dim // self.window)

    @cached_property
    def packed(self) -> PackedPolicy:
        """Return what remains to be multiplied when a bar closes, laid out for that; a copy of a twentieth."""
        return pack(self.by_bar[:, -1, :MARKET_FEATURES], self.account_weight, self.layers)

    @cached_property
    def first_norm(self) -> float:
        """Return the largest norm of a first layer's unit: what rounding of its sums is proportional to."""
        weight = self.layers[0][0]
        return float(np.sqrt(np.vecdot(weight, weight).max()))

    @property
    def packed_shapes(self) -> tuple[tuple[int, int], ...]:
        """Return the shapes of the packed layers: policies with the same ones and one activation can be stacked."""
        outs = [len(bias) for _, bias in self.layers]
        ins = [MARKET_FEATURES + self.n_account, *(out + 1 for out in outs[:-1])]
        return tuple(zip(ins, outs, strict=True))

    def _from_first(self, values: Floats) -> Floats:
        for weight, bias in self.layers[1:]:
            values = self._activate(values) @ weight.T
            values += bias
        return values


def _aligned(values: Floats) -> Floats:
    return np.require(values, np.float32, ("C", "A"))


def flat_windows(market: Floats, window: int) -> Floats:
    """Return every window of a history flattened, (T - window + 1, window * n); rows overlap in one buffer."""
    rows = np.ascontiguousarray(market, dtype=np.float32)
    step, item = rows.strides
    shape = (len(rows) - window + 1, window * rows.shape[1])
    return np.lib.stride_tricks.as_strided(rows, shape, (step, item), writeable=False)
