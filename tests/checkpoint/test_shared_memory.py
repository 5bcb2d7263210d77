"""What a read policy keeps in memory: the file's own bytes where it fills them, a copy where it does not."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from opcodes import container

from trader_sdk.checkpoint import RawCheckpoint, read_checkpoint
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.checkpoint.torch_zip import _Records
from trader_sdk.checkpoint.zip_reader import open_zip

STATE = {"w": torch.arange(6000.0).reshape(2, 3000), "b": torch.ones(2)}


def _saved(path: Path, **more: object) -> RawCheckpoint:
    torch.save({"policy_state_dict": STATE, **more}, path)
    return read_checkpoint(path)


def test_policy_that_fills_its_file_shares_the_files_bytes(tmp_path: Path) -> None:
    """The weights are not copied a second time, and are what torch wrote."""
    raw = _saved(tmp_path / "m.pt")
    assert not raw.tensors["w"].flags.owndata
    assert np.array_equal(raw.tensors["w"], STATE["w"].numpy())


def test_policy_beside_an_optimizer_keeps_only_its_own_bytes(tmp_path: Path) -> None:
    """A view would keep Adam's moments in memory as long as the model lives."""
    raw = _saved(tmp_path / "m.pt", optimizer_state_dict={"moments": torch.ones(3, 6000)})
    assert raw.tensors["w"].flags.owndata
    assert np.array_equal(raw.tensors["w"], STATE["w"].numpy())


def test_small_part_of_a_large_record_is_copied(tmp_path: Path) -> None:
    """A slice of another tensor's storage does not keep the whole of it."""
    storage = torch.arange(9000.0)
    torch.save({"policy_state_dict": {"w": storage[:6000].reshape(2, 3000), "b": storage[6000:6002]}}, tmp_path / "m")
    tensors = read_checkpoint(tmp_path / "m").tensors
    assert not tensors["w"].flags.owndata
    assert tensors["b"].flags.owndata
    assert tensors["b"].tolist() == [6000, 6001]


def test_strided_and_half_precision_weights_are_copied(tmp_path: Path) -> None:
    """A transposed view has no contiguous bytes to share, a bfloat16 none of its values."""
    torch.save({"policy_state_dict": {"w": STATE["w"].T, "h": torch.ones(6000, dtype=torch.bfloat16)}}, tmp_path / "m")
    tensors = read_checkpoint(tmp_path / "m").tensors
    assert tensors["w"].flags.c_contiguous
    assert np.array_equal(tensors["w"], STATE["w"].numpy().T)
    assert tensors["h"].dtype == np.float32


@pytest.mark.parametrize("beside", [{}, {"optimizer_state_dict": {"moments": torch.ones(3, 6000)}}])
def test_weights_cannot_be_written_to_wherever_they_lie(tmp_path: Path, beside: dict[str, object]) -> None:
    """Shared or copied, what was verified stays what it was."""
    weights = _saved(tmp_path / "m.pt", **beside).tensors["w"]
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 1


def test_shared_weights_cannot_be_made_writable(tmp_path: Path) -> None:
    """Two tensors may lie in the same bytes, so not even their holder may unlock them."""
    weights = _saved(tmp_path / "m.pt").tensors["w"]
    with pytest.raises(ValueError, match="WRITEABLE"):
        weights.setflags(write=True)


@pytest.mark.parametrize("padding", range(4))
def test_artefact_is_aligned_whatever_the_length_of_its_header(tmp_path: Path, padding: int) -> None:
    """Weights that begin between words are copied, so that the arithmetic runs on words."""
    content = safetensors_bytes({"w": STATE["w"].numpy(), "b": STATE["b"].numpy()}, {})
    length = struct.unpack_from("<Q", content)[0]
    shifted = struct.pack("<Q", length + padding) + content[8 : 8 + length] + b" " * padding + content[8 + length :]
    (tmp_path / "m").write_bytes(shifted)
    weights = read_checkpoint(tmp_path / "m").tensors["w"]
    assert weights.flags.aligned
    assert np.array_equal(weights, STATE["w"].numpy())


def test_record_is_checked_once_however_many_tensors_lie_in_it() -> None:
    """Four thousand views of half a gigabyte must not mean four thousand checksums of it."""
    records = _Records(open_zip(memoryview(container(b"\x80\x02N."))))
    assert records.read("0") is records.read("0")
