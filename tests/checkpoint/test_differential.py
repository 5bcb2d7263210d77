"""Every accepted file equals what torch itself reads from it."""

import enum
import io
import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from corpus import corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.checkpoint.torch_zip import read_torch_zip
from trader_sdk.contract.errors import CheckpointError

GOLDEN = Path(__file__).parents[2] / "compat" / "golden"
FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


class Mode(enum.Enum):
    """An enum of the test's own, as a user's config may hold."""

    FAST = "fast"


def _saved(value: Any, **options: Any) -> memoryview:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return memoryview(buffer.getvalue())


def _as_numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).detach().numpy()


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        wide = _as_numpy(theirs)
        return ours.dtype == wide.dtype and ours.shape == wide.shape and np.array_equal(ours, wide, equal_nan=True)
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(_same(ours[key], value) for key, value in theirs.items())
    if isinstance(theirs, list | tuple):
        same_kind = isinstance(ours, tuple) == isinstance(theirs, tuple)
        return same_kind and len(ours) == len(theirs) and all(map(_same, ours, theirs))
    is_nan = isinstance(ours, float) and ours != ours
    return type(ours) is type(theirs) and (ours == theirs or (is_nan and theirs != theirs))


def _torch_reads(path: Path) -> Any:
    try:
        return torch.load(path, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):
        return None


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # torch says it of protocol 4, which is the case
def test_every_golden_that_torch_reads_safely_is_read_equally() -> None:
    """Fields, tensors and optimizer state of the goldens agree with torch.load(weights_only=True)."""
    compared = 0
    for path in sorted(GOLDEN.glob("**/checkpoint.pt")):
        theirs = _torch_reads(path)
        if theirs is None or path.parent.name == "weights-nan":
            continue
        raw = read_checkpoint(path, optimizer=True)
        assert _same({name: raw.fields[name] for name in theirs}, theirs), path
        compared += 1
    assert compared > 40


@pytest.mark.filterwarnings("ignore")  # torch's own, about files that were made to annoy
def test_whatever_is_accepted_among_hostile_files_is_what_torch_reads(tmp_path: Path) -> None:
    """The reader accepts some lying models, whose lies are for the contract to refuse: none differs from torch's."""
    accepted = 0
    path = tmp_path / "suspect.pt"
    for case in corpus(tmp_path / "marker"):
        if not isinstance(case.content, bytes) or len(case.content) > 1 << 17:
            continue
        path.write_bytes(case.content)
        try:
            ours = read_checkpoint(path, optimizer=True)
        except CheckpointError:
            continue
        accepted += 1
        theirs = _torch_reads(path)
        if theirs is not None:
            assert _same({name: ours.fields[name] for name in theirs}, theirs)
    assert accepted > 80


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_float_types_and_protocols_are_read_as_torch_reads_them(dtype: torch.dtype, protocol: int) -> None:
    """Every float type in every pickle protocol, bit for bit, subnormals and extremes included."""
    values = torch.tensor([0.0, -0.0, 1.5, -2.25, 6e-8, 1e-40, 65504.0]).to(dtype)
    contents = read_torch_zip(_saved({"policy_state_dict": {"w": values}}, pickle_protocol=protocol))
    assert contents.tensors["w"].tobytes() == _as_numpy(values).tobytes()


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_types_are_read_where_an_optimizer_keeps_them(dtype: torch.dtype) -> None:
    """An optimizer's counters are read when they are asked for."""
    fields = {
        "policy_state_dict": {"w": torch.ones(1)},
        "optimizer_state_dict": {"step": torch.tensor([1, 0]).to(dtype)},
    }
    contents = read_torch_zip(_saved(fields), optimizer=True)
    assert np.array_equal(
        contents.fields["optimizer_state_dict"]["step"], fields["optimizer_state_dict"]["step"].numpy()
    )


@pytest.mark.parametrize(
    "view",
    [
        lambda base: base.t(),
        lambda base: base[1:, 2:],
        lambda base: base[:, ::2],
        lambda base: base[2],
        lambda base: base[:0],
        lambda base: base.reshape(2, 2, 3, 2).permute(3, 1, 0, 2),
        lambda base: base[0, 0],
        lambda base: torch.nn.Parameter(base),
        lambda base: base.unsqueeze(0),
    ],
)
def test_views_are_read_contiguous_and_equal(view: Any) -> None:
    """Transposes, slices, scalars, empty and permuted views come out as torch shows them."""
    tensor = view(torch.arange(24.0).reshape(4, 6))
    read = read_torch_zip(_saved({"policy_state_dict": {"w": tensor}})).tensors["w"]
    assert np.array_equal(read, tensor.detach().numpy())
    assert read.flags.c_contiguous


