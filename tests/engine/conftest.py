"""Seeded policies, whole observations, and what equality of two engines means."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trader_sdk.engine.dense import DensePolicy

Rows = NDArray[np.float32]
PROMISE = 2e-6
"""Engines choose the same action unless the two best logits are closer than this, relative to the largest."""


class Lab:
    """What the tests of the engines share."""

    @staticmethod
    def seeded_policy(
        n_features: int, activation: str = "tanh", hidden: tuple[int, ...] = (16, 8), n: int = 7
    ) -> DensePolicy:
        """Return a policy with seeded weights."""
        rng = np.random.default_rng(n_features)
        layers, width = [], 100 * n_features
        for out in (*hidden, n):
            weight = rng.uniform(-1, 1, (out, width)).astype(np.float32) / np.float32(width**0.5)
            layers.append((weight, rng.uniform(-1, 1, out).astype(np.float32)))
            width = out
        return DensePolicy(layers, activation)

    @staticmethod
    def observations(market: Rows, account: Rows) -> Rows:
        """Return whole observations: each window of (T, 53) beside its account columns (T - 99, k)."""
        windows = [
            np.concatenate([market[i : i + 100], np.broadcast_to(account[i], (100, account.shape[1]))], axis=1).ravel()
            for i in range(len(market) - 99)
        ]
        return np.stack(windows).astype(np.float32)

    @staticmethod
    def agree(ours: Rows, wanted: Rows, *, within: float = PROMISE) -> bool:
        """Return whether logits are close and every action is the same unless its best logits are tied."""
        scale = np.maximum(1.0, np.abs(wanted).max(axis=1))
        finite = np.isfinite(wanted).all(axis=1)
        close = np.abs(np.subtract(ours[finite], wanted[finite])).max(axis=1, initial=0.0) <= within * scale[finite]
        best = np.sort(wanted, axis=1)[:, -2:]
        same = (ours.argmax(axis=1) == wanted.argmax(axis=1)) | (best[:, 1] - best[:, 0] < PROMISE * scale)
        return bool(close.all() and same[finite].all())


@pytest.fixture(scope="session")
def lab() -> type[Lab]:
    """Return the builders; conftest.py cannot be imported from tests."""
    return Lab
