"""Values that are made when somebody asks for them, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

T = TypeVar("T")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Late(Mapping[str, T]):
    """A mapping whose keys are known and whose values are made when they are asked for.

    At a bar close most symbols hold: what is to be written down of them can wait until the orders of the others left.

    Args:
        keys: All of them, in order.
        make: Makes the value of a key; called once.
        made: Values that are there already.

    Example:
        >>> squares = Late(["1", "2"], lambda key: int(key) ** 2, {"1": 1})
        >>> list(squares), squares["2"]
        (['1', '2'], 4)
    """

    def __init__(self, keys: Iterable[str], make: Callable[[str], T], made: Mapping[str, T] = _NOTHING) -> None:
        self._keys, self._make, self._made = dict.fromkeys(keys), make, dict(made)

    def __getitem__(self, key: str) -> T:
        if key not in self._made:
            if key not in self._keys:
                raise KeyError(key)
            self._made[key] = self._make(key)
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
