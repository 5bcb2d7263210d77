"""Finiteness of weights: the fast verdict is the exact one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trader_sdk.checkpoint import policy_layers
from trader_sdk.checkpoint.tensors import require_finite
from trader_sdk.contract.architecture import LinearNames, PolicyArchitecture
from trader_sdk.contract.errors import CheckpointError


def _refused(check: Callable[[], object]) -> CheckpointError | None:
    try:
        check()
    except CheckpointError as error:
        return error
    return None


@given(
    st.sampled_from([(16, "float16"), (32, "float32"), (64, "float64")]).flatmap(
        lambda kind: arrays(kind[1], st.integers(0, 40), elements=st.floats(width=kind[0]))
    )
)
def test_non_finite_is_refused_exactly_where_it_is(values: np.ndarray) -> None:
    """Any float type, with numbers whose squares overflow: refused if and only if an element is NaN or infinite."""
    refused = _refused(lambda: require_finite("w", values))
    bad = int(values.size - np.isfinite(values).sum())
    assert (refused is None) == (bad == 0)
    if refused is not None:
        assert (refused.code, refused.found) == ("E105", f"{bad} of {values.size} elements")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_bad_weight_among_many_is_found_wherever_it_lies(dtype: str) -> None:
    """Sums in blocks lose nothing: a NaN or an infinity in any place of a large tensor is seen."""
    values = np.random.default_rng(7).standard_normal(4099).astype(dtype)
    for place in (0, 1, 63, 64, 2048, 4098):
        for bad in (np.nan, np.inf, -np.inf):
            damaged = values.copy()
            damaged[place] = bad
            assert _refused(lambda damaged=damaged: require_finite("w", damaged)) is not None


def test_weight_beyond_float32_is_refused_when_the_layer_is_built() -> None:
    """A float64 weight that no float32 holds is not silently infinite."""
    tensors = {"w": np.full((2, 3), 1e300), "b": np.zeros(2)}
    refused = _refused(lambda: policy_layers(tensors, PolicyArchitecture((), LinearNames("w", "b", 3, 2), ())))
    assert refused is not None
    assert (refused.code, refused.where) == ("E105", "w")
