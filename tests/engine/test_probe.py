"""The golden probe: what passes, what fails, what it tells."""

import numpy as np
import pytest

from trader_sdk.contract.errors import ContractError
from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.engine.dense import DensePolicy, Floats
from trader_sdk.engine.probe import Probe, activation_from_probe, read_probe


@pytest.fixture
def layers() -> list[tuple[Floats, Floats]]:
    """Return a small network's layers."""
    rng = np.random.default_rng(4)
    shapes = [(6, 200), (4, 6)]
    return [
        (rng.standard_normal(shape).astype(np.float32), rng.standard_normal(shape[0]).astype(np.float32))
        for shape in shapes
    ]


def _probe(layers: list[tuple[Floats, Floats]], activation: str) -> Probe:
    rows = np.random.default_rng(5).standard_normal((3, 200)).astype(np.float32)
    return Probe(rows, DensePolicy(layers, activation, window=1).logits(rows))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_probe_tells_each_activation(layers: list[tuple[Floats, Floats]], name: str) -> None:
    """Only the recorded activation reproduces the recording."""
    assert activation_from_probe(layers, _probe(layers, name), window=1) == name


def test_probe_that_nothing_reproduces_is_refused(layers: list[tuple[Floats, Floats]]) -> None:
    """No activation is guessed when none fits."""
    probe = _probe(layers, "tanh")
    with pytest.raises(ContractError, match="none reproduces it"):
        activation_from_probe(layers, Probe(probe.observations, probe.logits + 1), window=1)


def test_probe_without_hidden_layers_tells_no_activation(layers: list[tuple[Floats, Floats]]) -> None:
    """A linear policy reproduces its recording with every activation, which tells nothing."""
    linear = layers[:1]
    with pytest.raises(ContractError, match="exactly one"):
        activation_from_probe(linear, _probe(linear, "tanh"), window=1)


def test_probe_sees_one_changed_weight(layers: list[tuple[Floats, Floats]]) -> None:
    """A single nudged weight is a fault."""
    probe = _probe(layers, "tanh")
    weight, bias = layers[1]
    nudged = weight.copy()
    nudged[0, 0] += 0.01
    assert probe.fault(DensePolicy([layers[0], (weight, bias)], "tanh", window=1)) is None
    assert probe.fault(DensePolicy([layers[0], (nudged, bias)], "tanh", window=1)) is not None


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"observations": np.zeros((1, 200))},
        {"observations": "x", "logits": "y"},
        {"observations": np.zeros((0, 200)), "logits": np.zeros((0, 4))},
        {"observations": np.zeros((1, 199)), "logits": np.zeros((1, 4))},
        {"observations": np.zeros((1, 200)), "logits": np.zeros((2, 4))},
        {"observations": np.zeros(200), "logits": np.zeros(4)},
        {"observations": np.full((1, 200), np.nan), "logits": np.zeros((1, 4))},
    ],
)
def test_malformed_probe_is_refused(stated: dict[str, object]) -> None:
    """A probe that cannot prove anything is never ignored."""
    with pytest.raises(ContractError) as caught:
        read_probe({"golden_probe": stated}, obs_dim=200, n_actions=4)
    assert caught.value.code == "E308"


def test_absent_probe_is_none() -> None:
    """Most files have none."""
    assert read_probe({}, obs_dim=200, n_actions=4) is None
