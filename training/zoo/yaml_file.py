"""YAML read strictly: plain data only, and a key that is there twice is an error instead of a silent choice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml


class YamlError(ValueError):
    """The text is not YAML, or has a key twice."""


class _Strict(yaml.SafeLoader):  # type: ignore[misc] # PyYAML ships no types
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        again = [key for key, count in Counter(key.value for key, _ in node.value).items() if count > 1]
        if again:
            at = node.start_mark
            raise YamlError(f"key {again[0]!r} twice, line {at.line + 1}, column {at.column + 1}")
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def read_yaml(text: str) -> object:
    """Return the plain data of a YAML text.

    Raises:
        YamlError: It is none.

    Example:
        >>> read_yaml("a: [1, 2]")
        {'a': [1, 2]}
    """
    try:
        return yaml.load(text, Loader=_Strict)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlError(" ".join(str(error).split())[:300]) from error
