"""Torch's own reader, behind the same door, for layouts that the strict reader does not know; only when asked."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from packaging.version import Version

from trader_sdk.checkpoint.contents import Contents
from trader_sdk.checkpoint.faults import unreadable
from trader_sdk.checkpoint.plain import Plainer
from trader_sdk.checkpoint.tensors import Array
from trader_sdk.contract.errors import CheckpointError

_OLDEST = "2.10"
# What torch.load raises for damaged and hostile files, measured; MemoryError and RecursionError are the door's.
_FAILURES = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    EOFError,
    OSError,
    OverflowError,
    ImportError,
)


def read_with_torch(data: memoryview, name: str) -> Contents:
    """Read a checkpoint by ``torch.load(weights_only=True)``.

    Raises:
        CheckpointError: E101 if torch is absent, older than 2.10 (two published holes), or cannot read the file.
    """
    torch = _torch()
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except _FAILURES as error:
        raise unreadable(
            "torch cannot read the file", where=name, found=f"{type(error).__name__}: {error}"[:200]
        ) from error
    if not isinstance(loaded, Mapping) or not isinstance(loaded.get("policy_state_dict"), Mapping):
        raise unreadable("no policy_state_dict in the checkpoint", where=name, found=type(loaded).__name__)
    plainer = Plainer(lambda where, _: unreadable("unreachable reference", where=where))
    vocabulary = _Vocabulary(torch)
    tensors = {str(key): vocabulary.array(value, str(key)) for key, value in loaded["policy_state_dict"].items()}
    fields: dict[str, Any] = {}
    for key, value in loaded.items():
        if key == "policy_state_dict":
            continue
        fields[str(key)] = vocabulary.plain(value, plainer, str(key))
    return Contents(fields, tensors, tuple(plainer.notes))


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            "E101",
            "torch is not installed",
            where='backend="torch"',
            remedy="Install trader-sdk[torch], or read the file with the default backend.",
        ) from error
    if Version(torch.__version__).release < Version(_OLDEST).release:
        raise CheckpointError(
            "E101",
            "this torch is too old to read files safely",
            where='backend="torch"',
            expected=f"torch >= {_OLDEST}",
            found=torch.__version__,
            remedy="Upgrade torch, or read the file with the default backend.",
        )
    return torch


class _Vocabulary:
    """Torch's values as ours."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def array(self, value: Any, where: str) -> Array:
        if not isinstance(value, self._torch.Tensor) or value.layout is not self._torch.strided:
            raise unreadable("policy_state_dict holds something that is no tensor", where=where)
        dense = value.detach().cpu().contiguous()
        plain: Array = (dense.float() if dense.dtype is self._torch.bfloat16 else dense).numpy().copy()
        return plain

    def plain(self, value: Any, plainer: Plainer, where: str) -> Any:
        if isinstance(value, self._torch.Tensor):
            return self.array(value, where)
        if isinstance(value, Mapping):
            return {
                plainer.convert(key, where): self.plain(item, plainer, f"{where}.{key}") for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            items = [self.plain(item, plainer, where) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        if isinstance(value, self._torch.dtype | self._torch.device):
            return str(value)
        return plainer.convert(str(value) if isinstance(value, str) else value, where)
