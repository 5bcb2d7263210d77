"""From what a pickle built to plain data: bounded, without classes, each loss named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from trader_sdk.checkpoint.faults import too_large, unreadable
from trader_sdk.checkpoint.limits import MAX_DEPTH, MAX_NOTES, MAX_PICKLE_BYTES, MAX_TEXT, MAX_VALUES
from trader_sdk.checkpoint.pickle_values import ClassName, Dtype, Foreign, Ndarray
from trader_sdk.checkpoint.tensors import TensorRef
from trader_sdk.contract.errors import Finding

_KEPT = "Its values were kept and its class was not imported; save plain data to silence this note."
_SCALARS = (bool, int, float, type(None))


def _written_out(value: object, known: dict[int, int], depth: int = 0) -> int:
    """Return how many values this one is when shared references are written out; endless where it holds itself."""
    inner: Iterable[object]
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    elif type(value) is Foreign:
        inner = (value.state,)
    else:
        return 1
    if id(value) not in known:
        if depth > MAX_DEPTH:
            return MAX_VALUES + 1
        known[id(value)] = 1 + sum(_written_out(item, known, depth + 1) for item in inner)
    return known[id(value)]


class Plainer:
    """Writes shared references out and classes off, within one budget of values for a whole file.

    Args:
        tensor: What becomes of a tensor reference: its array, or the checked reference itself.
    """

    def __init__(self, tensor: Callable[[str, TensorRef], object]) -> None:
        self.tensor = tensor
        self.notes: list[Finding] = []
        self._left = MAX_VALUES
        self._text_left = MAX_PICKLE_BYTES

    def convert(self, value: object, where: str, depth: int = 0) -> Any:
        """Return ``value`` as dict, list, tuple, scalars, text, bytes and arrays.

        Raises:
            CheckpointError: E107 beyond a limit, E101 for what is no data.
        """
        # Counted before the first is written: a few hundred bytes of shared references can stand for a billion values.
        if depth > MAX_DEPTH or (depth == 0 and _written_out(value, {}) > self._left):
            raise too_large("the data is too deep or has too many values", where=where, expected=f"depth {MAX_DEPTH}")
        self._left -= 1
        kind = type(value)
        if kind in _SCALARS:
            return value
        if isinstance(value, str | bytes):
            self._count_text(value, where)
            return value
        if isinstance(value, dict):
            return {
                self._key(key, where): self.convert(item, f"{where}.{key}"[:200], depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            items = [self.convert(item, f"{where}[{index}]"[:200], depth + 1) for index, item in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        return self._special(value, where, depth)

    def _key(self, key: object, where: str) -> object:
        if isinstance(key, str | bytes):
            self._count_text(key, where)
        return key

    def _count_text(self, text: str | bytes, where: str) -> None:
        self._text_left -= len(text)
        if len(text) > MAX_TEXT or self._text_left < 0:
            raise too_large("a text is too long", where=where, expected=f"<= {MAX_TEXT}", found=len(text))

    def _special(self, value: object, where: str, depth: int) -> Any:
        if type(value) is TensorRef:
            return self.tensor(where, value)
        if type(value) is Foreign:
            self._note(where, value.name)
            return self.convert(value.state, where, depth + 1)
        if type(value) is ClassName:
            self._note(where, value.name)
            return value.name
        if type(value) is Dtype:
            return str(value.numpy())
        if type(value) is Ndarray and value.value is not None:
            return np.array(value.value)
        raise unreadable("the checkpoint holds something that is no data", where=where, found=type(value).__name__)

    def _note(self, where: str, name: str) -> None:
        if len(self.notes) <= MAX_NOTES:
            actual = f"an instance of {name}" if len(self.notes) < MAX_NOTES else "further instances, not listed"
            self.notes.append(Finding("W109", where, "plain data", actual, _KEPT))
