"""Tensors that are no weights: read where they stand, refused where a layer is built of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from opcodes import checkpoint, container, storage, tensor, text

from trader_sdk.checkpoint import policy_layers, read_checkpoint
from trader_sdk.checkpoint.torch_zip import read_torch_zip
from trader_sdk.contract.architecture import LinearNames, PolicyArchitecture
from trader_sdk.contract.errors import CheckpointError


def test_integer_and_empty_tensors_are_read_and_are_no_layer(tmp_path: Path) -> None:
    """Counters and empty buffers in a state dict are data; as a layer's weights they are refused by name."""
    state = {"w": torch.ones(2, 3, dtype=torch.int64), "b": torch.ones(2), "empty": torch.ones(0)}
    torch.save({"policy_state_dict": state}, tmp_path / "m.pt")
    raw = read_checkpoint(tmp_path / "m.pt")
    assert raw.tensors["w"].dtype == np.int64
    assert raw.tensors["empty"].size == 0
    architecture = PolicyArchitecture((), LinearNames("w", "b", 3, 2), ())
    with pytest.raises(CheckpointError, match="floats") as caught:
        policy_layers(raw.tensors, architecture)
    assert (caught.value.code, caught.value.where) == ("E101", "w")


def test_optimizer_tensor_without_a_record_is_refused_even_if_it_is_not_read() -> None:
    """What is left where it lies must at least be there."""
    lost = text("optimizer_state_dict") + b"}" + text("m") + tensor(of=storage(key="8")) + b"s"
    with pytest.raises(CheckpointError, match="record is missing") as caught:
        read_torch_zip(memoryview(container(checkpoint(more=lost))))
    assert caught.value.where == "optimizer_state_dict.m"
