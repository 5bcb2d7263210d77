"""A probe that an author's own code recorded: ``observations`` and ``logits`` in an .npz or .safetensors file."""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np

from trader_sdk.checkpoint.safetensors_format import read_safetensors
from trader_sdk.checkpoint.source import read_source
from trader_sdk.checkpoint.tensors import Array
from trader_sdk.contract.errors import CheckpointError, ContractError
from trader_sdk.contract.spec import ModelSpec
from trader_sdk.engine.probe import Probe, read_probe

MAX_OBSERVATIONS: Final = 256
_MAX_BYTES: Final = 64 * 1024 * 1024
_NAMES: Final = ("observations", "logits")
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"
_NPY_HEADER: Final = re.compile(
    rb"\{'descr': '([<>]f[248])', 'fortran_order': (True|False), 'shape': \(([0-9]{1,9}(?:, ?[0-9]{1,9})*),?\), \} *\n"
)
_REMEDY: Final = "Record it with the author's code: numpy.savez(FILE, observations=obs, logits=logits)."


class _Unreadable(Exception):  # noqa: N818 - carries what was found to the one place that raises, never leaves here
    pass


def read_probe_file(path: str | os.PathLike[str], spec: ModelSpec) -> Probe:
    """Read a recorded probe, running nothing in it.

    Args:
        path: ``numpy.savez`` or safetensors, told by the bytes. ``observations`` are (n, obs_dim) or
            (n, window, n_features), ``logits`` (n, n_actions), floats, 1 <= n <= 256; other arrays are not read.
        spec: The model that was recorded.

    Returns:
        The probe, flattened row-major by time.

    Raises:
        ContractError: E308 if it cannot be read or is not of the model's shape.
        CheckpointError: E101 if there is no such file.
    """
    where = os.fspath(path)
    source = read_source(path)
    try:
        arrays = _arrays(source.data)
        if len(arrays["observations"]) > MAX_OBSERVATIONS:
            raise _Unreadable(f"{len(arrays['observations'])} observations, more than {MAX_OBSERVATIONS}")
    except _Unreadable as error:
        raise ContractError(
            "E308", "the probe cannot be read", where=where, found=str(error), remedy=_REMEDY
        ) from error
    observations = arrays["observations"]
    if observations.shape[1:] == (spec.window, spec.n_features):
        arrays["observations"] = observations.reshape(len(observations), spec.obs_dim)
    with np.errstate(over="ignore"):
        probe = read_probe({"golden_probe": arrays}, obs_dim=spec.obs_dim, n_actions=spec.n_actions)
    assert probe is not None  # the field was given
    return probe


def _arrays(data: memoryview) -> dict[str, Array]:
    arrays = _npz(data) if bytes(data[:2]) == b"PK" else _safetensors(data)
    missing = [name for name in _NAMES if name not in arrays]
    if missing:
        raise _Unreadable(f"no {' and no '.join(missing)}; there are {', '.join(sorted(arrays))[:120] or 'no arrays'}")
    scalars = [name for name in _NAMES if arrays[name].ndim == 0]
    if scalars:
        raise _Unreadable(f"{' and '.join(scalars)} without rows")
    return {name: arrays[name] for name in _NAMES}


def _safetensors(data: memoryview) -> Mapping[str, Array]:
    if len(data) < 9 or bytes(data[8:9]) != b"{":
        raise _Unreadable("neither .npz nor .safetensors")
    try:
        return read_safetensors(data).tensors
    except CheckpointError as error:
        raise _Unreadable(f"{error.message} {error.where}") from error


def _npz(data: memoryview) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _members(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise _Unreadable(f"a damaged .npz: {error}"[:160]) from error


def _members(archive: zipfile.ZipFile) -> dict[str, Array]:
    listed = archive.infolist()
    wanted = [info for info in listed if info.filename.removesuffix(".npy") in _NAMES]
    if len({info.filename for info in wanted}) != len(wanted):
        raise _Unreadable("an array is there twice")
    arrays = {}
    for info in wanted:
        # The declared size bounds what the reader inflates, so it is checked before a byte is.
        if info.file_size > _MAX_BYTES or info.compress_type not in _COMPRESSIONS:
            raise _Unreadable(f"{info.filename} of {info.file_size} bytes, or compressed in a way that is not read")
        arrays[info.filename.removesuffix(".npy")] = _npy(info.filename, archive.read(info))
    return arrays


def _npy(name: str, content: bytes) -> Array:
    # numpy's own reader evaluates the header and allocates what it claims; this one does neither.
    end = 10 + int.from_bytes(content[8:10], "little")
    header = _NPY_HEADER.fullmatch(content[10:end])
    if not content.startswith(_NPY_MAGIC) or header is None:
        raise _Unreadable(f"{name} is no plain array of floats")
    dtype = np.dtype(header[1].decode("ascii"))
    shape = tuple(int(size) for size in header[3].decode("ascii").split(","))
    if len(content) - end != dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise _Unreadable(f"{name} is not as long as its shape {shape}")
    values = np.frombuffer(content, dtype, offset=end)
    return values.reshape(shape, order="F" if header[2] == b"True" else "C")
