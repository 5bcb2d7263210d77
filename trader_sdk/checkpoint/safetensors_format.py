"""The safetensors container, read and written by numpy alone and more strictly than its own library does.

Source: the format's README (header of 8 bytes and JSON, then the tensors without gaps).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from trader_sdk.checkpoint.contents import Contents, require_name
from trader_sdk.checkpoint.faults import too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_HEADER_BYTES, MAX_PARAMETERS, MAX_TENSORS
from trader_sdk.checkpoint.tensors import Array, StorageRef, TensorRef, materialise, tensor_ref
from trader_sdk.contract.canonical import canonical_json, read_json_strict
from trader_sdk.contract.errors import ArchiveError, Finding

METADATA_KEY: Final = "trader_sdk"
PROBE_PREFIX: Final = "golden_probe."
_ALIGNMENT: Final = 64
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
)


def read_safetensors(data: memoryview) -> Contents:
    """Read a safetensors file: its tensors are the policy, its metadata our fields.

    Raises:
        CheckpointError: E101 for any disagreement, duplicate or gap; E107 beyond a limit.
    """
    header, start = _header(data)
    stated = header.pop("__metadata__", {})
    if len(header) > MAX_TENSORS:
        raise too_large("too many tensors", where="header", expected=f"<= {MAX_TENSORS}", found=len(header))
    refs = {name: _tensor(name, entry) for name, entry in header.items()}
    if sum(ref.numel for ref, _ in refs.values()) > MAX_PARAMETERS:
        raise too_large("too many parameters", where="header", expected=f"<= {MAX_PARAMETERS}")
    _require_tiling(refs, len(data) - start)
    tensors = {
        name: materialise(ref, data[start + begin : start + begin + ref.nbytes], share=True)
        for name, (ref, begin) in refs.items()
    }
    fields, notes = _fields(stated)
    probe = {
        name.removeprefix(PROBE_PREFIX): tensors.pop(name) for name in list(tensors) if name.startswith(PROBE_PREFIX)
    }
    if probe:
        fields["golden_probe"] = probe
    if not tensors:
        raise unreadable("the file holds no policy", where="header")
    return Contents(fields, tensors, notes)


def _header(data: memoryview) -> tuple[dict[str, Any], int]:
    length = struct.unpack_from("<Q", data)[0]
    if length > MAX_HEADER_BYTES:
        raise too_large("the header is too long", where="header", expected=MAX_HEADER_BYTES, found=length)
    if 8 + length > len(data):
        raise unreadable("the header is cut short", where="header", expected=length, found=len(data) - 8)
    header = _strict_json(bytes(data[8 : 8 + length]), "header")
    if type(header) is not dict:
        raise unreadable("the header is no object", where="header")
    return header, 8 + length


def _strict_json(text: bytes | str, where: str) -> Any:
    try:
        return read_json_strict(text, where=where)
    except ArchiveError as error:
        raise unreadable("JSON in the file is refused", where=where, found=error.found) from error


def _require_tiling(refs: Mapping[str, tuple[TensorRef, int]], size: int) -> None:
    at = 0
    for name, (ref, begin) in sorted(refs.items(), key=lambda item: item[1][1]):
        if begin != at:
            raise unreadable("tensors overlap or leave a gap", where=name, expected=at, found=begin)
        at += ref.nbytes
    if at != size:
        raise unreadable("the tensors do not fill the file", where="header", expected=f"{at} B", found=f"{size} B")


def _tensor(name: str, entry: object) -> tuple[TensorRef, int]:
    require_name(name)
    if type(entry) is not dict or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise unreadable("a tensor's entry has other fields than dtype, shape and data_offsets", where=name)
    dtype, shape, offsets = _NAMES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    if dtype is None or type(shape) is not list or type(offsets) is not list or len(offsets) != 2:
        raise unreadable("a tensor's entry is malformed", where=name, found=f"{entry!r:.120}")
    if not all(type(number) is int and number >= 0 for number in [*shape, *offsets]) or 0 in shape:
        raise unreadable("a tensor's shape or offsets are no counts", where=name, found=f"{entry!r:.120}")
    strides = [int(np.prod(shape[axis + 1 :], dtype=object)) for axis in range(len(shape))]
    count = int(np.prod(shape, dtype=object))
    ref = tensor_ref(StorageRef(name, dtype, count), 0, tuple(shape), tuple(strides))
    if offsets[1] - offsets[0] != ref.nbytes:
        raise unreadable("a tensor's offsets do not fit its shape", where=name, expected=ref.nbytes)
    return ref, offsets[0]


def _fields(stated: object) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    if type(stated) is not dict or not all(type(value) is str for value in stated.values()):
        raise unreadable("the file's metadata is not text by name", where="__metadata__")
    notes = tuple(
        Finding("W109", where=f"__metadata__.{name}"[:120]) for name in stated if name not in (METADATA_KEY, "format")
    )
    fields = _strict_json(stated[METADATA_KEY], "__metadata__") if METADATA_KEY in stated else {}
    if type(fields) is not dict or "policy_state_dict" in fields or "golden_probe" in fields:
        raise unreadable("the file's fields are no object, or repeat its tensors", where="__metadata__")
    meanings = fields.get("action_meanings")
    if type(meanings) is dict and all(key.isascii() and key.isdecimal() and len(key) < 4 for key in meanings):
        # JSON has no integer keys; the contract's table is by int.
        fields["action_meanings"] = {int(key): name for key, name in meanings.items()}
    return fields, notes


def safetensors_bytes(tensors: Mapping[str, Array], fields: Mapping[str, Any]) -> bytes:
    """Return a safetensors file of float32 tensors and our fields.

    Args:
        tensors: Name to array; written as little-endian float32 in the order given.
        fields: Plain JSON data; ``golden_probe`` becomes tensors of its own.

    Raises:
        TypeError: A field is no JSON data.
        ValueError: A field holds NaN.
    """
    plain = dict(fields)
    probe = plain.pop("golden_probe", {})
    arrays = {**tensors, **{f"{PROBE_PREFIX}{name}": np.asarray(value) for name, value in probe.items()}}
    blocks = {name: np.ascontiguousarray(array, dtype="<f4") for name, array in arrays.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", METADATA_KEY: canonical_json(plain).decode()}}
    at = 0
    for name, block in blocks.items():
        header[name] = {"dtype": "F32", "shape": list(block.shape), "data_offsets": [at, at + block.nbytes]}
        at += block.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text + b"".join(block.tobytes() for block in blocks.values())
