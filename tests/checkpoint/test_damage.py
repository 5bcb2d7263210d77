"""Truncation at every offset and a flip of every byte: the same result or a typed error, never another model."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from opcodes import checkpoint, container, text

from trader_sdk.checkpoint.contents import Contents
from trader_sdk.checkpoint.formats import Format, identify
from trader_sdk.checkpoint.safetensors_format import read_safetensors, safetensors_bytes
from trader_sdk.checkpoint.torch_legacy import read_torch_legacy
from trader_sdk.checkpoint.torch_zip import read_torch_zip
from trader_sdk.contract.errors import CheckpointError


def _torch_file(**options: Any) -> bytes:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    buffer = io.BytesIO()
    fields = {"config": {"lr": 0.1, "name": "x", "sizes": (1, 2)}, "model_version": "2.7.0", "n_actions": 7}
    torch.save({"policy_state_dict": network.state_dict(), **fields}, buffer, **options)
    return buffer.getvalue()


def _safetensors_file() -> bytes:
    return safetensors_bytes(
        {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"model_version": "2.7.0", "n_actions": 7}
    )


def _hand_file() -> bytes:
    return container(checkpoint(config=b"}" + text("activation") + text("tanh") + b"s"))


CODES = {"E101", "E102", "E105", "E107"}
FILES = {
    "torch": _torch_file(),
    "by-hand": _hand_file(),
    "old-layout": _torch_file(_use_new_zipfile_serialization=False),
    "safetensors": _safetensors_file(),
}
READERS = {
    Format.TORCH_ZIP: read_torch_zip,
    Format.TORCH_LEGACY: read_torch_legacy,
    Format.SAFETENSORS: read_safetensors,
}


def _read(content: bytes) -> Contents:
    data = memoryview(content)
    return READERS[identify(data, "f")](data)


def _same(left: Contents, right: Contents) -> bool:
    tensors = left.tensors.keys() == right.tensors.keys() and all(
        np.array_equal(left.tensors[name], right.tensors[name])
        and left.tensors[name].dtype == right.tensors[name].dtype
        for name in left.tensors
    )
    return tensors and _typed(left.fields) == _typed(right.fields)


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return [(type(key), key, _typed(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [_typed(item) for item in value]
    return type(value), value


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_refused_at_every_offset(name: str) -> None:
    """No prefix of a good file is a good file."""
    content = FILES[name]
    for end in range(1, len(content)):
        with pytest.raises(CheckpointError):
            _read(content[:end])


@pytest.mark.parametrize("name", ["torch", "by-hand"])
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_flipped_byte_gives_the_same_result_or_a_typed_error(name: str, mask: int) -> None:
    """Each byte of a torch file: a change that matters is seen, one that does not changes nothing."""
    content = FILES[name]
    good = _read(content)
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= mask
        try:
            result = _read(bytes(damaged))
        except CheckpointError:
            continue
        assert _same(result, good), f"byte {at} of {name} changed the result silently"


@pytest.mark.parametrize("name", ["safetensors", "old-layout"])
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_flipped_byte_of_a_container_without_checksum_is_typed(name: str, mask: int) -> None:
    """Safetensors and torch's old layout have no checksum: the file's digest binds the weights, errors are typed."""
    content, codes = FILES[name], set()
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= mask
        try:
            _read(bytes(damaged))
        except CheckpointError as error:
            codes.add(error.code)
    assert codes
    assert codes <= CODES
