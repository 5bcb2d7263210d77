"""A torch checkpoint written without torch: the zip and the pickle that ``torch.load(weights_only=True)`` reads.

Only plain data and float32 tensors are written, by hand, so that an archive needs no torch to keep a policy-only
artefact that torch users can open. The bytes depend on nothing but the contents.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from trader_sdk.checkpoint.tensors import Array

_ROOT: Final = "policy"
_ALIGNMENT: Final = 64
_PADDING_ID: Final = 0x4246  # "FB", as torch pads
_LOCAL_HEADER: Final = 30
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def torch_zip_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return a torch checkpoint of nested dicts, lists, tuples, scalars, text and float32 arrays.

    Raises:
        TypeError: A value is none of these.
    """
    pickler = _Pickler()
    stream = pickler.dump(dict(fields))
    records = {"data.pkl": stream, "byteorder": b"little"}
    records |= {f"data/{key}": block.tobytes() for key, block in enumerate(pickler.blocks)}
    records["version"] = b"3\n"
    return _zip(records)


def _zip(records: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            entry = zipfile.ZipInfo(f"{_ROOT}/{name}", date_time=_EPOCH)
            start = target.tell() + _LOCAL_HEADER + len(entry.filename)
            padding = -(start + 4) % _ALIGNMENT
            entry.extra = struct.pack("<HH", _PADDING_ID, padding) + b"Z" * padding
            archive.writestr(entry, content)
    return target.getvalue()


class _Pickler:
    """Writes protocol 2 opcodes for plain data; tensors become references to storage records."""

    def __init__(self) -> None:
        self.blocks: list[Array] = []
        self._out = bytearray(b"\x80\x02")

    def dump(self, value: Any) -> bytes:
        self._write(value)
        return bytes(self._out + b".")

    def _write(self, value: Any) -> None:
        if value is None or type(value) is bool:
            self._out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif type(value) is int:
            size = value.bit_length() // 8 + 1
            self._out += b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        elif type(value) is float:
            self._out += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            text = value.encode()
            self._out += b"X" + struct.pack("<I", len(text)) + text
        elif isinstance(value, Mapping):
            self._mapping(value)
        elif isinstance(value, list | tuple):
            self._sequence(value)
        elif isinstance(value, np.ndarray) and value.dtype == np.float32:
            self._tensor(value)
        else:
            raise TypeError(f"a {type(value).__name__} is no plain data")

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._out += b"}("
        for key, item in value.items():
            self._write(key)
            self._write(item)
        self._out += b"u"

    def _sequence(self, value: list[Any] | tuple[Any, ...]) -> None:
        self._out += b"(" if isinstance(value, tuple) else b"]("
        for item in value:
            self._write(item)
        self._out += b"t" if isinstance(value, tuple) else b"e"

    def _tensor(self, array: Array) -> None:
        block = np.ascontiguousarray(array, dtype="<f4")
        key = str(len(self.blocks))
        self.blocks.append(block)
        self._out += b"ctorch._utils\n_rebuild_tensor_v2\n(("
        self._write("storage")
        self._out += b"ctorch\nFloatStorage\n"
        for value in (key, "cpu", block.size):
            self._write(value)
        self._out += b"tQ"
        strides = tuple(step // block.itemsize for step in block.strides)
        for item in (0, block.shape, strides, False):
            self._write(item)
        self._out += b"ccollections\nOrderedDict\n)RtR"
