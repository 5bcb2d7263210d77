"""TOML that people write about checkpoints: read strictly, every fault of a file reported at once."""

from __future__ import annotations

import os
import stat
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from trader_sdk.checkpoint.source import normalise_digest
from trader_sdk.contract.detect import parse_model_version
from trader_sdk.contract.errors import CheckpointError, ConfigError, Finding, VersionError
from trader_sdk.contract.metadata import ACTIVATIONS

MAX_BYTES: Final = 1024 * 1024
_SHOWN_CHARACTERS: Final = 60


class Mistaken(Exception):  # noqa: N818 - carries what was expected from a field to the list of faults, never leaves here
    """A field's value is not what was expected; the text says what was."""


Reader = Callable[[object], Any]
"""Returns a field's value in its normal form, or raises :class:`Mistaken`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One table of the file.

    Attributes:
        where: Names it for a person: ``pins.toml pin 2``.
        values: Its fields in their normal form.
    """

    where: str
    values: Mapping[str, Any]


def read_entries(
    path: str | os.PathLike[str], kind: str, fields: Mapping[str, Reader], required: tuple[str, ...]
) -> tuple[Entry, ...]:
    """Read a file of ``[[kind]]`` tables.

    Args:
        path: TOML of at most 1 MiB.
        kind: Name of the tables; anything else in the file is a fault.
        fields: Every field that a table may have, and how it is read.
        required: Those it must have.

    Returns:
        The tables in the order written.

    Raises:
        ConfigError: The file cannot be read or is no TOML; or tables have faults, all of them in ``findings``.
    """
    where = os.fspath(path)
    document = _parsed(where)
    tables = document.pop(kind, [])
    faults = [Finding("CONFIG", where, f"[[{kind}]] tables only", _shown(name)) for name in document]
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        faults.append(Finding("CONFIG", where, f"[[{kind}]] tables", f"another kind of {kind}"))
        tables = []
    entries = []
    for number, table in enumerate(tables, 1):
        entry = Entry(f"{where} {kind} {number}", {})
        values, wrong = _values(table, entry.where, fields, required)
        entries.append(Entry(entry.where, values))
        faults += wrong
    raise_faults(where, faults)
    return tuple(entries)


def raise_faults(where: str, faults: list[Finding]) -> None:
    """Raise one error that names every fault; return if there is none.

    Raises:
        ConfigError: With all of them in ``findings``.
    """
    if not faults:
        return
    listed = "; ".join(f"{fault.where}: expected {fault.expected}, found {fault.actual}" for fault in faults)
    raise ConfigError("CONFIG", f"{len(faults)} faults: {listed}"[:4000], where=where, findings=faults)


def _parsed(where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_bytes(where).decode("utf-8"))
    except OSError as error:
        raise ConfigError("CONFIG", "the file cannot be read", where=where, found=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("CONFIG", "the file cannot be read", where=where, found=str(error)[:160]) from error


def _bytes(where: str) -> bytes:
    # Without blocking: a pipe under this name must not hang a trader.
    descriptor = os.open(where, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("no regular file")
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return data


def _values(
    table: Mapping[str, Any], where: str, fields: Mapping[str, Reader], required: tuple[str, ...]
) -> tuple[dict[str, Any], list[Finding]]:
    known = ", ".join(fields)
    faults = [Finding("CONFIG", where, f"fields {known}", _shown(name)) for name in table if name not in fields]
    faults += [Finding("CONFIG", where, name, "nothing") for name in required if name not in table]
    values = {}
    for name, value in table.items():
        if name not in fields:
            continue
        try:
            values[name] = fields[name](value)
        except Mistaken as mistaken:
            faults.append(Finding("CONFIG", f"{where} {name}", str(mistaken), _shown(value)))
    return values, faults


def _shown(value: object) -> str:
    return f"{value!r}"[:_SHOWN_CHARACTERS]


def text(value: object) -> str:
    """Return text that is not blank, composed the same way on every system (NFC)."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Mistaken("text")
    return unicodedata.normalize("NFC", value)


def digest(value: object) -> str:
    """Return ``sha256:<hex>``."""
    try:
        return normalise_digest(text(value))
    except CheckpointError as error:
        raise Mistaken("sha256: and 64 hex digits") from error


def version(value: object) -> str:
    """Return a model version in its normal form."""
    try:
        return parse_model_version(value)[0]
    except VersionError as error:
        raise Mistaken("a model version X.Y.Z") from error


def activation(value: object) -> str:
    """Return the name of an activation."""
    if value not in ACTIVATIONS:
        raise Mistaken(" or ".join(ACTIVATIONS))
    return str(value)


def moment(value: object) -> datetime:
    """Return an aware time; a date is its first moment in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if type(value) is date:
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise Mistaken("a date, or a time with its offset")
