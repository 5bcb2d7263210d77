"""The one door to a checkpoint's bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from trader_sdk.checkpoint.contents import Contents
from trader_sdk.checkpoint.faults import too_large
from trader_sdk.checkpoint.formats import Format, identify
from trader_sdk.checkpoint.source import Source, read_source
from trader_sdk.checkpoint.tensors import Array, require_finite
from trader_sdk.checkpoint.torch_zip import read_torch_zip
from trader_sdk.contract.errors import CheckpointError, Finding, UsageError

Backend = Literal["numpy", "torch"]


@dataclass(frozen=True, slots=True)
class RawCheckpoint:
    """What the bytes said; nothing is judged yet.

    Attributes:
        path: As the caller wrote it.
        sha256: ``sha256:<hex>`` of the file.
        size: Bytes.
        format: The container.
        metadata: Every field beside ``policy_state_dict``, plain data; its tensors are arrays. The optimizer's
            tensors are checked references unless they were asked for.
        tensors: The policy's parameters by their own names, contiguous and finite; bfloat16 is widened to float32.
        notes: INFO findings: what was lost or odd.
        mapped: Whether the tensors are the file's own pages instead of a private copy.
    """

    path: str
    sha256: str
    size: int
    format: Format
    metadata: Mapping[str, Any]
    tensors: Mapping[str, Array]
    notes: tuple[Finding, ...]
    mapped: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """Return the checkpoint as it was saved: ``policy_state_dict`` and the fields beside it."""
        return {"policy_state_dict": self.tensors, **self.metadata}


def read_checkpoint(
    path: str | os.PathLike[str],
    *,
    backend: Backend = "numpy",
    expected_sha256: str | None = None,
    optimizer: bool = False,
) -> RawCheckpoint:
    """Read a checkpoint: once, hashed before it is parsed, running nothing that it names.

    Args:
        path: A torch file (a zip, or the layout before 1.6) or safetensors; the bytes decide which, not the name.
        backend: ``"numpy"`` is the strict reader, without torch. ``"torch"`` is ``torch.load(weights_only=True)``
            of torch 2.10 or newer, for layouts that the strict reader does not know.
        expected_sha256: Refuse any other file, before parsing.
        optimizer: Also read the optimizer's tensors, to resume a training.

    Returns:
        The raw checkpoint.

    Raises:
        CheckpointError: E101 unreadable, E102 unsafe, E103 another digest, E105 non-finite weights, E107 too large.

    Source:
        docs/reference/checkpoint-format.md
    """
    if backend not in ("numpy", "torch"):
        raise UsageError(
            "USAGE", "no such reader", where="backend", expected="numpy or torch", found=f"{backend!r:.40}"
        )
    return parse_source(read_source(path, expected_sha256), backend=backend, optimizer=optimizer)


def parse_source(source: Source, *, backend: Backend = "numpy", optimizer: bool = False) -> RawCheckpoint:
    """Parse bytes that were read and hashed.

    Raises:
        CheckpointError: As :func:`read_checkpoint`.
    """
    try:
        kind, contents = _read(source, backend, optimizer)
        for name, tensor in contents.tensors.items():
            require_finite(name, tensor)
            tensor.setflags(write=False)
    except CheckpointError as error:
        error.where = _located(source.name, error.where)
        raise
    except (MemoryError, RecursionError) as error:
        raise too_large("reading took too much memory", where=source.name, found=type(error).__name__) from error
    return RawCheckpoint(
        path=source.name,
        sha256=source.sha256,
        size=len(source.data),
        format=kind,
        metadata=MappingProxyType(contents.fields),
        tensors=MappingProxyType(contents.tensors),
        notes=contents.notes,
        mapped=source.mapped,
    )


def _located(name: str, where: str) -> str:
    return where if name in where else f"{name}: {where}" if where else name


def _read(source: Source, backend: Backend, optimizer: bool) -> tuple[Format, Contents]:
    if backend == "torch":
        return _read_with_torch(source)
    kind = identify(source.data, source.name)
    if kind is Format.TORCH_ZIP:
        return kind, read_torch_zip(source.data, optimizer=optimizer)
    if kind is Format.TORCH_LEGACY:
        from trader_sdk.checkpoint.torch_legacy import read_torch_legacy

        return kind, read_torch_legacy(source.data, optimizer=optimizer)
    from trader_sdk.checkpoint.safetensors_format import read_safetensors

    return kind, read_safetensors(source.data)


def _read_with_torch(source: Source) -> tuple[Format, Contents]:
    from trader_sdk.checkpoint.torch_backend import read_with_torch

    kind = Format.TORCH_ZIP if bytes(source.data[:4]) == b"PK\x03\x04" else Format.TORCH_OTHER
    return kind, read_with_torch(source.data, source.name)
