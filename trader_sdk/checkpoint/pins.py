"""``trader-pins.toml`` and ``recalls.toml``: what people assert about files, and what must not run any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from trader_sdk.checkpoint.assertions import (
    Entry,
    Reader,
    activation,
    digest,
    moment,
    raise_faults,
    read_entries,
    text,
    version,
)
from trader_sdk.contract.compatibility import Pin, Recall
from trader_sdk.contract.errors import Finding

_PIN: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "sha256": digest,
        "version": version,
        "activation": activation,
        "feature_schema": digest,
        "who": text,
        "why": text,
        "until": moment,
    }
)
_RECALL: Final[Mapping[str, Reader]] = MappingProxyType(
    {"sha256": digest, "version": version, "who": text, "why": text}
)
_PINNED: Final = ("version", "activation", "feature_schema")


def read_pins(path: str | os.PathLike[str]) -> tuple[Pin, ...]:
    """Read a pins file.

    Args:
        path: TOML with ``[[pin]]`` tables: ``sha256``, ``who`` and ``why`` required, ``version``, ``activation``,
            ``feature_schema`` (its sha256) and ``until`` (a date, or a time with its offset) as needed. A pin holds
            before ``until`` and counts for nothing afterwards.

    Returns:
        The pins, in the order written.

    Raises:
        ConfigError: The file is absent or no TOML, a table has an unknown field or a wrong value, or two pins say
            different things of one file; ``findings`` has every fault.
    """
    entries = read_entries(path, "pin", _PIN, ("sha256", "who", "why"))
    faults = _contradictions(entries)
    faults += [
        Finding("CONFIG", entry.where, f"{', '.join(_PINNED[:-1])} or {_PINNED[-1]}", "nothing asserted")
        for entry in entries
        if not set(_PINNED) & set(entry.values)
    ]
    raise_faults(os.fspath(path), faults)
    return tuple(Pin(**entry.values) for entry in entries)


def read_recalls(path: str | os.PathLike[str]) -> tuple[Recall, ...]:
    """Read a recalls file; pass the result to ``check_compatibility`` or ``load_approved``.

    Args:
        path: TOML with ``[[recall]]`` tables: ``sha256`` or ``version`` or both, ``who`` and ``why``. A recall has no
            end: what may run again is taken out of the file.

    Returns:
        The recalls, in the order written; a table that names a file and a version recalls both.

    Raises:
        ConfigError: The file is absent or no TOML, or a table names nothing, has an unknown field or a wrong value;
            ``findings`` has every fault.
    """
    entries = read_entries(path, "recall", _RECALL, ("who", "why"))
    faults = [
        Finding("CONFIG", entry.where, "sha256 or version", "neither: nothing is recalled")
        for entry in entries
        if not {"sha256", "version"} & set(entry.values)
    ]
    raise_faults(os.fspath(path), faults)
    return tuple(Recall(**entry.values) for entry in entries)


def _contradictions(entries: Iterable[Entry]) -> list[Finding]:
    # Which of two assertions holds must not depend on their order in a file.
    said: dict[tuple[str, str], object] = {}
    faults = []
    for entry in entries:
        for name in _PINNED:
            value = entry.values.get(name)
            if value is None:
                continue
            first = said.setdefault((entry.values["sha256"], name), value)
            if first != value:
                faults.append(Finding("CONFIG", f"{entry.where} {name}", f"{first}, as said before", str(value)))
    return faults
