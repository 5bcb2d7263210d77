"""From a storage record to an array: dtype, bounds, strides, and nothing taken on trust."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trader_sdk.checkpoint.faults import brief, too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_DIMENSIONS, MAX_PARAMETERS
from trader_sdk.contract.errors import CheckpointError

Array = NDArray[Any]

ITEM_SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "float64": 8,
        "float32": 4,
        "float16": 2,
        "bfloat16": 2,
        "int64": 8,
        "int32": 4,
        "int16": 2,
        "int8": 1,
        "uint8": 1,
        "bool": 1,
    }
)
FLOATS: Final = frozenset({"float64", "float32", "float16", "bfloat16"})


class StorageRef:
    """A storage record as a pickle names it: key below ``data/``, element type and count."""

    __slots__ = ("dtype", "key", "numel")

    def __init__(self, key: str, dtype: str, numel: int) -> None:
        self.key = key
        self.dtype = dtype
        self.numel = numel


class TensorRef:
    """A strided view of a storage, checked against it but not read."""

    __slots__ = ("offset", "shape", "storage", "stride")

    def __init__(self, storage: StorageRef, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.stride = stride

    @property
    def numel(self) -> int:
        """Return the number of elements."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def nbytes(self) -> int:
        """Return the bytes of the elements as they are stored."""
        return self.numel * ITEM_SIZES[self.storage.dtype]


def tensor_ref(storage: object, offset: object, shape: object, stride: object) -> TensorRef:
    """Check a view's own numbers: exact integers, in bounds, positive and non-overlapping strides.

    Raises:
        CheckpointError: E101 for numbers that cannot be a tensor's, E107 for too many dimensions or elements.
    """
    if type(storage) is not StorageRef or type(offset) is not int or offset < 0:
        raise unreadable("a tensor refers to no storage", found=f"{type(storage).__name__} at {brief(offset)}")
    extents, strides = _extents(shape), _extents(stride)
    if len(extents) != len(strides):
        raise unreadable("a tensor's shape and strides differ in length", where=f"storage {storage.key}")
    if len(extents) > MAX_DIMENSIONS:
        raise too_large("a tensor has too many dimensions", expected=f"<= {MAX_DIMENSIONS}", found=len(extents))
    ref = TensorRef(storage, offset, extents, strides)
    _check_bounds(ref)
    return ref


def _extents(value: object) -> tuple[int, ...]:
    if type(value) is not tuple or not all(type(extent) is int and extent >= 0 for extent in value):
        raise unreadable("a tensor's shape or stride is no tuple of counts", found=brief(value))
    return value


def _check_bounds(ref: TensorRef) -> None:
    where = f"storage {ref.storage.key}"
    if ref.numel > MAX_PARAMETERS:
        raise too_large("a tensor is too large", where=where, expected=f"<= {MAX_PARAMETERS}", found=ref.numel)
    reach = 0
    for step, extent in sorted(zip(ref.stride, ref.shape, strict=True)):
        if extent > 1:
            if step <= reach:
                raise unreadable("a tensor's elements overlap", where=where, found=f"strides {ref.stride}")
            reach += step * (extent - 1)
    last = ref.offset + reach if ref.numel else ref.offset - 1
    if last >= ref.storage.numel:
        raise unreadable("a tensor reaches beyond its storage", where=where, expected=ref.storage.numel, found=last + 1)


def materialise(ref: TensorRef, content: memoryview, *, share: bool = False) -> Array:
    """Return the contiguous array that a view of a storage record is; bfloat16 is widened to float32.

    Args:
        ref: The view.
        content: The record's bytes.
        share: The array may keep the record's own memory instead of a copy, where it fills at least half of it.

    Raises:
        CheckpointError: E101 unless the record is exactly as long as the storage says.
    """
    check_record_size(ref.storage, len(content))
    stored = np.frombuffer(content, dtype=_stored_dtype(ref.storage.dtype))
    item = stored.itemsize
    view = np.lib.stride_tricks.as_strided(
        stored[ref.offset :], ref.shape, tuple(step * item for step in ref.stride), writeable=False
    )
    shared = share and view.flags.c_contiguous and view.flags.aligned and 2 * view.nbytes >= len(content)
    return widen(view if shared else np.array(view, order="C"), ref.storage.dtype)


def check_record_size(storage: StorageRef, size: int) -> None:
    """Refuse a storage whose record is not exactly as long as its element type and count say."""
    expected = storage.numel * ITEM_SIZES[storage.dtype]
    if size != expected:
        raise unreadable(
            "a storage record is not of the size its tensor states",
            where=f"data/{storage.key}",
            expected=f"{expected} B",
            found=f"{size} B",
        )


def _stored_dtype(dtype: str) -> np.dtype[Any]:
    return np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype).newbyteorder("<")


def widen(array: Array, dtype: str) -> Array:
    """Return native arrays unchanged, and bfloat16 bit patterns (uint16) as the float32 of the same value."""
    if dtype != "bfloat16":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)


def require_finite(name: str, array: Array) -> None:
    """Refuse NaN and infinity.

    Raises:
        CheckpointError: E105, with the number of such elements.
    """
    if array.size == 0 or array.dtype.kind != "f":
        return
    # One pass that allocates nothing: squares are not negative, so their sum is finite only if every element is. It may
    # also overflow over finite elements; then, and for half floats, the extremes decide, which carry NaN through.
    if array.dtype.itemsize >= 4 and math.isfinite(np.vdot(array, array)):
        return
    if np.isfinite(array.min()) and np.isfinite(array.max()):
        return
    bad = int(array.size - np.isfinite(array).sum())
    raise CheckpointError("E105", "a tensor holds NaN or infinity", where=name, found=f"{bad} of {array.size} elements")
