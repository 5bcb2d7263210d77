"""Torch files of the time before 1.6: read as torch reads them, with nothing executed."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from opcodes import TENSOR, checkpoint, container, counts, legacy, number, storage
from writers import records_of_1_6, torch_zip

from trader_sdk.checkpoint import Format, read_checkpoint
from trader_sdk.checkpoint.formats import identify
from trader_sdk.checkpoint.torch_legacy import read_torch_legacy
from trader_sdk.checkpoint.torch_zip import read_torch_zip
from trader_sdk.model import NativeModelWrapper


def _saved(fields: Any, protocol: int = 2) -> memoryview:
    buffer = io.BytesIO()
    torch.save(fields, buffer, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    return memoryview(buffer.getvalue())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_old_layout_is_read_as_torch_reads_it(dtype: torch.dtype, protocol: int) -> None:
    """Shared buffers, views, empty tensors and every float type, in every protocol, bit for bit."""
    base = torch.tensor([0.0, -0.0, 1.5, -2.25, 6e-8, 1e-40]).to(dtype).reshape(2, 3)
    fields = {
        "policy_state_dict": {"w": base, "t": base.t(), "row": base[1], "none": base[:0]},
        "config": {"a": (1, [2.5])},
    }
    data = _saved(fields, protocol)
    assert identify(data, "f") is Format.TORCH_LEGACY
    # torch itself reads this layout safely only in protocol 2, which it writes by default.
    read, theirs = read_torch_legacy(data), torch.load(io.BytesIO(_saved(fields)), weights_only=True)
    assert read.fields["config"] == theirs["config"]
    for name, tensor in theirs["policy_state_dict"].items():
        wide = tensor.float() if dtype is torch.bfloat16 else tensor
        assert read.tensors[name].tobytes() == wide.contiguous().numpy().tobytes(), name
        assert read.tensors[name].shape == tuple(tensor.shape)


def test_old_layout_gives_the_same_model_as_a_zip(tmp_path: Path, golden: Callable[[str], Path]) -> None:
    """One checkpoint saved in both layouts decides the same and has one policy digest."""
    fields = torch.load(golden("2.7.0"), weights_only=True)
    path = tmp_path / "old.pt"
    path.write_bytes(_saved(fields))
    old, new = NativeModelWrapper(path), NativeModelWrapper(golden("2.7.0"))
    assert old.policy_sha256 == new.policy_sha256
    assert read_checkpoint(path).format is Format.TORCH_LEGACY


def test_optimizer_of_the_old_layout_is_read_when_it_is_asked_for() -> None:
    """Moments are checked references, or arrays on request."""
    moments = torch.arange(4.0)
    data = _saved({"policy_state_dict": {"w": torch.ones(1)}, "optimizer_state_dict": {"exp_avg": moments}})
    assert read_torch_legacy(data).fields["optimizer_state_dict"]["exp_avg"].shape == (4,)
    read = read_torch_legacy(data, optimizer=True).fields["optimizer_state_dict"]["exp_avg"]
    assert np.array_equal(read, moments.numpy())


def test_a_pickle_that_only_begins_like_torch_is_named(tmp_path: Path) -> None:
    """A bare pickle stays refused: only torch's own magic number opens the old layout."""
    (tmp_path / "f").write_bytes(pickle.dumps({"policy_state_dict": {}}, protocol=2))
    with pytest.raises(Exception, match="bare pickle") as caught:
        read_checkpoint(tmp_path / "f")
    assert caught.value.code == "E101"


def test_tensors_of_torch_0_3_are_read() -> None:
    """``_rebuild_tensor`` had four arguments: storage, offset, shape, strides."""
    old = TENSOR.replace(b"_v2", b"") + b"(" + storage() + number(0) + counts(2, 3) + counts(3, 1) + b"tR"
    contents = read_torch_zip(memoryview(container(checkpoint(policy=old))))
    assert contents.tensors["w.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_hand_written_old_layout_is_what_torch_reads() -> None:
    """The corpus's good file is good: torch and the strict reader agree on it."""
    theirs = torch.load(io.BytesIO(legacy()), weights_only=True)["policy_state_dict"]["w.weight"]
    assert np.array_equal(read_torch_legacy(memoryview(legacy())).tensors["w.weight"], theirs.numpy())


def test_writer_of_old_zips_is_torchs_own_byte_for_byte(tmp_path: Path) -> None:
    """Rebuilt from its records, a file of torch's is identical, so old sets of records are laid out as torch's were."""
    torch.save({"policy_state_dict": {"w": torch.arange(5.0)}}, tmp_path / "archive.pt")
    with zipfile.ZipFile(tmp_path / "archive.pt") as written:
        records = {name: written.read(name) for name in written.namelist()}
    assert torch_zip(records) == (tmp_path / "archive.pt").read_bytes()


def test_records_of_torch_1_6_hold_nothing_newer(tmp_path: Path) -> None:
    """The old zip has the pickle, the storages and the version, and torch still reads it."""
    records_of_1_6({"policy_state_dict": {"w": torch.ones(2)}}, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        assert archive.namelist() == ["archive/data.pkl", "archive/data/0", "archive/version"]
    assert torch.load(tmp_path / "m.pt", weights_only=True)["policy_state_dict"]["w"].tolist() == [1, 1]
    assert read_checkpoint(tmp_path / "m.pt").tensors["w"].tolist() == [1, 1]
