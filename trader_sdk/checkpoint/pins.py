"""``trader-pins.toml``: what people assert about files that do not say it themselves."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from trader_sdk.checkpoint.source import normalise_digest
from trader_sdk.contract.compatibility import Pin
from trader_sdk.contract.detect import parse_model_version
from trader_sdk.contract.errors import CheckpointError, ConfigError
from trader_sdk.contract.metadata import ACTIVATIONS

_TEXTS: Final = ("sha256", "version", "activation", "feature_schema", "who", "why")
_MAX_BYTES: Final = 1024 * 1024


def read_pins(path: str | os.PathLike[str]) -> tuple[Pin, ...]:
    """Read a pins file.

    Args:
        path: TOML with ``[[pin]]`` tables: ``sha256``, ``who`` and ``why`` required, ``version``, ``activation``,
            ``feature_schema`` and ``until`` (a date or time) as needed.

    Returns:
        The pins, in the order written.

    Raises:
        ConfigError: The file is absent, no TOML, or a table has an unknown field or a wrong value.
    """
    where = os.fspath(path)
    try:
        raw = Path(path).read_bytes()
        document = tomllib.loads(raw[:_MAX_BYTES].decode("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError("CONFIG", "the pins cannot be read", where=where, found=str(error)[:160]) from error
    tables = document.pop("pin", [])
    if document or not isinstance(tables, list):
        raise _refused(where, "[[pin]] tables only", ", ".join(document) or "another kind of pin")
    return tuple(_pin(table, f"{where} pin {number}") for number, table in enumerate(tables, 1))


def _refused(where: str, expected: str, found: object) -> ConfigError:
    return ConfigError("CONFIG", "a pin is malformed", where=where, expected=expected, found=found)


def _pin(table: dict[str, Any], where: str) -> Pin:
    unknown = set(table) - {*_TEXTS, "until"}
    missing = {"sha256", "who", "why"} - set(table)
    if unknown or missing:
        raise _refused(
            where, f"fields {', '.join(_TEXTS)}, until", f"unknown {unknown or '-'}, missing {missing or '-'}"
        )
    texts = {name: table[name] for name in _TEXTS if name in table}
    wrong = [name for name, value in texts.items() if not isinstance(value, str) or not value]
    if wrong:
        raise _refused(where, "text", ", ".join(wrong))
    if texts.get("activation", "tanh") not in ACTIVATIONS:
        raise _refused(where, ", ".join(ACTIVATIONS), texts["activation"])
    if "version" in texts:
        texts["version"] = parse_model_version(texts["version"])[0]
    try:
        texts["sha256"] = normalise_digest(texts["sha256"])
    except CheckpointError as error:
        raise _refused(where, "sha256: and 64 hex digits", texts["sha256"][:80]) from error
    return Pin(**texts, until=_until(table.get("until"), where))


def _until(value: object, where: str) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if type(value) is date:
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise _refused(where, "until as a date or a time with its offset", f"{value!r:.40}")
