"""A torch file of the layout before 1.6: five pickles, then the storages, one after the other.

``torch.save(..., _use_new_zipfile_serialization=False)`` still writes it. It has no checksum: as with safetensors, only
the file's digest binds the weights.

Source: torch/serialization.py, ``_legacy_save`` and ``_legacy_load``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from trader_sdk.checkpoint.contents import Contents, build_contents
from trader_sdk.checkpoint.faults import brief, unreadable
from trader_sdk.checkpoint.limits import MAX_PICKLE_BYTES
from trader_sdk.checkpoint.pickle_reader import load_first_pickle
from trader_sdk.checkpoint.tensors import ITEM_SIZES, StorageRef

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_COUNT: Final = struct.Struct("<q")


class _Pickles(NamedTuple):
    top: object
    keys: object
    storages: Mapping[str, StorageRef]
    end: int


def read_torch_legacy(data: memoryview, *, optimizer: bool = False) -> Contents:
    """Read every field of a torch checkpoint that is no zip.

    Args:
        data: The whole file.
        optimizer: Also read the optimizer's tensors; otherwise they are checked and left as references.

    Raises:
        CheckpointError: E101, E102 or E107; see docs/reference/checkpoint-format.md.
    """
    pickles = _pickles(data)
    blocks = _blocks(data, pickles.end, _stored_in_order(pickles))
    return build_contents(pickles.top, _Blocks(blocks, len(data)), optimizer=optimizer)


def _pickles(data: memoryview) -> _Pickles:
    stream = bytes(data[:MAX_PICKLE_BYTES])
    values, end, storages = [], 0, dict[str, StorageRef]()
    for _ in range(5):
        first = load_first_pickle(stream, end, clipped=len(data) > len(stream))
        values.append(first.value)
        storages.update(first.storages)
        end = first.end
    magic, protocol, system, top, keys = values
    _check_writer(magic, protocol, system)
    return _Pickles(top, keys, storages, end)


def _check_writer(magic: object, protocol: object, system: object) -> None:
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise unreadable(
            "torch's old layout is of an unknown protocol", where="pickles", expected=_PROTOCOL, found=brief(protocol)
        )
    if type(system) is not dict or system.get("little_endian") is not True:
        raise unreadable("the file was written on another kind of machine", where="pickles", expected="little_endian")


def _stored_in_order(pickles: _Pickles) -> list[StorageRef]:
    keys = pickles.keys
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise unreadable("the list of storages is no list of names", where="storages", found=brief(keys))
    if len(set(keys)) != len(keys) or set(keys) != set(pickles.storages):
        raise unreadable("the storages are not those that the tensors refer to", where="storages", found=len(keys))
    return [pickles.storages[key] for key in keys]


def _blocks(data: memoryview, at: int, storages: list[StorageRef]) -> dict[str, memoryview]:
    """Return each storage's bytes; every byte to the file's end belongs to one."""
    blocks = {}
    for storage in storages:
        start = at + _COUNT.size
        end = start + storage.numel * ITEM_SIZES[storage.dtype]
        if end > len(data):
            raise unreadable("the file is cut short", where=f"storage {storage.key}", expected=end, found=len(data))
        (count,) = _COUNT.unpack_from(data, at)
        if count != storage.numel:
            raise unreadable(
                "a storage is not of the length its tensor states",
                where=f"storage {storage.key}",
                expected=storage.numel,
                found=count,
            )
        blocks[storage.key] = data[start:end]
        at = end
    if at != len(data):
        raise unreadable("bytes follow the last storage", where=f"byte {at}", found=len(data) - at)
    return blocks


class _Blocks:
    """Storages as parts of the file."""

    def __init__(self, blocks: Mapping[str, memoryview], held: int) -> None:
        self._blocks = blocks
        self.held = held

    def size(self, key: str) -> int | None:
        return len(self._blocks[key])

    def read(self, key: str) -> memoryview:
        return self._blocks[key]