def test_expanded_tensor_is_refused() -> None:
    """A stride of zero repeats memory: torch allows it, a checkpoint has no need of it."""
    with pytest.raises(CheckpointError, match="overlap"):
        read_torch_zip(_saved({"policy_state_dict": {"w": torch.ones(1).expand(4)}}))


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=8) | st.integers(-(2**40), 2**40), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(config=plain, protocol=st.sampled_from([2, 4, 5]))
def test_plain_data_of_any_shape_is_read_as_it_was_written(config: Any, protocol: int) -> None:
    """Whatever plain data a trainer saves comes back with the same values and types."""
    fields = {"policy_state_dict": {"w": torch.ones(1)}, "config": config}
    assert _same(read_torch_zip(_saved(fields, pickle_protocol=protocol)).fields["config"], config)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("value", "expected", "noted"),
    [
        (np.float32(0.5), 0.5, False),
        (np.int64(-3), -3, False),
        (np.bool_(True), True, False),
        (torch.Size([2, 3]), (2, 3), False),
        (torch.device("cuda", 1), "cuda:1", False),
        (torch.float32, "torch.float32", True),
        (torch.__version__, str(torch.__version__), False),
        (Mode.FAST, "fast", True),
        (PurePosixPath("/a/b"), "/a/b", True),
        (PurePosixPath("a/b"), "a/b", True),
        (datetime(2025, 3, 1, 12, 30, 1, 250, UTC), "2025-03-01T12:30:01.000250+00:00", True),
        (datetime(2025, 3, 1, tzinfo=timezone(timedelta(hours=-5))), "2025-03-01T00:00:00-05:00", True),
        (datetime(2025, 3, 1), "2025-03-01T00:00:00", True),
        (date(2025, 3, 1), "2025-03-01", True),
        (timedelta(days=1, seconds=2), 86402.0, True),
        (Decimal("1.25"), "1.25", False),
        ({3}, [3], False),
        (frozenset([3]), [3], False),
        (b"ab", b"ab", False),
        (bytearray(b"ab"), b"ab", False),
        (torch.nn.Tanh, "torch.nn.modules.activation.Tanh", True),
    ],
    ids=repr,
)
def test_settings_keep_their_values_and_lose_their_class(
    value: object, expected: object, noted: bool, protocol: int
) -> None:
    """What legacy configs hold is kept as plain values; a class that was lost is named in a finding."""
    fields = {"policy_state_dict": {"w": torch.ones(1)}, "config": {"x": value}}
    contents = read_torch_zip(_saved(fields, pickle_protocol=protocol))
    found = contents.fields["config"]["x"]
    assert (type(found), found) == (type(expected), expected)
    assert [note.code for note in contents.notes] == ["W109"] * noted


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 3), "f4")), np.zeros(0)])
def test_numpy_arrays_in_a_config_are_read(array: np.ndarray[Any, Any]) -> None:
    """Bounds of an observation space survive, in C and Fortran order."""
    fields = {"policy_state_dict": {"w": torch.ones(1)}, "config": {"low": array}}
    assert np.array_equal(read_torch_zip(_saved(fields)).fields["config"]["low"], array)


def test_gym_spaces_in_a_config_are_read_as_their_settings() -> None:
    """A pickled observation space becomes its own fields, with its class named."""
    from gymnasium.spaces import Box, Discrete

    space = Box(-1.0, 1.0, (3,))
    space.seed(1)
    fields = {"policy_state_dict": {"w": torch.ones(1)}, "config": {"obs": space, "act": Discrete(7)}}
    contents = read_torch_zip(_saved(fields))
    assert contents.fields["config"]["act"]["n"] == 7
    assert contents.fields["config"]["obs"]["low"].tolist() == [-1, -1, -1]
    assert {"gymnasium.spaces.box.Box", "gymnasium.spaces.discrete.Discrete"} <= {
        note.actual.removeprefix("an instance of ") for note in contents.notes
    }


def test_optimizer_state_is_checked_and_not_copied_unless_it_is_asked_for() -> None:
    """Deciding needs no moments: their references are checked, their bytes left where they are."""
    network = torch.nn.Linear(4, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    data = _saved({"policy_state_dict": network.state_dict(), "optimizer_state_dict": optimizer.state_dict()})
    reference = read_torch_zip(data).fields["optimizer_state_dict"]["state"][0]["exp_avg"]
    assert reference.shape == (2, 4)
    assert not isinstance(reference, np.ndarray)
    read = read_torch_zip(data, optimizer=True).fields["optimizer_state_dict"]
    assert _same(read, optimizer.state_dict())
