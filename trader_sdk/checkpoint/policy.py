"""The policy itself: its layers in order as float32, and the digest that every container of it shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from trader_sdk.checkpoint.tensors import Array, require_finite
from trader_sdk.contract.architecture import PolicyArchitecture
from trader_sdk.contract.errors import CheckpointError

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight (out, in) and bias (out,) of one linear layer."""


def policy_layers(tensors: Mapping[str, Array], architecture: PolicyArchitecture) -> tuple[Layer, ...]:
    """Return the layers from observation to logits as float32: the trunk in order, then the policy head.

    Args:
        tensors: The state dict's arrays, any float type.
        architecture: What is what.

    Raises:
        CheckpointError: E101 if a layer is not of floats, E105 if a float64 weight has no float32.
    """
    chain = (*architecture.trunk, architecture.actor)
    return tuple((_float32(tensors, names.weight), _float32(tensors, names.bias)) for names in chain)


def _float32(tensors: Mapping[str, Array], name: str) -> NDArray[np.float32]:
    tensor = tensors[name]
    if tensor.dtype.kind != "f":
        raise CheckpointError("E101", "a layer's weights are no floats", where=name, found=str(tensor.dtype))
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(tensor, dtype=np.float32)
    if not np.may_share_memory(narrow, tensor):
        require_finite(name, narrow)
    narrow.setflags(write=False)
    return narrow


def policy_sha256(layers: Sequence[Layer]) -> str:
    """Return the digest of a policy, the same for every file that holds it.

    Args:
        layers: Trunk in order, then the policy head: weight (out, in) and bias (out,).

    Returns:
        ``sha256:<hex>`` over, per layer, ASCII ``"<out>x<in>\\n"``, weight, bias, as little-endian float32.

    Example:
        >>> layer = (np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
        >>> policy_sha256([layer])
        'sha256:c44a7aad597617d61eb99cbc2cd6dae9e5130bf15defe7fd8afa5de1f3787968'
    """
    digest = hashlib.sha256()
    for weight, bias in layers:
        digest.update(f"{weight.shape[0]}x{weight.shape[1]}\n".encode("ascii"))
        digest.update(np.ascontiguousarray(weight, dtype="<f4").data)
        digest.update(np.ascontiguousarray(bias, dtype="<f4").data)
    return f"sha256:{digest.hexdigest()}"
