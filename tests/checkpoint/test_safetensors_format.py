"""Safetensors: strict on reading, readable by the format's own library on writing."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import numpy as library

from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.checkpoint.safetensors_format import read_safetensors, safetensors_bytes
from trader_sdk.contract.errors import CheckpointError

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DATA = struct.pack("<2f", 1, 2)


def _file(header: Any, data: bytes = DATA) -> memoryview:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return memoryview(struct.pack("<Q", len(text)) + text + data)


def test_file_is_read_with_the_format_library_and_with_ours(tmp_path: Path) -> None:
    """What we write the library reads, and what the library writes we read."""
    weight = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    ours = safetensors_bytes({"w": weight}, {"symbol": "AAPL"})
    assert np.array_equal(library.load(ours)["w"], weight)
    (tmp_path / "f").write_bytes(library.save({"w": weight, "h": weight.astype(np.float16)}))
    assert np.array_equal(read_checkpoint(tmp_path / "f").tensors["w"], weight)
    assert read_checkpoint(tmp_path / "f").tensors["h"].dtype == np.float16


def test_fields_come_back_with_integer_action_indices() -> None:
    """JSON has no integer keys; the action table gets its own back."""
    meanings = {0: "HOLD", 1: "BUY", 2: "SELL"}
    fields = {"action_meanings": meanings, "n_actions": 3, "reward_scale": 0.5, "requires": ["a"]}
    assert read_safetensors(memoryview(safetensors_bytes({"w": np.ones(2, np.float32)}, fields))).fields == fields


def test_golden_probe_is_kept_as_tensors() -> None:
    """Probe observations are arrays, and no policy parameter."""
    probe = {"observations": np.ones((2, 3), np.float32), "logits": np.zeros((2, 4), np.float32)}
    contents = read_safetensors(memoryview(safetensors_bytes({"w": np.ones(2, np.float32)}, {"golden_probe": probe})))
    assert list(contents.tensors) == ["w"]
    assert np.array_equal(contents.fields["golden_probe"]["observations"], probe["observations"])


@pytest.mark.parametrize(
    "header",
    [
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        {"w": {**ENTRY, "extra": 1}},
        {"w": {"dtype": "F32", "shape": [2]}},
        {"w": {**ENTRY, "dtype": "F8_E4M3"}},
        {"w": {**ENTRY, "dtype": 4}},
        {"w": {**ENTRY, "shape": [3]}},
        {"w": {**ENTRY, "shape": [-2]}},
        {"w": {**ENTRY, "shape": [True, 2]}},
        {"w": {**ENTRY, "shape": [2.0]}},
        {"w": {**ENTRY, "shape": 2}},
        {"w": {**ENTRY, "shape": [0], "data_offsets": [0, 0]}},
        {"w": {**ENTRY, "data_offsets": [0, 4]}},
        {"w": {**ENTRY, "data_offsets": [4, 12]}},
        {"w": {**ENTRY, "data_offsets": [8, 0]}},
        {"w": ENTRY, "v": ENTRY},
        {"w": [1]},
        {},
        {"__metadata__": {"a": 1}, "w": ENTRY},
        {"__metadata__": [], "w": ENTRY},
        {"__metadata__": {"trader_sdk": "[]"}, "w": ENTRY},
        {"__metadata__": {"trader_sdk": '{"a": NaN}'}, "w": ENTRY},
        {"__metadata__": {"trader_sdk": '{"a": 1, "a": 2}'}, "w": ENTRY},
        {"__metadata__": {"trader_sdk": '{"policy_state_dict": {}}'}, "w": ENTRY},
        b"\xef\xbb\xbf{}",
        b"{" * 70 + b"}" * 70,
        b"[1]",
        b"{nonsense",
    ],
)
def test_header_that_lies_is_refused(header: Any) -> None:
    """Duplicates, extra fields, gaps, overlaps, wrong sizes and foreign types: one typed error each."""
    with pytest.raises(CheckpointError) as caught:
        read_safetensors(_file(header))
    assert caught.value.code == "E101"


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"\0"])
def test_tensors_must_fill_the_file(data: bytes) -> None:
    """Neither fewer nor more bytes than the header accounts for."""
    with pytest.raises(CheckpointError, match="do not fill"):
        read_safetensors(_file({"w": ENTRY}, data))


def test_foreign_metadata_is_noted() -> None:
    """Fields of other tools are named and not used."""
    contents = read_safetensors(_file({"__metadata__": {"format": "pt", "author": "x"}, "w": ENTRY}))
    assert [(note.code, note.where) for note in contents.notes] == [("W109", "__metadata__.author")]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b" " * ((4 << 20) + 1), "E107"),
        ({"w": {"dtype": "F32", "shape": [8000, 8001], "data_offsets": [0, 4 * 8000 * 8001]}}, "E107"),
        ({f"w{i}": {"dtype": "F16", "shape": [1], "data_offsets": [2 * i, 2 * i + 2]} for i in range(4)}, "loads"),
        ({f"golden_probe.{name}": {**ENTRY} for name in ("logits",)}, "E101"),
    ],
)
def test_header_within_and_beyond_the_limits(header: Any, code: str) -> None:
    """Sizes that are only claimed are refused before anything is allocated; a file of probes alone is no policy."""
    assert _outcome(_file(header)).replace("contents", "loads") == code


def test_thousands_of_tensors_are_refused() -> None:
    """A header of 40,000 tiny tensors is no policy."""
    header = {f"w{i}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i in range(5000)}
    with pytest.raises(CheckpointError) as caught:
        read_safetensors(_file(header, b"\0" * 20_000))
    assert caught.value.code == "E107"


def _outcome(file: memoryview) -> str:
    try:
        read_safetensors(file)
    except CheckpointError as error:
        return error.code
    return "contents"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=16))
def test_any_header_gives_contents_or_a_typed_error(header: bytes, data: bytes) -> None:
    """No bytes escape as another exception."""
    assert _outcome(_file(b"{" + header, data)) in ("contents", "E101", "E107")
