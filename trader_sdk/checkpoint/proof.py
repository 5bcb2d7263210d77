"""Proof of a reading: the recorded logits come out under it, and under no reading that could be mistaken for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from trader_sdk.checkpoint.policy import Layer
from trader_sdk.contract.errors import ContractError
from trader_sdk.contract.metadata import ACTIVATIONS
from trader_sdk.engine.dense import DensePolicy
from trader_sdk.engine.probe import Probe

_STRONGER: Final = "Record more observations, of real bars and account columns that are not zero, and stamp again."
_OTHER_READING: Final = "Say what the author's code does differently, or record the probe with the code of this file."


def prove_reading(
    layers: Sequence[Layer], probe: Probe, *, window: int, activation: str | None, where: str = "probe"
) -> str:
    """Prove which network the layers are, by what the author's own code computed with them.

    Other activations, hidden layers of one shape in another order, bars from newest to oldest and columns before
    bars are tried as well. A recording that one of them reproduces too proves nothing.

    Args:
        layers: Trunk in order, then the policy head.
        probe: The recording.
        window: Bars in an observation.
        activation: The one that is stated, None where nothing states it.
        where: Names the probe in errors.

    Returns:
        The activation, proven.

    Raises:
        ContractError: E308 if the logits are not reproduced, or not by this reading alone.
    """
    wanted = (activation,) if activation is not None else ACTIVATIONS
    fitting = [name for name in wanted if _reproduces(layers, name, probe, window)]
    if not fitting:
        raise _not_reproduced(layers, probe, window, activation, where)
    others = [f"activation {name}" for name in ACTIVATIONS if len(layers) > 1 and name != fitting[0]]
    weak = [other for other in others if _reproduces(layers, other.removeprefix("activation "), probe, window)]
    weak += [name for name, reading in _mistakes(layers, window) if _reproduces(reading, fitting[0], probe, window)]
    if weak:
        raise ContractError(
            "E308",
            "the probe proves nothing: another reading reproduces it too",
            where=where,
            expected=f"activation {fitting[0]} alone",
            found=", ".join(weak),
            remedy=_STRONGER,
        )
    return fitting[0]


def _reproduces(layers: Sequence[Layer], activation: str, probe: Probe, window: int) -> bool:
    return probe.fault(DensePolicy(layers, activation, window=window)) is None


def _mistakes(layers: Sequence[Layer], window: int) -> Iterator[tuple[str, Sequence[Layer]]]:
    """Yield the readings that one could take for the right one, leaving out those that are the same network."""
    first, bias = layers[0]
    by_bar = first.reshape(len(first), window, -1)
    by_column = first.reshape(len(first), -1, window)
    readings: list[tuple[str, Sequence[Layer]]] = [
        ("bars from newest to oldest", [(by_bar[:, ::-1].reshape(first.shape), bias), *layers[1:]]),
        ("columns before bars", [(by_column.transpose(0, 2, 1).reshape(first.shape), bias), *layers[1:]]),
    ]
    for one in range(len(layers) - 1):
        for other in range(one + 1, len(layers) - 1):
            if layers[one][0].shape == layers[other][0].shape:
                swapped = list(layers)
                swapped[one], swapped[other] = layers[other], layers[one]
                readings.append((f"hidden layers {one + 1} and {other + 1} the other way round", swapped))
    for name, reading in readings:
        pairs = [pair for mine, its in zip(layers, reading, strict=True) for pair in zip(mine, its, strict=True)]
        if not all(np.array_equal(mine, its) for mine, its in pairs):
            yield name, reading


def _not_reproduced(
    layers: Sequence[Layer], probe: Probe, window: int, activation: str | None, where: str
) -> ContractError:
    readings = [("", layers), *_mistakes(layers, window)]
    explained = [
        f"activation {name}{', ' if reading else ''}{reading}"
        for reading, candidate in readings
        for name in ACTIVATIONS
        if _reproduces(candidate, name, probe, window)
    ]
    fault = probe.fault(DensePolicy(layers, activation or ACTIVATIONS[0], window=window))
    return ContractError(
        "E308",
        "the recorded logits are not reproduced",
        where=where,
        expected=f"the recorded logits with activation {activation or 'told by the probe'}",
        found=f"{fault}; reproduced with {explained[0]}"
        if explained
        else f"{fault}; no other reading gives them either",
        remedy=_OTHER_READING,
    )
